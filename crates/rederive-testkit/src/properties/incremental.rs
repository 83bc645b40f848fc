//! Whether events that arrive bit by bit lead to the same as all of them in one go.

use std::sync::Arc;

use rederive_core::{Engine, MemoryStore, Slice};

use super::{LIKELY_CAUSES, STEPS, in_one_go, record};
use crate::{
    Given, ReadableStore, Rng,
    follower::{Crash, Follower},
    for_each_seed,
    state::{DerivedState, Tables},
    subject::Subject,
};

/// Events that arrive bit by bit lead to the same derived state as all of them in one go, which is
/// what a rebuild does: whatever the batches, however partitions are interleaved, and with restarts
/// in between that find some partitions ahead of others.
///
/// # Panics
/// When they do not, with the rows that differ; the seed is printed.
#[track_caller]
pub fn incremental_equals_rebuild<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    incremental_equals_rebuild_on(MemoryStore::new, reducer, events);
}

/// As [`incremental_equals_rebuild`], on stores that `make` makes: each new, with empty tables.
///
/// # Panics
/// As [`incremental_equals_rebuild`], and when a store fails.
#[track_caller]
pub fn incremental_equals_rebuild_on<K, R: Subject<K>, S: ReadableStore>(
    make: impl Fn() -> S,
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    let (engine, log) = (reducer.engine(), record(events));
    let (tables, expected) = in_one_go(&*engine, &log, &make());
    for_each_seed(0..20, 10, |rng| {
        let actual = bit_by_bit(&*engine, &log, &make(), &tables, rng);
        if let Some(difference) = actual.diff(&expected) {
            panic!(
                "reducer {:?}: events that arrive bit by bit lead to another state than all of them \
                 in one go, which is expected\n{difference}\n{LIKELY_CAUSES}.",
                engine.name()
            );
        }
    });
}

fn bit_by_bit<E: Send + Sync + 'static, S: ReadableStore>(
    engine: &dyn Engine<Event = E>,
    log: &Arc<Slice<E>>,
    store: &S,
    tables: &Tables,
    rng: &mut Rng,
) -> DerivedState {
    let open = || match Follower::open(engine, log, store) {
        Ok(follower) => follower,
        Err(Crash(error)) => panic!("the store of the property failed: {error}"),
    };
    let (mut follower, mut tables) = (open(), tables.clone());
    // Small steps find more, but the restarts must not make the run longer than the log is worth.
    let most = *rng.pick(&[1, 3, 10, 100]);
    let (mut steps, mut restarts) = (0, 20);
    while !follower.is_done() {
        steps += 1;
        assert!(steps < STEPS, "the run comes to no end");
        if let Err(Crash(error)) = follower.step(rng, most) {
            panic!("the store of the property failed: {error}");
        }
        if restarts > 0 && rng.chance(0.1) {
            restarts -= 1;
            tables.add(&follower.emitted);
            follower = open();
        }
    }
    tables.add(&follower.emitted);
    DerivedState::read(engine.name(), store, &tables)
}
