//! [`SqliteOptions`] and [`Synchronous`].

use std::time::Duration;

/// How a [`SqliteDatabase`](crate::SqliteDatabase) is opened.
///
/// ```
/// use std::time::Duration;
/// use rederive_diesel::{SqliteOptions, Synchronous};
///
/// let options = SqliteOptions::default()
///     .busy_timeout(Duration::from_secs(1))
///     .synchronous(Synchronous::Normal)
///     .readers(8);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteOptions {
    pub(crate) busy_timeout: Duration,
    pub(crate) synchronous: Synchronous,
    pub(crate) readers: u32,
    pub(crate) append_queue: usize,
    pub(crate) join_time: Duration,
}

/// What survives a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Everything that was committed: the disk is flushed by every transaction.
    #[default]
    Full,
    /// Everything up to some moment before: a loss of power may take back the last transactions,
    /// always the newest ones, so that log and derived state stay consistent with each other. A
    /// crash of the process alone takes nothing back.
    Normal,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            synchronous: Synchronous::Full,
            readers: 4,
            append_queue: 1024,
            join_time: Duration::from_millis(5),
        }
    }
}

impl SqliteOptions {
    /// How long to wait for the write lock while another *process* holds it; 5 s by default. Within
    /// the process, writers queue up without a time limit.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// What survives a loss of power; [`Synchronous::Full`] by default.
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How many connections [`SqliteDatabase::read`](crate::SqliteDatabase::read) may use at once (at least
    /// one); 4 by default.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// How many appends may wait for their transaction before further ones wait for room (at least
    /// one); 1024 by default.
    pub fn append_queue(mut self, appends: usize) -> Self {
        self.append_queue = appends.max(1);
        self
    }

    /// For how long a transaction of appends stays open for a reducer of the same handle's
    /// [`store`](crate::SqliteDatabase::store) to commit in it what follows from them; 5 ms by default.
    ///
    /// So both take one flush of the disk, and whoever appends and waits is served in half the time. It
    /// is offered while reducers keep up, and ends as soon as one has committed or somebody else wants to
    /// write. An append by itself takes as much longer as its events take to be reduced. Zero: appends
    /// never wait for that.
    pub fn join_time(mut self, time: Duration) -> Self {
        self.join_time = time;
        self
    }
}
