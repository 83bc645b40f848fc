//! [`Appender`]: the thread that writes all appends of a database, many in one transaction.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rederive_core::{Wakers, error::panic_message};
use tokio::sync::mpsc;

use super::{Appended, Request, Tail};
use crate::AppendError;

/// A transaction takes no further appends once it has so many events or bytes.
const MOST_EVENTS: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

/// Writes groups of requests, on a thread of its own.
pub(crate) trait WriteEvents: Send + 'static {
    /// Writes a group in one transaction. What it answers for each request stands in its place.
    ///
    /// # Errors
    /// Unless the failure says otherwise, nothing was appended.
    fn write(&mut self, group: &[Request]) -> Result<Vec<Result<Appended, AppendError>>, Failure>;

    /// A group was written, and those who asked are about to be told. So many others wait by now.
    fn written(&mut self, others: usize) {
        let _ = others;
    }

    /// Events were appended, or may have been; the followers in this process have been told.
    fn appended(&mut self) {}

    /// The first request of a group has come: may wait for a moment, so that it takes more. `waiting`
    /// tells how many there are by now.
    fn await_crowd(&mut self, waiting: &dyn Fn() -> usize) {
        let _ = waiting;
    }
}

/// A group could not be written.
pub(crate) struct Failure {
    /// What those who asked are told.
    pub(crate) error: AppendError,
    /// One of the requests may be to blame: each is to be tried alone.
    pub(crate) try_alone: bool,
}

/// Hands requests to a thread that begins with the first of them and ends, having written all that
/// was accepted, when this is dropped.
pub(crate) struct Appender {
    writer: Box<dyn Fn() -> Box<dyn WriteEvents> + Send + Sync>,
    wakers: Arc<Wakers>,
    tail: Arc<Tail>,
    longest_queue: usize,
    running: Mutex<Option<Running>>,
}

struct Running {
    queue: mpsc::Sender<Request>,
    thread: JoinHandle<()>,
}

impl Appender {
    /// `writer` makes what the thread writes with.
    pub(crate) fn new<W: WriteEvents>(
        writer: impl Fn() -> W + Send + Sync + 'static,
        wakers: Arc<Wakers>,
        longest_queue: usize,
    ) -> Self {
        let writer = Box::new(move || -> Box<dyn WriteEvents> { Box::new(writer()) });
        let (tail, running) = (Arc::default(), Mutex::new(None));
        Self { writer, wakers, tail, longest_queue, running }
    }

    /// What it has appended last.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The queue of the thread, which is started if it is not running.
    pub(super) fn queue(&self) -> Result<mpsc::Sender<Request>, AppendError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { queue, thread }) = &*running
            && !thread.is_finished()
        {
            return Ok(queue.clone());
        }
        let (queue, requests) = mpsc::channel(self.longest_queue);
        let (writer, wakers) = ((self.writer)(), Arc::clone(&self.wakers));
        let tail = Arc::clone(&self.tail);
        let thread = thread::Builder::new()
            .name("rederive-append".to_owned())
            .spawn(move || serve(writer, &tail, &wakers, requests))
            .map_err(|error| AppendError::Unavailable {
                message: format!("cannot start a thread: {error}"),
                waited: std::time::Duration::ZERO,
            })?;
        *running = Some(Running { queue: queue.clone(), thread });
        Ok(queue)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { queue, thread }) = running {
            drop(queue);
            // A subscriber that is woken may drop the last handle, on that very thread.
            if thread.thread().id() != thread::current().id() {
                // It has caught every panic of its work.
                let _ = thread.join();
            }
        }
    }
}

/// Takes what has arrived while the last transaction ran, and writes it in one. When nothing
/// arrives, it waits for the first.
fn serve(
    mut writer: Box<dyn WriteEvents>,
    tail: &Tail,
    wakers: &Wakers,
    mut requests: mpsc::Receiver<Request>,
) {
    while let Some(first) = requests.blocking_recv() {
        let size =
            |request: &Request| request.events.iter().map(|event| event.data.len()).sum::<usize>();
        writer.await_crowd(&|| requests.len() + 1);
        let (mut count, mut bytes) = (first.events.len(), size(&first));
        let mut group = vec![first];
        while count < MOST_EVENTS
            && bytes < MOST_BYTES
            && let Ok(next) = requests.try_recv()
        {
            count += next.events.len();
            bytes += size(&next);
            group.push(next);
        }
        if write(&mut *writer, tail, wakers, group, &|| requests.len()) {
            writer.appended();
        }
    }
}

/// Writes one group, wakes those who follow when something was appended, and answers each request.
/// True when something was appended, or may have been.
fn write(
    writer: &mut dyn WriteEvents,
    tail: &Tail,
    wakers: &Wakers,
    mut group: Vec<Request>,
    others: &dyn Fn() -> usize,
) -> bool {
    let written = catch_unwind(AssertUnwindSafe(|| writer.write(&group)));
    let failure = match written {
        Ok(Ok(replies)) => {
            let appended = replies.iter().any(Result::is_ok);
            tail.keep(&mut group, &replies);
            writer.written(others());
            if appended {
                // First of all: whoever asked is going to wait for them.
                wake(wakers);
            }
            for (request, reply) in group.into_iter().zip(replies) {
                request.answer(reply);
            }
            return appended;
        }
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let message = format!("a panic while appending: {}", panic_message(&*payload));
            Failure { error: AppendError::InDoubt { message }, try_alone: false }
        }
    };
    // Alone, a request is told its own fault; otherwise each is tried alone.
    if group.len() > 1 && failure.try_alone {
        let mut appended = false;
        for request in group {
            appended |= write(writer, tail, wakers, vec![request], others);
        }
        return appended;
    }
    for request in group {
        request.answer(Err(failure.error.clone()));
    }
    // In doubt, it may be there.
    let may_be_there = matches!(failure.error, AppendError::InDoubt { .. });
    if may_be_there {
        wake(wakers);
    }
    may_be_there
}

fn wake(wakers: &Wakers) {
    // Subscribers are code of others, and this thread has to go on.
    let _ = catch_unwind(AssertUnwindSafe(|| wakers.wake()));
}
