//! [`EventLog`]: the ordered source that reducers follow.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{Cursor, CursorKind, EventTypes, Events, Holder, Recorded, Tentative, Undecodable};

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

    /// Reads as [`fetch`](Self::fetch) does, but leaves out events of other types than these where
    /// that is cheaper than to read them. The slice may hold others as well.
    ///
    /// The default leaves out nothing. A log that leaves out events must tell the types of all
    /// events by [`event_type`](Self::event_type), so that those who are served a slice that was
    /// read for somebody else know what they do not want.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    fn fetch_types(
        &self,
        after: &Cursor,
        limit: usize,
        types: &EventTypes,
    ) -> Result<Slice<Self::Event>, LogError> {
        let _ = types;
        self.fetch(after, limit)
    }

    /// All events after `after` of all types, if they are at hand, and no more than `limit`: what was
    /// appended by this process a moment ago. Unlike [`fetch`](Self::fetch), this must not block, and it
    /// is called on the thread of actors. `None` has the events fetched.
    ///
    /// What it returns is what `fetch` would: events that are durable, and every one of them. It may be
    /// short of what others have appended since. Or they are about to be appended, and the slice says so
    /// ([`Slice::tentative`]): reads that begin then wait until that is decided. The default has nothing
    /// at hand.
    fn recent(&self, after: &Cursor, limit: usize) -> Option<Slice<Self::Event>> {
        let _ = (after, limit);
        None
    }

    /// The name of an event's type, if the log knows types. The default knows none.
    fn event_type<'e>(&self, event: &'e Self::Event) -> Option<Cow<'e, str>> {
        let _ = event;
        None
    }

    /// Reads the event at exactly `cursor`; `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError::Log`] as for [`fetch`](Self::fetch), [`ReadError::Undecodable`] when there is an
    /// event that cannot be decoded.
    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<Self::Event>>, ReadError>;

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
    ///
    /// It is called by whoever appends, perhaps within the transaction: it must return at once and wait for
    /// nobody, least of all for another thread that uses the same database.
    fn subscribe(&self, wake: Weak<Wake>) {
        drop(wake);
    }

    /// The open transactions of others that hold this log back at the moment: those on which reading
    /// or appending waits, the oldest first. Empty when nothing waits, and when the log does not
    /// know. It is asked for a [status](crate::Observer) now and then, so it must be cheap when
    /// nothing waits.
    ///
    /// The default knows of none.
    ///
    /// # Errors
    /// [`LogError`] when it could not be found out; nothing else depends on it.
    fn held_back(&self) -> Result<Vec<Holder>, LogError> {
        Ok(Vec::new())
    }

    /// All events after `after`, one by one, read in slices. See [`Events`].
    fn events(&self, after: Cursor) -> Events<'_, Self>
    where
        Self: Sized,
    {
        Events::new(self, after)
    }
}

/// One read of an event log.
#[derive(Debug)]
pub struct Slice<E> {
    /// The events read, in order.
    pub events: Vec<Recorded<E>>,
    /// The events that were read and could not be decoded, in order; they count in the limit. They
    /// stand between the events, at or below [`end`](Self::end).
    pub undecodable: Vec<Undecodable>,
    /// The slice covers the log up to here: the next read starts after this cursor. It is the last
    /// event's cursor, or later when the log knows that it holds nothing for us up to there.
    pub end: Cursor,
    /// True when the log held no more events when it was read.
    pub at_head: bool,
    /// Set when the events may not be in the log yet, and whether they come is told by this.
    pub tentative: Option<Tentative>,
}

/// One event of a slice, with the index by which [`Slice::entry`] finds it.
#[derive(Debug)]
pub enum Entry<'s, E> {
    /// In [`Slice::events`].
    Event(usize, &'s Recorded<E>),
    /// In [`Slice::undecodable`].
    Undecodable(usize, &'s Undecodable),
}

impl<'s, E> Entry<'s, E> {
    /// By which [`Slice::entry`] finds it.
    pub fn index(&self) -> usize {
        let (Entry::Event(index, _) | Entry::Undecodable(index, _)) = self;
        *index
    }

    /// Where it stands.
    pub fn cursor(&self) -> &'s Cursor {
        match self {
            Entry::Event(_, event) => &event.cursor,
            Entry::Undecodable(_, event) => &event.cursor,
        }
    }
}

impl<E> Slice<E> {
    /// A slice in which everything could be decoded.
    pub fn new(events: Vec<Recorded<E>>, end: Cursor, at_head: bool) -> Self {
        Self { events, undecodable: Vec::new(), end, at_head, tentative: None }
    }

    /// True when the events are in the log for good.
    pub fn is_settled(&self) -> bool {
        self.tentative.as_ref().is_none_or(|events| events.outcome() == Some(true))
    }

    /// True when the events were tentative and have not come into the log.
    pub fn is_lost(&self) -> bool {
        self.tentative.as_ref().is_some_and(Tentative::is_lost)
    }

    /// Everything after `after`, decodable or not, in order.
    pub fn entries(&self, after: &Cursor) -> impl Iterator<Item = Entry<'_, E>> {
        let mut event = self.events.partition_point(|event| event.cursor <= *after);
        let mut broken = self.undecodable.partition_point(|event| event.cursor <= *after);
        std::iter::from_fn(move || {
            let next = (self.events.get(event), self.undecodable.get(broken));
            let decoded = match next {
                (Some(decoded), Some(other)) => (decoded.cursor < other.cursor).then_some(decoded),
                (decoded, _) => decoded,
            };
            if let Some(decoded) = decoded {
                event += 1;
                return Some(Entry::Event(event - 1, decoded));
            }
            broken += 1;
            next.1.map(|other| Entry::Undecodable(self.events.len() + broken - 1, other))
        })
    }

    /// The entry of this index: those that could be decoded come first, all others behind them.
    pub fn entry(&self, index: usize) -> Option<Entry<'_, E>> {
        if let Some(event) = self.events.get(index) {
            return Some(Entry::Event(index, event));
        }
        let broken = self.undecodable.get(index - self.events.len())?;
        Some(Entry::Undecodable(index, broken))
    }

    /// What stands at exactly this cursor.
    pub fn at(&self, cursor: &Cursor) -> Option<Entry<'_, E>> {
        if let Ok(index) = self.events.binary_search_by(|event| event.cursor.cmp(cursor)) {
            return Some(Entry::Event(index, &self.events[index]));
        }
        let found = self.undecodable.binary_search_by(|event| event.cursor.cmp(cursor));
        let entry = |index| Entry::Undecodable(self.events.len() + index, &self.undecodable[index]);
        found.ok().map(entry)
    }
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

/// An event could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log could not be read. Try again later.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The event is there and cannot be decoded. Correct its type or its stored form.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
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
