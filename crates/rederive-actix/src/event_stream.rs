//! [`EventStream`]: the events of a log, one after the other, as they come.

use std::{
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures_core::Stream;
use rederive_core::{
    Cursor, EventLog, LogError, ReadError, Recorded, Undecodable, Wake, error::panic_message,
};
use tokio::sync::mpsc;

use crate::Config;

/// How many events are read at a time, and how many wait to be taken.
const SLICE: usize = 256;

/// The events of a log after a cursor, in order: those that are there, then those that are appended.
/// It ends when it is [stopped](Self::stopper).
///
/// It is for whoever wants to see events without deriving state from them: a page that shows what
/// happens, an export, a test. Where it stands is not stored; to go on later, keep the cursor of the
/// last event. What must not be missed or done twice is a matter for a reducer, a notifier or a
/// service.
///
/// A thread of its own reads, no further ahead than two slices of 256 events, and ends when the stream
/// is dropped. A log that cannot be read is waited for with growing pauses, which is logged as a
/// warning. An event that cannot be decoded is an item, and the next one is the event behind it.
///
/// It needs no particular async runtime: [`next`](Self::next) takes one event after the other, and it
/// is a [`Stream`] for all that takes streams.
///
/// ```
/// use rederive_actix::EventStream;
/// use rederive_core::{Cursor, MemoryLog};
///
/// # actix_rt::System::new().block_on(async {
/// let log = MemoryLog::new();
/// log.append(["opened"]);
/// let mut events = EventStream::new(log.clone(), Cursor::Start)?;
/// let stopper = events.stopper();
/// assert_eq!(events.next().await.ok_or("it has ended")??.data, "opened");
/// log.append(["closed"]);
/// assert_eq!(events.next().await.ok_or("it has ended")??.data, "closed");
/// stopper.stop();
/// assert_eq!(events.next().await, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventStream<E> {
    items: mpsc::Receiver<Result<Recorded<E>, Undecodable>>,
    stopper: Stopper,
}

impl<E: Send + Sync + 'static> EventStream<E> {
    /// The events after `after`.
    ///
    /// # Errors
    /// When the thread that reads cannot be started.
    pub fn new(log: impl EventLog<Event = E>, after: Cursor) -> io::Result<Self> {
        let (send, items) = mpsc::channel(SLICE);
        let stopper = Stopper::default();
        let bell = Arc::clone(&stopper.0);
        thread::Builder::new()
            .name("rederive-stream".to_owned())
            .spawn(move || read(&log, after, &bell, &send))?;
        Ok(Self { items, stopper })
    }

    /// The next event, as soon as there is one; `None` once the stream was stopped and what it had
    /// read is taken. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Undecodable`] in place of an event that cannot be decoded; the stream goes on.
    pub async fn next(&mut self) -> Option<Result<Recorded<E>, Undecodable>> {
        poll_fn(|cx| self.items.poll_recv(cx)).await
    }

    /// Ends the stream from elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }
}

impl<E> Stream for EventStream<E> {
    type Item = Result<Recorded<E>, Undecodable>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_recv(cx)
    }
}

impl<E> Drop for EventStream<E> {
    fn drop(&mut self) {
        // Wakes the thread, which ends; it is not waited for, as it may be at the log.
        self.stopper.stop();
    }
}

/// Ends an [`EventStream`]. Clones end the same one.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<Bell>);

impl Stopper {
    /// The stream reads no more: it yields what it has read, and ends.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.ring();
    }
}

/// Wakes the thread of a stream, also when it rings before that waits.
#[derive(Debug, Default)]
struct Bell {
    stopped: AtomicBool,
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, patience: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(rung, patience, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

fn read<L: EventLog>(
    log: &L,
    after: Cursor,
    bell: &Arc<Bell>,
    items: &mpsc::Sender<Result<Recorded<L::Event>, Undecodable>>,
) {
    let config = Config::default();
    let ringer = Arc::clone(bell);
    let wake: Arc<Wake> = Arc::new(move || ringer.ring());
    log.subscribe(Arc::downgrade(&wake));
    let mut events = log.events(after).in_slices_of(SLICE);
    let mut attempts = 0;
    while !bell.is_stopped() {
        // Nothing of the iterator is left half done: it asks the log, and then keeps the answer.
        let next = catch_unwind(AssertUnwindSafe(|| events.next())).unwrap_or_else(|payload| {
            let message = format!("it panicked: {}", panic_message(&*payload));
            Some(Err(LogError::new(message).into()))
        });
        let item = match next {
            None => {
                attempts = 0;
                bell.wait(config.poll_interval);
                continue;
            }
            Some(Ok(event)) => Ok(event),
            Some(Err(ReadError::Undecodable(undecodable))) => Err(undecodable),
            Some(Err(ReadError::Log(error))) => {
                attempts += 1;
                let delay = config.backoff(attempts);
                log::warn!(
                    target: "rederive",
                    "a stream waits {delay:?} (attempt {attempts}): {error}"
                );
                bell.wait(delay);
                continue;
            }
        };
        attempts = 0;
        // Nobody takes items any more.
        if items.blocking_send(item).is_err() {
            return;
        }
    }
}
