//! Tells the statements that the store would run.

use std::any::Any;

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::{
    ChangeError, Explanation, Op, PartitionId, Recorded, Reducer, Table, Value, explain,
};

use super::{
    PostgresError, PostgresStore,
    execute::said,
    fault::Fault,
    introspect::{Catalog, Introspect},
    sql::{Bind, Schema, Session},
    statement::{Selection, Statements, Target, bind_keys, bind_rows, numbered},
    tables::name_of,
};
use crate::{
    SqlExplanation, SqlStatement,
    plan::{Facts, Kind, Plan, PlanError, Planned, Planner, Set, Step, TableFacts},
    typed::SqlOp,
};

impl PostgresStore {
    /// Tells what the reducer makes of events, and the statements that this store would run for them
    /// as one transaction. Nothing is changed: it reads the schema, and no rows.
    ///
    /// Values are bound as arrays, one for each column: the [values](SqlStatement::values) are those of
    /// the first array, then those of the second, and so on.
    ///
    /// # Errors
    /// [`PostgresError`] when the schema cannot be read.
    pub fn explain<'e, R: Reducer>(
        &self,
        reducer: &R,
        events: impl IntoIterator<Item = &'e Recorded<R::Event>>,
    ) -> Result<SqlExplanation, PostgresError> {
        self.explain_reduced(explain(reducer, events))
    }

    /// Tells the statements for what was explained already, such as by
    /// [`explain_engine`](rederive_core::explain_engine).
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub fn explain_reduced(&self, reduced: Explanation) -> Result<SqlExplanation, PostgresError> {
        let ops = reduced.ops().into_iter();
        let ops: Vec<(PartitionId, Vec<Op>)> = ops
            .map(|(partition, ops)| (partition.clone(), ops.into_iter().cloned().collect()))
            .collect();
        let schema = &self.database().0.connections.schema;
        let planned = self.database().0.connections.read(|conn| {
            let told = statements(&mut Session { conn, schema }, &ops);
            match told {
                Err(Untold::Database(error)) if Fault::of(&error).is_transient() => Err(error),
                Err(Untold::Database(error)) => Ok(Err(said(&error))),
                Err(Untold::Rejected(message)) => Ok(Err(message)),
                Ok(statements) => Ok(Ok(statements)),
            }
        })?;
        let (statements, rejected) = match planned {
            Ok(statements) => (statements, None),
            Err(message) => (Vec::new(), Some(message)),
        };
        Ok(SqlExplanation { reduced, statements, rejected })
    }
}

/// Why there are no statements to tell.
enum Untold {
    Database(diesel::result::Error),
    Rejected(String),
}

impl From<diesel::result::Error> for Untold {
    fn from(error: diesel::result::Error) -> Self {
        Untold::Database(error)
    }
}

impl From<ChangeError> for Untold {
    fn from(error: ChangeError) -> Self {
        Untold::Rejected(error.message)
    }
}

fn statements(
    session: &mut Session<'_>,
    ops: &[(PartitionId, Vec<Op>)],
) -> Result<Vec<SqlStatement>, Untold> {
    let mut catalog = Catalog::default();
    let facts = Introspect { catalog: &mut catalog, session: &mut *session, in_order: false };
    let mut planner = Planner::new(facts);
    for (partition, ops) in ops {
        planner.add(partition, ops).map_err(|error| match error {
            PlanError::Facts(error) => Untold::Database(error),
            PlanError::Misfit(message) => Untold::Rejected(message),
        })?;
    }
    let plan = planner.finish();
    let mut told = Vec::new();
    for step in &plan.steps {
        match step {
            Step::Rows(set) => of_set(session.schema, &plan, set, &mut told)?,
            Step::Where(op) => {
                let facts = facts_of(&mut catalog, session, op.table)?;
                let name = name_of(op.table, session.schema);
                let target = Target { table: op.table, name: &name, facts: &facts };
                let Selection { refused, change } = Selection::new(target, op)?;
                if let Some((text, binds)) = refused {
                    let note = "the transaction is rejected if this finds a row";
                    told.push(told_of(&text, &binds).with(note));
                }
                if let Some((text, binds)) = change {
                    told.push(told_of(&text, &binds));
                }
            }
            Step::Custom(op) => match (&***op as &dyn Any).downcast_ref::<SqlOp<PgConnection>>() {
                Some(op) => told.push(op.explained()),
                None => {
                    let message = format!("the PostgreSQL store cannot run {op:?}");
                    return Err(Untold::Rejected(message));
                }
            },
        }
    }
    Ok(told)
}

fn facts_of(
    catalog: &mut Catalog,
    session: &mut Session<'_>,
    table: &'static Table,
) -> QueryResult<std::rc::Rc<TableFacts>> {
    Introspect { catalog, session, in_order: false }.of(table)
}

fn of_set(
    schema: &Schema,
    plan: &Plan<'_>,
    set: &Set,
    told: &mut Vec<SqlStatement>,
) -> Result<(), ChangeError> {
    let rows: Vec<&Planned<'_>> = set.rows.iter().map(|index| &plan.rows[*index]).collect();
    let name = name_of(set.table, schema);
    let target = Target { table: set.table, name: &name, facts: &set.facts };
    let statements = Statements::new(target, set.shape);
    let is_computed = set.shape.kind == Kind::Compute;
    for range in statements.ranges(rows.len()) {
        let chunk = &rows[range];
        let binds = match is_computed {
            true => bind_keys(set.table, chunk)?,
            false => bind_rows(set.table, set.shape, chunk)?,
        };
        told.push(told_of(&statements.first, &binds));
        if let Some(missing) = &statements.missing {
            let note = "unless the statement before has changed all its rows";
            told.push(told_of(missing, &binds).with(note));
        }
        if is_computed {
            let note = format!("an update of the rows of {} as they are computed", set.table.name);
            told.push(SqlStatement::unknown(note));
        }
    }
    Ok(())
}

fn told_of(text: &str, binds: &[Bind<'_>]) -> SqlStatement {
    let values = binds.iter().flat_map(Bind::values).collect();
    SqlStatement { sql: numbered(text), values, note: None }
}

impl Bind<'_> {
    /// The values, as people are told them.
    fn values(&self) -> Vec<Value> {
        fn all<T: Clone + Into<Value>>(values: &[Option<T>]) -> Vec<Value> {
            values.iter().cloned().map(Value::from).collect()
        }
        match self {
            Bind::Bool(value) => vec![(*value).into()],
            Bind::BigInt(value) => vec![(*value).into()],
            Bind::Text(value) => vec![value.as_deref().into()],
            Bind::Bools(values) => all(values),
            Bind::SmallInts(values) => all(values),
            Bind::Integers(values) => all(values),
            Bind::BigInts(values) => all(values),
            Bind::Floats(values) => all(values),
            Bind::Doubles(values) => all(values),
            Bind::Texts(values) => values.iter().map(|value| value.as_deref().into()).collect(),
            Bind::Binaries(values) => all(values),
        }
    }
}
