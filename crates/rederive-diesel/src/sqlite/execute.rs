//! Runs the steps of a plan.

use diesel::{QueryResult, result::DatabaseErrorKind, result::Error, sqlite::SqliteConnection};
use rederive_core::{ColumnKind, Key, Table};

use super::rows::{Bind, Rows, chunks, quoted};
use crate::{
    plan::{Cell, Kind, Plan, Planned, Policy, Set, Shape, Step, range},
    typed::SqliteOp,
};

/// A step failed.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The database said so; what was being done, if known.
    Database(Error, Option<String>),
    /// A rule of ours was broken.
    Rule(String),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        StepError::Database(error, None)
    }
}

/// Runs all steps, in order, in the transaction that is open.
pub(crate) fn run(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StepError> {
    for step in &plan.steps {
        match step {
            Step::Rows(set) => run_set(conn, set, &plan.rows)?,
            Step::Custom(op) => match (&***op as &dyn std::any::Any).downcast_ref::<SqliteOp>() {
                Some(op) => op.run(conn)?,
                None => {
                    return Err(StepError::Rule(format!("the SQLite store cannot run {op:?}")));
                }
            },
        }
    }
    Ok(())
}

fn run_set<'a>(
    conn: &mut SqliteConnection,
    set: &'a Set,
    rows: &'a [Planned<'_>],
) -> Result<(), StepError> {
    let statement = Statement::new(set.table, set.shape);
    // In a table whose rows affect each other, an update goes row by row: SQLite does not promise in
    // which order `UPDATE … FROM` comes to them.
    let one_by_one = set.policy == Policy::Order && set.shape.kind != Kind::Insert;
    let mut binds: Vec<Bind<'a>> = Vec::new();
    let ranges = chunks(set.rows.len(), statement.width);
    let ranges = ranges.flat_map(|range| {
        let size = if one_by_one { 1 } else { range.len().max(1) };
        range.clone().step_by(size).map(move |from| from..(from + size).min(range.end))
    });
    for range in ranges {
        binds.clear();
        let chunk = || set.rows[range.clone()].iter().map(|index| &rows[*index]);
        chunk().for_each(|row| bind_row(row, &mut binds));
        let Statement { head, tail, width } = &statement;
        let changed = Rows { head, tail, width: *width, binds: &binds }.execute(conn);
        let single = || {
            let row = chunk().next().filter(|_| range.len() == 1);
            row.map(|row| format!("table {}, key {}", set.table.name, key_text(row.key)))
        };
        let changed = changed.map_err(|error| StepError::Database(error, single()))?;
        if set.shape.kind == Kind::Modify && changed < range.len() {
            return Err(explain(conn, set.table, chunk())?);
        }
    }
    Ok(())
}

/// The text around the rows, and how many values each has.
struct Statement {
    head: String,
    tail: String,
    width: usize,
}

impl Statement {
    fn new(table: &Table, shape: Shape) -> Self {
        let name = quoted(table.name);
        let column = |index: &usize| quoted(table.columns[*index].0);
        let keys: Vec<String> = table.key.iter().map(column).collect();
        let columns: Vec<(usize, bool)> = shape.columns().collect();
        let named: Vec<String> =
            keys.iter().cloned().chain(columns.iter().map(|(index, _)| column(index))).collect();
        let insert = format!("INSERT INTO {name} ({}) VALUES ", named.join(","));
        let on_key = format!(" ON CONFLICT ({}) DO ", keys.join(","));
        match shape.kind {
            Kind::Insert => Self { head: insert, tail: String::new(), width: named.len() },
            Kind::InsertNew => Self { head: insert, tail: on_key + "NOTHING", width: named.len() },
            Kind::Upsert => {
                let sets = named[keys.len()..].iter().map(|name| format!("{name}=excluded.{name}"));
                let sets = sets.collect::<Vec<_>>().join(",");
                let action = if sets.is_empty() {
                    "NOTHING".to_owned()
                } else {
                    format!("UPDATE SET {sets}")
                };
                Self { head: insert, tail: on_key + &action, width: named.len() }
            }
            Kind::Modify => Self::modify(table, &keys, &columns),
            Kind::Delete => Self {
                head: format!("DELETE FROM {name} WHERE ({}) IN (VALUES ", keys.join(",")),
                tail: ")".to_owned(),
                width: keys.len(),
            },
        }
    }

    /// A row that does not exist or would overflow is not changed, which the count tells.
    fn modify(table: &Table, keys: &[String], columns: &[(usize, bool)]) -> Self {
        let name = quoted(table.name);
        let mut width = 0;
        let mut next = || {
            width += 1;
            format!("v.column{width}")
        };
        let mut conditions: Vec<String> =
            keys.iter().map(|key| format!("{name}.{key}={}", next())).collect();
        let mut sets = Vec::new();
        for (index, added) in columns {
            let (column, kind) = table.columns[*index];
            let column = quoted(column);
            if !added {
                sets.push(format!("{column}={}", next()));
                continue;
            }
            let old = format!("coalesce({name}.{column},0)");
            sets.push(format!("{column}={old}+{}", next()));
            conditions.push(if matches!(kind, ColumnKind::Float | ColumnKind::Double) {
                format!("typeof({old}) IN ('integer','real')")
            } else {
                // Text and blobs compare above all numbers.
                format!("{old} BETWEEN {} AND {}", next(), next())
            });
        }
        if sets.is_empty() {
            sets.push(format!("{0}={name}.{0}", keys[0]));
        }
        Self {
            head: format!("UPDATE {name} SET {} FROM (VALUES ", sets.join(",")),
            tail: format!(") AS v WHERE {}", conditions.join(" AND ")),
            width,
        }
    }
}

fn bind_row<'a>(row: &'a Planned<'_>, binds: &mut Vec<Bind<'a>>) {
    let kind = |column: usize| row.table.columns[column].1;
    let keys = row.table.key.iter().zip(row.key);
    binds.extend(keys.map(|(column, value)| Bind::new(kind(*column), value)));
    for (column, cell) in &row.cells {
        match cell {
            Cell::Set(value) => binds.push(Bind::new(kind(*column), value)),
            Cell::SetSum(value) => binds.push(Bind::new(kind(*column), value)),
            Cell::AddFloat(by) => binds.push(Bind::Float(*by)),
            Cell::Add { total, low, high } => {
                let (lowest, highest) = range(kind(*column));
                binds.extend([
                    Bind::Integer(*total),
                    Bind::Integer(lowest.saturating_sub(*low)),
                    Bind::Integer(highest.saturating_sub(*high)),
                ]);
            }
        }
    }
}

/// Why a chunk of updates changed fewer rows than it has. The transaction is rolled back in any case.
fn explain<'a, 'p: 'a>(
    conn: &mut SqliteConnection,
    table: &'static Table,
    rows: impl Iterator<Item = &'a Planned<'p>>,
) -> QueryResult<StepError> {
    let keys: Vec<String> = table.key.iter().map(|key| quoted(table.columns[*key].0)).collect();
    let exists = Statement::modify(table, &keys, &[]);
    for row in rows {
        let mut binds = Vec::new();
        bind_row(row, &mut binds);
        let binds = &binds[..keys.len()];
        let Statement { head, tail, width } = &exists;
        if (Rows { head, tail, width: *width, binds }).execute(conn)? == 0 {
            let key = key_text(row.key);
            return Ok(StepError::Rule(format!("table {} has no row with key {key}", table.name)));
        }
        // As the memory store does: name the column that cannot be added to.
        let added = row.cells.iter().filter(|(_, cell)| cell.is_add());
        for (column, cell) in added {
            let alone = Statement::modify(table, &keys, &[(*column, true)]);
            let mut binds = Vec::new();
            let only = Planned {
                table,
                key: row.key,
                kind: row.kind,
                cells: [(*column, cell.clone())].into_iter().collect(),
            };
            bind_row(&only, &mut binds);
            let Statement { head, tail, width } = &alone;
            if (Rows { head, tail, width: *width, binds: &binds }).execute(conn)? == 0 {
                return Ok(StepError::Rule(format!(
                    "column {} of table {} overflows or holds no number, in the row with key {}",
                    table.columns[*column].0,
                    table.name,
                    key_text(row.key)
                )));
            }
        }
    }
    let text = format!("an update of table {} did not change all its rows", table.name);
    Ok(StepError::Rule(text))
}

fn key_text(key: &Key) -> String {
    key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl StepError {
    /// The message for people; Diesel's errors by their whole text.
    pub(crate) fn message(&self) -> String {
        match self {
            StepError::Rule(message) => message.clone(),
            StepError::Database(Error::DatabaseError(kind, info), Some(place))
                if !matches!(kind, DatabaseErrorKind::Unknown) =>
            {
                format!("{} ({place})", info.message())
            }
            StepError::Database(error, Some(place)) => format!("{error} ({place})"),
            StepError::Database(error, None) => error.to_string(),
        }
    }
}
