//! [`Health`]: whether a store or a log is being tried again, shared with those who report it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rederive_core::Timestamp;

/// A transient fault that is being waited out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// When the first attempt failed.
    pub since: Timestamp,
    /// How many attempts failed in a row.
    pub attempts: u32,
    /// What was said at the last one.
    pub error: String,
}

/// The present [`Delay`], if there is one.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Option<Delay>>>);

impl Health {
    pub(crate) fn get(&self) -> Option<Delay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, delay: Option<Delay>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// One more attempt has failed.
    pub(crate) fn delayed(&self, attempts: u32, error: &str) {
        let since = self.get().map_or_else(|| SystemTime::now().into(), |delay| delay.since);
        self.set(Some(Delay { since, attempts, error: error.to_owned() }));
    }
}
