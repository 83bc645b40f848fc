//! Views: states in memory only, read and followed without a query.

use rederive::{Await, Handle, Outcome, View, ViewChange};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, Model, fold},
    folded::{Balance, Balances, model_of_view},
    on_every_store, outcomes,
};

on_every_store!(
    an_awaited_event_is_in_the_view,
    a_view_is_built_anew_at_each_start_beside_a_reducer_that_resumes,
    an_event_that_fails_halts_its_partition_in_the_view_alone,
    a_watched_partition_shows_its_newest_state,
    whoever_follows_slowly_ends_with_the_newest_states,
    a_stalled_store_does_not_keep_a_view_waiting,
);

async fn start(world: &World, view: &View<Balance>) -> Handle {
    let rederive = world.builder().register(Accounts::new(), world.store.clone());
    rederive.register_view(Balances::named("view"), view).start().await.expect("it starts")
}

async fn caught_up(handle: &Handle) {
    let _ = handle.wait(Await::caught_up("view")).await;
}

fn check(world: &World, view: &View<Balance>) {
    assert_eq!(model_of_view(view), fold(&world.events()).rows);
}

async fn an_awaited_event_is_in_the_view(world: World) {
    let view = View::new();
    let handle = start(&world, &view).await;
    world.append([Event::opened("a")]);
    for amount in 1..50 {
        let recorded = world.append([Event::deposited("a", amount)]);
        handle.wait(Await::events("view", &recorded)).await.expect("done");
        assert_eq!(view.get("a").expect("it is open").balance, amount * (amount + 1) / 2);
    }
    assert!(view.get("b").is_none());
    handle.stop().await;
}

async fn a_view_is_built_anew_at_each_start_beside_a_reducer_that_resumes(world: World) {
    world.append([Event::opened("a"), Event::opened("b")]);
    for amount in 1..4 {
        let view = View::new();
        let handle = start(&world, &view).await;
        world.append([Event::deposited("a", amount), Event::deposited("b", amount)]);
        caught_up(&handle).await;
        world.settled(&handle).await;
        check(&world, &view);
        world.check();
        assert_eq!(view.len(), 2);
        handle.stop().await;
        // What is there stays there, and the same view goes on.
        check(&world, &view);
        let handle = start(&world, &view).await;
        world.append([Event::deposited("a", amount)]);
        caught_up(&handle).await;
        check(&world, &view);
        handle.stop().await;
    }
}

async fn an_event_that_fails_halts_its_partition_in_the_view_alone(world: World) {
    let view = View::new();
    world.append(["a", "b"].map(Event::opened));
    world.append([Event::deposited("a", 1), Event::poison("a"), Event::deposited("b", 2)]);
    let handle = start(&world, &view).await;
    let recorded = world.append(["a", "b"].map(|id| Event::deposited(id, 5)));
    for (event, halted) in recorded.iter().zip([true, false]) {
        let told = outcomes(handle.wait(Await::events("view", [event])).await);
        assert_eq!(matches!(told[0], Outcome::Halted(_)), halted, "{told:?}");
    }
    check(&world, &view);
    handle.stop().await;
}

async fn a_watched_partition_shows_its_newest_state(world: World) {
    let view = View::new();
    let (mut a, b) = (view.watch("a"), view.watch("b"));
    assert!(a.borrow().is_none());
    let handle = start(&world, &view).await;
    world.append([Event::opened("a")]);
    for amount in 1..20 {
        world.append([Event::deposited("a", amount)]);
        let sum = amount * (amount + 1) / 2;
        let seen = a.wait_for(|state| state.as_ref().is_some_and(|state| state.balance == sum));
        tokio::time::timeout(PATIENCE, seen).await.expect("in time").expect("it lives");
    }
    assert!(!b.has_changed().expect("it lives"));
    handle.stop().await;
}

async fn whoever_follows_slowly_ends_with_the_newest_states(world: World) {
    let world = world.with(|config| config.slice = 3);
    let view = View::new();
    let (mut quick, mut slow) = (view.changes(), view.changes());
    let handle = start(&world, &view).await;
    let follow = actix_rt::spawn(async move {
        let mut seen = Model::new();
        while !seen.contains_key("end") {
            match quick.next().await {
                ViewChange::State(id, it) => {
                    seen.insert(id.to_string(), (it.balance, it.changes, it.last))
                }
                other => panic!("{other:?}"),
            };
        }
        seen
    });
    world.append(["a", "b"].map(Event::opened));
    for amount in 1..50 {
        let event = Event::Transferred { from: "a".into(), to: "b".into(), amount };
        let recorded = world.append([event]);
        handle.wait(Await::events("view", &recorded)).await.expect("done");
    }
    world.append([Event::opened("end")]);
    let followed = tokio::time::timeout(PATIENCE, follow).await.expect("in time");
    assert_eq!(followed.expect("no panic"), model_of_view(&view));
    let mut told = Vec::new();
    while let Some(change) = slow.try_next() {
        match change {
            ViewChange::State(id, state) => told.push((id.to_string(), state.changes)),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    let once = [("a".to_owned(), 50), ("b".to_owned(), 50), ("end".to_owned(), 1)];
    assert_eq!(told, once);
    handle.stop().await;
}

async fn a_stalled_store_does_not_keep_a_view_waiting(world: World) {
    let view = View::new();
    let gate = Gate::closed();
    world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let handle = start(&world, &view).await;
    let recorded = world.append([Event::opened("a"), Event::deposited("a", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    handle.wait(Await::events("view", &recorded)).await.expect("done");
    check(&world, &view);
    assert!(world.rows().is_empty());
    gate.open();
    world.settled(&handle).await;
    world.check();
    handle.stop().await;
}

#[actix_rt::test]
async fn a_view_belongs_to_one_fold() {
    let (world, view) = (World::memory(), View::new());
    let twice = world.builder().register_view(Balances::named("one"), &view);
    let refused = twice.register_view(Balances::named("two"), &view).start().await;
    let message = refused.err().expect("it is refused").to_string();
    assert!(message.contains("a view of its own"), "{message}");
}
