//! Reads the log, decoding each event straight from libpq's memory.

use diesel::{
    deserialize::{self, FromSql, Queryable},
    pg::{Pg, PgConnection, PgValue},
    prelude::*,
    sql_types::Json,
};

use crate::{
    Failure,
    floor::follow::{Batch, Log},
    tables::postgres::rederive_events,
    workload::AccountEvent,
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

impl Log for PgConnection {
    type Place = str;

    fn connect(url: &str) -> Result<Self, Failure> {
        super::connect(url)
    }

    fn batch(&mut self, after: i64, limit: i64) -> QueryResult<Batch> {
        let rows = rederive_events::table
            .filter(rederive_events::id.gt(after))
            .order(rederive_events::id)
            .limit(limit)
            .select((rederive_events::id, rederive_events::data))
            .load_iter::<(i64, Event), diesel::connection::DefaultLoadingMode>(self)?;
        rows.map(|row| row.map(|(id, Event(event))| (id, event))).collect()
    }
}
