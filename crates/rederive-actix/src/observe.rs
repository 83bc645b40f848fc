//! [`Observers`]: hands notices to whoever observes, and [`LogObserver`], which writes them down.

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

/// Writes notices as records of the [`log`] crate, target `rederive`: halts and blocks as errors,
/// delays and restarts as warnings, starts and stops as information, the rest for debugging.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn notice(&self, notice: &Notice) {
        const TARGET: &str = "rederive";
        match notice {
            Notice::Started { reducer, watermark } => {
                log::info!(target: TARGET, "{reducer}: started after cursor {watermark}");
            }
            Notice::CaughtUp { reducer, watermark } => {
                log::debug!(target: TARGET, "{reducer}: caught up at cursor {watermark}");
            }
            Notice::Committed { reducer, partitions, events, watermark } => log::debug!(
                target: TARGET,
                "{reducer}: committed {events} events of {partitions} partitions, \
                 low watermark {watermark}"
            ),
            Notice::Halted { reducer, partition, halt } => log::error!(
                target: TARGET,
                "{reducer}: partition {partition} is halted: {halt}; \
                 its later events are held, other partitions go on"
            ),
            Notice::Retrying { reducer, partition, failure, attempt, delay } => log::warn!(
                target: TARGET,
                "{reducer}: partition {partition}: the event at cursor {} failed, attempt {attempt}, \
                 next in {delay:?}: {}",
                failure.cursor,
                failure.message
            ),
            Notice::Skipped { reducer, partition: Some(partition), skip } => {
                log::error!(target: TARGET, "{reducer}: partition {partition}: {skip}");
            }
            Notice::Skipped { reducer, partition: None, skip } => {
                log::error!(target: TARGET, "{reducer}: {skip}");
            }
            Notice::Paused { reducer } => log::info!(target: TARGET, "{reducer}: paused"),
            Notice::Resumed { reducer } => log::info!(target: TARGET, "{reducer}: goes on"),
            Notice::Recovered { reducer, partition } => {
                log::info!(target: TARGET, "{reducer}: partition {partition} is halted no more");
            }
            Notice::LoadDelayed { reducer, attempt, delay, error } => log::warn!(
                target: TARGET,
                "{reducer}: stored states cannot be read, attempt {attempt}, next in {delay:?}: \
                 {error}"
            ),
            Notice::LoadResumed { reducer, attempts } => log::info!(
                target: TARGET,
                "{reducer}: stored states are read again after {attempts} failed attempts"
            ),
            Notice::CommitDelayed { reducers, attempt, delay, error } => log::warn!(
                target: TARGET,
                "commits of {} wait for the store, attempt {attempt}, next in {delay:?}: {error}",
                reducers.join(", ")
            ),
            Notice::CommitResumed { attempts } => {
                log::info!(target: TARGET, "the store commits again after {attempts} attempts");
            }
            Notice::ReadDelayed { attempt, delay, error } => log::warn!(
                target: TARGET,
                "the event log cannot be read, attempt {attempt}, next in {delay:?}: {error}"
            ),
            Notice::Blocked { reducer, reason } => {
                log::error!(target: TARGET, "{reducer}: blocked: {reason}");
            }
            Notice::Restarted { reducer: Some(reducer), actor } => log::warn!(
                target: TARGET,
                "{reducer}: the {actor} ended unexpectedly and resumes from what is stored"
            ),
            Notice::Restarted { reducer: None, actor } => log::warn!(
                target: TARGET,
                "the {actor} ended unexpectedly; its reducers resume from what is stored"
            ),
            Notice::Fenced { reducer } => log::error!(
                target: TARGET,
                "{reducer}: another process has taken the reducer over; it stops here"
            ),
            Notice::Stopped { reducer, watermark } => {
                log::info!(target: TARGET, "{reducer}: stopped at cursor {watermark}");
            }
            other => log::trace!(target: TARGET, "{other:?}"),
        }
    }
}
