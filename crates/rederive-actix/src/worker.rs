//! [`Worker`]: a thread that does an actor's blocking work.
//!
//! Not a `SyncArbiter`: there a panic ends a thread for good while the address stays connected,
//! every message passes the system arbiter, the queue is unbounded, and threads are not joined.
//! Here the actor that owns the worker gives it one job at a time and learns its end by a message.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{Builder, JoinHandle},
};

use rederive_core::error::panic_message;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with a state of its own. When the worker is dropped, as with an actor that died, the
/// thread ends after its job and drops what is queued behind it; `join` waits for that.
pub(crate) struct Worker<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    dropped: Arc<AtomicBool>,
    place: Place,
}

/// Where the thread of a worker is kept: the next worker in this place begins when the one before
/// has ended, so that nothing a dead actor has begun comes after what its successor does.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Option<JoinHandle<()>>>>);

impl Place {
    fn swap(&self, thread: Option<JoinHandle<()>>) -> Option<JoinHandle<()>> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), thread)
    }
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread.
    pub(crate) fn start(name: &str, state: S, place: &Place) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let (dropped, before) = (Arc::new(AtomicBool::new(false)), place.swap(None));
        let is_dropped = Arc::clone(&dropped);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let mut state = state;
            if let Some(before) = before {
                let _ = before.join();
            }
            for job in queue {
                if is_dropped.load(Ordering::Acquire) {
                    break;
                }
                // Jobs catch the panics they can tell somebody about; the thread survives the rest.
                if catch_unwind(AssertUnwindSafe(|| job(&mut state))).is_err() {
                    log::error!("a job of {:?} panicked", std::thread::current().name());
                }
            }
        })?;
        place.swap(Some(thread));
        Ok(Self { jobs: Some(jobs), dropped, place: place.clone() })
    }

    /// Has the thread do this next.
    pub(crate) fn run(&self, job: impl FnOnce(&mut S) + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only with this sender.
            let _ = jobs.send(Box::new(job));
        }
    }

    /// Waits for the end of the thread's last job.
    pub(crate) fn join(mut self) {
        self.jobs = None;
        if let Some(thread) = self.place.swap(None) {
            let _ = thread.join();
        }
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}

/// Runs code of a store; a panic in it becomes an error.
pub(crate) fn unpanicked<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|payload| format!("the store panicked: {}", panic_message(&*payload)))
}
