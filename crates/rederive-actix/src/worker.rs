//! [`Worker`]: a thread that does an actor's blocking work.
//!
//! Not a `SyncArbiter`: there a panic ends a thread for good while the address stays connected,
//! every message passes the system arbiter, the queue is unbounded, and threads are not joined.
//! Here the actor that owns the worker gives it one job at a time and learns its end by a message.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread::{Builder, JoinHandle},
};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with a state of its own. Dropping the worker lets the thread end after its job; `join`
/// waits for that.
pub(crate) struct Worker<S> {
    jobs: mpsc::Sender<Job<S>>,
    thread: JoinHandle<()>,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread.
    pub(crate) fn start(name: &str, state: S) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let mut state = state;
            for job in queue {
                // Jobs catch the panics they can tell somebody about; the thread survives the rest.
                if catch_unwind(AssertUnwindSafe(|| job(&mut state))).is_err() {
                    log::error!("a job of {:?} panicked", std::thread::current().name());
                }
            }
        })?;
        Ok(Self { jobs, thread })
    }

    /// Has the thread do this next.
    pub(crate) fn run(&self, job: impl FnOnce(&mut S) + Send + 'static) {
        // The thread ends only with this sender.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Waits for the end of the thread's last job.
    pub(crate) fn join(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}
