//! Suites that hold every [`EventLog`](rederive_core::EventLog) and [`Store`](rederive_core::Store)
//! to the promises of its trait.
//!
//! An implementation is conformant when [`event_log::exercise`] or [`store::exercise`] passes; a log
//! that services append to, also [`append_once::exercise`]. Each promise is a check of its own: a
//! public function named after it.

pub mod append_once;
pub mod event_log;
pub mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rederive_core::error::panic_message;

/// One promise of a suite. `run` panics when it is broken.
#[derive(Clone, Copy)]
pub struct Check<T> {
    /// The promise.
    pub name: &'static str,
    /// Holds a fresh log or store to it.
    pub run: fn(T),
}

/// The checks of these functions.
macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        vec![$($crate::conformance::Check { name: stringify!($name), run: $module::$name::<T> },)*]
    };
}
pub(crate) use checks;

/// Runs each check with something fresh.
///
/// # Panics
/// When a check fails, after all have run, with the names of those that failed.
#[track_caller]
fn run_all<T>(checks: Vec<Check<T>>, make: impl Fn() -> T) {
    let count = checks.len();
    let failed: Vec<String> = checks
        .into_iter()
        .filter_map(|Check { name, run }| {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(make())));
            outcome.err().map(|payload| format!("{name}: {}", panic_message(&*payload)))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {count} checks failed:\n- {}",
        failed.len(),
        failed.join("\n- ")
    );
}
