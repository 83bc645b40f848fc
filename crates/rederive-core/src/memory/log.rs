//! [`MemoryLog`].

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::SystemTime,
};

use crate::{
    Cursor, CursorKind, EventLog, EventTypes, LogError, ReadError, Recorded, Slice, Timestamp,
    Wake, Wakers,
};

/// An event log in memory. Clones share the events.
///
/// ```
/// use rederive_core::{Cursor, EventLog, MemoryLog};
///
/// let log = MemoryLog::new();
/// let recorded = log.append(["opened", "closed"]);
/// assert_eq!(recorded[1].cursor, Cursor::from(2));
/// assert_eq!(log.fetch(&Cursor::Start, 10)?.events, recorded);
/// # Ok::<(), rederive_core::LogError>(())
/// ```
pub struct MemoryLog<E>(Arc<Shared<E>>);

type TypeOf<E> = dyn for<'e> Fn(&'e E) -> &'e str + Send + Sync;

struct Shared<E> {
    kind: CursorKind,
    /// Names the types of events, if they have any.
    type_of: Option<Box<TypeOf<E>>>,
    events: RwLock<Vec<Recorded<E>>>,
    /// What was appended under a key.
    once: Mutex<HashMap<String, Vec<Recorded<E>>>>,
    wakers: Wakers,
}

impl<E: Clone + Send + Sync + 'static> MemoryLog<E> {
    /// An empty log that numbers its events 1, 2, 3, …
    pub fn new() -> Self {
        Self::of_kind(CursorKind::Integer)
    }

    /// An empty log whose cursors are of this kind. A log with text cursors is filled with
    /// [`append_at`](Self::append_at).
    pub fn of_kind(kind: CursorKind) -> Self {
        Self::of(kind, None)
    }

    /// An empty log that numbers its events, and knows their types by this function.
    ///
    /// ```
    /// use rederive_core::{Cursor, EventLog, EventTypes, MemoryLog};
    ///
    /// let log = MemoryLog::typed_by(|event: &(&'static str, u32)| event.0);
    /// log.append([("opened", 1), ("closed", 1)]);
    /// let closed = log.fetch_types(&Cursor::Start, 10, &EventTypes::only(["closed"]))?;
    /// assert_eq!(closed.events.len(), 1);
    /// # Ok::<(), rederive_core::LogError>(())
    /// ```
    pub fn typed_by(type_of: impl for<'e> Fn(&'e E) -> &'e str + Send + Sync + 'static) -> Self {
        Self::of(CursorKind::Integer, Some(Box::new(type_of)))
    }

    fn of(kind: CursorKind, type_of: Option<Box<TypeOf<E>>>) -> Self {
        let (events, once, wakers) = (RwLock::default(), Mutex::default(), Wakers::default());
        Self(Arc::new(Shared { kind, type_of, events, once, wakers }))
    }

    /// Appends events and wakes those who follow the log. Each is numbered one above its
    /// predecessor; in a log with text cursors the number is padded to twenty digits, and put behind
    /// a predecessor that [`append_at`](Self::append_at) gave a cursor that does not end in such a
    /// number; in a log with pairs it is the second number.
    ///
    /// # Panics
    /// When the last event stands at the largest number, so that none can follow.
    pub fn append(&self, events: impl IntoIterator<Item = E>) -> Vec<Recorded<E>> {
        // The user's iterator runs before the lock is held: it may read the log.
        let events: Vec<E> = events.into_iter().collect();
        let mut log = self.0.events.write().unwrap_or_else(PoisonError::into_inner);
        let time = SystemTime::now().into();
        let from = log.len();
        for data in events {
            let cursor = next_cursor(self.0.kind, log.last().map(|last| &last.cursor));
            log.push(Recorded { cursor, time, data });
        }
        let recorded = log[from..].to_vec();
        drop(log);
        self.0.wakers.wake();
        recorded
    }

    /// Appends events, unless events were appended under this key before: then those are returned,
    /// as they were recorded, and nothing is appended.
    ///
    /// With [`Due::key`](crate::Due::key), what an effect leads to is recorded exactly once though
    /// the effect is delivered at least once.
    ///
    /// # Panics
    /// As for [`append`](Self::append).
    pub fn append_once(&self, key: &str, events: impl IntoIterator<Item = E>) -> Vec<Recorded<E>> {
        let events: Vec<E> = events.into_iter().collect();
        let mut once = self.0.once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorded) = once.get(key) {
            return recorded.clone();
        }
        let recorded = self.append(events);
        if !recorded.is_empty() {
            once.insert(key.to_owned(), recorded.clone());
        }
        recorded
    }

    /// Whether events were appended under this key.
    pub fn has_appended(&self, key: &str) -> bool {
        self.0.once.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Appends an event at a cursor of your choice.
    ///
    /// # Errors
    /// The cursor when it is of another kind than the log's or not above the last one; nothing was
    /// appended.
    pub fn append_at(&self, cursor: Cursor, time: Timestamp, data: E) -> Result<(), Cursor> {
        let mut log = self.0.events.write().unwrap_or_else(PoisonError::into_inner);
        let grows = log.last().is_none_or(|last| last.cursor < cursor);
        if !grows || cursor.kind() != Some(self.0.kind) {
            return Err(cursor);
        }
        log.push(Recorded { cursor, time, data });
        drop(log);
        self.0.wakers.wake();
        Ok(())
    }
}

fn next_cursor(kind: CursorKind, last: Option<&Cursor>) -> Cursor {
    const DIGITS: usize = 20;
    let above = |number: u64| match number.checked_add(1) {
        Some(next) => next,
        None => panic!("the log is full: its last event stands at the largest number"),
    };
    match (kind, last) {
        (CursorKind::Integer, Some(Cursor::Integer(last))) => Cursor::from(above(*last)),
        (CursorKind::Integer, _) => Cursor::from(1),
        (CursorKind::Text, Some(Cursor::Text(last))) => {
            let digits = last.len().checked_sub(DIGITS).and_then(|at| last.split_at_checked(at));
            match digits.and_then(|(before, number)| Some((before, number.parse().ok()?))) {
                Some((before, number)) => Cursor::from(format!("{before}{:020}", above(number))),
                None => Cursor::from(format!("{last}{:020}", 1)),
            }
        }
        (CursorKind::Text, _) => Cursor::from(format!("{:020}", 1)),
        (CursorKind::Pair, Some(Cursor::Pair(first, second))) => match second.checked_add(1) {
            Some(next) => Cursor::from((*first, next)),
            None => Cursor::from((above(*first), 0)),
        },
        (CursorKind::Pair, _) => Cursor::from((1, 1)),
    }
}

impl<E: Clone + Send + Sync + 'static> EventLog for MemoryLog<E> {
    type Event = E;

    fn cursor_kind(&self) -> CursorKind {
        self.0.kind
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<E>, LogError> {
        let log = self.0.events.read().unwrap_or_else(PoisonError::into_inner);
        let from = log.partition_point(|event| event.cursor <= *after);
        let to = log.len().min(from.saturating_add(limit));
        let events = log[from..to].to_vec();
        let end = events.last().map_or(after, |event| &event.cursor).clone();
        Ok(Slice::new(events, end, to == log.len()))
    }

    fn fetch_types(
        &self,
        after: &Cursor,
        limit: usize,
        types: &EventTypes,
    ) -> Result<Slice<E>, LogError> {
        if *types == EventTypes::All {
            return self.fetch(after, limit);
        }
        let log = self.0.events.read().unwrap_or_else(PoisonError::into_inner);
        let from = log.partition_point(|event| event.cursor <= *after);
        let wanted = |event: &&Recorded<E>| types.admits(self.event_type(&event.data).as_deref());
        let events: Vec<_> = log[from..].iter().filter(wanted).take(limit).cloned().collect();
        let full = events.len() == limit;
        let last = if full { events.last() } else { log[from..].last() };
        let end = last.map_or(after, |event| &event.cursor).clone();
        let at_head = log.last().is_none_or(|head| head.cursor <= end);
        Ok(Slice::new(events, end, at_head))
    }

    fn event_type<'e>(&self, event: &'e E) -> Option<Cow<'e, str>> {
        self.0.type_of.as_ref().map(|type_of| Cow::Borrowed(type_of(event)))
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<E>>, ReadError> {
        let log = self.0.events.read().unwrap_or_else(PoisonError::into_inner);
        let found = log.binary_search_by(|event| event.cursor.cmp(cursor));
        Ok(found.ok().map(|index| log[index].clone()))
    }

    fn head(&self) -> Result<Cursor, LogError> {
        let log = self.0.events.read().unwrap_or_else(PoisonError::into_inner);
        Ok(log.last().map_or(Cursor::Start, |last| last.cursor.clone()))
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        let log = self.0.events.read().unwrap_or_else(PoisonError::into_inner);
        Ok((log.len() - log.partition_point(|event| event.cursor <= *after)) as u64)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.0.wakers.add(wake);
    }
}

impl<E> Clone for MemoryLog<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Clone + Send + Sync + 'static> Default for MemoryLog<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
