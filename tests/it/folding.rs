//! Folds: a state per partition, stored once per commit and loaded when its actor begins.

use std::{collections::HashSet, time::Duration};

use rederive::{
    Activity, Await, FailureKind, Handle, Notice, Op, Outcome, States, Value,
    chaos::{Kill, Victim},
};
use rederive_testkit::{CommitFault, Gate, for_each_seed};

use crate::fixture::{
    PATIENCE, World,
    bank::{Event, fold_healed},
    folded::{Balance, Balances},
    notices::{fenced, halted, restarted},
    on_every_store, outcomes, status, until,
};

on_every_store!(
    an_awaited_event_is_in_the_stored_state,
    many_events_of_a_partition_are_one_write,
    a_restart_resumes_with_the_stored_states,
    a_partition_that_was_passivated_resumes_with_its_state,
    a_partition_dispatcher_that_died_is_replaced_by_one_with_the_stored_state,
    a_partition_dispatcher_that_dies_while_its_state_is_loaded_is_replaced,
    an_event_that_fails_leaves_the_state_before_it,
    a_state_that_the_store_rejects_halts_at_the_event_that_led_to_it,
    a_state_that_cannot_be_read_halts_its_partition_alone,
    a_state_from_the_future_halts_its_partition,
    a_repair_goes_on_from_the_stored_state,
    a_repair_survives_rejections_among_the_held_events,
    a_repair_is_not_over_before_every_part_of_its_last_batch_is_stored,
    a_store_that_cannot_be_read_is_waited_for,
    a_stop_does_not_wait_for_a_store_that_cannot_be_read,
    what_is_wanted_at_once_is_loaded_at_once,
    a_first_catch_up_loads_nothing,
    a_fold_that_was_taken_over_writes_no_more,
);

async fn caught_up(handle: &Handle) {
    let _ = handle.wait(Await::caught_up("balances")).await;
}

fn deposits(id: &str, amounts: impl IntoIterator<Item = i64>) -> Vec<Event> {
    amounts.into_iter().map(|amount| Event::deposited(id, amount)).collect()
}

async fn an_awaited_event_is_in_the_stored_state(world: World) {
    let handle = world.start_folded().await;
    world.append([Event::opened("a"), Event::opened("b")]);
    for amount in 1..20 {
        let event = Event::Transferred { from: "a".into(), to: "b".into(), amount };
        let recorded = world.append([event, Event::Noise]);
        let told = handle.wait(Await::events("balances", &recorded)).await;
        assert_eq!(outcomes(told), [Outcome::Done, Outcome::Ignored]);
        let state = world.store.state::<Balance>("balances", "b").expect("it can be read");
        assert_eq!(state.expect("it has been opened").balance, amount * (amount + 1) / 2);
    }
    world.check_folded();
    handle.stop().await;
}

async fn many_events_of_a_partition_are_one_write(world: World) {
    let writes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&writes);
    world.store_faults().reject_where(move |write| {
        seen.lock().expect("no panic").push(write.ops.len());
        None
    });
    world.append([Event::opened("a")].into_iter().chain(deposits("a", 1..500)));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    assert_eq!(*writes.lock().expect("no panic"), [1]);
    let committed = |notice: &Notice| matches!(notice, Notice::Committed { events: 500, .. });
    assert_eq!(world.probe.count(committed), 1);
    world.check_folded();
    handle.stop().await;
}

async fn a_restart_resumes_with_the_stored_states(world: World) {
    world.append([Event::opened("a"), Event::opened("b")]);
    for amount in 1..6 {
        let handle = world.start_folded().await;
        world.append([Event::deposited("a", amount), Event::deposited("b", 10 * amount)]);
        caught_up(&handle).await;
        handle.stop().await;
        world.check_folded();
    }
}

async fn a_partition_that_was_passivated_resumes_with_its_state(world: World) {
    let world = world.with(|config| config.idle_timeout = Duration::ZERO);
    let handle = world.start_folded().await;
    world.append([Event::opened("a")]);
    for amount in 1..6 {
        let recorded = world.append([Event::deposited("a", amount)]);
        handle.wait(Await::events("balances", &recorded)).await.expect("done");
        until(&handle, "balances", |status| status.active_partitions == 0).await;
    }
    world.check_folded();
    assert!(world.store_faults().counts().loads >= 4);
    handle.stop().await;
}

fn kill(handle: &Handle, partition: &str) {
    let victim = Victim::Partition(partition.into());
    handle.supervisor().do_send(Kill { reducer: "balances".to_owned(), victim });
}

async fn a_partition_dispatcher_that_died_is_replaced_by_one_with_the_stored_state(world: World) {
    let handle = world.start_folded().await;
    world.append([Event::opened("a")]);
    caught_up(&handle).await;
    for fault in [CommitFault::Stall, CommitFault::StallAfter] {
        let gate = Gate::closed();
        world.store_faults().on_commit(fault(gate.clone()));
        world.append(deposits("a", [1, 2, 4]));
        gate.wait_for_arrivals(1, PATIENCE);
        world.append(deposits("a", [8, 16]));
        until(&handle, "balances", |status| status.in_flight >= 4).await;
        let mut watch = world.probe.from_now();
        kill(&handle, "a");
        gate.open();
        watch.notified(restarted("partition dispatcher"), PATIENCE).await;
        caught_up(&handle).await;
        world.check_folded();
    }
    handle.stop().await;
}

async fn a_partition_dispatcher_that_dies_while_its_state_is_loaded_is_replaced(world: World) {
    let handle = world.start_folded().await;
    world.append([Event::opened("a"), Event::deposited("a", 1)]);
    caught_up(&handle).await;
    handle.stop().await;
    let gate = Gate::closed();
    world.store_faults().stall_load(gate.clone());
    let handle = world.start_folded().await;
    let recorded = world.append(deposits("a", [2, 4]));
    gate.wait_for_arrivals(1, PATIENCE);
    let wait = handle.supervisor().send(Await::events("balances", &recorded));
    let mut watch = world.probe.from_now();
    kill(&handle, "a");
    watch.notified(restarted("partition dispatcher"), PATIENCE).await;
    gate.open();
    wait.await.expect("it lives").expect("done");
    world.check_folded();
    handle.stop().await;
}

async fn an_event_that_fails_leaves_the_state_before_it(world: World) {
    for (id, bad) in [("a", Event::poison("a")), ("b", Event::Bomb { id: "b".into() })] {
        world.append([Event::opened(id), Event::deposited(id, 7), bad, Event::deposited(id, 1)]);
    }
    world.append([Event::opened("c"), Event::deposited("c", 3)]);
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    world.check_folded();
    assert_eq!(world.halt_of_balance("a").map(|halt| halt.kind), Some(FailureKind::Reduce));
    assert_eq!(world.halt_of_balance("b").map(|halt| halt.kind), Some(FailureKind::Panic));
    assert_eq!(world.halt_of_balance("c"), None);
    handle.stop().await;
}

/// The number of changes in the states that these ops store.
fn changes(ops: &[Op]) -> impl Iterator<Item = i64> {
    ops.iter()
        .filter_map(|op| match op {
            Op::Row(op) => match &op.change {
                rederive::Change::Upsert(row) => row.iter().find_map(|(_, value)| match value {
                    Value::Text(text) => serde_json::from_str::<Balance>(text).ok(),
                    _ => None,
                }),
                _ => None,
            },
            _ => None,
        })
        .map(|state| state.changes)
}

/// Rejects every state that holds this change of the account.
fn reject_from(world: &World, partition: &'static str, change: i64) {
    world.store_faults().reject_where(move |write| {
        let hit = write.partition.as_str() == partition
            && changes(write.ops).any(|changes| changes >= change);
        hit.then(|| (FailureKind::Rejected, "it is rejected".to_owned()))
    });
}

async fn a_state_that_the_store_rejects_halts_at_the_event_that_led_to_it(world: World) {
    for at in [1, 2, 3, 64, 99, 100] {
        let id: &'static str = format!("{at}").leak();
        reject_from(&world, id, at);
        world.append([Event::opened(id)].into_iter().chain(deposits(id, 1..100)));
    }
    let recorded = world.append([Event::opened("good"), Event::deposited("good", 1)]);
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    let balances = world.balances();
    for at in [1, 2, 3, 64, 99, 100_i64] {
        let halt = world.halt_of_balance(&at.to_string()).expect("it is halted");
        assert_eq!((halt.kind, &*halt.message), (FailureKind::Rejected, "it is rejected"));
        let stored = balances.get(&at.to_string()).map(|row| row.1);
        assert_eq!(stored, (at > 1).then_some(at - 1), "the prefix before change {at}");
    }
    assert_eq!(balances["good"].1, 2);
    handle.wait(Await::events("balances", &recorded)).await.expect("done");
    handle.stop().await;
}

async fn a_state_that_cannot_be_read_halts_its_partition_alone(world: World) {
    let handle = world.start_folded().await;
    world.append(["a", "b", "c"].map(Event::opened));
    caught_up(&handle).await;
    handle.stop().await;
    let before = world.balances();
    world.overwrite_state("b", 2, "{\"balance\":\"much\"}");
    let handle = world.start_folded().await;
    let recorded = world.append(["a", "b", "c"].map(|id| Event::deposited(id, 5)));
    let mut told = Vec::new();
    for event in &recorded {
        told.extend(outcomes(handle.wait(Await::events("balances", [event])).await));
    }
    assert_eq!((&told[0], &told[2]), (&Outcome::Done, &Outcome::Done));
    let Outcome::Halted(halt) = &told[1] else { panic!("{told:?}") };
    assert_eq!((halt.kind, &halt.cursor), (FailureKind::State, &recorded[1].cursor));
    for said in ["rederive_states", "'balances', 'b'", "invalid type"] {
        assert!(halt.message.contains(said), "{}", halt.message);
    }
    // Once the row is corrected, the partition goes on.
    let (balance, changes, last) = before["b"];
    let state = serde_json::to_string(&Balance { balance, changes, last }).expect("it is JSON");
    world.overwrite_state("b", 2, &state);
    handle.retry("balances", "b").await.expect("repaired");
    world.check_folded();
    handle.stop().await;
}

async fn a_state_from_the_future_halts_its_partition(world: World) {
    let handle = world.start_folded().await;
    world.append(["a", "b"].map(Event::opened));
    caught_up(&handle).await;
    handle.stop().await;
    world.overwrite_state("b", 99, "{\"balance\":0,\"changes\":1,\"last\":2}");
    let handle = world.start_folded().await;
    world.append(["a", "b"].map(|id| Event::deposited(id, 5)));
    caught_up(&handle).await;
    let halt = world.halt_of_balance("b").expect("it is halted");
    assert!(halt.message.contains("after the event at cursor 99"), "{}", halt.message);
    assert_eq!(world.balances()["a"].0, 5);
    handle.stop().await;
}

async fn a_repair_goes_on_from_the_stored_state(world: World) {
    world.append([Event::opened("a"), Event::deposited("a", 1), Event::poison("a")]);
    world.append(deposits("a", 2..200));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    world.check_folded();
    handle.stop().await;
    let healed = world.builder().register_fold(Balances::default().healed(), world.store.clone());
    let handle = healed.start().await.expect("it starts");
    handle.retry("balances", "a").await.expect("repaired");
    world.append(deposits("a", [1000]));
    caught_up(&handle).await;
    assert_eq!(world.balances(), fold_healed(&world.events()).rows);
    assert!(world.halts_of("balances").is_empty());
    handle.stop().await;
}

async fn a_repair_survives_rejections_among_the_held_events(world: World) {
    let world = world.with(|config| config.slice = 7);
    world.append([Event::opened("a"), Event::deposited("a", 1), Event::poison("a")]);
    world.append(deposits("a", 2..60));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    handle.stop().await;
    reject_from(&world, "a", 40);
    let healed = world.builder().register_fold(Balances::default().healed(), world.store.clone());
    let handle = healed.start().await.expect("it starts");
    handle.retry("balances", "a").await.expect_err("one of them is rejected");
    assert_eq!(world.balances()["a"].1, 39);
    world.store_faults().heal();
    handle.retry("balances", "a").await.expect("repaired");
    assert_eq!(world.balances(), fold_healed(&world.events()).rows);
    handle.stop().await;
}

async fn a_repair_is_not_over_before_every_part_of_its_last_batch_is_stored(world: World) {
    world.append([Event::opened("a"), Event::poison("a")]);
    world.append(deposits("a", 1..200));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    handle.stop().await;
    // The store takes small steps only.
    let mut last = 1;
    let taken = std::sync::Mutex::new(move |changes: i64| {
        let fits = changes - last <= 20;
        last = if fits { changes } else { last };
        fits
    });
    world.store_faults().reject_where(move |write| {
        let fits = changes(write.ops).all(|it| (taken.lock().expect("no panic"))(it));
        (!fits).then(|| (FailureKind::Rejected, "too much at once".to_owned()))
    });
    let healed = world.builder().register_fold(Balances::default().healed(), world.store.clone());
    let handle = healed.start().await.expect("it starts");
    handle.retry("balances", "a").await.expect("repaired");
    world.append(deposits("a", [1000]));
    caught_up(&handle).await;
    assert_eq!(world.balances(), fold_healed(&world.events()).rows);
    assert!(world.halts_of("balances").is_empty());
    handle.stop().await;
}

async fn a_store_that_cannot_be_read_is_waited_for(world: World) {
    let handle = world.start_folded().await;
    world.append([Event::opened("a")]);
    caught_up(&handle).await;
    handle.stop().await;
    world.store_faults().fail_load(usize::from(u8::MAX));
    let handle = world.start_folded().await;
    let recorded = world.append(deposits("a", [1, 2]));
    let delayed = |notice: &Notice| matches!(notice, Notice::LoadDelayed { attempt: 4, .. });
    world.probe.notified(delayed, PATIENCE).await;
    let told = status(&handle).await;
    assert_eq!((told.activity, told.halted_partitions), (Activity::CatchingUp, 0));
    assert!(told.store_delay.expect("it is away").error.contains("scripted"));
    let early = handle.wait(Await::events("balances", &recorded).within(Duration::from_millis(5)));
    assert_eq!(outcomes(early.await), [Outcome::TimedOut, Outcome::TimedOut]);
    world.store_faults().heal();
    handle.wait(Await::events("balances", &recorded)).await.expect("done");
    assert_eq!(status(&handle).await.store_delay, None);
    let resumed = |notice: &Notice| matches!(notice, Notice::LoadResumed { attempts: 4.., .. });
    assert_eq!((world.probe.count(resumed), world.probe.count(halted)), (1, 0));
    world.check_folded();
    handle.stop().await;
}

async fn a_stop_does_not_wait_for_a_store_that_cannot_be_read(world: World) {
    let world = world.with(|config| {
        config.min_backoff = Duration::from_secs(3600);
        config.max_backoff = Duration::from_secs(3600);
    });
    let handle = world.start_folded().await;
    world.append([Event::opened("a")]);
    caught_up(&handle).await;
    handle.stop().await;
    world.store_faults().fail_load(1);
    let handle = world.start_folded().await;
    world.append(deposits("a", [1]));
    let delayed = |notice: &Notice| matches!(notice, Notice::LoadDelayed { .. });
    world.probe.notified(delayed, PATIENCE).await;
    handle.stop().await;
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    world.check_folded();
    handle.stop().await;
}

async fn what_is_wanted_at_once_is_loaded_at_once(world: World) {
    let ids: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    world.append(ids.iter().map(|id| Event::opened(id)));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    handle.stop().await;
    world.append(ids.iter().map(|id| Event::deposited(id, 1)));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    assert_eq!(world.store_faults().counts().loads, 1);
    world.check_folded();
    handle.stop().await;
}

async fn a_first_catch_up_loads_nothing(world: World) {
    let world = world.with(|config| {
        config.slice = 10;
        config.max_active = 5;
    });
    let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
    world.append(ids.iter().map(|id| Event::opened(id)));
    let handle = world.start_folded().await;
    caught_up(&handle).await;
    assert_eq!(world.store_faults().counts().loads, 0);
    // But those that come again have a state.
    world.append(ids.iter().map(|id| Event::deposited(id, 1)));
    caught_up(&handle).await;
    assert!(world.store_faults().counts().loads > 0);
    world.check_folded();
    handle.stop().await;
}

async fn a_fold_that_was_taken_over_writes_no_more(world: World) {
    let first = world.start_folded().await;
    world.append([Event::opened("a")]);
    caught_up(&first).await;
    let second = world.start_folded().await;
    world.append(deposits("a", [1, 2, 4]));
    caught_up(&second).await;
    world.probe.notified(fenced, PATIENCE).await;
    world.check_folded();
    first.stop().await;
    second.stop().await;
}

/// Whatever is stopped when.
#[test]
fn states_of_partitions_that_come_and_go_are_folded_from_every_event_in_order() {
    for_each_seed(0..12, 4, |rng| {
        let world = World::memory().with(|config| {
            config.idle_timeout = Duration::from_millis(rng.range(0..3) as u64);
            config.max_active = rng.range(1..5);
            config.slice = rng.range(1..20);
            config.batch = rng.range(1..9);
        });
        let ids: Vec<String> = (0..rng.range(2..20)).map(|id| id.to_string()).collect();
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        actix_rt::System::new().block_on(async {
            let handle = world.start_folded().await;
            world.append(ids.iter().map(|id| Event::opened(id)));
            for amount in 0..rng.range(20..120) {
                let some = (0..rng.range(1..6))
                    .map(|_| Event::deposited(rng.pick::<String>(&ids), amount as i64));
                let recorded = world.append(some.collect::<Vec<_>>());
                if rng.chance(0.4) {
                    handle.wait(Await::events("balances", &recorded)).await.expect("done");
                }
            }
            caught_up(&handle).await;
            world.check_folded();
            handle.stop().await;
        });
    });
}

/// States as rows of a table of the application's own, over restarts and passivation.
mod in_a_table {
    use diesel::{connection::SimpleConnection as _, prelude::*};
    use rederive::{
        Await, Config, Fold, Folded, MemoryLog, PartitionId, Partitions, Recorded, Rederive,
        ReduceError,
        diesel::{SqliteDatabase, TableState},
    };
    use serde::{Deserialize, Serialize};

    diesel::table! { clocks (id) { id -> Text, ticks -> BigInt, last -> Nullable<BigInt> } }

    #[derive(
        Clone, Default, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize,
    )]
    struct Clock {
        id: String,
        ticks: i64,
        last: Option<i64>,
    }

    struct Clocks;

    impl Fold for Clocks {
        type Event = (String, i64);
        type State = Clock;

        fn name(&self) -> &str {
            "clocks"
        }

        fn partition(&self, (clock, _): &(String, i64)) -> Partitions {
            clock.into()
        }

        fn fold(
            &self,
            clock: &mut Clock,
            tick: &Recorded<(String, i64)>,
            id: &PartitionId,
        ) -> Result<(), ReduceError> {
            clock.id = id.to_string();
            clock.ticks += 1;
            clock.last = Some(tick.data.1);
            Ok(())
        }

        fn is_removed(&self, clock: &Clock) -> bool {
            clock.last == Some(-1)
        }
    }

    #[actix_rt::test]
    async fn states_are_rows_of_a_table_that_queries_see() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = SqliteDatabase::open(folder.path().join("clocks.db")).expect("it opens");
        let table = "CREATE TABLE clocks (id TEXT PRIMARY KEY NOT NULL, ticks INTEGER NOT NULL,
            last INTEGER) STRICT";
        db.write(|conn| conn.batch_execute(table)).expect("it can be created");
        let log = MemoryLog::new();
        let config =
            Config { idle_timeout: std::time::Duration::ZERO, max_active: 1, ..Config::default() };
        for round in 1..4_i64 {
            let fold = Folded::with(Clocks, TableState::new(clocks::table));
            let rederive = Rederive::new(log.clone()).config(config.clone());
            let rederive = rederive.register_fold(fold, db.store()).start().await;
            let rederive = rederive.expect("it starts");
            for tick in 1..4 {
                log.append(["a", "b"].map(|clock| (clock.to_owned(), 10 * round + tick)));
                log.append([("gone".to_owned(), 1), ("gone".to_owned(), -1)]);
                rederive.wait(Await::caught_up("clocks")).await.expect("caught up");
                let rows: Vec<Clock> =
                    db.read(|conn| clocks::table.order(clocks::id).load(conn)).expect("a table");
                let clock = |id: &str| Clock {
                    id: id.to_owned(),
                    ticks: 3 * (round - 1) + tick,
                    last: Some(10 * round + tick),
                };
                assert_eq!(rows, ["a", "b"].map(clock));
            }
            // What is built anew is what was there, and the other row is left alone.
            db.write(|conn| conn.batch_execute("UPDATE clocks SET ticks = -7")).expect("a table");
            rederive.rebuild_partition("clocks", "a").await.expect("it is rebuilt");
            let ticks = || -> Vec<i64> {
                let query = clocks::table.order(clocks::id).select(clocks::ticks);
                db.read(|conn| query.load(conn)).expect("a table")
            };
            assert_eq!(ticks(), [3 * round, -7]);
            rederive.rebuild_partition("clocks", "b").await.expect("it is rebuilt");
            assert_eq!(ticks(), [3 * round, 3 * round]);
            rederive.stop().await;
        }
    }
}
