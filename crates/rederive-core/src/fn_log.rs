//! [`FnLog`]: an event log made of two functions, which reads rows of the user's own.

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{
    Cursor, CursorKind, EventLog, LogCursor, LogError, ReadError, Recorded, Slice, Timestamp,
    Undecodable, Wake, Wakers, error::panic_message,
};

/// A row of the user's, of which each is one event.
pub trait LogRow: 'static {
    /// What the rows are ordered by: `i64` (not below zero), `String` (not empty, ordered bytewise)
    /// or [`CursorPair`](crate::CursorPair) (not zero twice).
    type Cursor: LogCursor;
    /// The event that a row holds.
    type Event: Send + Sync + 'static;

    /// Where the row stands.
    fn cursor(&self) -> Self::Cursor;

    /// When it was recorded. Nothing is ordered by it.
    fn time(&self) -> Timestamp;

    /// The name of its type as it is stored, if it is. Reducers are told it of an event that cannot
    /// be decoded ([`Undecodable::event_type`]).
    fn event_type(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// Decodes it.
    ///
    /// # Errors
    /// What is wrong with the row. The event is then [`Undecodable`], as it is when this panics:
    /// each reducer that meets it decides what becomes of it.
    fn event(self) -> Result<Self::Event, String>;
}

type Fetch<R> = dyn Fn(<R as LogRow>::Cursor, usize) -> Result<Vec<R>, LogError> + Send + Sync;
type Count<C> = dyn Fn(C) -> Result<u64, LogError> + Send + Sync;
type Head<C> = dyn Fn() -> Result<Option<C>, LogError> + Send + Sync;

/// How many rows one read takes while the head is looked for.
const PAGE: usize = 1000;

/// An event log over rows that the user's functions read.
///
/// What they return is checked: rows out of order, at or before the place to read from, or too many,
/// are a [`LogError`] that names them. Followers then wait before them until they are right.
///
/// Clones read by the same functions and wake the same subscribers.
///
/// # What the rows must promise
/// All that [`EventLog`] does; the checks cannot see it.
/// - A row that becomes visible has a larger cursor than all that were visible before.
/// - No cursor is given twice, not even after the newest rows were deleted.
/// - A row that is visible stays as it is.
///
/// ```
/// use rederive_core::{Cursor, EventLog, FnLog, LogRow, Timestamp};
///
/// struct Line(i64, &'static str);
///
/// impl LogRow for Line {
///     type Cursor = i64;
///     type Event = u32;
///
///     fn cursor(&self) -> i64 { self.0 }
///     fn time(&self) -> Timestamp { Timestamp::default() }
///     fn event(self) -> Result<u32, String> {
///         self.1.parse().map_err(|error| format!("{:?}: {error}", self.1))
///     }
/// }
///
/// const LINES: [(i64, &str); 3] = [(1, "5"), (2, "x"), (7, "8")];
/// fn after(after: i64) -> impl Iterator<Item = Line> {
///     LINES.into_iter().filter(move |line| line.0 > after).map(|(id, text)| Line(id, text))
/// }
///
/// let log = FnLog::new(
///     |from, limit| Ok::<_, String>(after(from).take(limit).collect()),
///     |from| Ok::<_, String>(after(from).count() as u64),
/// );
/// let slice = log.fetch(&Cursor::Start, 10)?;
/// assert_eq!(slice.events[1].data, 8);
/// assert_eq!(slice.undecodable[0].cursor, Cursor::from(2));
/// assert_eq!(log.head()?, Cursor::from(7));
/// # Ok::<(), rederive_core::LogError>(())
/// ```
pub struct FnLog<R: LogRow> {
    fetch: Arc<Fetch<R>>,
    count: Arc<Count<R::Cursor>>,
    head: Option<Arc<Head<R::Cursor>>>,
    /// The largest cursor that was read, from where to look for the head.
    newest: Arc<Mutex<Option<R::Cursor>>>,
    wakers: Arc<Wakers>,
}

impl<R: LogRow> FnLog<R> {
    /// A log of these functions.
    ///
    /// `fetch` takes a cursor and a limit: it returns the rows after that cursor, in ascending order,
    /// and fewer than the limit only when there are no more. For [`Cursor::Start`] it is given a
    /// cursor that is before all: −1, the empty text or zero twice. `count` returns how many rows there are after
    /// a cursor. Both may block.
    pub fn new<E: fmt::Display>(
        fetch: impl Fn(R::Cursor, usize) -> Result<Vec<R>, E> + Send + Sync + 'static,
        count: impl Fn(R::Cursor) -> Result<u64, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            fetch: Arc::new(move |after, limit| fetch(after, limit).map_err(LogError::new)),
            count: Arc::new(move |after| count(after).map_err(LogError::new)),
            head: None,
            newest: Arc::default(),
            wakers: Arc::default(),
        }
    }

    /// The same log, which asks this function for the largest cursor; `None` when there are no rows.
    ///
    /// Without it, the rows after the newest that was read are fetched: for a long log, the first
    /// look reads it all.
    #[must_use]
    pub fn with_head<E: fmt::Display>(
        mut self,
        head: impl Fn() -> Result<Option<R::Cursor>, E> + Send + Sync + 'static,
    ) -> Self {
        self.head = Some(Arc::new(move || head().map_err(LogError::new)));
        self
    }

    /// Wakes the followers: to be called when rows were committed. Without it, they are found when
    /// the followers poll.
    pub fn notify(&self) {
        self.wakers.wake();
    }

    /// The rows after a cursor, checked, with their cursors.
    fn rows(&self, after: &R::Cursor, limit: usize) -> Result<Vec<(R::Cursor, R)>, LogError> {
        let rows = (self.fetch)(after.clone(), limit)?;
        if rows.len() > limit {
            let read = rows.len();
            let message = format!("fetch returned {read} rows, but at most {limit} were asked for");
            return Err(LogError::new(message));
        }
        let rows: Vec<_> = rows.into_iter().map(|row| (row.cursor(), row)).collect();
        let mut before = after;
        for (index, (cursor, _)) in rows.iter().enumerate() {
            if cursor <= before {
                return Err(LogError::new(match index {
                    0 => format!(
                        "fetch returned row {cursor}, but it was asked for rows after {after}"
                    ),
                    _ => format!(
                        "fetch returned row {cursor} behind row {before}; it must return rows in ascending order of their cursors, each once"
                    ),
                }));
            }
            before = cursor;
        }
        if !rows.is_empty() {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.as_ref().is_none_or(|newest| newest < before) {
                *newest = Some(before.clone());
            }
        }
        Ok(rows)
    }

    fn newest(&self) -> Option<R::Cursor> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A row as an event.
fn decode<R: LogRow>(cursor: Cursor, row: R) -> Result<Recorded<R::Event>, Undecodable> {
    // What a panic leaves behind is the row, which is gone with it.
    let told = catch_unwind(AssertUnwindSafe(|| {
        let event_type = row.event_type().map(|name| Arc::from(&*name));
        (row.time(), event_type)
    }));
    let (time, event_type) = match told {
        Ok(told) => told,
        Err(panic) => return Err(Undecodable::new(cursor, panicked(&*panic))),
    };
    let message = match catch_unwind(AssertUnwindSafe(|| row.event())) {
        Ok(Ok(data)) => return Ok(Recorded { cursor, time, data }),
        Ok(Err(message)) => message,
        Err(panic) => panicked(&*panic),
    };
    let mut undecodable = Undecodable::new(cursor, message);
    undecodable.time = Some(time);
    undecodable.event_type = event_type;
    Err(undecodable)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    format!("decoding it panicked: {}", panic_message(panic))
}

impl<R: LogRow> EventLog for FnLog<R> {
    type Event = R::Event;

    fn cursor_kind(&self) -> CursorKind {
        R::Cursor::KIND
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<R::Event>, LogError> {
        let limit = limit.max(1);
        let rows = self.rows(&R::Cursor::place(after)?, limit)?;
        let at_head = rows.len() < limit;
        let mut slice = Slice::new(Vec::with_capacity(rows.len()), after.clone(), at_head);
        for (cursor, row) in rows {
            let cursor = cursor.cursor();
            slice.end = cursor.clone();
            match decode(cursor, row) {
                Ok(event) => slice.events.push(event),
                Err(undecodable) => slice.undecodable.push(undecodable),
            }
        }
        Ok(slice)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<R::Event>>, ReadError> {
        let wanted = R::Cursor::place(cursor)?;
        if wanted <= R::Cursor::start() || wanted.cursor() != *cursor {
            return Ok(None);
        }
        let mut at = wanted.before();
        loop {
            // Nearly always the first one: hardly anything stands between.
            let Some((found, row)) = self.rows(&at, 1)?.pop() else { return Ok(None) };
            if found == wanted {
                return Ok(Some(decode(cursor.clone(), row)?));
            }
            if found > wanted {
                return Ok(None);
            }
            at = found;
        }
    }

    fn head(&self) -> Result<Cursor, LogError> {
        let head = match &self.head {
            Some(head) => head()?,
            None => loop {
                let from = self.newest().unwrap_or_else(R::Cursor::start);
                if self.rows(&from, PAGE)?.len() < PAGE {
                    break self.newest();
                }
            },
        };
        Ok(head.map_or(Cursor::Start, |head| head.cursor()))
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        (self.count)(R::Cursor::place(after)?)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.wakers.add(wake);
    }
}

impl<R: LogRow> Clone for FnLog<R> {
    fn clone(&self) -> Self {
        Self {
            fetch: Arc::clone(&self.fetch),
            count: Arc::clone(&self.count),
            head: self.head.clone(),
            newest: Arc::clone(&self.newest),
            wakers: Arc::clone(&self.wakers),
        }
    }
}

impl<R: LogRow> fmt::Debug for FnLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnLog").field("newest", &self.newest()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
