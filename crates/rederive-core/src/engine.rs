//! [`Engine`] and [`PartitionEngine`]: what stands between a partition and the user's code.
//!
//! A partition does not care whether its reducer keeps a state: it hands events to its engine, gets
//! a [`Reduction`], and says what became of it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    Cursor, EventTypes, Failure, Key, OnFailure, OnUndecodable, Op, Ops, OwnedTable, PartitionId,
    Partitions, Recorded, Reducer, Reduction, Table, Undecodable, Value,
    error::panic_message,
    reduce::{reduce_event, reduce_named},
};

/// The user's code of one reducer, of whichever kind.
pub trait Engine: Send + Sync + 'static {
    /// The type of the log's events.
    type Event: Send + Sync + 'static;

    /// As [`Reducer::name`].
    fn name(&self) -> &str;

    /// As [`Reducer::version`].
    fn version(&self) -> u32;

    /// As [`Reducer::tables`].
    fn tables(&self) -> Vec<OwnedTable>;

    /// Whether the store keeps a state for each partition, beside the tables.
    fn keeps_states(&self) -> bool {
        false
    }

    /// As [`Reducer::event_types`].
    fn event_types(&self) -> EventTypes;

    /// As [`Reducer::on_undecodable`]. May panic.
    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable;

    /// As [`Reducer::partition`].
    fn partition(&self, event: &Self::Event) -> Partitions;

    /// Whether it keeps states that have to be loaded.
    fn is_stateful(&self) -> bool {
        false
    }

    /// The engine of a partition that begins to reduce what comes after `cursor`. `fresh` says that
    /// nothing of it was ever committed, so that it has no stored state.
    fn start(
        &self,
        partition: &PartitionId,
        cursor: &Cursor,
        fresh: bool,
    ) -> Box<dyn PartitionEngine<Self::Event>>;

    /// Adds what one event leads to to `ops`, without a [`PartitionEngine`], for a reducer that keeps
    /// nothing of a partition from one event to the next. `false`, and nothing is added, when the
    /// event fails, and if the reducer [keeps something](Self::is_stateful).
    fn reduce_alone(
        &self,
        _partition: &PartitionId,
        _event: &Recorded<Self::Event>,
        _ops: &mut Vec<Op>,
    ) -> bool {
        false
    }
}

/// What reduces the events of one partition.
pub trait PartitionEngine<E>: Send {
    /// The row to [load](Self::load) before anything can be reduced, if one is wanted.
    fn wanted(&self) -> Option<StoredRow> {
        None
    }

    /// The row that was [wanted](Self::wanted), as it is stored; `None` when there is none.
    fn load(&mut self, _row: Option<Vec<Value>>) {}

    /// Reduces events, in order, until one fails. The good prefix is kept.
    ///
    /// Is not called while a row is [wanted](Self::wanted), nor before it was said what became of
    /// the ops of the last reduction: [`committed`](Self::committed) or
    /// [`rejected`](Self::rejected).
    fn reduce(&mut self, partition: &PartitionId, events: &[&Recorded<E>]) -> Reduction;

    /// As [`Reducer::on_failure`].
    ///
    /// # Errors
    /// What the panic said, if the user's code panicked.
    fn on_failure(
        &self,
        event: &Recorded<E>,
        failure: &Failure,
        attempt: u32,
    ) -> Result<OnFailure, String>;

    /// As [`Reducer::on_undecodable`]; [`OnUndecodable::Block`] if the user's code panicked.
    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable;

    /// The last reduction is in the store.
    fn committed(&mut self) {}

    /// The last reduction is not in the store, at least not as a whole.
    fn rejected(&mut self) {}
}

/// Where a row is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The table.
    pub table: &'static Table,
    /// The row's key in it.
    pub key: Key,
}

impl<E> fmt::Debug for dyn PartitionEngine<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartitionEngine")
    }
}

/// The engine of a [`Reducer`], which keeps nothing from one event to the next.
pub struct Stateless<E> {
    reducer: Arc<dyn Reducer<Event = E>>,
    /// Asked for once.
    name: Arc<str>,
}

impl<E: Send + Sync + 'static> Stateless<E> {
    /// The engine of this reducer.
    pub fn new(reducer: Arc<dyn Reducer<Event = E>>) -> Self {
        Self { name: reducer.name().into(), reducer }
    }
}

impl<E: Send + Sync + 'static> Engine for Stateless<E> {
    type Event = E;

    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.reducer.version()
    }

    fn tables(&self) -> Vec<OwnedTable> {
        self.reducer.tables()
    }

    fn event_types(&self) -> EventTypes {
        self.reducer.event_types()
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.reducer.on_undecodable(event)
    }

    fn partition(&self, event: &E) -> Partitions {
        self.reducer.partition(event)
    }

    fn start(&self, _: &PartitionId, _: &Cursor, _: bool) -> Box<dyn PartitionEngine<E>> {
        Box::new(Self { reducer: Arc::clone(&self.reducer), name: Arc::clone(&self.name) })
    }

    fn reduce_alone(
        &self,
        partition: &PartitionId,
        event: &Recorded<E>,
        ops: &mut Vec<Op>,
    ) -> bool {
        let mut into = Ops::of_reducer(Arc::clone(&self.name), partition.clone());
        into.go_on(std::mem::take(ops));
        let reduced = reduce_event(&*self.reducer, event, &mut into);
        *ops = into.into_vec();
        reduced.is_ok()
    }
}

impl<E: Send + Sync + 'static> PartitionEngine<E> for Stateless<E> {
    fn reduce(&mut self, partition: &PartitionId, events: &[&Recorded<E>]) -> Reduction {
        reduce_named(&self.name, &*self.reducer, partition, events.iter().copied())
    }

    fn on_failure(
        &self,
        event: &Recorded<E>,
        failure: &Failure,
        attempt: u32,
    ) -> Result<OnFailure, String> {
        catch_unwind(AssertUnwindSafe(|| self.reducer.on_failure(event, failure, attempt)))
            .map_err(|payload| panic_message(&*payload))
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        catch_unwind(AssertUnwindSafe(|| self.reducer.on_undecodable(event))).unwrap_or_default()
    }
}
