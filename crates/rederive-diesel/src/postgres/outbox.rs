//! The outbox: effects that are still to be delivered.

use diesel::{QueryResult, result::Error};
use rederive_core::{
    DeliveryFailure, EffectKey, EffectMarks, EffectRecord, EffectsError, Outbox, OutboxCounts,
    Parked, PartitionId, StoreError, Timestamp,
};

use super::{
    PostgresStore, ids,
    progress::{decode, encode},
    sql::{Bind, Session},
    text::{escaped, unescaped},
};

/// Which effects to read.
enum Which<'a> {
    /// Those of partitions after this one.
    Page(Option<&'a PartitionId>),
    /// The parked ones after this one.
    Parked(Option<&'a EffectKey>),
}

/// Finds one effect, if it is parked.
const THE_PARKED: &str = " WHERE reducer = \0 AND id = \0 AND cursor = \0 AND number = \0
    AND parked_kind IS NOT NULL";

impl Outbox for PostgresStore {
    fn effects(
        &self,
        reducer: &str,
        epoch: u64,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, EffectsError> {
        // One snapshot: the effects are those of the owner that is checked.
        let found = self.reading(|session| {
            let owned = is_owned(session, reducer, epoch, "")?;
            owned.then(|| read(session, reducer, &Which::Page(after), limit)).transpose()
        });
        found?.ok_or(EffectsError::Fenced)
    }

    fn mark(&self, reducer: &str, epoch: u64, marks: &EffectMarks) -> Result<(), EffectsError> {
        let owned = self.writing(|session| {
            // Nobody takes the reducer over before the marks are made.
            let owned = is_owned(session, reducer, epoch, " FOR SHARE")?;
            if owned {
                delete(session, reducer, &marks.delivered)?;
                park(session, reducer, &marks.parked)?;
            }
            Ok(owned)
        });
        if owned? { Ok(()) } else { Err(EffectsError::Fenced) }
    }

    fn parked(
        &self,
        reducer: &str,
        after: Option<&EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, StoreError> {
        self.reading(|session| read(session, reducer, &Which::Parked(after), limit))
    }

    fn redeliver(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        let set = "UPDATE @rederive_outbox SET parked_kind = NULL, parked_message = NULL,
            parked_attempts = NULL, parked_time = NULL";
        self.change(set, reducer, key)
    }

    fn drop_effect(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        self.change("DELETE FROM @rederive_outbox", reducer, key)
    }

    fn counts(&self, reducer: &str, at_most: u64) -> Result<OutboxCounts, StoreError> {
        // Rows beyond the limit are not looked at; parked ones have an index of their own.
        let text = "SELECT (SELECT count(*) FROM (SELECT FROM @rederive_outbox
                WHERE reducer = \0 AND parked_kind IS NULL LIMIT \0) AS pending),
            (SELECT count(*) FROM (SELECT FROM @rederive_outbox
                WHERE reducer = \0 AND parked_kind IS NOT NULL LIMIT \0) AS parked)";
        let of = Bind::text(escaped(reducer));
        let limit = Bind::integer(i64::try_from(at_most).unwrap_or(i64::MAX));
        let (pending, parked) = self.reading(|session| {
            let row = session.row(text, &[of.clone(), limit.clone(), of, limit])?;
            row.map_or(Ok((0, 0)), |mut row| Ok((row.integer()?, row.integer()?)))
        })?;
        let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(OutboxCounts { pending: unsigned(pending), parked: unsigned(parked) })
    }
}

impl PostgresStore {
    /// Whether a change of one effect found it.
    fn change(&self, what: &str, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        let binds = [
            Bind::text(escaped(reducer)),
            Bind::text(ids::key(key.partition.as_str())),
            Bind::text(encode(&key.cursor)),
            Bind::integer(i64::from(key.number)),
        ];
        self.writing(|session| session.execute(&format!("{what}{THE_PARKED}"), &binds))
            .map(|changed| changed > 0)
    }
}

fn is_owned(session: &mut Session<'_>, reducer: &str, epoch: u64, lock: &str) -> QueryResult<bool> {
    let text = format!("SELECT epoch FROM @rederive_reducers WHERE name = \0{lock}");
    let row = session.row(&text, &[Bind::text(escaped(reducer))])?;
    let stored = row.map(|mut row| row.integer()).transpose()?;
    Ok(stored.and_then(|stored| u64::try_from(stored).ok()) == Some(epoch))
}

fn read(
    session: &mut Session<'_>,
    reducer: &str,
    which: &Which<'_>,
    limit: usize,
) -> QueryResult<Vec<EffectRecord>> {
    const SELECT: &str = "SELECT id, cursor, number, effect, parked_kind, parked_message,
        parked_attempts, parked_time FROM @rederive_outbox WHERE reducer = \0";
    let mut binds = vec![Bind::text(escaped(reducer))];
    let filter = match which {
        Which::Page(None) => "",
        Which::Page(Some(after)) => {
            binds.push(Bind::text(ids::key(after.as_str())));
            " AND id > \0"
        }
        Which::Parked(None) => " AND parked_kind IS NOT NULL",
        Which::Parked(Some(EffectKey { partition, cursor, number })) => {
            binds.extend([
                Bind::text(ids::key(partition.as_str())),
                Bind::text(encode(cursor)),
                Bind::integer(i64::from(*number)),
            ]);
            " AND parked_kind IS NOT NULL AND (id, cursor, number) > (\0, \0, \0)"
        }
    };
    binds.push(Bind::limit(limit));
    let text = format!("{SELECT}{filter} ORDER BY id, cursor, number LIMIT \0");
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for mut row in session.rows(&text, &binds)? {
        keys.push(row.text()?);
        let cursor = decode(row.text()?)?;
        let number = u32::try_from(row.integer()?)
            .map_err(|error| Error::DeserializationError(Box::new(error)))?;
        let effect = unescaped(row.text()?);
        let (kind, message) = (row.nullable_text()?, row.nullable_text()?);
        let (attempts, time) = (row.nullable_integer()?, row.nullable_integer()?);
        let parked = kind.map(|kind| Parked {
            kind: DeliveryFailure::parse(&kind),
            message: message.map(unescaped).unwrap_or_default(),
            attempts: attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            time: Timestamp::from_micros(time.unwrap_or(0)),
        });
        rest.push((cursor, number, effect, parked));
    }
    let ids = ids::of(session, keys)?.into_iter();
    let record = |(partition, (cursor, number, effect, parked))| {
        let key = EffectKey { partition, cursor, number };
        EffectRecord { key, effect, parked }
    };
    Ok(ids.zip(rest).map(record).collect())
}

fn delete(session: &mut Session<'_>, reducer: &str, keys: &[EffectKey]) -> QueryResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let text =
        "DELETE FROM @rederive_outbox AS o USING unnest(\0, \0, \0) AS v (id, cursor, number)
        WHERE o.reducer = \0 AND o.id = v.id AND o.cursor = v.cursor AND o.number = v.number";
    let [ids, cursors, numbers] = binds(keys.iter());
    session.execute(text, &[ids, cursors, numbers, Bind::text(escaped(reducer))]).map(drop)
}

fn park(
    session: &mut Session<'_>,
    reducer: &str,
    parked: &[(EffectKey, Parked)],
) -> QueryResult<()> {
    if parked.is_empty() {
        return Ok(());
    }
    let text = "UPDATE @rederive_outbox AS o SET parked_kind = v.kind, parked_message = v.message,
            parked_attempts = v.attempts, parked_time = v.time
        FROM unnest(\0, \0, \0, \0, \0, \0, \0)
            AS v (id, cursor, number, kind, message, attempts, time)
        WHERE o.reducer = \0 AND o.id = v.id AND o.cursor = v.cursor AND o.number = v.number";
    let whys = || parked.iter().map(|(_, parked)| parked);
    let [ids, cursors, numbers] = binds(parked.iter().map(|(key, _)| key));
    let binds = [
        ids,
        cursors,
        numbers,
        Bind::texts(whys().map(|parked| parked.kind.as_str())),
        Bind::texts(whys().map(|parked| escaped(&parked.message))),
        Bind::integers(whys().map(|parked| i64::from(parked.attempts))),
        Bind::integers(whys().map(|parked| parked.time.as_micros())),
        Bind::text(escaped(reducer)),
    ];
    session.execute(text, &binds).map(drop)
}

fn binds<'k>(keys: impl Iterator<Item = &'k EffectKey> + Clone) -> [Bind<'k>; 3] {
    [
        Bind::texts(keys.clone().map(|key| ids::key(key.partition.as_str()))),
        Bind::texts(keys.clone().map(|key| encode(&key.cursor))),
        Bind::integers(keys.map(|key| i64::from(key.number))),
    ]
}
