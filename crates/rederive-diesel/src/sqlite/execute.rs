//! Runs the steps of a plan.

use diesel::{QueryResult, result::DatabaseErrorKind, result::Error, sqlite::SqliteConnection};
use rederive_core::{Change, ChangeError, Key, Table, Value, WhereOp};
use smallvec::{SmallVec, smallvec};

use super::{
    fault::Fault,
    rows::{Bind, Stored, read},
    statement::{Selection, Statement, Statements, bind_key, bind_row},
    transaction,
};
use crate::{
    compute::{self, key_text},
    plan::{Cell, Kind, Plan, Planned, Policy, Set, Shape, Step, TableFacts},
    typed::SqlOp,
};

/// A step failed.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The database said so; what was being done, if known.
    Database(Error, Option<String>),
    /// A rule of ours was broken, or code of the user's failed.
    Rule(ChangeError),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        StepError::Database(error, None)
    }
}

impl From<ChangeError> for StepError {
    fn from(error: ChangeError) -> Self {
        StepError::Rule(error)
    }
}

impl StepError {
    pub(super) fn rule(message: impl ToString) -> Self {
        StepError::Rule(ChangeError::rejected(message))
    }
}

/// Runs all steps, in order, in the transaction that is open.
pub(crate) fn run(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StepError> {
    for step in &plan.steps {
        match step {
            Step::Rows(set) => {
                let mut rows: Vec<_> = set.rows.iter().map(|index| &plan.rows[*index]).collect();
                if set.facts.policy != Policy::Order {
                    // In the order of the index, neighbours are on one page, which is still at hand.
                    rows.sort_unstable_by_key(|row| row.key);
                }
                match set.shape.kind {
                    Kind::Compute => compute_rows(conn, set, &rows)?,
                    _ => write(conn, set.table, set.shape, &set.facts, &rows)?,
                }
            }
            Step::Where(op) => change_where(conn, op)?,
            Step::Custom(op) => {
                match (&***op as &dyn std::any::Any).downcast_ref::<SqlOp<SqliteConnection>>() {
                    Some(op) => run_custom(conn, op)?,
                    None => {
                        return Err(StepError::rule(format!("the SQLite store cannot run {op:?}")));
                    }
                }
            }
        }
    }
    Ok(())
}

fn run_custom(conn: &mut SqliteConnection, op: &SqlOp<SqliteConnection>) -> QueryResult<()> {
    op.run(conn)?;
    if !op.is_closure || transaction::is_open(conn)? {
        return Ok(());
    }
    let text = "the closure began or ended a transaction, or hid an error that ended it";
    Err(Error::QueryBuilderError(text.into()))
}

/// Writes rows of one table and shape.
fn write(
    conn: &mut SqliteConnection,
    table: &'static Table,
    shape: Shape,
    facts: &TableFacts,
    rows: &[&Planned<'_>],
) -> Result<(), StepError> {
    let statements = Statements::new(table, shape, facts);
    let mut binds: Vec<Bind<'_>> = Vec::new();
    for range in statements.ranges(rows.len()) {
        let chunk = &rows[range];
        binds.clear();
        chunk.iter().for_each(|row| bind_row(row, &mut binds));
        let statement = statements.of(chunk.len());
        let mut done = statement.rows(&binds).execute(conn);
        if let Some(missing) = &statements.missing
            && done.as_ref().is_ok_and(|changed| *changed < chunk.len())
        {
            done = missing.rows(&binds).execute(conn).map(|_| chunk.len());
        }
        match done {
            Err(error) => return Err(blame(conn, table, shape, facts, chunk, error)),
            Ok(changed) if shape.kind == Kind::Update && changed < chunk.len() => {
                return Err(why_unchanged(conn, table, chunk)?);
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Reads rows, has their changes computed here, and writes what has become of them.
fn compute_rows(
    conn: &mut SqliteConnection,
    set: &Set,
    rows: &[&Planned<'_>],
) -> Result<(), StepError> {
    let (table, facts) = (set.table, &*set.facts);
    let statements = Statements::new(table, set.shape, facts);
    let columns: Vec<usize> = set.shape.columns().map(|(column, _)| column).collect();
    for range in statements.ranges(rows.len()) {
        let chunk = &rows[range];
        let mut binds = Vec::new();
        for (number, row) in (0..).zip(chunk) {
            binds.push(Bind::Integer(number));
            bind_key(row, &mut binds);
        }
        let mut stored: Vec<Option<Vec<Value>>> = vec![None; chunk.len()];
        for Stored(values) in statements.of(chunk.len()).rows(&binds).stored(conn)? {
            let mut values = values.into_iter();
            if let Some(Value::Integer(number)) = values.next()
                && let Some(place) = stored.get_mut(usize::try_from(number).unwrap_or(usize::MAX))
            {
                let kinds = columns.iter().map(|column| table.columns[*column].1);
                *place = Some(values.zip(kinds).map(|(value, kind)| read(value, kind)).collect());
            }
        }
        let mut changed: Vec<(Shape, Vec<Planned<'_>>)> = Vec::new();
        for (row, stored) in chunk.iter().zip(stored) {
            let stored = stored.ok_or_else(|| compute::no_row(table, row.key))?;
            let old = compute::whole(row, &columns, stored);
            let new = compute::changed(row, &row.changes, &old, &columns, facts)?;
            compute::gather(row, &columns, &old, &new, &mut changed);
        }
        for (shape, rows) in &changed {
            write(conn, table, *shape, facts, &rows.iter().collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn change_where(conn: &mut SqliteConnection, op: &WhereOp) -> Result<(), StepError> {
    let Selection { read, refused, change } = Selection::new(op);
    let named = |error| StepError::Database(error, Some(op.to_string()));
    if let Some((statement, binds)) = read {
        let found = statement.rows(&binds).stored(conn).map_err(named)?;
        return found.into_iter().try_for_each(|row| compute_selected(conn, op, row));
    }
    if let Some((statement, binds)) = refused {
        let found = statement.rows(&binds).stored(conn).map_err(named)?;
        if let Some(Stored(key)) = found.first() {
            return Err(StepError::rule(format!(
                "{op}: the column overflows or holds no number, in the row with key {}",
                key_text(key)
            )));
        }
    }
    if let Some((statement, binds)) = change {
        statement.rows(&binds).execute(conn).map_err(named)?;
    }
    Ok(())
}

/// Changes the one column of a row that was selected, of which the key and the column were read.
fn compute_selected(
    conn: &mut SqliteConnection,
    op: &WhereOp,
    Stored(mut stored): Stored,
) -> Result<(), StepError> {
    let table = op.table;
    let (Change::Increment(column, _), Some(old)) = (&op.change, stored.pop()) else {
        return Ok(());
    };
    let mut row = vec![Value::Null; table.columns.len()];
    row[*column] = old.read_as(table.columns[*column].1);
    let key: Key = stored
        .iter()
        .zip(table.key)
        .map(|(value, column)| value.clone().read_as(table.columns[*column].1))
        .collect();
    let Some(new) = op.change.apply(table, &key, Some(&row))? else { return Ok(()) };
    if new[*column] == row[*column] {
        return Ok(());
    }
    let cells = smallvec![(*column, Cell::SetTo(new[*column].clone()))];
    let row = Planned { cells, kind: Kind::Update, table, key: &key, changes: Vec::new() };
    let mut binds = Vec::new();
    bind_row(&row, &mut binds);
    // The key as it is stored, whoever stored it.
    for (bind, value) in binds.iter_mut().zip(&stored) {
        *bind = Bind::stored(value);
    }
    let done = Statement::update_one(table, Shape::of(&row)).rows(&binds).execute(conn);
    match done {
        Err(error) => {
            let place = format!("table {}, key {}", table.name, key_text(&key));
            Err(StepError::Database(error, Some(place)))
        }
        Ok(0) => Err(compute::no_row(table, &key).into()),
        Ok(_) => Ok(()),
    }
}

/// Which row of a chunk a failed statement is about. The transaction is rolled back in any case, so
/// it may be asked by writing them one by one.
fn blame(
    conn: &mut SqliteConnection,
    table: &'static Table,
    shape: Shape,
    facts: &TableFacts,
    chunk: &[&Planned<'_>],
    error: Error,
) -> StepError {
    if let [row] = chunk {
        let place = format!("table {}, key {}", table.name, key_text(row.key));
        return StepError::Database(error, Some(place));
    }
    // If the error has ended the transaction, the rows would stay.
    let may_ask = !Fault::of(&error).is_transient() && transaction::is_open(conn).unwrap_or(false);
    let guilty = chunk.iter().filter(|_| may_ask).find_map(|row| {
        match write(conn, table, shape, facts, &[row]) {
            Err(guilty @ StepError::Database(..)) => Some(guilty),
            _ => None,
        }
    });
    guilty.unwrap_or_else(|| StepError::Database(error, Some(format!("table {}", table.name))))
}

/// Why a chunk of updates changed fewer rows than it has. The transaction is rolled back in any case,
/// so it may be asked by changing things.
fn why_unchanged(
    conn: &mut SqliteConnection,
    table: &'static Table,
    rows: &[&Planned<'_>],
) -> QueryResult<StepError> {
    for row in rows {
        let with = |cells| Planned { cells, ..(*row).clone() };
        let key = key_text(row.key);
        if !changes(conn, &with(SmallVec::new()))? {
            return Ok(compute::no_row(table, row.key).into());
        }
        for (column, cell) in row.cells.iter().filter(|(_, cell)| cell.is_add()) {
            if !changes(conn, &with(smallvec![(*column, cell.clone())]))? {
                return Ok(StepError::rule(format!(
                    "column {} of table {} overflows or holds no number, in the row with key {key}",
                    table.columns[*column].0, table.name
                )));
            }
        }
    }
    let text = format!("an update of table {} did not change all its rows", table.name);
    Ok(StepError::rule(text))
}

/// Whether the row, taken by itself, changes anything.
fn changes(conn: &mut SqliteConnection, row: &Planned<'_>) -> QueryResult<bool> {
    let mut binds = Vec::new();
    bind_row(row, &mut binds);
    Ok(Statement::update_one(row.table, Shape::of(row)).rows(&binds).execute(conn)? > 0)
}

impl StepError {
    /// The message for people; Diesel's errors by their whole text.
    pub(crate) fn message(&self) -> String {
        match self {
            StepError::Rule(error) => error.message.clone(),
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
