//! What must be true of every reducer, held against yours: one line each.
//!
//! Each property takes a reducer and events that it knows how to reduce (bad ones among them are
//! welcome: halts are compared as well as rows) and panics with an explanation when it finds the
//! property broken. Properties that draw at random print a seed; `REDERIVE_SEED=…` repeats the run.
//!
//! ```
//! # use rederive_core::{Change, ColumnKind, Ops, Partitions, Recorded, ReduceError, Reducer, Table};
//! use rederive_testkit::properties;
//! # static SEEN: Table =
//! #     Table::new("seen", &[("word", ColumnKind::Text), ("n", ColumnKind::BigInt)], &[0]);
//! # struct Words;
//! # impl Reducer for Words {
//! #     type Event = &'static str;
//! #     fn name(&self) -> &str { "words" }
//! #     fn partition(&self, word: &&'static str) -> Partitions { (*word).into() }
//! #     fn reduce(&self, word: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
//! #         ops.change(&SEEN, [word.data.into()], Change::Upsert(vec![]))?;
//! #         ops.change(&SEEN, [word.data.into()], Change::Increment(1, 1.into()))
//! #     }
//! # }
//!
//! let events = ["a", "b", "a", "c", "a"];
//! properties::deterministic(&Words, events);
//! properties::partitions_are_independent(&Words, events);
//! properties::incremental_equals_rebuild(&Words, events);
//! properties::crash_at_every_commit(&Words, events);
//! // Or all of them:
//! properties::exercise(&Words, events);
//! ```
//!
//! A reducer is tested on a store in memory. One whose ops need another store, and constraints of a
//! database, are tested by the functions that end in `_on`, which take a closure that makes such a
//! store with empty tables.

mod crash;
mod deterministic;
mod incremental;
mod independent;

use std::sync::Arc;

use rederive_core::{Engine, Recorded, Slice};

pub use self::{
    crash::{crash_at_every_commit, crash_at_every_commit_on},
    deterministic::deterministic,
    incremental::{incremental_equals_rebuild, incremental_equals_rebuild_on},
    independent::partitions_are_independent,
};
use crate::{
    Given, ReadableStore,
    event::Recorder,
    follower::{Crash, Follower, log_of},
    state::{DerivedState, Tables, refuse_custom_ops},
    subject::Subject,
};

/// Holds the reducer to every property, those first whose failures say most.
///
/// # Panics
/// When a property is broken.
#[track_caller]
pub fn exercise<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) where
    R::Event: Clone,
{
    let events: Vec<Recorded<R::Event>> = Recorder::default().record(events);
    let engine = reducer.engine();
    deterministic(Arc::clone(&engine), &events);
    partitions_are_independent(Arc::clone(&engine), &events);
    incremental_equals_rebuild(Arc::clone(&engine), &events);
    crash_at_every_commit(engine, &events);
}

/// A log of these events.
///
/// # Panics
/// When there are none: nothing would be tested.
#[track_caller]
fn record<E>(events: impl IntoIterator<Item: Into<Given<E>>>) -> Arc<Slice<E>> {
    let events = Recorder::default().record(events);
    assert!(!events.is_empty(), "without events, a property says nothing");
    log_of(events)
}

/// The tables that the reducer writes to, and what is in them after all events were reduced in one go.
#[track_caller]
fn in_one_go<E: Send + Sync + 'static, S: ReadableStore>(
    engine: &dyn Engine<Event = E>,
    log: &Arc<Slice<E>>,
    store: &S,
) -> (Tables, DerivedState) {
    let followed = Follower::open(engine, log, store)
        .and_then(|mut follower| follower.finish().map(|()| follower.emitted));
    let emitted = match followed {
        Ok(emitted) => emitted,
        Err(Crash(error)) => panic!("the store of the property failed: {error}"),
    };
    refuse_custom_ops(&emitted, store);
    let mut tables = Tables::of(store);
    tables.add(&emitted);
    let state = DerivedState::read(engine.name(), store, &tables);
    (tables, state)
}

/// A run that comes to no end would hang the test.
const STEPS: usize = 100_000;

/// What to look at when a run that should lead to the same state does not.
const LIKELY_CAUSES: &str = "\
Likely causes: a row that several partitions change (try `partitions_are_independent`), a reducer \
that looks at the clock, at random numbers or at what it saw before (try `deterministic`), events of \
one row that are spread over several partitions";

#[cfg(test)]
mod tests;
