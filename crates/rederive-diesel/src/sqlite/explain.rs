//! Tells the statements that the store would run.

use std::any::Any;

use diesel::{QueryResult, sqlite::SqliteConnection};
use rederive_core::{Explanation, Op, PartitionId, Recorded, Reducer, explain};

use super::{
    SqliteStore,
    fault::Fault,
    introspect::{Catalog, Introspect},
    rows::{Bind, Rows},
    statement::{Selection, Statements, bind_key, bind_row},
};
use crate::{
    SqlExplanation, SqlStatement, SqliteError,
    plan::{Kind, Plan, PlanError, Planned, Planner, Set, Step},
    typed::SqlOp,
};

impl SqliteStore {
    /// Tells what the reducer makes of events, and the statements that this store would run for them
    /// as one transaction. Nothing is changed: it reads the schema, and no rows.
    ///
    /// ```
    /// use diesel::{connection::SimpleConnection, prelude::*};
    /// use rederive_core::{MemoryLog, Ops, Partitions, Recorded, ReduceError, Reducer};
    /// use rederive_diesel::{SqliteDatabase, DieselOps};
    ///
    /// diesel::table! {
    ///     accounts (id) { id -> Text, balance -> BigInt }
    /// }
    ///
    /// struct Deposits;
    ///
    /// impl Reducer for Deposits {
    ///     type Event = (&'static str, i64);
    ///
    ///     fn name(&self) -> &str {
    ///         "deposits"
    ///     }
    ///
    ///     fn partition(&self, (account, _): &Self::Event) -> Partitions {
    ///         (*account).into()
    ///     }
    ///
    ///     fn reduce(&self, event: &Recorded<Self::Event>, ops: &mut Ops) -> Result<(), ReduceError> {
    ///         let (account, amount) = event.data;
    ///         ops.increment(accounts::balance, account, amount)
    ///     }
    /// }
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("bank.db");
    /// let db = SqliteDatabase::open(file)?;
    /// db.write(|conn| {
    ///     conn.batch_execute(
    ///         "CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL)",
    ///     )
    /// })?;
    /// let events = MemoryLog::new().append([("alice", 5), ("alice", 7)]);
    /// println!("{}", db.store().explain(&Deposits, &events)?);
    /// # let told = db.store().explain(&Deposits, &events)?;
    /// # assert_eq!(told.statements.len(), 1, "{told}");
    /// # assert_eq!(told.statements[0].values[..2], ["alice".into(), 12.into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SqliteError`] when the schema cannot be read.
    pub fn explain<'e, R: Reducer>(
        &self,
        reducer: &R,
        events: impl IntoIterator<Item = &'e Recorded<R::Event>>,
    ) -> Result<SqlExplanation, SqliteError> {
        self.explain_reduced(explain(reducer, events))
    }

    /// Tells the statements for what was explained already, such as by
    /// [`explain_engine`](rederive_core::explain_engine).
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub fn explain_reduced(&self, reduced: Explanation) -> Result<SqlExplanation, SqliteError> {
        let ops = reduced.ops().into_iter();
        let ops: Vec<(PartitionId, Vec<Op>)> = ops
            .map(|(partition, ops)| (partition.clone(), ops.into_iter().cloned().collect()))
            .collect();
        let planned = self.database().read(|conn| statements(conn, &ops))?;
        let (statements, rejected) = match planned {
            Ok(statements) => (statements, None),
            Err(message) => (Vec::new(), Some(message)),
        };
        Ok(SqlExplanation { reduced, statements, rejected })
    }
}

/// The statements, or why the ops cannot be planned.
fn statements(
    conn: &mut SqliteConnection,
    ops: &[(PartitionId, Vec<Op>)],
) -> QueryResult<Result<Vec<SqlStatement>, String>> {
    let mut catalog = Catalog::default();
    let mut planner = Planner::new(Introspect { catalog: &mut catalog, conn });
    for (partition, ops) in ops {
        match planner.add(partition, ops) {
            Ok(()) => {}
            Err(PlanError::Facts(error)) if Fault::of(&error).is_transient() => return Err(error),
            Err(PlanError::Facts(error)) => return Ok(Err(error.to_string())),
            Err(PlanError::Misfit(message)) => return Ok(Err(message)),
        }
    }
    let plan = planner.finish();
    let mut told = Vec::new();
    for step in &plan.steps {
        match step {
            Step::Rows(set) => of_set(&plan, set, &mut told),
            Step::Where(op) => {
                let Selection { read, refused, change } = Selection::new(op);
                if let Some((statement, binds)) = read {
                    told.push(told_of(&statement.rows(&binds)));
                    let note = format!("an update of each row of {} that is found", op.table.name);
                    told.push(SqlStatement::unknown(note));
                }
                if let Some((statement, binds)) = refused {
                    let note = "the transaction is rejected if this finds a row";
                    told.push(told_of(&statement.rows(&binds)).with(note));
                }
                if let Some((statement, binds)) = change {
                    told.push(told_of(&statement.rows(&binds)));
                }
            }
            Step::Custom(op) => {
                match (&***op as &dyn Any).downcast_ref::<SqlOp<SqliteConnection>>() {
                    Some(op) => told.push(op.explained()),
                    None => {
                        return Ok(Err(format!("the SQLite store cannot run {op:?}")));
                    }
                }
            }
        }
    }
    Ok(Ok(told))
}

fn of_set(plan: &Plan<'_>, set: &Set, told: &mut Vec<SqlStatement>) {
    let rows: Vec<&Planned<'_>> = set.rows.iter().map(|index| &plan.rows[*index]).collect();
    let statements = Statements::new(set.table, set.shape, &set.facts);
    let is_computed = set.shape.kind == Kind::Compute;
    for range in statements.ranges(rows.len()) {
        let chunk = &rows[range];
        let mut binds = Vec::new();
        for (number, row) in (0..).zip(chunk) {
            if is_computed {
                binds.push(Bind::Integer(number));
                bind_key(row, &mut binds);
            } else {
                bind_row(row, &mut binds);
            }
        }
        told.push(told_of(&statements.of(chunk.len()).rows(&binds)));
        if let Some(missing) = &statements.missing {
            let note = "unless the statement before has changed all its rows";
            told.push(told_of(&missing.rows(&binds)).with(note));
        }
        if is_computed {
            let note = format!("an update of the rows of {} as they are computed", set.table.name);
            told.push(SqlStatement::unknown(note));
        }
    }
}

fn told_of(rows: &Rows<'_>) -> SqlStatement {
    let values = rows.binds.iter().map(Bind::value).collect();
    SqlStatement { sql: rows.text(), values, note: None }
}
