//! Who holds back a log: the transactions that others wait for.

use std::time::Duration;

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::{Holder, Holds};

use super::super::sql::{Bind, Sql};

/// At most so many are told.
const MOST: usize = 10;

/// The transactions that hold the lock of a table's appends while others wait for it, and have been
/// open for so long at least.
pub(crate) fn of_lock(
    conn: &mut PgConnection,
    table: &str,
    least: Duration,
) -> QueryResult<Vec<Holder>> {
    let text = "WITH lock AS MATERIALIZED (
            SELECT pid, granted, virtualtransaction FROM pg_catalog.pg_locks
            WHERE locktype = 'advisory' AND classid = 1919247465 AND objsubid = 2
                AND objid = ((\0::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8
                    - 2147483648) & 4294967295)::pg_catalog.oid
                AND database = (SELECT oid FROM pg_catalog.pg_database
                    WHERE datname = pg_catalog.current_database())
        ), held AS (
            SELECT lock.pid, activity.application_name AS name, activity.xact_start AS began,
                activity.state, activity.query
            FROM lock JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = lock.pid
            WHERE granted
            UNION ALL
            SELECT NULL, prepared.gid, prepared.prepared, 'prepared', NULL
            FROM lock JOIN pg_catalog.pg_prepared_xacts AS prepared
                ON lock.virtualtransaction = '-1/' || prepared.transaction::pg_catalog.text
            WHERE granted
        )
        SELECT pid::pg_catalog.int8, name::pg_catalog.text,
            (extract(epoch FROM pg_catalog.clock_timestamp() - began) * 1000000)::pg_catalog.int8,
            state::pg_catalog.text, query::pg_catalog.text
        FROM held WHERE EXISTS (SELECT FROM lock WHERE NOT granted)
        ORDER BY began";
    holders(conn, text, &[Bind::text(table)], Holds::Appends, least)
}

/// The transactions on which reading by transaction waits: those that are older than the first row
/// that was committed and is not served. `table` and `column` are ready to stand in SQL.
pub(crate) fn of_horizon(
    conn: &mut PgConnection,
    table: &str,
    column: &str,
    least: Duration,
) -> QueryResult<Vec<Holder>> {
    let text = format!(
        "WITH first AS MATERIALIZED (
            SELECT {column} AS xid FROM {table} WHERE {column} >=
                (SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))
            ORDER BY {column} LIMIT 1
        ), held AS (
            SELECT activity.pid, activity.application_name AS name, activity.xact_start AS began,
                activity.state, activity.query
            FROM first, pg_catalog.pg_stat_activity AS activity
            WHERE activity.backend_xid IS NOT NULL
                AND pg_catalog.age(activity.backend_xid) > pg_catalog.age(first.xid::xid)
            UNION ALL
            SELECT NULL, prepared.gid, prepared.prepared, 'prepared', NULL
            FROM first, pg_catalog.pg_prepared_xacts AS prepared
            WHERE pg_catalog.age(prepared.transaction) > pg_catalog.age(first.xid::xid)
        )
        SELECT pid::pg_catalog.int8, name::pg_catalog.text,
            (extract(epoch FROM pg_catalog.clock_timestamp() - began) * 1000000)::pg_catalog.int8,
            state::pg_catalog.text, query::pg_catalog.text
        FROM held ORDER BY began"
    );
    holders(conn, &text, &[], Holds::Reads, least)
}

fn holders(
    conn: &mut PgConnection,
    text: &str,
    binds: &[Bind<'_>],
    holds: Holds,
    least: Duration,
) -> QueryResult<Vec<Holder>> {
    let mut holders = Vec::new();
    for mut row in (Sql { text, binds }).rows(conn)? {
        let mut holder = Holder::new(holds);
        holder.process = row.nullable_integer()?.and_then(|process| u32::try_from(process).ok());
        holder.application = row.nullable_text()?;
        holder.age = row.nullable_integer()?.map(micros);
        holder.state = row.nullable_text()?;
        holder.query = row.nullable_text()?;
        // Whose age we may not see may be old.
        if holder.age.is_none_or(|age| age >= least) {
            holders.push(holder);
        }
    }
    holders.truncate(MOST);
    Ok(holders)
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
