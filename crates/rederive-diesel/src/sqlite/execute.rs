//! Runs the steps of a plan.

use diesel::{QueryResult, result::DatabaseErrorKind, result::Error, sqlite::SqliteConnection};
use rederive_core::{ColumnKind, Key, Table};
use smallvec::{SmallVec, smallvec};

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
    // In a table whose rows affect each other, an update goes row by row: SQLite does not promise in
    // which order `UPDATE … FROM` comes to them.
    let one_by_one = set.policy == Policy::Order && set.shape.kind != Kind::Insert;
    let (table, shape) = (set.table, set.shape);
    let many = Statement::of_many(table, shape);
    let one = Statement::of_one(table, shape);
    let mut binds: Vec<Bind<'a>> = Vec::new();
    for range in chunks(if one_by_one { 1 } else { usize::MAX }, set.rows.len(), many.width) {
        binds.clear();
        let chunk = || set.rows[range.clone()].iter().map(|index| &rows[*index]);
        chunk().for_each(|row| bind_row(row, &mut binds));
        let alone = chunk().next().filter(|_| range.len() == 1);
        let statement = if alone.is_some() { one.as_ref().unwrap_or(&many) } else { &many };
        let changed = statement.execute(conn, &binds).map_err(|error| {
            let place = alone.map(|row| format!("table {}, key {}", table.name, key_text(row.key)));
            StepError::Database(error, place)
        })?;
        if shape.kind == Kind::Modify && changed < range.len() {
            return Err(explain(conn, table, chunk())?);
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
    fn of_many(table: &Table, shape: Shape) -> Self {
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
            Kind::Modify => {
                let Modification { sets, conditions, width } =
                    Modification::new(table, &columns, |nth| format!("v.column{nth}"));
                Self {
                    head: format!("UPDATE {name} SET {sets} FROM (VALUES "),
                    tail: format!(") AS v WHERE {conditions}"),
                    width,
                }
            }
            Kind::Delete => Self {
                head: format!("DELETE FROM {name} WHERE ({}) IN (VALUES ", keys.join(",")),
                tail: ")".to_owned(),
                width: keys.len(),
            },
        }
    }

    /// The same for a single row, where that is quicker.
    fn of_one(table: &Table, shape: Shape) -> Option<Self> {
        let name = quoted(table.name);
        let columns: Vec<(usize, bool)> = shape.columns().collect();
        let modification = Modification::new(table, &columns, |nth| format!("?{nth}"));
        let Modification { sets, conditions, width } = modification;
        let head = match shape.kind {
            Kind::Modify => format!("UPDATE {name} SET {sets} WHERE {conditions} -- "),
            Kind::Delete => format!("DELETE FROM {name} WHERE {conditions} -- "),
            Kind::Insert | Kind::InsertNew | Kind::Upsert => return None,
        };
        Some(Self { head, tail: String::new(), width })
    }

    fn execute(&self, conn: &mut SqliteConnection, binds: &[Bind<'_>]) -> QueryResult<usize> {
        let Self { head, tail, width } = self;
        Rows { head, tail, width: *width, binds }.execute(conn)
    }
}

/// What an update sets, and which rows it changes: one that does not exist or would overflow is not
/// among them, which the count of changed rows tells.
struct Modification {
    sets: String,
    conditions: String,
    width: usize,
}

impl Modification {
    /// `value` names the nth value of a row, counted from one.
    fn new(table: &Table, columns: &[(usize, bool)], value: impl Fn(usize) -> String) -> Self {
        let name = quoted(table.name);
        let mut width = 0;
        let mut next = || {
            width += 1;
            value(width)
        };
        let keys = table.key.iter().map(|key| quoted(table.columns[*key].0));
        let mut conditions: Vec<String> =
            keys.map(|key| format!("{name}.{key}={}", next())).collect();
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
        if sets.is_empty()
            && let Some(key) = table.key.first()
        {
            let key = quoted(table.columns[*key].0);
            sets.push(format!("{key}={name}.{key}"));
        }
        Self { sets: sets.join(","), conditions: conditions.join(" AND "), width }
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

/// Why a chunk of updates changed fewer rows than it has. The transaction is rolled back in any case,
/// so it may be asked by changing things.
fn explain<'a, 'p: 'a>(
    conn: &mut SqliteConnection,
    table: &'static Table,
    rows: impl Iterator<Item = &'a Planned<'p>>,
) -> QueryResult<StepError> {
    for row in rows {
        let with = |cells| Planned { cells, ..row.clone() };
        let key = key_text(row.key);
        if !changes(conn, &with(SmallVec::new()))? {
            return Ok(StepError::Rule(format!("table {} has no row with key {key}", table.name)));
        }
        for (column, cell) in row.cells.iter().filter(|(_, cell)| cell.is_add()) {
            if !changes(conn, &with(smallvec![(*column, cell.clone())]))? {
                return Ok(StepError::Rule(format!(
                    "column {} of table {} overflows or holds no number, in the row with key {key}",
                    table.columns[*column].0, table.name
                )));
            }
        }
    }
    let text = format!("an update of table {} did not change all its rows", table.name);
    Ok(StepError::Rule(text))
}

/// Whether the row, taken by itself, changes anything.
fn changes(conn: &mut SqliteConnection, row: &Planned<'_>) -> QueryResult<bool> {
    let mut binds = Vec::new();
    bind_row(row, &mut binds);
    match Statement::of_one(row.table, Shape::of(row)) {
        Some(statement) => Ok(statement.execute(conn, &binds)? > 0),
        None => Ok(true),
    }
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
