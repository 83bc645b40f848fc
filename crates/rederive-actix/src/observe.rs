//! [`Observers`]: hands notices to whoever observes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rederive_core::{Notice, Observer};

/// Everybody who observes a supervisor.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        for observer in &*self.0 {
            if catch_unwind(AssertUnwindSafe(|| observer.notice(notice))).is_err() {
                log::error!(target: "rederive", "an observer panicked at {notice:?}");
            }
        }
    }
}
