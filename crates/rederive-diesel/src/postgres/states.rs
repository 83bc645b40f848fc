//! Reading rows by their keys: the stored states of folds.

use diesel::{QueryResult, result::Error};
use rederive_core::{PartitionId, StateRecord, StoredRow, Table, Value};

use super::{
    ids,
    introspect::{Catalog, Introspect},
    progress::decode,
    sql::{Bind, Session, Sql},
    statement::{Target, find},
    tables::{is_ours, name_of},
    text::{escaped, unescaped},
    values::array,
};
use crate::plan::Facts;

/// The rows with these keys, in the order given: few statements, however many they are.
pub(crate) fn load(
    session: &mut Session<'_>,
    wanted: &[StoredRow],
) -> QueryResult<Vec<Option<Vec<Value>>>> {
    let mut found = vec![None; wanted.len()];
    let mut from = 0;
    // A reducer's states are all in one table.
    for same in wanted.chunk_by(|a, b| a.table == b.table) {
        load_from(session, same[0].table, same, &mut found[from..from + same.len()])?;
        from += same.len();
    }
    Ok(found)
}

fn load_from(
    session: &mut Session<'_>,
    table: &'static Table,
    wanted: &[StoredRow],
    found: &mut [Option<Vec<Value>>],
) -> QueryResult<()> {
    let mut catalog = Catalog::default();
    let facts =
        Introspect { catalog: &mut catalog, session: &mut *session, in_order: false }.of(table)?;
    let name = name_of(table, session.schema);
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let text = find(Target { table, name: &name, facts: &facts }, &columns);
    let keys = table.key.iter().enumerate();
    let binds: Result<Vec<_>, _> = keys
        .map(|(at, column)| array(table, *column, wanted.iter().map(|it| (&it.key[at], &it.key))))
        .collect();
    let binds = binds.map_err(|error| Error::QueryBuilderError(Box::new(error)))?;
    for mut row in (Sql { text: &text, binds: &binds }).rows(session.conn)? {
        let place = usize::try_from(row.integer()? - 1).ok();
        let Some(place) = place.filter(|place| *place < found.len()) else { continue };
        let kinds = table.columns.iter().map(|(_, kind)| *kind);
        let mut values: Vec<_> =
            row.into_values().into_iter().zip(kinds).map(|(it, kind)| it.read_as(kind)).collect();
        if is_ours(table) {
            for value in &mut values {
                if let Value::Text(text) = value {
                    *text = unescaped(std::mem::take(text).into()).into();
                }
            }
        }
        // As it was asked for: an id may have been abbreviated.
        for (column, value) in table.key.iter().zip(&wanted[place].key) {
            values[*column] = value.clone();
        }
        found[place] = Some(values);
    }
    Ok(())
}

/// A page of the states of a reducer.
pub(crate) fn page(
    session: &mut Session<'_>,
    reducer: &str,
    after: Option<&PartitionId>,
    limit: usize,
) -> QueryResult<Vec<StateRecord>> {
    let after = Bind::Text(after.map(|after| ids::key(after.as_str())));
    let binds = [Bind::text(escaped(reducer)), after.clone(), after, Bind::limit(limit)];
    let text = "SELECT id, cursor, state FROM @rederive_states
        WHERE reducer = \0 AND (\0 IS NULL OR id > \0) ORDER BY id LIMIT \0";
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for mut row in session.rows(text, &binds)? {
        keys.push(row.text()?);
        rest.push((decode(row.text()?)?, unescaped(row.text()?)));
    }
    let ids = ids::of(session, keys)?.into_iter();
    let record = |(partition, (cursor, state))| StateRecord { partition, cursor, state };
    Ok(ids.zip(rest).map(record).collect())
}
