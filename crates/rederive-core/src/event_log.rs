//! [`EventLog`]: the ordered source that reducers follow.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{Cursor, CursorKind, Recorded};

/// What a log calls when events may have been appended; see [`EventLog::subscribe`].
pub type Wake = dyn Fn() + Send + Sync;

/// An ordered log of events.
///
/// All methods may block (on a file, on a database): they are called on threads kept for that.
/// They are called from one thread at a time per supervisor, but several supervisors may share one
/// log.
///
/// # What an implementation promises
/// - Cursors grow: an event appended later has a larger cursor.
/// - **No gap may fill up later.** Once [`fetch`](Self::fetch) has returned an event, no event with
///   a smaller cursor ever appears. A log whose writers commit out of order holds back what is
///   above an open transaction.
/// - An event once returned is returned again, with the same cursor and the same data.
pub trait EventLog: Send + Sync + 'static {
    /// The type of the events.
    type Event: Send + Sync + 'static;

    /// The kind of all cursors of this log.
    fn cursor_kind(&self) -> CursorKind;

    /// Reads up to `limit` (at least one) events after `after`, in order.
    ///
    /// # Errors
    /// [`LogError`] when the log could not be read; the read is tried again later.
    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<Self::Event>, LogError>;

    /// Reads the event at exactly `cursor`; `None` when there is none.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<Self::Event>>, LogError>;

    /// The cursor of the newest event that [`fetch`](Self::fetch) would return now;
    /// [`Cursor::Start`] for an empty log.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    fn head(&self) -> Result<Cursor, LogError>;

    /// How many events stand after `after`: for progress bars, so it may be a close guess.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    fn count(&self, after: &Cursor) -> Result<u64, LogError>;

    /// Asks to be woken when events may have been appended.
    ///
    /// A hint, not a promise: followers also poll. The log keeps the weak reference and forgets it
    /// once the subscriber has dropped its own. The default never wakes anybody.
    fn subscribe(&self, wake: Weak<Wake>) {
        drop(wake);
    }
}

/// One read of an event log.
#[derive(Debug)]
pub struct Slice<E> {
    /// The events read, in order.
    pub events: Vec<Recorded<E>>,
    /// The slice covers the log up to here: the next read starts after this cursor. It is the last
    /// event's cursor, or later when the log knows that it holds nothing for us up to there.
    pub end: Cursor,
    /// True when the log held no more events when it was read.
    pub at_head: bool,
    /// The event just after [`end`](Self::end) that could not be decoded, if the read met one.
    pub undecodable: Option<Undecodable>,
}

/// An event whose stored form could not be turned into the log's event type.
///
/// It is never passed over in silence: a reducer that meets it stops there, says so, and goes on
/// once the event can be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event at cursor {cursor} cannot be decoded: {message}")]
pub struct Undecodable {
    /// Where it stands.
    pub cursor: Cursor,
    /// What the decoder said.
    pub message: String,
}

/// A log could not be read or written: the database is away, the disk fails.
///
/// Reads are repeated with back-off until they succeed; nothing is skipped meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event log cannot be read: {0}")]
pub struct LogError(String);

impl LogError {
    /// An error with this text.
    pub fn new(message: impl ToString) -> Self {
        Self(message.to_string())
    }
}

/// The subscribers of a log: what an implementation needs for [`EventLog::subscribe`].
#[derive(Default)]
pub struct Wakers(Mutex<Vec<Weak<Wake>>>);

impl Wakers {
    /// Adds a subscriber and forgets those that are gone.
    pub fn add(&self, wake: Weak<Wake>) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.retain(|known| known.strong_count() > 0);
        wakers.push(wake);
    }

    /// Wakes every subscriber.
    pub fn wake(&self) {
        let wakers: Vec<Arc<Wake>> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        for wake in wakers {
            wake();
        }
    }
}
