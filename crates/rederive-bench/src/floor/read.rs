//! Reads the log in batches, decoding each event straight from SQLite's memory.

use std::{
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, Queryable},
    prelude::*,
    sql_types::Text,
    sqlite::{Sqlite, SqliteConnection},
};

use crate::{Failure, tables::rederive_events, workload::AccountEvent};

/// Events with their ids.
pub(crate) type Batch = Vec<(i64, AccountEvent)>;

struct Json(AccountEvent);

impl FromSql<Text, Sqlite> for Json {
    fn from_sql(mut text: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(text.read_text())?))
    }
}

impl Queryable<Text, Sqlite> for Json {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// Up to `limit` events after `after`.
pub(crate) fn batch(conn: &mut SqliteConnection, after: i64, limit: i64) -> QueryResult<Batch> {
    let rows = rederive_events::table
        .filter(rederive_events::id.gt(after))
        .order(rederive_events::id)
        .limit(limit)
        .select((rederive_events::id, rederive_events::data))
        .load_iter::<(i64, Json), diesel::connection::DefaultLoadingMode>(conn)?;
    rows.map(|row| row.map(|(id, Json(event))| (id, event))).collect()
}

/// All batches after `after`, read on a thread of their own while the ones before are applied.
pub(crate) fn ahead(file: &Path, after: i64, limit: i64) -> Receiver<Result<Batch, String>> {
    let (batches, receiver) = sync_channel(2);
    let file = file.to_owned();
    thread::spawn(move || {
        let read = || -> Result<(), Failure> {
            let mut conn = super::connect(&file)?;
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
