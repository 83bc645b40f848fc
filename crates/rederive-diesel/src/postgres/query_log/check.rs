//! Whether a table is ordered as it is said to be: what the catalogue tells of it.

use diesel::{QueryResult, pg::PgConnection};

use super::{
    super::sql::{Bind, Schema, Sql, quoted},
    guard,
    order::Kind,
};

/// A table of the user's.
pub(super) struct Table<'t> {
    /// As the user has named it.
    pub(super) name: &'t str,
    oid: i64,
}

/// A column of it.
struct Column {
    number: i64,
    sql_type: String,
    not_null: bool,
    default: Option<String>,
    sequence: Option<String>,
}

/// What keeps the table from being followed, each with what to do.
pub(super) fn problems(
    conn: &mut PgConnection,
    schema: &Schema,
    name: &str,
    kind: &Kind,
) -> QueryResult<Vec<String>> {
    let mut problems = Vec::new();
    let Some(table) = Table::find(conn, name, &mut problems)? else { return Ok(problems) };
    match kind {
        Kind::Locked { column } => locked(conn, schema, &table, column, &mut problems)?,
        Kind::ByTransaction { transaction, number } => {
            by_transaction(conn, &table, transaction, number, &mut problems)?;
        }
    }
    Ok(problems)
}

fn locked(
    conn: &mut PgConnection,
    schema: &Schema,
    table: &Table<'_>,
    name: &str,
    problems: &mut Vec<String>,
) -> QueryResult<()> {
    problems.extend(numbering(conn, table, name)?);
    if !guard::stands(conn, schema, table, name)? {
        problems.push(format!(
            "nothing sees to it that its writers lock: call PostgresDatabase::guard_appends({:?}, \
             {name:?}), which installs its triggers",
            table.name
        ));
    }
    Ok(())
}

/// What is wrong with how a column gets its numbers, but for the lock.
pub(super) fn numbering(
    conn: &mut PgConnection,
    table: &Table<'_>,
    name: &str,
) -> QueryResult<Vec<String>> {
    let mut problems = Vec::new();
    let Some(column) = table.column(conn, name, &mut problems)? else { return Ok(problems) };
    column.must_be("bigint", name, &mut problems);
    if !table.has_unique_index(conn, &[column.number])? {
        problems.push(format!(
            "column {name} has no unique index of its own: CREATE UNIQUE INDEX ON {} ({})",
            table.name,
            quoted(name)
        ));
    }
    let Some(sequence) = &column.sequence else {
        problems.push(format!(
            "column {name} is not filled from a sequence of its own: make it GENERATED ALWAYS AS \
             IDENTITY, or say ALTER SEQUENCE … OWNED BY {}.{}",
            table.name,
            quoted(name)
        ));
        return Ok(problems);
    };
    let text = "SELECT seqcache, seqincrement > 0 AND NOT seqcycle FROM pg_catalog.pg_sequence
        WHERE seqrelid = \0::pg_catalog.regclass";
    let settings = Sql { text, binds: &[Bind::text(sequence)] }.row(conn)?;
    let Some(mut settings) = settings else { return Ok(problems) };
    if settings.integer()? != 1 {
        problems.push(format!(
            "sessions take numbers ahead from the sequence: ALTER SEQUENCE {sequence} CACHE 1"
        ));
    }
    if !settings.bool()? {
        problems.push(format!(
            "the numbers of the sequence do not grow for ever: ALTER SEQUENCE {sequence} INCREMENT 1 \
             NO CYCLE"
        ));
    }
    let text = format!(
        "SELECT pg_catalog.max({0})::pg_catalog.int8,
            pg_catalog.pg_sequence_last_value(\0::pg_catalog.regclass) FROM {1}",
        quoted(name),
        table.name
    );
    let ends = Sql { text: &text, binds: &[Bind::text(sequence)] }.row(conn)?;
    let Some(mut ends) = ends else { return Ok(problems) };
    let (newest, given) = (ends.nullable_integer()?, ends.nullable_integer()?);
    if newest > given {
        problems.push(format!(
            "there are rows above what the sequence has given, and new ones would come before them: \
             SELECT setval('{sequence}', {})",
            newest.unwrap_or(0)
        ));
    }
    Ok(problems)
}

fn by_transaction(
    conn: &mut PgConnection,
    table: &Table<'_>,
    transaction: &str,
    number: &str,
    problems: &mut Vec<String>,
) -> QueryResult<()> {
    let first = table.column(conn, transaction, problems)?;
    let second = table.column(conn, number, problems)?;
    let (Some(first), Some(second)) = (first, second) else { return Ok(()) };
    first.must_be("xid8", transaction, problems);
    second.must_be("bigint", number, problems);
    let default = first.default.as_deref().unwrap_or_default();
    if !matches!(default, "pg_current_xact_id()" | "pg_catalog.pg_current_xact_id()") {
        problems.push(format!(
            "column {transaction} is not filled with the transaction: ALTER TABLE {} ALTER COLUMN {} \
             SET DEFAULT pg_current_xact_id()",
            table.name,
            quoted(transaction)
        ));
    }
    if !table.has_unique_index(conn, &[first.number, second.number])? {
        problems.push(format!(
            "there is no unique index on both columns: CREATE UNIQUE INDEX ON {} ({}, {})",
            table.name,
            quoted(transaction),
            quoted(number)
        ));
    }
    if first.sql_type != "xid8" {
        return Ok(());
    }
    let text = format!(
        "SELECT pg_catalog.max({0}::pg_catalog.text::pg_catalog.int8)::pg_catalog.text FROM
            (SELECT {0} FROM {1} ORDER BY {0} DESC LIMIT 1) AS newest
            WHERE {0} >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())",
        quoted(transaction),
        table.name
    );
    let ahead = Sql { text: &text, binds: &[] }.row(conn)?;
    let ahead = ahead.map_or(Ok(None), |mut row| row.nullable_text())?;
    if let Some(ahead) = ahead {
        problems.push(format!(
            "there are rows of transaction {ahead}, which this server has not come to yet: they were \
             written on another one; give them a lower number before any reducer has followed them"
        ));
    }
    Ok(())
}

impl<'t> Table<'t> {
    pub(super) fn find(
        conn: &mut PgConnection,
        name: &'t str,
        problems: &mut Vec<String>,
    ) -> QueryResult<Option<Self>> {
        let text = "SELECT c.oid::pg_catalog.int8, c.relkind::pg_catalog.text, EXISTS (
                SELECT FROM pg_catalog.pg_inherits WHERE c.oid IN (inhrelid, inhparent))
            FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass(\0)";
        let Some(mut row) = Sql { text, binds: &[Bind::text(name)] }.row(conn)? else {
            problems.push("it does not exist, or not in the search_path".to_owned());
            return Ok(None);
        };
        let table = Self { name, oid: row.integer()? };
        if row.text()? != "r" || row.bool()? {
            problems.push(
                "it is not an ordinary table: of views, and of tables with parts or parents, it \
                 cannot be told who writes"
                    .to_owned(),
            );
            return Ok(None);
        }
        Ok(Some(table))
    }

    pub(super) fn oid(&self) -> i64 {
        self.oid
    }

    /// The sequence that fills a column, ready to stand in SQL.
    pub(super) fn sequence(
        &self,
        conn: &mut PgConnection,
        column: &str,
    ) -> QueryResult<Option<String>> {
        Ok(self.column(conn, column, &mut Vec::new())?.and_then(|column| column.sequence))
    }

    fn column(
        &self,
        conn: &mut PgConnection,
        name: &str,
        problems: &mut Vec<String>,
    ) -> QueryResult<Option<Column>> {
        let text = "SELECT a.attnum::pg_catalog.int8,
                pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
                pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                pg_catalog.pg_get_serial_sequence(a.attrelid::pg_catalog.regclass::pg_catalog.text,
                    a.attname::pg_catalog.text)
            FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_attrdef AS d
                ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = \0::pg_catalog.oid AND a.attname = \0 AND a.attnum > 0
                AND NOT a.attisdropped";
        let binds = [Bind::integer(self.oid), Bind::text(name)];
        let Some(mut row) = Sql { text, binds: &binds }.row(conn)? else {
            problems.push(format!("it has no column {name}"));
            return Ok(None);
        };
        let column = Column {
            number: row.integer()?,
            sql_type: row.text()?,
            not_null: row.bool()?,
            default: row.nullable_text()?,
            sequence: row.nullable_text()?,
        };
        if !column.not_null {
            problems.push(format!(
                "column {name} may be NULL: ALTER TABLE {} ALTER COLUMN {} SET NOT NULL",
                self.name,
                quoted(name)
            ));
        }
        Ok(Some(column))
    }

    /// Whether there is a unique index on these columns and no others.
    fn has_unique_index(&self, conn: &mut PgConnection, columns: &[i64]) -> QueryResult<bool> {
        let text = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
            WHERE i.indrelid = \0::pg_catalog.oid AND i.indisunique AND i.indisvalid
                AND i.indpred IS NULL AND i.indnkeyatts = pg_catalog.cardinality(\0)
                AND (SELECT pg_catalog.array_agg(k.key::pg_catalog.int8 ORDER BY k.nth)
                    FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY
                        AS k (key, nth)
                    WHERE k.nth <= i.indnkeyatts) = \0)";
        let columns = || Bind::integers(columns.iter().copied());
        let binds = [Bind::integer(self.oid), columns(), columns()];
        Sql { text, binds: &binds }.row(conn)?.map_or(Ok(false), |mut row| row.bool())
    }
}

impl Column {
    fn must_be(&self, sql_type: &str, name: &str, problems: &mut Vec<String>) {
        if self.sql_type != sql_type {
            let is = &self.sql_type;
            problems.push(format!("column {name} is of type {is}: it must be {sql_type}"));
        }
    }
}
