//! Up to where effects are not emitted again.

use diesel::QueryResult;
use rederive_core::{CursorKind, ReducerWrite, effect::Silence};

use super::{
    ids,
    progress::{self, Which, decode, encode},
    sql::{Bind, Session},
    text::escaped,
};

/// The silence of a reducer.
pub(crate) fn load(session: &mut Session<'_>, reducer: &str) -> QueryResult<Silence> {
    let text = "SELECT id, cursor FROM @rederive_silences WHERE reducer = \0";
    let mut silence = Silence::default();
    let (mut keys, mut cursors) = (Vec::new(), Vec::new());
    for mut row in session.rows(text, &[Bind::text(escaped(reducer))])? {
        match row.nullable_text()? {
            None => silence.through = decode(row.text()?)?,
            Some(key) => {
                keys.push(key);
                cursors.push(decode(row.text()?)?);
            }
        }
    }
    silence.partitions.extend(ids::of(session, keys)?.into_iter().zip(cursors));
    Ok(silence)
}

fn store(session: &mut Session<'_>, reducer: &str, silence: &Silence) -> QueryResult<()> {
    let name = || Bind::text(escaped(reducer));
    session.execute("DELETE FROM @rederive_silences WHERE reducer = \0", &[name()])?;
    ids::remember(session, silence.partitions.keys())?;
    let text = "INSERT INTO @rederive_silences (reducer, id, cursor)
        SELECT \0, NULL, \0 UNION ALL SELECT \0, v.* FROM unnest(\0, \0) AS v";
    let binds = [
        name(),
        Bind::text(encode(&silence.through)),
        name(),
        Bind::texts(silence.partitions.keys().map(|id| ids::key(id.as_str()))),
        Bind::texts(silence.partitions.values().map(encode)),
    ];
    session.execute(text, &binds).map(drop)
}

/// The reducer is about to be reset.
pub(crate) fn before_reset(
    session: &mut Session<'_>,
    reducer: &str,
    kind: CursorKind,
) -> QueryResult<()> {
    let Some(row) = progress::reducer(session, reducer)? else { return Ok(()) };
    let records = progress::records(session, reducer, Which::All)?;
    let silence = load(session, reducer)?.after_reset(&row.watermark, &records, kind);
    store(session, reducer, &silence)
}

/// The partitions that the write resets are about to be.
pub(crate) fn before_resets(
    session: &mut Session<'_>,
    write: &ReducerWrite<'_>,
) -> QueryResult<()> {
    if !write.partitions.iter().any(|partition| partition.reset) {
        return Ok(());
    }
    // Who owns the reducer is known only later: until then, nobody else is to change its row.
    let Some(row) = progress::locked(session, write.reducer)? else { return Ok(()) };
    let records = progress::records(session, write.reducer, Which::All)?;
    let mut silence = load(session, write.reducer)?;
    for partition in write.partitions.iter().filter(|partition| partition.reset) {
        let id = partition.partition;
        let record = records.iter().find(|record| record.partition == *id);
        silence = silence.after_reset_of(id, &row.watermark, record);
    }
    store(session, write.reducer, &silence)
}
