//! [`PostgresQueryLog`]: an event log that is read by the user's queries, from a table of the user's
//! own.

mod check;
mod guard;
mod order;
mod place;
mod xid;

use std::{fmt, sync::Weak};

use diesel::{pg::PgConnection, prelude::*};
use rederive_core::{
    Cursor, CursorKind, EventLog, FnLog, Holder, LogError, LogRow, ReadError, Recorded, Slice, Wake,
};

use super::{PostgresDatabase, PostgresError};

pub use order::{OrderedBy, TableOrder};
pub use place::{Placed, placed_after};
pub use xid::Xid8;

/// An event log over a table of yours in a [`PostgresDatabase`]: you give the query that reads it.
/// Nothing is written to the table.
///
/// PostgreSQL gives numbers from a sequence before it knows whether and when they are committed, so
/// a reader that asks for what is above the last number misses rows: with eight writers, a third of
/// them. [`TableOrder`] says which of two exact ways out the table takes, and it is looked up in the
/// database's catalogue that it does.
///
/// # What the table must promise besides
/// No query can check this:
/// - **A row is never changed.** What was derived from it would stay as it was.
/// - **Old rows are deleted only once all reducers have passed them.**
///
/// ```no_run
/// use diesel::prelude::*;
/// use rederive_core::{LogRow, Timestamp};
/// use rederive_diesel::{PostgresDatabase, PostgresQueryLog, TableOrder};
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
/// let db = PostgresDatabase::connect("postgres://shop:secret@localhost/shop")?;
/// // Once, when the table is set up; it may be called at each start.
/// db.guard_appends("orders", "id")?;
/// let log = PostgresQueryLog::<Order>::new(
///     &db,
///     TableOrder::locked("orders", "id"),
///     |conn, after, limit| {
///         orders::table.filter(orders::id.gt(after)).order(orders::id).limit(limit).load(conn)
///     },
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # By transaction
/// Here nobody waits for anybody, and each row carries the number of its transaction.
///
/// ```no_run
/// use diesel::prelude::*;
/// use rederive_core::{CursorPair, LogRow, Timestamp};
/// use rederive_diesel::{PostgresDatabase, PostgresQueryLog, TableOrder, placed_after};
///
/// // CREATE TABLE orders (
/// //     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
/// //     xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
/// //     goods text NOT NULL
/// // );
/// // CREATE UNIQUE INDEX ON orders (xid, id);
/// diesel::table! {
///     use diesel::sql_types::*;
///     use rederive_diesel::Xid8;
///     orders (id) { id -> BigInt, xid -> Xid8, goods -> Text }
/// }
///
/// #[derive(Queryable)]
/// struct Order { id: i64, xid: u64, goods: String }
///
/// impl LogRow for Order {
///     type Cursor = CursorPair;
///     type Event = String;
///
///     fn cursor(&self) -> CursorPair { CursorPair::new(self.xid, self.id.unsigned_abs()) }
///     fn time(&self) -> Timestamp { Timestamp::default() }
///     fn event(self) -> Result<String, String> { Ok(self.goods) }
/// }
///
/// # let db = PostgresDatabase::connect("postgres://shop:secret@localhost/shop")?;
/// let log = PostgresQueryLog::<Order>::new(
///     &db,
///     TableOrder::by_transaction("orders", "xid", "id"),
///     |conn, after, limit| {
///         orders::table
///             .filter(placed_after(orders::xid, orders::id, after))
///             .order((orders::xid, orders::id))
///             .limit(limit)
///             .load(conn)
///     },
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PostgresQueryLog<R: LogRow<Cursor: OrderedBy>> {
    database: PostgresDatabase,
    order: TableOrder<R::Cursor>,
    log: FnLog<R>,
}

/// A table of the user's cannot be followed, or not be prepared for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryLogError {
    /// The order in which rows become visible is not the order in which they would be read: rows
    /// would be missed. Each problem says what to do; nothing was changed.
    #[error(
        "the table {table} cannot be followed without missing rows: {}; if you know better, say \
         TableOrder::trusted", problems.join("; ")
    )]
    Unordered {
        /// The table.
        table: String,
        /// What is missing.
        problems: Vec<String>,
    },
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] PostgresError),
}

impl<R: LogRow<Cursor: OrderedBy>> PostgresQueryLog<R> {
    /// A log of this table, once it has been looked up that its rows become visible in that order.
    ///
    /// `fetch` takes a connection that only reads, a cursor and a limit: it loads the rows whose
    /// cursor is greater, in ascending order, and fewer than the limit only when there are no more.
    /// At the start of the log the cursor is −1 or the pair of zeros, before all rows. Rows of
    /// transactions that may still be overtaken are cut off afterwards.
    ///
    /// # Errors
    /// [`QueryLogError`].
    pub fn new(
        database: &PostgresDatabase,
        order: TableOrder<R::Cursor>,
        fetch: impl Fn(&mut PgConnection, R::Cursor, i64) -> QueryResult<Vec<R>> + Send + Sync + 'static,
    ) -> Result<Self, QueryLogError> {
        if !order.is_trusted() {
            let schema = &database.0.connections.schema;
            let problems =
                database.read(|conn| check::problems(conn, schema, order.table(), order.kind()))?;
            if !problems.is_empty() {
                let table = order.table().to_owned();
                return Err(QueryLogError::Unordered { table, problems });
            }
        }
        let reader = database.clone();
        let (counter, counted) = (database.clone(), order.clone());
        let (header, headed) = (database.clone(), order.clone());
        let log = FnLog::new(
            move |after: R::Cursor, limit| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                reader.read(|conn| {
                    // All queries of the transaction see the same state of the database.
                    let horizon = <R::Cursor as OrderedBy>::horizon(conn)?;
                    let mut rows = fetch(conn, after, limit)?;
                    TableOrder::cut(&mut rows, horizon, LogRow::cursor);
                    Ok(rows)
                })
            },
            move |after: R::Cursor| counter.read(|conn| counted.count(conn, &after)),
        );
        let log = log.with_head(move || header.read(|conn| headed.head(conn)));
        let database = database.clone();
        Ok(Self { database, order, log })
    }

    /// Wakes the followers in this process: to be called once a transaction that wrote rows is
    /// committed. Without it, the rows are found when the followers poll.
    pub fn notify(&self) {
        self.log.notify();
    }

    /// The database.
    pub fn database(&self) -> &PostgresDatabase {
        &self.database
    }
}

impl<R: LogRow<Cursor: OrderedBy>> EventLog for PostgresQueryLog<R> {
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

    fn held_back(&self) -> Result<Vec<Holder>, LogError> {
        let least = self.database.0.connections.options.held_back_after;
        self.database.read(|conn| self.order.held_back(conn, least)).map_err(LogError::new)
    }
}

impl<R: LogRow<Cursor: OrderedBy>> Clone for PostgresQueryLog<R> {
    fn clone(&self) -> Self {
        let (database, order) = (self.database.clone(), self.order.clone());
        Self { database, order, log: self.log.clone() }
    }
}

impl<R: LogRow<Cursor: OrderedBy>> fmt::Debug for PostgresQueryLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresQueryLog")
            .field("database", &self.database)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}
