//! Whether a crash at any commit leaves a trace.

use std::sync::Arc;

use rederive_core::{Engine, MemoryStore, Slice};

use super::{LIKELY_CAUSES, STEPS, in_one_go, record};
use crate::{
    CommitFault, FaultyStore, Given, ReadableStore, Rng,
    follower::{Crash, Follower},
    for_each_seed,
    state::{DerivedState, Tables},
    subject::Subject,
};

/// A crash just before or just after any commit leaves no trace: what is resumed from there leads to
/// the same derived state as an undisturbed run.
///
/// There is a run for each commit and side of it, so this takes time that grows with the square of
/// the number of events: some hundred are plenty.
///
/// # Panics
/// When a crash leaves a trace, with the commit and the rows that differ; the seed is printed.
#[track_caller]
pub fn crash_at_every_commit<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    crash_at_every_commit_on(MemoryStore::new, reducer, events);
}

/// As [`crash_at_every_commit`], on stores that `make` makes: each new, with empty tables.
///
/// # Panics
/// As [`crash_at_every_commit`], and when a store fails.
#[track_caller]
pub fn crash_at_every_commit_on<K, R: Subject<K>, S: ReadableStore>(
    make: impl Fn() -> S,
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    let (engine, log) = (reducer.engine(), record(events));
    let (tables, expected) = in_one_go(&*engine, &log, &make());
    for_each_seed(0..1, 1, |rng| {
        let sides = [("before", CommitFault::Transient), ("after", CommitFault::InDoubtDone)];
        for commit in 0.. {
            let mut struck = false;
            for (side, fault) in &sides {
                let store = FaultyStore::new(make());
                store.faults().on_commit_after(commit, fault.clone());
                // The same course of things for every crash.
                let actual = crashing(&*engine, &log, &store, &tables, &mut rng.clone());
                struck |= store.faults().scripted_commits() == 0;
                if let Some(difference) = actual.diff(&expected) {
                    panic!(
                        "reducer {:?}: after a crash just {side} commit {}, what is resumed leads \
                         to another state than an undisturbed run, which is expected\n{difference}\
                         \n{LIKELY_CAUSES}.",
                        engine.name(),
                        commit + 1
                    );
                }
            }
            if !struck {
                break;
            }
        }
    });
}

/// Runs to the end, beginning again from what is stored when the store fails.
fn crashing<E: Send + Sync + 'static, S: ReadableStore>(
    engine: &dyn Engine<Event = E>,
    log: &Arc<Slice<E>>,
    store: &FaultyStore<S>,
    tables: &Tables,
    rng: &mut Rng,
) -> DerivedState {
    let mut tables = tables.clone();
    let mut follower = None;
    let mut last = String::new();
    for _ in 0..STEPS {
        let opened = follower.take().map_or_else(|| Follower::open(engine, log, store), Ok);
        let stepped = opened.and_then(|mut open| {
            let stepped = open.step(rng, 4);
            tables.add(&open.emitted);
            stepped.map(|()| open)
        });
        match stepped {
            Ok(open) if open.is_done() => {
                return DerivedState::read(engine.name(), store, &tables);
            }
            Ok(open) => follower = Some(open),
            Err(Crash(error)) => last = error,
        }
    }
    panic!("the run comes to no end; the store last said {last:?}")
}
