//! Folds with effects: delivered as those of reducers are, and never emitted twice.

use std::sync::{Arc, Mutex};

use rederive::{
    Await, Deliver, DeliverError, Due, Fold, FoldEffects, Handle, OutboxCounts, Partitions,
    ReduceError, View, core::PartitionId,
};

use crate::fixture::{
    World,
    bank::{Event, Recorded},
    mails::deliveries,
    on_every_store, until,
};

on_every_store!(
    the_effects_of_a_fold_follow_from_its_states_and_are_delivered_in_order,
    a_rebuild_of_a_fold_emits_nothing_again,
    a_batch_that_fails_leaves_the_effects_of_its_good_prefix,
    a_fold_in_a_view_is_not_asked_for_effects,
);

/// Counts deposits; a poison fails.
struct Counts;

impl Fold for Counts {
    type Event = Event;
    type State = u64;

    fn name(&self) -> &str {
        "counts"
    }

    fn partition(&self, event: &Event) -> Partitions {
        Partitions::of(event.partitions())
    }

    fn fold(&self, count: &mut u64, event: &Recorded, _: &PartitionId) -> Result<(), ReduceError> {
        if matches!(event.data, Event::Poison { .. }) {
            return Err(ReduceError::new("poison"));
        }
        *count += 1;
        Ok(())
    }

    fn effects(
        &self,
        count: &u64,
        event: &Recorded,
        effects: &mut FoldEffects<'_>,
    ) -> Result<(), ReduceError> {
        match &event.data {
            Event::Deposited { amount, .. } => effects.push(&(*count, *amount)),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Default)]
struct Post(Arc<Mutex<Vec<Told>>>);

type Told = Due<(u64, i64)>;

impl Deliver for Post {
    type Effect = (u64, i64);

    async fn deliver(&self, due: Due<(u64, i64)>) -> Result<(), DeliverError> {
        self.0.lock().expect("no panic").push(due);
        Ok(())
    }
}

impl Post {
    async fn start(&self, world: &World) -> Handle {
        let builder = world.builder();
        let builder = builder.register_fold_delivering(Counts, self.clone(), world.store.clone());
        builder.start().await.expect("it starts")
    }

    fn told(&self, to: &str) -> Vec<(u64, i64)> {
        let told = self.0.lock().expect("no panic");
        told.iter().filter(|due| due.partition.as_str() == to).map(|due| due.effect).collect()
    }
}

fn deposits(id: &str, amounts: std::ops::Range<i64>) -> Vec<Event> {
    amounts.map(|amount| Event::deposited(id, amount)).collect()
}

async fn the_effects_of_a_fold_follow_from_its_states_and_are_delivered_in_order(world: World) {
    let post = Post::default();
    world.append(deposits("a", 0..50));
    let handle = post.start(&world).await;
    world.append([Event::opened("b")]);
    world.append(deposits("b", 0..3));
    deliveries(&world, 53).await;
    handle.stop().await;
    assert_eq!(post.told("a"), (0..50).map(|n: i64| (n as u64 + 1, n)).collect::<Vec<_>>());
    assert_eq!(post.told("b"), [(2, 0), (3, 1), (4, 2)]);
}

async fn a_rebuild_of_a_fold_emits_nothing_again(world: World) {
    let post = Post::default();
    let handle = post.start(&world).await;
    let recorded = world.append(deposits("a", 0..3));
    handle.wait(Await::events("counts", &recorded)).await.expect("done");
    deliveries(&world, 3).await;
    // Noted, too: what is not is delivered again.
    until(&handle, "counts", |status| status.effects == Some(OutboxCounts::default())).await;
    let report = handle.rebuild("counts").await.expect("it is rebuilt");
    assert_eq!(report.events, 3);
    world.append(deposits("a", 3..4));
    deliveries(&world, 4).await;
    handle.stop().await;
    assert_eq!(post.told("a"), [(1, 0), (2, 1), (3, 2), (4, 3)]);
}

async fn a_batch_that_fails_leaves_the_effects_of_its_good_prefix(world: World) {
    let post = Post::default();
    world.append(deposits("a", 0..2));
    world.append([Event::poison("a")]);
    world.append(deposits("a", 2..4));
    world.append(deposits("b", 0..1));
    let handle = post.start(&world).await;
    deliveries(&world, 3).await;
    let counts = handle.count_effects("counts").await.expect("it counts");
    handle.stop().await;
    assert_eq!((counts.parked, post.told("a")), (0, vec![(1, 0), (2, 1)]));
}

async fn a_fold_in_a_view_is_not_asked_for_effects(world: World) {
    let view = View::new();
    let handle = world.builder().register_view(Counts, &view).start().await.expect("it starts");
    let recorded = world.append(deposits("a", 0..3));
    handle.wait(Await::events("counts", &recorded)).await.expect("done");
    handle.stop().await;
    assert_eq!(view.get("a").as_deref(), Some(&3));
}
