//! Which row a foreign key is missing for: SQLite says only that there is one.

use std::collections::BTreeMap;

use diesel::{
    QueryResult, deserialize::QueryableByName, prelude::*, sql_query, sql_types::BigInt,
    sql_types::Nullable, sql_types::Text, sqlite::SqliteConnection,
};
use rederive_core::{Table, Value};

use super::rows::{Bind, Rows, Stored, chunks, local_name, quoted};
use crate::{
    compute::key_text,
    plan::{Plan, Step},
};

/// A foreign key, from a table to its parent.
struct ForeignKey {
    child: String,
    parent: String,
    /// The columns in the child and in the parent.
    columns: Vec<(String, String)>,
}

/// A row whose foreign key leads nowhere.
pub(crate) struct Violation {
    child: String,
    key: Vec<Value>,
    parent: String,
    columns: Vec<(String, Value)>,
}

/// Finds a row that would keep the open transaction from being committed: first among the rows that
/// the plan writes, then, if it may take its time, in all rows of the tables that it touches and of
/// those that refer to them.
pub(crate) fn violation(
    conn: &mut SqliteConnection,
    plan: &Plan<'_>,
    is_thorough: bool,
) -> QueryResult<Option<Violation>> {
    let mut touched: BTreeMap<&str, (&'static Table, Vec<usize>)> = BTreeMap::new();
    for step in &plan.steps {
        match step {
            Step::Rows(set) => {
                let rows =
                    &mut touched.entry(local_name(set.table)).or_insert((set.table, vec![])).1;
                rows.extend(&set.rows);
            }
            Step::Where(op) => {
                touched.entry(local_name(op.table)).or_insert((op.table, vec![]));
            }
            Step::Custom(_) => {}
        }
    }
    let keys = all(conn)?;
    for (table, rows) in touched.values() {
        let width = table.key.len();
        for key in keys.iter().filter(|key| key.is_of(local_name(table))) {
            for range in chunks(usize::MAX, rows.len(), width) {
                let mut binds = Vec::new();
                for row in &rows[range] {
                    let values = table.key.iter().zip(plan.rows[*row].key);
                    binds.extend(
                        values.map(|(column, value)| Bind::new(table.columns[*column].1, value)),
                    );
                }
                let found = key.broken(conn, Some((table, &binds)))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }
    if !is_thorough {
        return Ok(None);
    }
    let is_near = |key: &&ForeignKey| {
        touched.keys().any(|table| key.is_of(table) || key.parent.eq_ignore_ascii_case(table))
    };
    // A closure may have written to any table.
    let anywhere = plan.steps.iter().any(|step| matches!(step, Step::Custom(_)));
    for key in keys.iter().filter(|key| anywhere || is_near(key)) {
        let found = key.broken(conn, None)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Violation {
    pub(crate) fn message(&self) -> String {
        let Self { child, key, parent, columns } = self;
        let values =
            columns.iter().map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>();
        format!(
            "FOREIGN KEY constraint failed: table {parent} has no row for {} (table {child}, key {})",
            values.join(", "),
            key_text(key)
        )
    }
}

impl ForeignKey {
    fn is_of(&self, table: &str) -> bool {
        self.child.eq_ignore_ascii_case(table)
    }

    /// A row of the child that has no parent, perhaps among those with certain keys.
    fn broken(
        &self,
        conn: &mut SqliteConnection,
        among: Option<(&Table, &[Bind<'_>])>,
    ) -> QueryResult<Option<Violation>> {
        let Self { child, parent, columns } = self;
        let mut of_key = primary_key(conn, child)?;
        if of_key.is_empty() {
            of_key.push("rowid".to_owned());
        }
        let names = columns.iter().map(|(from, _)| from).chain(&of_key);
        let selected: Vec<_> = names.map(|name| format!("c.{}", quoted(name))).collect();
        let named: Vec<_> =
            columns.iter().map(|(from, _)| format!("c.{} IS NOT NULL", quoted(from))).collect();
        let same: Vec<_> = columns
            .iter()
            .map(|(from, to)| format!("p.{} = c.{}", quoted(to), quoted(from)))
            .collect();
        let missing = format!(
            "SELECT {} FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            selected.join(","),
            quoted(child),
            named.join(" AND "),
            quoted(parent),
            same.join(" AND ")
        );
        let found = match among {
            Some((table, binds)) => {
                let keys = table.key.iter().map(|index| quoted(table.columns[*index].0));
                let keys: Vec<_> = keys.map(|key| format!("c.{key}")).collect();
                let head = format!("{missing} AND ({}) IN (VALUES ", keys.join(","));
                Rows { head: &head, tail: ") LIMIT 1", width: keys.len(), binds }.stored(conn)?
            }
            None => {
                // It takes no value but the one that every such statement must have.
                let head = format!("{missing} AND 1 = ?1 LIMIT 1{}", Rows::NUMBERED);
                let binds = [Bind::Integer(1)];
                Rows { head: &head, tail: "", width: 1, binds: &binds }.stored(conn)?
            }
        };
        Ok(found.into_iter().next().map(|Stored(mut values)| {
            let key = values.split_off(columns.len());
            Violation {
                child: child.clone(),
                key,
                parent: parent.clone(),
                columns: columns.iter().map(|(from, _)| from.clone()).zip(values).collect(),
            }
        }))
    }
}

/// All foreign keys of the database.
fn all(conn: &mut SqliteConnection) -> QueryResult<Vec<ForeignKey>> {
    #[derive(QueryableByName)]
    struct Part {
        #[diesel(sql_type = Text)]
        child: String,
        #[diesel(sql_type = BigInt)]
        number: i64,
        #[diesel(sql_type = BigInt)]
        nth: i64,
        #[diesel(sql_type = Text)]
        parent: String,
        #[diesel(sql_type = Text)]
        from_column: String,
        #[diesel(sql_type = Nullable<Text>)]
        to_column: Option<String>,
    }

    let parts: Vec<Part> = sql_query(
        "SELECT m.name AS child, CAST(f.id AS INTEGER) AS number, CAST(f.seq AS INTEGER) AS nth,
            f.\"table\" AS parent, f.\"from\" AS from_column, f.\"to\" AS to_column
        FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
        WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq",
    )
    .load(conn)?;
    let mut keys: Vec<ForeignKey> = Vec::new();
    let same = |a: &Part, b: &Part| a.child == b.child && a.number == b.number;
    for parts in parts.chunk_by(same) {
        let mut columns = Vec::new();
        for Part { nth, parent, from_column, to_column, .. } in parts {
            let to = match to_column {
                Some(to) => Some(to.clone()),
                // The primary key is meant.
                None => {
                    primary_key(conn, parent)?.into_iter().nth(usize::try_from(*nth).unwrap_or(0))
                }
            };
            columns.extend(to.map(|to| (from_column.clone(), to)));
        }
        // A parent that is not there fails the statement itself.
        if columns.len() == parts.len() {
            let Part { child, parent, .. } = &parts[0];
            keys.push(ForeignKey { child: child.clone(), parent: parent.clone(), columns });
        }
    }
    Ok(keys)
}

fn primary_key(conn: &mut SqliteConnection, table: &str) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }

    let names: Vec<Name> =
        sql_query("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
            .bind::<Text, _>(table)
            .load(conn)?;
    Ok(names.into_iter().map(|Name { name }| name).collect())
}
