//! [`Catalog`]: the facts of the user's tables, read from the database and kept until its schema
//! changes.

use std::{collections::HashMap, rc::Rc};

use diesel::{
    QueryResult,
    deserialize::QueryableByName,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_query,
    sql_types::{BigInt, Nullable, Text},
    sqlite::{Sqlite, SqliteConnection},
};
use rederive_core::{ColumnKind, Table};

use super::rows::local_name;
use crate::plan::{Facts, Policy, TableFacts, Takes};

/// The facts known so far, of one version of the schema.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    version: i64,
    tables: HashMap<&'static str, (&'static Table, TableFacts)>,
    /// Whether any table of the user's has a foreign key.
    pub(crate) foreign_keys: bool,
}

/// Reads facts that are not known yet through a connection.
pub(crate) struct Introspect<'c> {
    pub(crate) catalog: &'c mut Catalog,
    pub(crate) conn: &'c mut SqliteConnection,
}

impl Catalog {
    /// Forgets everything if the schema has changed. Called inside the transaction, so that it cannot
    /// change any more until that ends.
    pub(crate) fn refresh(&mut self, conn: &mut SqliteConnection) -> QueryResult<()> {
        let version = SchemaVersion.get_result::<i64>(conn)?;
        if self.version != version {
            let found = sql_query(FOREIGN_KEYS).get_result::<ForeignKeys>(conn)?;
            let foreign_keys = found.foreign_keys != 0;
            *self = Self { version, tables: HashMap::new(), foreign_keys };
        }
        Ok(())
    }
}

impl Facts for Introspect<'_> {
    type Error = diesel::result::Error;

    fn of(&mut self, table: &'static Table) -> QueryResult<Rc<TableFacts>> {
        if let Some((known, facts)) = self.catalog.tables.get(table.name)
            && *known == table
        {
            return Ok(Rc::new(facts.clone()));
        }
        let facts = read(self.conn, table)?;
        self.catalog.tables.insert(table.name, (table, facts.clone()));
        Ok(Rc::new(facts))
    }
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    not_null: i64,
    #[diesel(sql_type = Text)]
    declared: String,
    #[diesel(sql_type = Nullable<Text>)]
    default_value: Option<String>,
    #[diesel(sql_type = BigInt)]
    key: i64,
    #[diesel(sql_type = BigInt)]
    generated: i64,
}

#[derive(QueryableByName)]
struct ForeignKeys {
    #[diesel(sql_type = BigInt)]
    foreign_keys: i64,
}

/// Our own tables are written parents first.
const FOREIGN_KEYS: &str = "SELECT EXISTS (
    SELECT 1 FROM sqlite_master AS m, pragma_foreign_key_list(m.name)
    WHERE m.type = 'table' AND m.name NOT GLOB 'rederive_*') AS foreign_keys";

#[derive(QueryableByName)]
struct Traits {
    /// Something that judges single rows.
    #[diesel(sql_type = BigInt)]
    judges: i64,
    /// Something by which rows affect each other.
    #[diesel(sql_type = BigInt)]
    entangles: i64,
}

const COLUMNS: &str = "SELECT name, type AS declared, CAST(\"notnull\" AS INTEGER) AS not_null,
        dflt_value AS default_value, CAST(pk AS INTEGER) AS \"key\",
        CAST(hidden > 1 AS INTEGER) AS generated
    FROM pragma_table_xinfo(?)";

// A word in the text of a table may stand for something else than it looks like. Then the table is
// treated with more care than it needs.
const TRAITS: &str = "SELECT
    (SELECT count(*) FROM sqlite_master
        WHERE type = 'table' AND lower(name) = lower(?1) AND upper(sql) LIKE '%CHECK%')
    + (SELECT count(*) FROM pragma_index_list(?1) AS i, pragma_index_xinfo(i.name) AS c
        WHERE c.cid = -2 OR i.partial <> 0) AS judges,
    (SELECT count(*) FROM sqlite_master
        WHERE lower(tbl_name) = lower(?1)
        AND (type IN ('trigger', 'view') OR type = 'table' AND upper(sql) LIKE '%COLLATE%'))
    + (SELECT count(*) FROM pragma_index_list(?1) WHERE \"unique\" <> 0 AND origin <> 'pk')
    + (SELECT count(*) FROM pragma_foreign_key_list(?1)
        WHERE on_update <> 'NO ACTION' OR on_delete <> 'NO ACTION')
    + (SELECT count(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
        WHERE m.type = 'table' AND lower(f.\"table\") = lower(?1)
        AND (f.on_update <> 'NO ACTION' OR f.on_delete <> 'NO ACTION')) AS entangles";

/// What the database has where the program expects a table.
pub(crate) enum Found {
    Nothing,
    /// A table that is not as expected: what is wrong, after its name.
    Other(String),
    AsExpected,
}

/// Compares a table with what the program believes it to be.
pub(crate) fn compare(conn: &mut SqliteConnection, table: &Table) -> QueryResult<Found> {
    let columns = columns(conn, table)?;
    if columns.is_empty() {
        return Ok(Found::Nothing);
    }
    let differs = mismatch(&columns, table).or_else(|| wrong_type(&columns, table));
    Ok(differs.map_or(Found::AsExpected, Found::Other))
}

fn columns(conn: &mut SqliteConnection, table: &Table) -> QueryResult<Vec<Column>> {
    sql_query(COLUMNS).bind::<Text, _>(local_name(table)).load(conn)
}

fn named<'c>(columns: &'c [Column], name: &str) -> Option<&'c Column> {
    columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
}

/// A column that is missing, or another primary key.
fn mismatch(columns: &[Column], table: &Table) -> Option<String> {
    let missing = table.columns.iter().find(|(name, _)| named(columns, name).is_none());
    if let Some((name, _)) = missing {
        return Some(format!("has no column named {name}"));
    }
    let of_key = |name: &str| {
        table.key.iter().any(|index| table.columns[*index].0.eq_ignore_ascii_case(name))
    };
    let keys_agree = columns.iter().all(|column| (column.key > 0) == of_key(&column.name));
    let is_view = columns.iter().all(|column| column.key == 0);
    if keys_agree || is_view {
        return None;
    }
    let stored = columns.iter().filter(|column| column.key > 0);
    let stored: Vec<_> = stored.map(|column| column.name.as_str()).collect();
    let used: Vec<_> = table.key.iter().map(|index| table.columns[*index].0).collect();
    Some(format!(
        "has the primary key ({}) in the database, but ({}) in the program",
        stored.join(", "),
        used.join(", ")
    ))
}

/// A column that would turn what the program stores in it into something else.
fn wrong_type(columns: &[Column], table: &Table) -> Option<String> {
    table.columns.iter().find_map(|(name, kind)| {
        let declared = &named(columns, name)?.declared;
        let upper = declared.to_uppercase();
        let says = |words: &[&str]| words.iter().any(|word| upper.contains(word));
        // SQLite's own rules, in its order; of what they leave over, nothing is clearly wrong.
        let numbers = says(&["INT"]);
        let text = !numbers && says(&["CHAR", "CLOB", "TEXT"]);
        let floats = !numbers && !text && !says(&["BLOB"]) && says(&["REAL", "FLOA", "DOUB"]);
        let wrong = match kind {
            // SQLite makes numbers of what looks like one, and gives them back as they were.
            ColumnKind::Numeric | ColumnKind::Json => false,
            ColumnKind::Binary => numbers || floats,
            kind if kind.is_text() => numbers || floats,
            _ => text,
        };
        let expected = format!("{kind:?}").to_lowercase();
        wrong.then(|| {
            format!("has a column {name} of type {declared}, which cannot hold {expected} values")
        })
    })
}

fn read(conn: &mut SqliteConnection, table: &'static Table) -> QueryResult<TableFacts> {
    let columns = columns(conn, table)?;
    if columns.is_empty() {
        return Err(refusal(format!("no such table: {}", table.name)));
    }
    if let Some(mismatch) = mismatch(&columns, table) {
        return Err(refusal(format!("table {} {mismatch}", table.name)));
    }
    let find = |name: &str| named(&columns, name);
    let is_view = columns.iter().all(|column| column.key == 0);
    let traits: Traits = sql_query(TRAITS).bind::<Text, _>(local_name(table)).get_result(conn)?;
    // Values that are equal as keys of the table need not be so in the plan: 1 and 1.0, or two decimal
    // numbers that SQLite rounds to one.
    let vague_key = table.key.iter().any(|index| {
        let kind = table.columns[*index].1;
        !kind.is_exact() || kind == ColumnKind::Numeric
    });
    let policy = if traits.entangles > 0 || vague_key || is_view {
        Policy::Order
    } else if traits.judges > 0 || columns.iter().any(|column| column.generated != 0) {
        Policy::Layer
    } else {
        Policy::Merge
    };
    let nullable = table
        .columns
        .iter()
        .map(|(name, _)| find(name).is_none_or(|column| column.not_null == 0))
        .collect();
    // A column that the program does not know can never be named: `usize::MAX` stands for it.
    let required = columns
        .iter()
        .filter(|column| {
            let without = column.default_value.as_deref().is_none_or(|text| {
                // Any default that could be NULL counts as none.
                !text.starts_with(|first: char| first.is_ascii_digit() || "'-+".contains(first))
            });
            column.not_null != 0 && column.key == 0 && column.generated == 0 && without
        })
        .map(|column| {
            let known =
                table.columns.iter().position(|(name, _)| name.eq_ignore_ascii_case(&column.name));
            known.unwrap_or(usize::MAX)
        })
        .collect();
    let settable = columns
        .iter()
        .filter(|column| column.key == 0 && column.generated == 0)
        .map(|column| column.name.clone())
        .collect();
    Ok(TableFacts {
        policy,
        row_by_row: policy == Policy::Order,
        rank: 0,
        nullable,
        takes: vec![Takes::All; table.columns.len()],
        types: Vec::new(),
        required,
        settable,
    })
}

fn refusal(message: String) -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError(message.into())
}

/// `PRAGMA schema_version` as a statement that is prepared once: it is asked in each transaction.
#[derive(Clone, Copy, QueryId)]
struct SchemaVersion;

impl QueryFragment<Sqlite> for SchemaVersion {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("PRAGMA schema_version");
        Ok(())
    }
}

impl Query for SchemaVersion {
    type SqlType = BigInt;
}

impl RunQueryDsl<SqliteConnection> for SchemaVersion {}
