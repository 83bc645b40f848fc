//! [`PostgresWriter`]: brings commits into the database, on a connection of its own.

use diesel::result::{DatabaseErrorKind as Kind, Error};
use rederive_core::{
    ChangeError, CommitError, Cursor, FailureKind, Op, PartitionWrite, ReducerWrite, Revision,
    StoreError, Writer, effect::has_effects, error::panic_message,
};

use super::{
    PostgresDatabase, advance, at_once,
    connections::{Failed, Line, in_doubt, text_of},
    execute::{self, Manner, StepError, said},
    fault::Fault,
    ids,
    introspect::{Catalog, Introspect},
    owned, progress, silence, skips,
    sql::Session,
};
use crate::plan::{PlanError, Planner};

/// Commits on a connection of its own.
pub(super) struct PostgresWriter {
    database: PostgresDatabase,
    line: Line,
    catalog: Catalog,
}

/// Why a transaction was rolled back.
enum Rejected {
    Fenced(String),
    Step(StepError),
    /// It was only a try.
    Tried,
}

impl<E: Into<StepError>> From<E> for Rejected {
    fn from(error: E) -> Self {
        Rejected::Step(error.into())
    }
}

/// How a transaction is run.
#[derive(Clone, Copy)]
struct Run {
    manner: Manner,
    /// Whether ops on tables with foreign keys run in the order given.
    in_order: bool,
    /// Whether it is taken back at its end in any case.
    is_try: bool,
}

const ORDINARY: Run = Run { manner: Manner::Together, in_order: false, is_try: false };

impl PostgresWriter {
    pub(super) fn new(database: PostgresDatabase) -> Self {
        let line = Line::new(&database.0.connections.committing);
        Self { database, line, catalog: Catalog::default() }
    }

    fn run(&mut self, writes: &[ReducerWrite<'_>], run: Run) -> Result<(), Failed<Rejected>> {
        let connections = &self.database.0.connections;
        let catalog = &mut self.catalog;
        let begin = match finds_rows_by_keys(writes) {
            true => &connections.begin_commit,
            false => &connections.begin_planned_anew,
        };
        self.line.transaction(begin, |conn| {
            let session = &mut Session { conn, schema: &connections.schema };
            commit(session, catalog, writes, run)?;
            if run.is_try { Err(Rejected::Tried) } else { Ok(()) }
        })
    }

    /// Commits by one statement, unless that cannot be or fails for a reason that only further ones show.
    fn at_once(&mut self, writes: &[ReducerWrite<'_>]) -> Option<Result<(), Failed<Rejected>>> {
        let connections = &self.database.0.connections;
        if !connections.is_direct {
            return None;
        }
        match at_once::commit(&mut self.line, &connections.schema, &self.catalog, writes)? {
            Ok(()) => Some(Ok(())),
            Err(Failed::Begin(error)) => Some(Err(Failed::Begin(error))),
            Err(Failed::Commit(error)) => Some(Err(Failed::Commit(error))),
            Err(Failed::Body(error)) if Fault::of(&error).is_transient() => {
                Some(Err(Failed::Body(error.into())))
            }
            Err(Failed::Body(_) | Failed::Panic(_)) => None,
        }
    }

    /// Which row a rejected transaction of one partition was rejected for: the server tells it of few
    /// errors, so the changes are made once more, one by one, to be looked at and taken back.
    fn blamed(&mut self, writes: &[ReducerWrite<'_>], in_order: bool) -> Option<String> {
        let run = Run { manner: Manner::OneByOne, in_order, is_try: true };
        match self.run(writes, run) {
            Err(Failed::Body(Rejected::Step(error @ StepError::Database(..)))) => {
                Some(error.message())
            }
            _ => None,
        }
    }

    fn error_of(&self, failed: Failed<Rejected>) -> CommitError {
        let database = |error: &Error, message: String| match Fault::of(error).is_transient() {
            true => CommitError::Transient(message),
            false => CommitError::Rejected { kind: FailureKind::Rejected, message },
        };
        match failed {
            Failed::Begin(error) => {
                let error = self.database.0.connections.named(error);
                CommitError::Transient(error.to_string())
            }
            Failed::Body(Rejected::Fenced(reducer)) => CommitError::Fenced { reducer },
            Failed::Body(Rejected::Step(error)) => {
                let message = error.message();
                match error {
                    StepError::Database(error, _) => database(&error, message),
                    StepError::Rule(ChangeError { kind, message }) => {
                        CommitError::Rejected { kind, message }
                    }
                }
            }
            Failed::Body(Rejected::Tried) => {
                CommitError::Transient("the transaction was only tried".to_owned())
            }
            Failed::Panic(payload) => CommitError::Rejected {
                kind: FailureKind::Panic,
                message: panic_message(&*payload),
            },
            Failed::Commit(error) if in_doubt(&error) => CommitError::InDoubt(text_of(&error)),
            Failed::Commit(error) => database(&error, said(&error)),
        }
    }
}

impl Writer for PostgresWriter {
    fn prepare(&mut self) {
        // What is wrong shows when it is used.
        let _ = self.line.connect();
    }

    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let mut done = match self.at_once(writes) {
            Some(done) => done,
            None => self.run(writes, ORDINARY),
        };
        let mut in_order = false;
        if matches!(&done, Err(Failed::Body(Rejected::Step(error))) if is_foreign_key(error)) {
            // The plan changes tables in another order than the reducers did.
            let again = self.run(writes, Run { in_order: true, ..ORDINARY });
            in_order = true;
            if again.is_ok() && self.catalog.keep_order() {
                log::info!("foreign keys: ops on their tables run in the order given from now on");
            }
            done = again;
        }
        let Err(failed) = done else {
            for write in writes {
                if let Cursor::Integer(id) = write.watermark {
                    self.database.0.connections.furthest.reach(*id);
                }
            }
            return Ok(());
        };
        let is_of_a_row = matches!(
            &failed,
            Failed::Body(Rejected::Step(StepError::Database(error, _)))
                if !Fault::of(error).is_transient()
        );
        let is_alone = writes.iter().map(|write| write.partitions.len()).sum::<usize>() == 1;
        let error = self.error_of(failed);
        match error {
            // Of several partitions, each is going to be tried by itself.
            CommitError::Rejected { kind, message } if is_of_a_row && is_alone => {
                let message = self.blamed(writes, in_order).unwrap_or(message);
                Err(CommitError::Rejected { kind, message })
            }
            other => Err(other),
        }
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        // A commit whose outcome is unknown may still be at work: its row is waited for.
        let connections = &self.database.0.connections;
        let row = self.line.transaction(&connections.begin, |conn| {
            progress::locked(&mut Session { conn, schema: &connections.schema }, reducer)
        });
        let row = row.map_err(|failed: Failed<Error>| match failed {
            Failed::Panic(payload) => StoreError::new(panic_message(&*payload)),
            other => StoreError::new(connections.failed(other)),
        })?;
        Ok(row.map(|row| row.revision))
    }
}

fn finds_rows_by_keys(writes: &[ReducerWrite<'_>]) -> bool {
    let mut partitions = writes.iter().flat_map(|write| &write.partitions);
    partitions.all(|row| !row.reset && row.ops.iter().all(|op| matches!(op, Op::Row(_))))
}

fn is_foreign_key(error: &StepError) -> bool {
    matches!(error, StepError::Database(Error::DatabaseError(Kind::ForeignKeyViolation, _), _))
}

fn commit(
    session: &mut Session<'_>,
    catalog: &mut Catalog,
    writes: &[ReducerWrite<'_>],
    run: Run,
) -> Result<(), Rejected> {
    let partitions = || writes.iter().flat_map(|write| &write.partitions);
    ids::remember(session, partitions().map(|write| write.partition))?;
    // Whoever locks several reducers does so in the order of their names.
    let mut order: Vec<&ReducerWrite<'_>> = writes.iter().collect();
    order.sort_by_key(|write| write.reducer);
    for write in order {
        silence::before_resets(session, write)?;
        if !advance::advance(session, write)? {
            return Err(Rejected::Fenced(write.reducer.to_owned()));
        }
    }
    apply(session, catalog, writes, run)?;
    for write in writes {
        skips::record_skips(session, write)?;
    }
    Ok(())
}

/// Makes the changes of derived state.
fn apply(
    session: &mut Session<'_>,
    catalog: &mut Catalog,
    writes: &[ReducerWrite<'_>],
    run: Run,
) -> Result<(), StepError> {
    for write in writes {
        for partition in write.partitions.iter().filter(|partition| partition.reset) {
            owned::delete_partition(session, write.reducer, partition.partition.as_str())?;
        }
    }
    catalog.refresh(session, writes)?;
    let mut silences = Vec::with_capacity(writes.len());
    for write in writes {
        let emits = write.partitions.iter().any(|partition| has_effects(partition.ops));
        silences.push(if emits { Some(silence::load(session, write.reducer)?) } else { None });
    }
    let facts = Introspect { catalog, session, in_order: run.in_order };
    let mut planner = Planner::new(facts);
    for (write, silence) in writes.iter().zip(&silences) {
        for PartitionWrite { partition, ops, .. } in &write.partitions {
            let silent = |op: &&Op| silence.as_ref().is_some_and(|it| it.covers(partition, op));
            let heard = ops.iter().filter(|op| !silent(op));
            planner.add(partition, heard).map_err(|error| match error {
                PlanError::Misfit(message) => StepError::Rule(ChangeError::rejected(message)),
                PlanError::Facts(error) => StepError::Database(error, None),
            })?;
        }
    }
    let plan = planner.finish();
    execute::run(session, catalog, &plan, run.manner)
}
