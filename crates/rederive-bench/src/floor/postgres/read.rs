//! Reads the log in batches, decoding each event straight from libpq's memory.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use diesel::{
    deserialize::{self, FromSql, Queryable},
    pg::{Pg, PgConnection, PgValue},
    prelude::*,
    sql_types::Json,
};

use crate::{
    Failure, floor::read::Batch, tables::postgres::rederive_events, workload::AccountEvent,
};

struct Event(AccountEvent);

impl FromSql<Json, Pg> for Event {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}

impl Queryable<Json, Pg> for Event {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// Up to `limit` events after `after`.
pub(super) fn batch(conn: &mut PgConnection, after: i64, limit: i64) -> QueryResult<Batch> {
    let rows = rederive_events::table
        .filter(rederive_events::id.gt(after))
        .order(rederive_events::id)
        .limit(limit)
        .select((rederive_events::id, rederive_events::data))
        .load_iter::<(i64, Event), diesel::connection::DefaultLoadingMode>(conn)?;
    rows.map(|row| row.map(|(id, Event(event))| (id, event))).collect()
}

/// All batches after `after`, read on a thread of their own while the ones before are applied.
pub(super) fn ahead(url: &str, after: i64, limit: i64) -> Receiver<Result<Batch, String>> {
    let (batches, receiver) = sync_channel(2);
    let url = url.to_owned();
    thread::spawn(move || {
        let read = || -> Result<(), Failure> {
            let mut conn = super::connect(&url)?;
            let mut after = after;
            loop {
                let batch = batch(&mut conn, after, limit)?;
                let Some((last, _)) = batch.last() else { return Ok(()) };
                after = *last;
                if batches.send(Ok(batch)).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read() {
            let _ = batches.send(Err(error.to_string()));
        }
    });
    receiver
}
