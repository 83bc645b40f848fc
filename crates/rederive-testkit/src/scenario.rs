//! [`given`]: what a reducer makes of events, in a few lines and without actors or a database.

mod effects;

use std::{fmt::Debug, sync::Arc};

use rederive_core::{
    EffectRecord, Engine, MemoryStore, Op, Ops, PartitionId, PartitionRecord, ReduceError, States,
    Table, Value, effect::OUTBOX,
};
use serde::de::DeserializeOwned;

use crate::{
    Given, ReadableStore,
    diff::{diff_ops, diff_rows},
    event::Recorder,
    follower::{Crash, Emitted, Follower, log_of},
    state::{Tables, refuse_custom_ops},
    subject::Subject,
};

/// Begins a scenario: the reducer has reduced these events, into an empty store in memory.
///
/// Nothing of it is faked: partitions, halts and rejections are decided by the code that decides
/// them in production. What `then_…` finds to be otherwise fails the test and prints the difference.
///
/// ```
/// use rederive_core::{Change, ColumnKind, Ops, Partitions, Recorded, ReduceError, Reducer, Table};
/// use rederive_testkit::{given, rows};
///
/// static ACCOUNTS: Table =
///     Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[0]);
/// # #[derive(Clone)]
/// enum Event { Opened(&'static str), Deposited(&'static str, i64), Audited }
/// # use Event::*;
/// struct Accounts;
///
/// impl Reducer for Accounts {
///     type Event = Event;
///     fn name(&self) -> &str { "accounts" }
///     fn partition(&self, event: &Event) -> Partitions {
///         match event { Opened(id) | Deposited(id, _) => (*id).into(), Audited => Partitions::None }
///     }
///     fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
///         match event.data {
///             Opened(id) => ops.change(&ACCOUNTS, [id.into()], Change::Insert(vec![(1, 0.into())])),
///             Deposited(_, amount) if amount < 0 => Err(ReduceError::new("a negative amount")),
///             Deposited(id, amount) => {
///                 ops.change(&ACCOUNTS, [id.into()], Change::Increment(1, amount.into()))
///             }
///             Audited => Ok(()),
///         }
///     }
/// }
///
/// given(&Accounts, [Opened("a"), Deposited("a", 5)])
///     .then_rows(&ACCOUNTS, rows![["a", 5]])
///     .when([Deposited("a", 2)])
///     .then_ops(|ops| ops.change(&ACCOUNTS, ["a".into()], Change::Increment(1, 2.into())))
///     .when([Audited])
///     .then_ignored()
///     .when([Deposited("a", -1), Deposited("a", 9)])
///     .then_halted("a", "a negative amount")
///     .then_unchanged();
/// ```
#[track_caller]
pub fn given<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) -> Scenario<R::Event, MemoryStore> {
    given_on(MemoryStore::new(), reducer, events)
}

/// Begins a scenario in which no event has been reduced yet.
pub fn given_nothing<K, R: Subject<K>>(reducer: R) -> Scenario<R::Event, MemoryStore> {
    Scenario::new(MemoryStore::new(), reducer.engine())
}

/// As [`given`], on a store of your choice: for reducers whose ops only one kind of store
/// understands, and for the constraints of a database. Its tables are there and empty.
#[track_caller]
pub fn given_on<K, R: Subject<K>, S: ReadableStore>(
    store: S,
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) -> Scenario<R::Event, S> {
    Scenario::new(store, reducer.engine()).when(events)
}

/// What a reducer has made of events so far; see [`given`].
pub struct Scenario<E, S> {
    engine: Arc<dyn Engine<Event = E>>,
    store: S,
    recorder: Recorder,
    tables: Tables,
    last: Step,
}

/// The events of the last [`Scenario::when`].
#[derive(Default)]
struct Step {
    events: usize,
    deliveries: usize,
    ops: Vec<Op>,
    /// The tables that they wrote to, as they were before.
    before: Vec<(&'static Table, Vec<Vec<Value>>)>,
}

impl<E: Send + Sync + 'static, S: ReadableStore> Scenario<E, S> {
    fn new(store: S, engine: Arc<dyn Engine<Event = E>>) -> Self {
        let (recorder, tables) = (Recorder::default(), Tables::of(&store));
        Self { engine, store, recorder, tables, last: Step::default() }
    }

    /// These events happen next.
    ///
    /// # Panics
    /// When their cursors do not grow, when the store fails, and when the reducer emits ops that
    /// the store cannot run.
    #[track_caller]
    #[must_use = "a scenario checks nothing before a `then_…`"]
    pub fn when(mut self, events: impl IntoIterator<Item: Into<Given<E>>>) -> Self {
        let mut step = Step::default();
        let events = self.recorder.record(events);
        for event in events {
            let log = log_of(vec![event]);
            let follower = Follower::open(&*self.engine, &log, &self.store);
            // What the event writes to is known only once it is reduced: before it is committed.
            let reduced = follower.and_then(|mut follower| {
                follower.read(usize::MAX);
                follower.reduce(|| Some(usize::MAX))?;
                step.take_note(&follower.emitted, &self.store);
                follower.finish().map(|()| follower.emitted)
            });
            match reduced {
                Ok(emitted) => {
                    refuse_custom_ops(&emitted, &self.store);
                    self.tables.add(&emitted);
                }
                Err(Crash(error)) => panic!("the store of the scenario failed: {error}"),
            }
        }
        self.last = step;
        self
    }

    /// The table holds exactly these rows, in any order.
    ///
    /// # Panics
    /// When it does not, with the differences.
    #[track_caller]
    pub fn then_rows(self, table: impl Into<TableRef>, expected: Vec<Vec<Value>>) -> Self {
        let Some(table) = self.tables.resolve(&table.into()) else {
            assert!(expected.is_empty(), "{}", self.tables.no_such_table());
            return self;
        };
        if let Some(difference) = diff_rows(table, &expected, &self.store.rows(table)) {
            panic!("{}{difference}", self.halts_text());
        }
        self
    }

    /// The fold has stored this state of the partition.
    ///
    /// # Panics
    /// When it has stored another one or none, with what it has stored.
    #[track_caller]
    pub fn then_state<T>(self, partition: impl Into<PartitionId>, expected: &T) -> Self
    where
        T: DeserializeOwned + PartialEq + Debug,
    {
        let partition = partition.into();
        let stored: Option<T> = match self.store.state(self.engine.name(), partition.clone()) {
            Ok(stored) => stored,
            Err(error) => panic!("{error}"),
        };
        if stored.as_ref() != Some(expected) {
            panic!(
                "{}the state of partition {partition:?} is expected to be\n  {expected:#?}\nbut is\n  \
                 {stored:#?}",
                self.halts_text()
            );
        }
        self
    }

    /// The fold has stored no state of the partition.
    ///
    /// # Panics
    /// When it has stored one.
    #[track_caller]
    pub fn then_no_state(self, partition: impl Into<PartitionId>) -> Self {
        let partition = partition.into();
        let reducer = self.engine.name();
        let states = match self.store.states(reducer, None, usize::MAX) {
            Ok(states) => states,
            Err(error) => panic!("{error}"),
        };
        if let Some(found) = states.iter().find(|record| record.partition == partition) {
            panic!("partition {partition:?} is expected to have no state, but has {}", found.state);
        }
        self
    }

    /// The last events were reduced to exactly the ops that the closure adds, in the order of the
    /// events and, for an event of several partitions, of their ids. The ops of an event that fails
    /// do not count; those of one that the store rejects do. Effects are no matter of this, but of
    /// [`then_effects`](Self::then_effects).
    ///
    /// # Panics
    /// When they were not, with the differences.
    #[track_caller]
    pub fn then_ops(self, expected: impl FnOnce(&mut Ops) -> Result<(), ReduceError>) -> Self {
        let mut ops = Ops::new("then".into());
        if let Err(error) = expected(&mut ops) {
            panic!("the expected ops are none: {error}");
        }
        let emitted = self.last.ops.iter().filter(|op| EffectRecord::emitted(op).is_none());
        let emitted: Vec<Op> = emitted.cloned().collect();
        if let Some(difference) = diff_ops(&ops.into_vec(), &emitted) {
            panic!("{}{difference}", self.halts_text());
        }
        self
    }

    /// None of the last events belongs to any partition.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn then_ignored(self) -> Self {
        let Step { events, deliveries, .. } = self.last;
        assert!(events > 0, "there was no event to be ignored");
        assert!(
            deliveries == 0,
            "of {events} events, some belong to {deliveries} partitions and are not ignored"
        );
        self
    }

    /// The last events changed no row, whatever ops and effects they led to.
    ///
    /// # Panics
    /// When they changed one, with the differences.
    #[track_caller]
    pub fn then_unchanged(self) -> Self {
        for (table, before) in &self.last.before {
            if let Some(difference) = diff_rows(table, before, &self.store.rows(table)) {
                panic!("what was before is expected; {difference}");
            }
        }
        self
    }

    /// The partition is halted, now or since an earlier event, and the reason contains this text.
    ///
    /// # Panics
    /// When it is not, with the partitions that are.
    #[track_caller]
    pub fn then_halted(self, partition: impl Into<PartitionId>, reason: &str) -> Self {
        let partition = partition.into();
        let halted = self.halted();
        let halt = halted.iter().find(|row| row.partition == partition);
        let Some(halt) = halt.and_then(|row| row.halt.as_ref()) else {
            panic!("{}partition {partition:?} is expected to be halted", self.halts_text());
        };
        assert!(
            halt.to_string().contains(reason),
            "partition {partition:?} is halted, but not with {reason:?}: {halt}"
        );
        self
    }

    /// No partition is halted.
    ///
    /// # Panics
    /// When one is, with all that are.
    #[track_caller]
    pub fn then_nothing_halted(self) -> Self {
        assert!(self.halted().is_empty(), "{}none is expected", self.halts_text());
        self
    }

    /// Looks at the store in a way of your own.
    pub fn then(self, look: impl FnOnce(&S)) -> Self {
        look(&self.store);
        self
    }

    fn halted(&self) -> Vec<PartitionRecord> {
        match self.store.halted(self.engine.name(), None, usize::MAX) {
            Ok(halted) => halted,
            Err(error) => panic!("{error}"),
        }
    }

    /// Often the reason for everything else.
    fn halts_text(&self) -> String {
        let halted = self.halted();
        if halted.is_empty() {
            return "no partition is halted; ".to_owned();
        }
        let text = |row: &PartitionRecord| {
            let why = row.halt.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("partition {:?} is halted: {why}\n", row.partition)
        };
        halted.iter().map(text).collect()
    }
}

impl Step {
    fn take_note<S: ReadableStore>(&mut self, emitted: &Emitted, store: &S) {
        self.events += 1;
        self.deliveries += emitted.deliveries;
        self.ops.extend_from_slice(&emitted.ops);
        let mut tables: Vec<&'static Table> = emitted.tables.values().copied().collect();
        tables.extend(store.further_tables());
        for table in tables {
            let is_known = self.before.iter().any(|(known, _)| known.name == table.name);
            if !is_known && table != &OUTBOX {
                self.before.push((table, store.rows(table)));
            }
        }
    }
}

/// A table, by itself or by its name.
#[derive(Clone, Copy, Debug)]
pub enum TableRef {
    /// The table.
    Table(&'static Table),
    /// The name of a table that the reducer has written to.
    Named(&'static str),
}

impl From<&'static Table> for TableRef {
    fn from(table: &'static Table) -> Self {
        TableRef::Table(table)
    }
}

impl From<&'static str> for TableRef {
    fn from(name: &'static str) -> Self {
        TableRef::Named(name)
    }
}

impl<E: Send + Sync + 'static, S> std::fmt::Debug for Scenario<E, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ops: Vec<String> = self.last.ops.iter().map(ToString::to_string).collect();
        f.debug_struct("Scenario")
            .field("reducer", &self.engine.name())
            .field("last_ops", &ops)
            .finish()
    }
}

#[cfg(test)]
mod tests;
