//! [`Appender`]: the thread that writes all appends of a database, many in one transaction.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rederive_core::{Wakers, error::panic_message};
use tokio::sync::mpsc;

use super::{Appended, Followers, Request, Tail, Written};
use crate::AppendError;

/// A transaction takes no further appends once it has so many events or bytes.
const MOST_EVENTS: usize = 4096;
const MOST_BYTES: usize = 4 << 20;

/// Writes groups of requests, on a thread of its own.
pub(crate) trait WriteEvents: Send + 'static {
    /// Writes a group in one transaction. What it answers for each request stands in its place. The
    /// followers are told when it is done, or earlier by the one who writes.
    ///
    /// # Errors
    /// Unless the failure says otherwise, nothing was appended.
    fn write(&mut self, group: &[Request], followers: &Followers<'_>) -> Result<Replies, Failure>;

    /// Events were appended, and those who asked are about to be told.
    fn written(&mut self, written: Written) {
        let _ = written;
    }

    /// Events were appended, or may have been; all in this process have been told.
    fn appended(&mut self) {}

    /// The first request of a group has come: may wait for a moment, so that it takes more. `waiting`
    /// tells how many there are by now.
    fn await_crowd(&mut self, waiting: &dyn Fn() -> usize) {
        let _ = waiting;
    }
}

/// What becomes of the requests of a group.
pub(crate) type Replies = Vec<Result<Appended, AppendError>>;

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
        let (tail, wakers) = (Arc::clone(&self.tail), Arc::clone(&self.wakers));
        let service = Service { writer: (self.writer)(), tail, wakers, requests };
        let thread = thread::Builder::new()
            .name("rederive-append".to_owned())
            .spawn(move || service.run())
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

/// What the thread works with.
struct Service {
    writer: Box<dyn WriteEvents>,
    tail: Arc<Tail>,
    wakers: Arc<Wakers>,
    requests: mpsc::Receiver<Request>,
}

impl Service {
    /// Writes in one transaction what has arrived while the last one ran. When nothing arrives, it waits
    /// for the first.
    fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            self.writer.await_crowd(&|| self.requests.len() + 1);
            let group = self.group(first);
            if self.write(group) {
                self.writer.appended();
            }
        }
    }

    /// What has arrived by now, as far as a transaction takes it.
    fn group(&mut self, first: Request) -> Vec<Request> {
        let size =
            |request: &Request| request.events.iter().map(|event| event.data.len()).sum::<usize>();
        let (mut count, mut bytes) = (first.events.len(), size(&first));
        let mut group = vec![first];
        while count < MOST_EVENTS
            && bytes < MOST_BYTES
            && let Ok(next) = self.requests.try_recv()
        {
            count += next.events.len();
            bytes += size(&next);
            group.push(next);
        }
        group
    }

    /// Writes a group and answers its requests. True when something was appended, or may have been.
    fn write(&mut self, group: Vec<Request>) -> bool {
        let followers = Followers::new(&self.tail, &self.wakers);
        let write = || self.writer.write(&group, &followers);
        let failure = match catch_unwind(AssertUnwindSafe(write)) {
            Ok(Ok(replies)) => {
                // First of all: whoever asked is going to wait for them.
                followers.tell(&group, &replies);
                return self.written(group, replies);
            }
            Ok(Err(failure)) => failure,
            Err(payload) => {
                let message = format!("a panic while appending: {}", panic_message(&*payload));
                Failure { error: AppendError::InDoubt { message }, try_alone: false }
            }
        };
        followers.take_back();
        // Alone, a request is told its own fault; otherwise each is tried alone.
        if group.len() > 1 && failure.try_alone {
            let mut appended = false;
            for request in group {
                appended |= self.write(vec![request]);
            }
            return appended;
        }
        for request in group {
            request.answer(Err(failure.error.clone()));
        }
        // In doubt, it may be there.
        let may_be_there = matches!(failure.error, AppendError::InDoubt { .. });
        if may_be_there {
            Followers::new(&self.tail, &self.wakers).wake();
        }
        may_be_there
    }

    /// Answers each request of a group. True when something was appended.
    fn written(
        &mut self,
        group: Vec<Request>,
        replies: Vec<Result<Appended, AppendError>>,
    ) -> bool {
        let ids = replies.iter().flatten().filter_map(|appended| appended.ids.last());
        let last = ids.max().and_then(|id| u64::try_from(*id).ok());
        if let Some(id) = last {
            let (requests, others) = (group.len(), self.requests.len());
            self.writer.written(Written { requests, others, id });
        }
        for (request, reply) in group.into_iter().zip(replies) {
            request.answer(reply);
        }
        last.is_some()
    }
}
