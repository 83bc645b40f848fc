//! [`QueryLog`]: an event log that is read by the user's queries, from a table of the user's own.

use std::{fmt, sync::Weak};

use diesel::{prelude::*, sqlite::SqliteConnection};
use rederive_core::{
    Cursor, CursorKind, EventLog, FnLog, LogError, LogRow, ReadError, Recorded, Slice, Wake,
};

use super::SqliteDatabase;

/// An event log over a table of yours in a [`SqliteDatabase`]: you give the queries that read it. Nothing
/// is added to the table and nothing is written to it.
///
/// The table is ordered by a column of integers, none below zero, or of text, none empty and ordered
/// bytewise (SQLite's `BINARY`, which is the default): [`LogRow::Cursor`] is `i64` or `String`. The
/// order in which the queries return rows is checked; see [`FnLog`].
///
/// # What the table must promise
/// No query can check this, and events are missed where it does not hold:
/// - **A row that becomes visible has a larger cursor than all that were visible before.** SQLite
///   commits one writer after the other, so `INTEGER PRIMARY KEY AUTOINCREMENT` promises it. So does
///   a monotonic id (a ULID, a UUIDv7) if it is made *inside* the transaction that writes it, after
///   that has begun to write (`immediate_transaction`), and if all processes agree on what the last
///   one was. An id made before the transaction does not.
/// - **No cursor is given twice.** Without `AUTOINCREMENT`, SQLite gives the id of the newest row
///   again when that row was deleted. Old rows may be deleted once all reducers have passed them.
/// - **A row is never changed.** What was derived from it would stay as it was.
///
/// ```
/// use diesel::{connection::SimpleConnection, prelude::*};
/// use rederive_core::{Cursor, EventLog, LogRow, Timestamp};
/// use rederive_diesel::{SqliteDatabase, QueryLog};
///
/// diesel::table! {
///     orders (id) { id -> BigInt, placed_at -> BigInt, goods -> Text }
/// }
///
/// #[derive(Queryable)]
/// struct Order { id: i64, placed_at: i64, goods: String }
///
/// impl LogRow for Order {
///     type Cursor = i64;
///     type Event = Vec<String>;
///
///     fn cursor(&self) -> i64 { self.id }
///     fn time(&self) -> Timestamp { Timestamp::from_micros(self.placed_at) }
///     fn event(self) -> Result<Vec<String>, String> {
///         Ok(self.goods.split(',').map(str::to_owned).collect())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("shop.db");
/// let db = SqliteDatabase::open(file)?;
/// db.write(|conn| conn.batch_execute(
///     "CREATE TABLE orders (
///          id INTEGER PRIMARY KEY AUTOINCREMENT, placed_at INTEGER NOT NULL, goods TEXT NOT NULL
///      )",
/// ))?;
/// let log = QueryLog::<Order>::new(
///     &db,
///     |conn, after, limit| {
///         orders::table.filter(orders::id.gt(after)).order(orders::id).limit(limit).load(conn)
///     },
///     |conn, after| orders::table.filter(orders::id.gt(after)).count().get_result(conn),
/// )
/// .with_head(|conn| orders::table.select(diesel::dsl::max(orders::id)).first(conn));
///
/// db.write(|conn| {
///     let order = (orders::placed_at.eq(0), orders::goods.eq("tea,milk"));
///     diesel::insert_into(orders::table).values(order).execute(conn)
/// })?;
/// log.notify();
/// assert_eq!(log.fetch(&Cursor::Start, 10)?.events[0].data, ["tea", "milk"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct QueryLog<R: LogRow> {
    database: SqliteDatabase,
    log: FnLog<R>,
}

impl<R: LogRow> QueryLog<R> {
    /// A log of these queries, each of which is given a connection that only reads.
    ///
    /// `fetch` takes a cursor and a limit: it loads the rows whose cursor is greater, in ascending
    /// order, and fewer than the limit only when there are no more. At the start of the log the
    /// cursor is −1 or the empty text, before all rows. `count` counts the rows whose cursor is
    /// greater; a close guess is enough.
    pub fn new(
        database: &SqliteDatabase,
        fetch: impl Fn(&mut SqliteConnection, R::Cursor, i64) -> QueryResult<Vec<R>>
        + Send
        + Sync
        + 'static,
        count: impl Fn(&mut SqliteConnection, R::Cursor) -> QueryResult<i64> + Send + Sync + 'static,
    ) -> Self {
        let (reader, counter) = (database.clone(), database.clone());
        let log = FnLog::new(
            move |after: R::Cursor, limit| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                reader.read(|conn| fetch(conn, after, limit))
            },
            move |after: R::Cursor| {
                let counted = counter.read(|conn| count(conn, after))?;
                Ok(u64::try_from(counted).unwrap_or(0))
            },
        );
        Self { database: database.clone(), log }
    }

    /// The same log, which asks this query for the largest cursor. Worth it for a table that is long:
    /// without it, the first look for the newest row loads all rows, in parts.
    #[must_use]
    pub fn with_head(
        self,
        head: impl Fn(&mut SqliteConnection) -> QueryResult<Option<R::Cursor>> + Send + Sync + 'static,
    ) -> Self {
        let Self { database, log } = self;
        let reader = database.clone();
        Self { database, log: log.with_head(move || reader.read(&head)) }
    }

    /// Wakes the followers in this process: to be called once a transaction that wrote rows is
    /// committed. Without it, the rows are found when the followers poll.
    pub fn notify(&self) {
        self.log.notify();
    }

    /// The database.
    pub fn database(&self) -> &SqliteDatabase {
        &self.database
    }
}

impl<R: LogRow> EventLog for QueryLog<R> {
    type Event = R::Event;

    fn cursor_kind(&self) -> CursorKind {
        self.log.cursor_kind()
    }

    fn fetch(&self, after: &Cursor, limit: usize) -> Result<Slice<R::Event>, LogError> {
        self.log.fetch(after, limit)
    }

    fn find(&self, cursor: &Cursor) -> Result<Option<Recorded<R::Event>>, ReadError> {
        self.log.find(cursor)
    }

    fn head(&self) -> Result<Cursor, LogError> {
        self.log.head()
    }

    fn count(&self, after: &Cursor) -> Result<u64, LogError> {
        self.log.count(after)
    }

    fn subscribe(&self, wake: Weak<Wake>) {
        self.log.subscribe(wake);
    }
}

impl<R: LogRow> Clone for QueryLog<R> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), log: self.log.clone() }
    }
}

impl<R: LogRow> fmt::Debug for QueryLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryLog")
            .field("database", &self.database)
            .field("log", &self.log)
            .finish()
    }
}
