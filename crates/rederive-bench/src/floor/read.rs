//! Reads the log, decoding each event straight from SQLite's memory.

use std::path::Path;

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, Queryable},
    prelude::*,
    sql_types::Text,
    sqlite::{Sqlite, SqliteConnection},
};

use super::follow::{Batch, Log};
use crate::{Failure, tables::rederive_events, workload::AccountEvent};

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

impl Log for SqliteConnection {
    type Place = Path;

    fn connect(file: &Path) -> Result<Self, Failure> {
        super::connect(file)
    }

    fn batch(&mut self, after: i64, limit: i64) -> QueryResult<Batch> {
        let rows = rederive_events::table
            .filter(rederive_events::id.gt(after))
            .order(rederive_events::id)
            .limit(limit)
            .select((rederive_events::id, rederive_events::data))
            .load_iter::<(i64, Json), diesel::connection::DefaultLoadingMode>(self)?;
        rows.map(|row| row.map(|(id, Json(event))| (id, event))).collect()
    }
}
