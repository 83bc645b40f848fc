//! Runs the steps of a plan.

use std::any::Any;

use diesel::{
    QueryResult,
    pg::PgConnection,
    result::{DatabaseErrorKind, Error},
};
use rederive_core::{ChangeError, CustomOp, Table, Value, WhereOp};
use smallvec::{SmallVec, smallvec};

use super::{
    introspect::Introspect,
    sql::{Session, Sql},
    statement::{Selection, Statements, Target, bind_keys, bind_rows},
    tables::name_of,
    transaction,
};
use crate::{
    compute::{self, key_text},
    plan::{Facts, Kind, Plan, Planned, Set, Shape, Step, TableFacts, Takes},
    typed::SqlOp,
};

/// A step failed.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The database said so; what was being done, if known, and whether a single row was.
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

/// How the steps of a plan are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Many rows by one statement.
    Together,
    /// Row by row, to see which of them is refused: the first error ends a transaction of
    /// PostgreSQL's, and does not tell the row.
    OneByOne,
}

/// Runs all steps, in order, in the transaction that is open.
pub(crate) fn run(
    session: &mut Session<'_>,
    catalog: &mut super::introspect::Catalog,
    plan: &Plan<'_>,
    manner: Manner,
) -> Result<(), StepError> {
    for step in &plan.steps {
        match step {
            Step::Rows(set) => {
                let mut rows: Vec<_> = set.rows.iter().map(|index| &plan.rows[*index]).collect();
                if !set.facts.row_by_row {
                    // Whoever locks the same rows does so in the same order.
                    rows.sort_unstable_by(|a, b| a.key.cmp(b.key));
                }
                match set.shape.kind {
                    Kind::Compute => compute_rows(session, set, &rows)?,
                    _ => write(session, set.table, set.shape, &set.facts, &rows, manner)?,
                }
            }
            Step::Where(op) => {
                let mut facts = Introspect { catalog: &mut *catalog, session, in_order: false };
                let facts = facts.of(op.table)?;
                change_where(session, op, &facts)?;
            }
            Step::Custom(op) => run_custom(session.conn, &***op)?,
        }
    }
    Ok(())
}

fn run_custom(conn: &mut PgConnection, op: &dyn CustomOp) -> Result<(), StepError> {
    let Some(op) = (op as &dyn Any).downcast_ref::<SqlOp<PgConnection>>() else {
        return Err(StepError::rule(format!("the PostgreSQL store cannot run {op:?}")));
    };
    let mark = if op.is_closure { Some(transaction::mark(conn)?) } else { None };
    op.run(conn)?;
    if mark.is_none_or(|mark| transaction::is_open(conn, &mark)) {
        return Ok(());
    }
    let text = "the closure began or ended a transaction, or hid an error that ended it";
    Err(StepError::rule(text))
}

/// Writes rows of one table and shape.
fn write(
    session: &mut Session<'_>,
    table: &'static Table,
    shape: Shape,
    facts: &TableFacts,
    rows: &[&Planned<'_>],
    manner: Manner,
) -> Result<(), StepError> {
    let name = name_of(table, session.schema);
    let statements = Statements::new(Target { table, name: &name, facts }, shape);
    let ranges: Vec<_> = match manner {
        Manner::Together => statements.ranges(rows.len()).collect(),
        Manner::OneByOne => (0..rows.len()).map(|at| at..at + 1).collect(),
    };
    for range in ranges {
        let chunk = &rows[range];
        let binds = bind_rows(table, shape, chunk)?;
        let mut done = Sql { text: &statements.first, binds: &binds }.execute(session.conn);
        if let Some(missing) = &statements.missing
            && done.as_ref().is_ok_and(|changed| *changed < chunk.len())
        {
            let inserted = Sql { text: missing, binds: &binds }.execute(session.conn);
            done = inserted.map(|_| chunk.len());
        }
        match done {
            Err(error) => {
                let place = match chunk {
                    [row] => format!("table {}, key {}", table.name, key_text(row.key)),
                    _ => format!("table {}", table.name),
                };
                return Err(StepError::Database(error, Some(place)));
            }
            Ok(changed) if shape.kind == Kind::Update && changed < chunk.len() => {
                return Err(why_unchanged(session, table, facts, chunk)?);
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Reads rows, has their changes computed here, and writes what has become of them.
fn compute_rows(
    session: &mut Session<'_>,
    set: &Set,
    rows: &[&Planned<'_>],
) -> Result<(), StepError> {
    let (table, facts) = (set.table, &*set.facts);
    let name = name_of(table, session.schema);
    let statements = Statements::new(Target { table, name: &name, facts }, set.shape);
    let columns: Vec<usize> = set.shape.columns().map(|(column, _)| column).collect();
    // Where only the database can say whether it takes a value, it sees each state of a row.
    let is_seen = columns
        .iter()
        .any(|column| !matches!(facts.takes[*column], Takes::All | Takes::Text(usize::MAX)));
    let longest = rows.iter().map(|row| row.changes.len()).max().unwrap_or(0);
    let at_once = if is_seen { 1 } else { longest.max(1) };
    for from in (0..longest).step_by(at_once) {
        let rows: Vec<_> = rows.iter().copied().filter(|row| row.changes.len() > from).collect();
        for range in statements.ranges(rows.len()) {
            let chunk = &rows[range];
            let mut stored: Vec<Option<Vec<Value>>> = vec![None; chunk.len()];
            let binds = bind_keys(table, chunk)?;
            for mut row in (Sql { text: &statements.first, binds: &binds }).rows(session.conn)? {
                let place = usize::try_from(row.integer()? - 1).ok();
                if let Some(place) = place.and_then(|place| stored.get_mut(place)) {
                    *place = Some(row.into_values());
                }
            }
            let mut updates = Vec::new();
            for (row, stored) in chunk.iter().zip(stored) {
                let stored = stored.ok_or_else(|| compute::no_row(table, row.key))?;
                let old = compute::whole(row, &columns, stored);
                let changes = &row.changes[from..row.changes.len().min(from + at_once)];
                let new = compute::changed(row, changes, &old, &columns, facts)?;
                compute::gather(row, &columns, &old, &new, &mut updates);
            }
            for (shape, rows) in &updates {
                let rows: Vec<_> = rows.iter().collect();
                write(session, table, *shape, facts, &rows, Manner::Together)?;
            }
        }
    }
    Ok(())
}

fn change_where(
    session: &mut Session<'_>,
    op: &WhereOp,
    facts: &TableFacts,
) -> Result<(), StepError> {
    let name = name_of(op.table, session.schema);
    let target = Target { table: op.table, name: &name, facts };
    let Selection { refused, change } = Selection::new(target, op)?;
    let named = |error| StepError::Database(error, Some(op.to_string()));
    if let Some((text, binds)) = refused {
        let found = Sql { text: &text, binds: &binds }.row(session.conn).map_err(named)?;
        if let Some(key) = found {
            return Err(StepError::rule(format!(
                "{op}: the column overflows or holds no number, in the row with key {}",
                key_text(&key.into_values())
            )));
        }
    }
    if let Some((text, binds)) = change {
        Sql { text: &text, binds: &binds }.execute(session.conn).map_err(named)?;
    }
    Ok(())
}

/// Why a chunk of updates changed fewer rows than it has. The transaction is rolled back in any case,
/// so it may be asked by changing things.
fn why_unchanged(
    session: &mut Session<'_>,
    table: &'static Table,
    facts: &TableFacts,
    rows: &[&Planned<'_>],
) -> Result<StepError, StepError> {
    for row in rows {
        let with = |cells| Planned { cells, ..(*row).clone() };
        let key = key_text(row.key);
        if !changes(session, facts, &with(SmallVec::new()))? {
            return Ok(compute::no_row(table, row.key).into());
        }
        for (column, cell) in row.cells.iter().filter(|(_, cell)| cell.is_add()) {
            if !changes(session, facts, &with(smallvec![(*column, cell.clone())]))? {
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
fn changes(
    session: &mut Session<'_>,
    facts: &TableFacts,
    row: &Planned<'_>,
) -> Result<bool, StepError> {
    let (table, shape) = (row.table, Shape::of(row));
    let name = name_of(table, session.schema);
    let statements = Statements::new(Target { table, name: &name, facts }, shape);
    let binds = bind_rows(table, shape, &[row])?;
    let changed: QueryResult<usize> =
        Sql { text: &statements.first, binds: &binds }.execute(session.conn);
    Ok(changed? > 0)
}

impl StepError {
    /// The message for people.
    pub(crate) fn message(&self) -> String {
        match self {
            StepError::Rule(error) => error.message.clone(),
            StepError::Database(error, place) => {
                let mut message = said(error);
                if let Some(place) = place {
                    message.push_str(&format!(" ({place})"));
                }
                message
            }
        }
    }
}

/// What the server said, with what it knows of the row.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::DatabaseError(kind, info)
            if !matches!(kind, DatabaseErrorKind::ClosedConnection) =>
        {
            match info.details() {
                Some(details) => format!("{}: {details}", info.message()),
                None => info.message().to_owned(),
            }
        }
        other => super::connections::text_of(other),
    }
}
