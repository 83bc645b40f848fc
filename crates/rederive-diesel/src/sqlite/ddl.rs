//! Creates and upgrades the tables of Rederive.
//!
//! The version stands in a table of our own: diesel_migrations keeps all migrations of a database in
//! one table, where those of the application and ours would hide each other.

use diesel::{
    QueryResult, connection::SimpleConnection, prelude::*, result::OptionalExtension,
    sqlite::SqliteConnection,
};

use crate::schema::rederive_schema;

/// What leads from each version to the next. Only ever add to the end.
const STEPS: [&str; 1] = [
    // `AUTOINCREMENT`, so that the id of a deleted event is never given again. Cursors are stored
    // as `Cursor::encode` writes them: their order as text is their order as cursors.
    "CREATE TABLE rederive_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event_type TEXT,
        event_version INTEGER NOT NULL DEFAULT 1,
        stream TEXT,
        stream_version INTEGER,
        time INTEGER NOT NULL,
        data TEXT NOT NULL,
        CHECK ((stream IS NULL) = (stream_version IS NULL))
    ) STRICT;
    CREATE UNIQUE INDEX rederive_events_stream
        ON rederive_events (stream, stream_version) WHERE stream IS NOT NULL;
    CREATE TABLE rederive_reducers (
        name TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        cursor TEXT NOT NULL,
        paused INTEGER NOT NULL DEFAULT 0,
        rebuild_to TEXT,
        owner TEXT,
        lease INTEGER NOT NULL DEFAULT 0,
        lease_until INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rederive_tables (
        name TEXT PRIMARY KEY COLLATE NOCASE NOT NULL,
        reducer TEXT NOT NULL REFERENCES rederive_reducers (name) ON DELETE CASCADE,
        created INTEGER NOT NULL,
        partition_column TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rederive_tables_reducer ON rederive_tables (reducer);
    CREATE TABLE rederive_partitions (
        reducer TEXT NOT NULL REFERENCES rederive_reducers (name) ON DELETE CASCADE,
        id TEXT NOT NULL,
        cursor TEXT NOT NULL,
        halt_cursor TEXT,
        halt_kind TEXT,
        halt_message TEXT,
        halt_attempts INTEGER,
        halt_time INTEGER,
        PRIMARY KEY (reducer, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rederive_partitions_halted
        ON rederive_partitions (reducer, id) WHERE halt_cursor IS NOT NULL;
    CREATE TABLE rederive_states (
        reducer TEXT NOT NULL,
        id TEXT NOT NULL,
        cursor TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (reducer, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rederive_silences (
        reducer TEXT NOT NULL REFERENCES rederive_reducers (name) ON DELETE CASCADE,
        id TEXT,
        cursor TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX rederive_silences_partition ON rederive_silences (reducer, id);
    CREATE TABLE rederive_outbox (
        reducer TEXT NOT NULL,
        id TEXT NOT NULL,
        cursor TEXT NOT NULL,
        number INTEGER NOT NULL,
        effect TEXT NOT NULL,
        parked_kind TEXT,
        parked_message TEXT,
        parked_attempts INTEGER,
        parked_time INTEGER,
        PRIMARY KEY (reducer, id, cursor, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rederive_outbox_parked
        ON rederive_outbox (reducer, id, cursor, number) WHERE parked_kind IS NOT NULL;
    CREATE TABLE rederive_skips (
        reducer TEXT NOT NULL REFERENCES rederive_reducers (name) ON DELETE CASCADE,
        cursor TEXT NOT NULL,
        partition_id TEXT,
        kind TEXT NOT NULL,
        message TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        time INTEGER NOT NULL,
        by_operator INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX rederive_skips_event ON rederive_skips (reducer, cursor, partition_id);",
];

/// The version that [`upgrade`] leads to.
pub(crate) const CURRENT: i64 = STEPS.len() as i64;

/// The version of the tables; zero when there are none.
pub(crate) fn version(conn: &mut SqliteConnection) -> QueryResult<i64> {
    let exists: i64 = diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "SELECT count(*) FROM sqlite_master WHERE name = 'rederive_schema'",
    )
    .get_result(conn)?;
    if exists == 0 {
        return Ok(0);
    }
    let stored = rederive_schema::table.select(rederive_schema::version).first(conn).optional()?;
    Ok(stored.unwrap_or(0))
}

/// Brings the tables from `version` to [`CURRENT`], inside a transaction that holds the write lock.
pub(crate) fn upgrade(conn: &mut SqliteConnection, version: i64) -> QueryResult<()> {
    if version == 0 {
        conn.batch_execute("CREATE TABLE rederive_schema (version INTEGER NOT NULL) STRICT")?;
        diesel::insert_into(rederive_schema::table)
            .values(rederive_schema::version.eq(0))
            .execute(conn)?;
    }
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        conn.batch_execute(step)?;
    }
    diesel::update(rederive_schema::table)
        .set(rederive_schema::version.eq(CURRENT))
        .execute(conn)
        .map(drop)
}
