//! [`FaultyLog`]: a log that fails where a test says.

mod faults;

use std::{
    borrow::Cow,
    sync::{Arc, Weak},
};

use rederive_core::{
    AppendOnce, AppendOnceError, Cursor, CursorKind, EventLog, EventTypes, Holder, LogError,
    ReadError, Recorded, Slice, Wake,
};

pub use faults::{AppendFault, LogFault, LogFaults};

/// A log with faults. Clones are the same log with the same faults.
///
/// ```
/// use rederive_core::{Cursor, EventLog, MemoryLog};
/// use rederive_testkit::{FaultyLog, LogFault};
///
/// let log = FaultyLog::new(MemoryLog::new());
/// log.inner().append(["opened"]);
/// log.faults().on_fetch(LogFault::Fails);
/// assert!(log.fetch(&Cursor::Start, 10).is_err());
/// assert_eq!(log.fetch(&Cursor::Start, 10)?.events.len(), 1);
/// # Ok::<(), rederive_core::LogError>(())
/// ```
pub struct FaultyLog<L> {
    inner: Arc<L>,
    faults: LogFaults,
    /// Forwards the wake-ups of the log within; it knows us only by a weak reference.
    forward: Arc<Wake>,
}

impl<L: EventLog> FaultyLog<L> {
    /// The log, without faults so far.
    pub fn new(inner: L) -> Self {
        let faults = LogFaults::default();
        let forwards = faults.clone();
        let forward: Arc<Wake> = Arc::new(move || forwards.forward_wake_up());
        inner.subscribe(Arc::downgrade(&forward));
        Self { inner: Arc::new(inner), faults, forward }
    }

    /// The log within, which has no faults.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// Where a test scripts the faults; it keeps it when the log is handed on.
    pub fn faults(&self) -> LogFaults {
        self.faults.clone()
    }
}

impl<L: EventLog> EventLog for FaultyLog<L> {
    type Event = L::Event;

    fn cursor_kind(&self) -> CursorKind {
        self.inner.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<Self::Event>, LogError> {
        self.fetch_types(after, limit, &EventTypes::All)
    }

    fn fetch_types(
        &self,
        after: &Cursor,
        limit: usize,
        types: &EventTypes,
    ) -> Result<Slice<Self::Event>, LogError> {
        let limit = self.faults.at_fetch(limit, types)?;
        let mut slice = self.inner.fetch_types(after, limit, types)?;
        slice.events.retain(|event| match self.faults.broken(&event.cursor) {
            None => true,
            Some(broken) => {
                slice.undecodable.push(broken);
                false
            }
        });
        slice.undecodable.sort_by(|a, b| a.cursor.cmp(&b.cursor));
        Ok(slice)
    }

    fn recent(&self, after: &Cursor, limit: usize) -> Option<Slice<Self::Event>> {
        let slice = self.inner.recent(after, limit)?;
        self.faults.is_at_hand(&slice).then_some(slice)
    }

    fn event_type<'e>(&self, event: &'e Self::Event) -> Option<Cow<'e, str>> {
        self.inner.event_type(event)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<Self::Event>>, ReadError> {
        self.faults.at_read()?;
        match self.faults.broken(cursor) {
            Some(broken) => Err(broken.into()),
            None => self.inner.find(cursor),
        }
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.faults.at_read()?;
        self.inner.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.faults.at_read()?;
        self.inner.count(after)
    }

    fn held_back(&self) -> Result<Vec<Holder>, LogError> {
        let mut holders = self.inner.held_back()?;
        holders.extend(self.faults.held_back());
        Ok(holders)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.faults.subscribe(wake);
    }
}

impl<L: AppendOnce> AppendOnce for FaultyLog<L> {
    async fn append_once(
        &self,
        key: &str,
        events: Vec<L::Event>,
    ) -> Result<Vec<Recorded<L::Event>>, AppendOnceError> {
        match self.faults.at_append_once() {
            None => self.inner.append_once(key, events).await,
            Some(AppendFault::Before) => {
                Err(AppendOnceError::Unavailable("scripted: it is away".to_owned()))
            }
            Some(AppendFault::After) => {
                self.inner.append_once(key, events).await?;
                Err(AppendOnceError::Unavailable("scripted: the answer is lost".to_owned()))
            }
            Some(AppendFault::Refused) => {
                Err(AppendOnceError::Refused("scripted: it is refused".to_owned()))
            }
        }
    }

    async fn has_appended(&self, key: &str) -> Result<bool, LogError> {
        self.faults.at_read()?;
        self.inner.has_appended(key).await
    }
}

impl<L> Clone for FaultyLog<L> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            faults: self.faults.clone(),
            forward: Arc::clone(&self.forward),
        }
    }
}

#[cfg(test)]
mod tests;
