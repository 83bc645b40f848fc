//! The outbox: effects that are still to be delivered.

use diesel::{
    QueryResult,
    prelude::*,
    result::Error,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};
use rederive_core::{
    DeliveryFailure, EffectKey, EffectMarks, EffectRecord, EffectsError, Outbox, OutboxCounts,
    Parked, PartitionId, StoreError, Timestamp,
};

use super::{
    SqliteStore,
    connections::Failed,
    progress::decode,
    rows::{Bind, Rows, chunks},
};
use crate::schema::{rederive_outbox as outbox, rederive_reducers as reducers};

type Columns =
    (String, String, i64, String, Option<String>, Option<String>, Option<i64>, Option<i64>);

/// Which effects to read.
enum Which<'a> {
    /// Those of partitions after this one.
    Page(Option<&'a PartitionId>),
    /// The parked ones after this one.
    Parked(Option<&'a EffectKey>),
}

impl Outbox for SqliteStore {
    fn effects(
        &self,
        reducer: &str,
        epoch: u64,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, EffectsError> {
        let found = self.database().read(|conn| {
            // One snapshot: the effects are those of the owner that is checked.
            conn.transaction(|conn| {
                let owned = is_owned(conn, reducer, epoch)?;
                owned.then(|| read(conn, reducer, &Which::Page(after), limit)).transpose()
            })
        });
        found.map_err(StoreError::new)?.ok_or(EffectsError::Fenced)
    }

    fn mark(&self, reducer: &str, epoch: u64, marks: &EffectMarks) -> Result<(), EffectsError> {
        let connections = &self.database().0.connections;
        let done: Result<bool, Failed<Error>> = connections.transaction(|conn| {
            let owned = is_owned(conn, reducer, epoch)?;
            if owned {
                delete(conn, reducer, &marks.delivered)?;
                for (key, parked) in &marks.parked {
                    park(conn, reducer, key, parked)?;
                }
            }
            Ok(owned)
        });
        let owned = done.map_err(|failed| StoreError::new(connections.failed(failed)))?;
        if owned { Ok(()) } else { Err(EffectsError::Fenced) }
    }

    fn parked(
        &self,
        reducer: &str,
        after: Option<&EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, StoreError> {
        let which = Which::Parked(after);
        self.database().read(|conn| read(conn, reducer, &which, limit)).map_err(StoreError::new)
    }

    fn redeliver(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        self.change(|conn| {
            let none = (
                outbox::parked_kind.eq(None::<String>),
                outbox::parked_message.eq(None::<String>),
                outbox::parked_attempts.eq(None::<i64>),
                outbox::parked_time.eq(None::<i64>),
            );
            let parked = the_parked(reducer, key);
            diesel::update(parked).set(none).execute(conn)
        })
    }

    fn drop_effect(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        self.change(|conn| diesel::delete(the_parked(reducer, key)).execute(conn))
    }

    fn counts(&self, reducer: &str, at_most: u64) -> Result<OutboxCounts, StoreError> {
        // Rows beyond the limit are not looked at; parked ones have an index of their own.
        const COUNT: &str = "SELECT
            (SELECT count(*) FROM (SELECT 1 FROM rederive_outbox
                WHERE reducer = ? AND parked_kind IS NULL LIMIT ?)) AS pending,
            (SELECT count(*) FROM (SELECT 1 FROM rederive_outbox
                WHERE reducer = ? AND parked_kind IS NOT NULL LIMIT ?)) AS parked";
        let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
        let counted = self.database().read(|conn| {
            diesel::sql_query(COUNT)
                .bind::<Text, _>(reducer)
                .bind::<BigInt, _>(at_most)
                .bind::<Text, _>(reducer)
                .bind::<BigInt, _>(at_most)
                .get_result::<Counted>(conn)
        });
        let Counted { pending, parked } = counted.map_err(StoreError::new)?;
        let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(OutboxCounts { pending: unsigned(pending), parked: unsigned(parked) })
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    parked: i64,
}

impl SqliteStore {
    /// Whether a change of one effect found it.
    fn change(
        &self,
        change: impl FnOnce(&mut SqliteConnection) -> QueryResult<usize>,
    ) -> Result<bool, StoreError> {
        let connections = &self.database().0.connections;
        let done: Result<usize, Failed<Error>> = connections.transaction(change);
        let changed = done.map_err(|failed| StoreError::new(connections.failed(failed)))?;
        Ok(changed > 0)
    }
}

fn is_owned(conn: &mut SqliteConnection, reducer: &str, epoch: u64) -> QueryResult<bool> {
    let stored = reducers::table
        .filter(reducers::name.eq(reducer))
        .select(reducers::epoch)
        .first::<i64>(conn)
        .optional()?;
    Ok(stored.and_then(|stored| u64::try_from(stored).ok()) == Some(epoch))
}

#[diesel::dsl::auto_type]
fn the_parked<'a>(reducer: &'a str, key: &'a EffectKey) -> _ {
    let id: &'a str = key.partition.as_str();
    let cursor: String = key.cursor.encode();
    let number: i64 = key.number as i64;
    outbox::table
        .filter(outbox::reducer.eq(reducer))
        .filter(outbox::id.eq(id))
        .filter(outbox::cursor.eq(cursor))
        .filter(outbox::number.eq(number))
        .filter(outbox::parked_kind.is_not_null())
}

fn read(
    conn: &mut SqliteConnection,
    reducer: &str,
    which: &Which<'_>,
    limit: usize,
) -> QueryResult<Vec<EffectRecord>> {
    let mut query = outbox::table
        .filter(outbox::reducer.eq(reducer))
        .order((outbox::id, outbox::cursor, outbox::number))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((
            outbox::id,
            outbox::cursor,
            outbox::number,
            outbox::effect,
            outbox::parked_kind,
            outbox::parked_message,
            outbox::parked_attempts,
            outbox::parked_time,
        ))
        .into_boxed();
    match which {
        Which::Page(None) => {}
        Which::Page(Some(after)) => query = query.filter(outbox::id.gt(after.as_str())),
        Which::Parked(after) => {
            query = query.filter(outbox::parked_kind.is_not_null());
            if let Some(EffectKey { partition, cursor, number }) = after {
                let (id, cursor) = (partition.as_str(), cursor.encode());
                let same = outbox::id.eq(id);
                let later_number =
                    outbox::cursor.eq(cursor.clone()).and(outbox::number.gt(i64::from(*number)));
                let later = outbox::cursor.gt(cursor).or(later_number);
                query = query.filter(outbox::id.gt(id).or(same.and(later)));
            }
        }
    }
    query.load::<Columns>(conn)?.into_iter().map(record).collect()
}

fn record(row: Columns) -> QueryResult<EffectRecord> {
    let (id, cursor, number, effect, kind, message, attempts, time) = row;
    let number =
        u32::try_from(number).map_err(|error| Error::DeserializationError(Box::new(error)))?;
    let key = EffectKey { partition: PartitionId::from(id), cursor: decode(&cursor)?, number };
    let parked = kind.map(|kind| Parked {
        kind: DeliveryFailure::parse(&kind),
        message: message.unwrap_or_default(),
        attempts: attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        time: Timestamp::from_micros(time.unwrap_or(0)),
    });
    Ok(EffectRecord { key, effect, parked })
}

fn delete(conn: &mut SqliteConnection, reducer: &str, keys: &[EffectKey]) -> QueryResult<()> {
    const HEAD: &str =
        "DELETE FROM rederive_outbox WHERE (reducer, id, cursor, number) IN (VALUES ";
    let cursors: Vec<String> = keys.iter().map(|key| key.cursor.encode()).collect();
    let mut binds = Vec::new();
    for range in chunks(usize::MAX, keys.len(), 4) {
        binds.clear();
        for (key, cursor) in keys[range.clone()].iter().zip(&cursors[range]) {
            binds.extend([
                Bind::Text(reducer),
                Bind::Text(key.partition.as_str()),
                Bind::Text(cursor),
                Bind::Integer(i64::from(key.number)),
            ]);
        }
        Rows { head: HEAD, tail: ")", width: 4, binds: &binds }.execute(conn)?;
    }
    Ok(())
}

/// One by one: few effects are parked.
fn park(
    conn: &mut SqliteConnection,
    reducer: &str,
    key: &EffectKey,
    parked: &Parked,
) -> QueryResult<()> {
    let number = i64::from(key.number);
    let row = outbox::table.find((reducer, key.partition.as_str(), key.cursor.encode(), number));
    let set = (
        outbox::parked_kind.eq(parked.kind.as_str()),
        outbox::parked_message.eq(parked.message.as_str()),
        outbox::parked_attempts.eq(i64::from(parked.attempts)),
        outbox::parked_time.eq(parked.time.as_micros()),
    );
    diesel::update(row).set(set).execute(conn).map(drop)
}
