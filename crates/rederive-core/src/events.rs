//! [`Events`]: all events of a log, one by one.

use std::{collections::VecDeque, fmt};

use crate::{Cursor, EventLog, ReadError, Recorded};

/// Iterates over the events of a log after a cursor, reading them in slices as they are asked for.
///
/// It ends at the head of the log; asked again after that, it goes on with what has been appended
/// meanwhile. An event that cannot be decoded is an item, and the next item is the event behind it. A
/// log that cannot be read is an item too, and asking again reads again.
///
/// Reading may block: in async code, iterate on a thread for blocking work.
///
/// ```
/// use rederive_core::{Cursor, EventLog, MemoryLog};
///
/// let log = MemoryLog::new();
/// log.append(["opened", "renamed", "closed"]);
/// let later: Result<Vec<_>, _> = log.events(Cursor::from(1)).collect();
/// assert_eq!(later?[0].data, "renamed");
/// # Ok::<(), rederive_core::ReadError>(())
/// ```
pub struct Events<'l, L: EventLog> {
    log: &'l L,
    at: Cursor,
    limit: usize,
    read: VecDeque<Result<Recorded<L::Event>, ReadError>>,
    at_head: bool,
}

impl<'l, L: EventLog> Events<'l, L> {
    pub(crate) fn new(log: &'l L, after: Cursor) -> Self {
        Self { log, at: after, limit: 1000, read: VecDeque::new(), at_head: false }
    }

    /// Reads so many events at a time (at least one); without this, 1000.
    #[must_use]
    pub fn in_slices_of(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// The log has been read up to here.
    pub fn read_up_to(&self) -> &Cursor {
        &self.at
    }

    fn read_on(&mut self) -> Result<(), ReadError> {
        let slice = self.log.fetch(&self.at, self.limit)?;
        let mut broken = slice.undecodable.into_iter().peekable();
        for event in slice.events {
            while let Some(earlier) = broken.next_if(|broken| broken.cursor < event.cursor) {
                self.read.push_back(Err(earlier.into()));
            }
            self.read.push_back(Ok(event));
        }
        self.read.extend(broken.map(|event| Err(event.into())));
        self.at = slice.end;
        self.at_head = slice.at_head;
        Ok(())
    }
}

impl<L: EventLog> Iterator for Events<'_, L> {
    type Item = Result<Recorded<L::Event>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Some(event);
            }
            if std::mem::take(&mut self.at_head) {
                return None;
            }
            if let Err(error) = self.read_on() {
                return Some(Err(error));
            }
        }
    }
}

impl<L: EventLog> fmt::Debug for Events<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("at", &self.at).finish_non_exhaustive()
    }
}
