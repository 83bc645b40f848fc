//! [`TableState`]: what tells whether a table has changed since its facts were read.

use diesel::QueryResult;
use rederive_core::Table;

use super::{
    sql::{Bind, Session},
    tables::name_of,
};

/// Which table it is, if there is one, and a sum over the rows of the catalog that describe it.
pub(crate) type TableState = (Option<i64>, Option<i64>);

// Each change gives such a row the number of another transaction. The table's own row tells of its rules
// and its security, those of columns of their defaults, and triggers of foreign keys that lead here.
const SUM: &str = "(
        coalesce((SELECT sum(pg_catalog.hashint8(a.xmin::text::int8)) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = t.r AND a.attnum > 0), 0)
        + coalesce((SELECT sum(pg_catalog.hashint8(k.xmin::text::int8))
            FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = t.r), 0)
        + coalesce((SELECT sum(pg_catalog.hashint8(g.xmin::text::int8))
            FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = t.r), 0)
        + coalesce((SELECT sum(pg_catalog.hashint8(i.xmin::text::int8))
            FROM pg_catalog.pg_index AS i WHERE i.indrelid = t.r), 0)
        + (SELECT pg_catalog.hashint8(c.xmin::text::int8) FROM pg_catalog.pg_class AS c
            WHERE c.oid = t.r)
    )";

/// The states of these tables. The names are bound one by one: of an array, the server would plan anew
/// for each length.
pub(crate) fn states(
    session: &mut Session<'_>,
    tables: &[&'static Table],
) -> QueryResult<Vec<TableState>> {
    let binds: Vec<Bind<'_>> =
        tables.iter().map(|table| Bind::text(name_of(table, session.schema))).collect();
    let names = (1..=tables.len()).map(|nth| format!("(pg_catalog.to_regclass(\0), {nth})"));
    let names = names.collect::<Vec<_>>().join(", ");
    let text = format!(
        "SELECT t.r::oid::int8, {SUM} FROM (VALUES {names} OFFSET 0) AS t (r, nth) ORDER BY t.nth"
    );
    let rows = session.rows(&text, &binds)?;
    rows.into_iter().map(|mut row| Ok((row.nullable_integer()?, row.nullable_integer()?))).collect()
}

/// The condition that a table of this name is in the state that is bound.
pub(crate) fn is_in<'a>(name: String, (table, sum): TableState) -> (String, [Bind<'a>; 3]) {
    let text = format!(
        "(SELECT t.r::oid::int8 = \0 AND {SUM} = \0
            FROM (VALUES (pg_catalog.to_regclass(\0)) OFFSET 0) AS t (r))"
    );
    (text, [Bind::BigInt(table), Bind::BigInt(sum), Bind::text(name)])
}
