//! [`Subject`]: what is tested, a reducer or a fold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rederive_core::{
    Cursor, Engine, EventTypes, Failure, Fold, Folded, OnFailure, OnUndecodable, Ops,
    PartitionEngine, PartitionId, Partitions, Recorded, ReduceError, Reducer, Reduction, Stateless,
    Undecodable,
};

/// What is tested: a [`Reducer`], by value, behind an `Arc` or as a constant (`&Accounts`); a
/// [`Fold`], by itself or [`Folded`]; or any [`Engine`]. `Kind` tells these apart and is inferred.
pub trait Subject<Kind> {
    /// The type of the events.
    type Event: Send + Sync + 'static;

    /// The engine that reduces them.
    fn engine(self) -> Arc<dyn Engine<Event = Self::Event>>;
}

/// The kinds of [`Subject`]s.
pub mod kind {
    /// A reducer.
    #[derive(Debug)]
    pub struct Owned;
    /// A reducer that is a constant.
    #[derive(Debug)]
    pub struct Constant;
    /// A reducer that is shared.
    #[derive(Debug)]
    pub struct Shared;
    /// A fold whose states are stored as JSON.
    #[derive(Debug)]
    pub struct Fold;
    /// A fold with the form of its states.
    #[derive(Debug)]
    pub struct Folded;
    /// An engine.
    #[derive(Debug)]
    pub struct Engine;
}

impl<R: Reducer> Subject<kind::Owned> for R {
    type Event = R::Event;

    fn engine(self) -> Arc<dyn Engine<Event = R::Event>> {
        Arc::new(Stateless::new(Arc::new(self)))
    }
}

impl<R: Reducer> Subject<kind::Shared> for Arc<R> {
    type Event = R::Event;

    fn engine(self) -> Arc<dyn Engine<Event = R::Event>> {
        Arc::new(Stateless::new(self))
    }
}

impl<R: Reducer> Subject<kind::Constant> for &'static R {
    type Event = R::Event;

    fn engine(self) -> Arc<dyn Engine<Event = R::Event>> {
        Arc::new(Stateless::new(Arc::new(Constant(self))))
    }
}

impl<F: Fold> Subject<kind::Fold> for F
where
    Folded<F>: From<F>,
{
    type Event = F::Event;

    fn engine(self) -> Arc<dyn Engine<Event = F::Event>> {
        Arc::new(Folded::from(self))
    }
}

impl<F: Fold> Subject<kind::Folded> for Folded<F> {
    type Event = F::Event;

    fn engine(self) -> Arc<dyn Engine<Event = F::Event>> {
        Arc::new(self)
    }
}

impl<E: Send + Sync + 'static> Subject<kind::Engine> for Arc<dyn Engine<Event = E>> {
    type Event = E;

    fn engine(self) -> Arc<dyn Engine<Event = E>> {
        self
    }
}

/// Hands events to partitions one by one, as if each were committed before the next; a partition
/// that fails is left alone from there.
pub(crate) struct Pass<'s, E> {
    engine: &'s dyn Engine<Event = E>,
    partitions: BTreeMap<PartitionId, Box<dyn PartitionEngine<E>>>,
    halted: BTreeSet<PartitionId>,
}

impl<'s, E: Send + Sync + 'static> Pass<'s, E> {
    pub(crate) fn new(engine: &'s dyn Engine<Event = E>) -> Self {
        Self { engine, partitions: BTreeMap::new(), halted: BTreeSet::new() }
    }

    /// What the event is reduced to for each of its partitions that is not halted.
    pub(crate) fn reduce(&mut self, event: &Recorded<E>) -> Vec<(PartitionId, Reduction)> {
        let mut made = Vec::new();
        self.engine.partition(&event.data).for_each_distinct(|partition| {
            if self.halted.contains(&partition) {
                return;
            }
            let start = || self.engine.start(&partition, &Cursor::Start, true);
            let own = self.partitions.entry(partition.clone()).or_insert_with(start);
            let reduction = own.reduce(&partition, &[event]);
            own.committed();
            if reduction.failure.is_some() {
                self.halted.insert(partition.clone());
            }
            made.push((partition, reduction));
        });
        made
    }
}

/// A reducer that is a constant, as one that is owned: it passes everything on.
struct Constant<R: 'static>(&'static R);

impl<R: Reducer> Reducer for Constant<R> {
    type Event = R::Event;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn event_types(&self) -> EventTypes {
        self.0.event_types()
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.0.on_undecodable(event)
    }

    fn partition(&self, event: &R::Event) -> Partitions {
        self.0.partition(event)
    }

    fn reduce(&self, event: &Recorded<R::Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        self.0.reduce(event, ops)
    }

    fn on_failure(&self, event: &Recorded<R::Event>, failure: &Failure, attempt: u32) -> OnFailure {
        self.0.on_failure(event, failure, attempt)
    }
}
