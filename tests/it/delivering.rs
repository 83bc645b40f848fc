//! Delivering effects: at least once, in order per partition, whatever fails.

use std::{collections::HashSet, time::Duration};

use rederive::{
    DeliveryFailure, EffectKey, Notice,
    chaos::{Kill, Victim},
};

use crate::fixture::{
    PATIENCE, World,
    bank::Event,
    mails::{Mails, Trouble, deliveries, emptied, parked},
    notices::{fenced, restarted},
    on_every_store,
};

on_every_store!(
    effects_are_delivered_once_and_in_the_order_of_their_partition,
    an_event_of_two_partitions_leads_to_effects_of_both,
    an_event_that_fails_leaves_no_effect,
    a_delivery_under_way_delays_no_other_partition,
    a_failed_delivery_is_made_again_with_the_same_key,
    what_failed_too_often_is_parked_and_holds_up_its_partition_alone,
    what_is_refused_is_parked_until_it_is_redelivered,
    a_parked_effect_that_is_dropped_lets_the_later_ones_pass,
    a_delivery_that_panics_or_takes_too_long_is_made_again,
    an_outbox_that_cannot_be_used_is_waited_for,
    a_courier_that_dies_is_replaced_and_delivers_again,
    a_dispatcher_that_dies_takes_its_courier_along,
    what_was_delivered_and_not_noted_is_delivered_again_after_a_restart,
    the_courier_of_an_older_owner_delivers_nothing_more,
    a_stop_waits_for_deliveries_under_way,
    a_stop_waits_no_longer_than_the_grace,
);

fn deposits(id: &str, amounts: std::ops::Range<i64>) -> Vec<Event> {
    amounts.map(|amount| Event::deposited(id, amount)).collect()
}

fn key(partition: &str, cursor: u64) -> EffectKey {
    EffectKey { partition: partition.into(), cursor: cursor.into(), number: 0 }
}

async fn effects_are_delivered_once_and_in_the_order_of_their_partition(world: World) {
    let mails = Mails::new().with(|settings| (settings.concurrency, settings.window) = (3, 20));
    let handle = mails.start(&world).await;
    for amount in 0..30 {
        world.append(["a", "b", "c", "d", "e"].map(|id| Event::deposited(id, amount)));
    }
    deliveries(&world, 150).await;
    emptied(&handle).await;
    handle.stop().await;
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(mails.told(id), (0..30).collect::<Vec<_>>());
    }
    let keys: HashSet<_> = mails.received().into_iter().map(|due| due.key).collect();
    assert_eq!((keys.len(), mails.received().len()), (150, 150));
    assert!(mails.most_at_once() <= 3);
}

async fn an_event_of_two_partitions_leads_to_effects_of_both(world: World) {
    let mails = Mails::new();
    let handle = mails.start(&world).await;
    world.append([Event::Transferred { from: "a".into(), to: "b".into(), amount: 5 }]);
    deliveries(&world, 4).await;
    handle.stop().await;
    assert_eq!([mails.told("a"), mails.told("b")], [[5, 6], [5, 6]]);
}

async fn an_event_that_fails_leaves_no_effect(world: World) {
    let mails = Mails::new();
    let handle = mails.start(&world).await;
    world.append([Event::deposited("a", 1), Event::poison("a"), Event::deposited("a", 2)]);
    world.append(deposits("b", 0..1));
    deliveries(&world, 2).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [1], "the good prefix, and nothing of what is held");
}

async fn a_delivery_under_way_delays_no_other_partition(world: World) {
    let mails = Mails::new();
    let release = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..3));
    world.append(deposits("b", 0..50));
    deliveries(&world, 50).await;
    assert_eq!((mails.told("a").len(), mails.told("b").len()), (0, 50));
    release.send(true).expect("it is held");
    deliveries(&world, 53).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 2]);
}

async fn a_failed_delivery_is_made_again_with_the_same_key(world: World) {
    let mails = Mails::new();
    (0..4).for_each(|_| mails.trouble("a", Trouble::Retry));
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..2));
    deliveries(&world, 2).await;
    emptied(&handle).await;
    handle.stop().await;
    let received: Vec<_> =
        mails.received().into_iter().map(|due| (due.key, due.attempt, due.effect.amount)).collect();
    let text = |cursor| key("a", cursor).text("mails");
    assert_eq!(received, [(text(1), 5, 0), (text(2), 1, 1)]);
    let delays = |notice: &Notice| matches!(notice, Notice::DeliveryDelayed { .. });
    assert_eq!(world.probe.count(delays), 4);
}

async fn what_failed_too_often_is_parked_and_holds_up_its_partition_alone(world: World) {
    let mails = Mails::new();
    (0..5).for_each(|_| mails.trouble("a", Trouble::Retry));
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..2));
    parked(&handle).await;
    world.append(deposits("b", 0..5));
    deliveries(&world, 5).await;
    assert!(mails.told("a").is_empty());
    let listed = handle.parked("mails", None, 10).await.expect("it lists");
    let why = listed[0].parked.clone().expect("only parked ones are listed");
    assert_eq!((listed.len(), &listed[0].key), (1, &key("a", 1)));
    assert_eq!((why.kind, why.attempts, &*why.message), (DeliveryFailure::Failed, 5, "not now"));
    handle.stop().await;
    // Also after a restart.
    let handle = mails.start(&world).await;
    world.append(deposits("b", 5..6));
    deliveries(&world, 6).await;
    assert!(mails.told("a").is_empty());
    handle.stop().await;
}

async fn what_is_refused_is_parked_until_it_is_redelivered(world: World) {
    let mails = Mails::new();
    mails.trouble("a", Trouble::Refuse);
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..3));
    parked(&handle).await;
    let counts = handle.count_effects("mails").await.expect("it counts");
    assert_eq!((counts.parked, counts.pending), (1, 2));
    assert_eq!(handle.redeliver("mails", key("a", 2)).await, Ok(false), "it is not parked");
    assert_eq!(handle.redeliver("mails", key("a", 1)).await, Ok(true));
    deliveries(&world, 3).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 2]);
    assert_eq!(world.probe.count(|notice| matches!(notice, Notice::Parked { .. })), 1);
}

async fn a_parked_effect_that_is_dropped_lets_the_later_ones_pass(world: World) {
    let mails = Mails::new();
    mails.trouble("a", Trouble::Refuse);
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..3));
    parked(&handle).await;
    assert_eq!(handle.drop_effect("mails", key("a", 1)).await, Ok(true));
    deliveries(&world, 2).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [1, 2]);
    assert!(handle.drop_effect("mails", key("a", 1)).await.is_err(), "it has stopped");
}

async fn a_delivery_that_panics_or_takes_too_long_is_made_again(world: World) {
    let mails = Mails::new().with(|settings| settings.timeout = Duration::from_millis(20));
    mails.trouble("a", Trouble::Panic);
    let release = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..1));
    deliveries(&world, 1).await;
    handle.stop().await;
    assert_eq!(mails.received()[0].attempt, 3);
    assert!(release.is_closed(), "what took too long was given up");
    let kinds: Vec<_> = world
        .probe
        .all()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::DeliveryDelayed { delayed, .. } => Some(delayed.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [DeliveryFailure::Panicked, DeliveryFailure::TimedOut]);
    assert_eq!(world.probe.count(restarted("courier")), 0);
}

async fn an_outbox_that_cannot_be_used_is_waited_for(world: World) {
    let mails = Mails::new();
    world.store_faults().fail_effects(3);
    world.store_faults().fail_mark(3);
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..20));
    deliveries(&world, 20).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), (0..20).collect::<Vec<_>>());
    let delays = |notice: &Notice| matches!(notice, Notice::OutboxDelayed { .. });
    assert_eq!(world.probe.count(delays), 6);
}

async fn a_courier_that_dies_is_replaced_and_delivers_again(world: World) {
    let mails = Mails::new();
    let _never = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..3));
    world.append(deposits("b", 0..1));
    deliveries(&world, 1).await;
    mails.troubled("a").await;
    let kill = Kill { reducer: "mails".into(), victim: Victim::Courier };
    handle.supervisor().send(kill).await.expect("it lives");
    world.probe.notified(restarted("courier"), PATIENCE).await;
    deliveries(&world, 4).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 2]);
}

async fn a_dispatcher_that_dies_takes_its_courier_along(world: World) {
    let mails = Mails::new();
    let release = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("b", 0..1));
    world.append(deposits("a", 0..3));
    deliveries(&world, 1).await;
    mails.troubled("a").await;
    let kill = Kill { reducer: "mails".into(), victim: Victim::Dispatcher };
    handle.supervisor().send(kill).await.expect("it lives");
    world.probe.notified(restarted("dispatcher"), PATIENCE).await;
    emptied(&handle).await;
    handle.stop().await;
    assert!(release.is_closed(), "what was under way is given up");
    assert_eq!(mails.told("a"), [0, 1, 2]);
}

async fn what_was_delivered_and_not_noted_is_delivered_again_after_a_restart(world: World) {
    let mails = Mails::new();
    world.store_faults().fail_mark(1_000_000);
    let handle = mails.start(&world).await;
    world.append(deposits("a", 0..2));
    deliveries(&world, 2).await;
    handle.stop().await;
    world.store_faults().heal();
    let handle = mails.start(&world).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 0, 1]);
    let keys: Vec<_> = mails.received().into_iter().map(|due| due.key).collect();
    assert_eq!(keys[..2], keys[2..]);
}

async fn the_courier_of_an_older_owner_delivers_nothing_more(world: World) {
    let (old, new) = (Mails::new(), Mails::new());
    let older = old.start(&world).await;
    world.append(deposits("a", 0..3));
    deliveries(&world, 3).await;
    emptied(&older).await;
    let newer = new.start(&world).await;
    world.append(deposits("a", 3..9));
    deliveries(&world, 9).await;
    world.probe.notified(fenced, PATIENCE).await;
    emptied(&newer).await;
    older.stop().await;
    newer.stop().await;
    assert_eq!((old.told("a"), new.told("a")), ((0..3).collect(), (3..9).collect()));
}

async fn a_stop_waits_for_deliveries_under_way(world: World) {
    let mails = Mails::new();
    let release = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("b", 0..1));
    world.append(deposits("a", 0..3));
    deliveries(&world, 1).await;
    mails.troubled("a").await;
    let stopping = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    release.send(true).expect("it is held");
    stopping.await.expect("it stops");
    let told = mails.told("a").len();
    let handle = mails.start(&world).await;
    emptied(&handle).await;
    handle.stop().await;
    assert!(told <= 3);
    assert_eq!(mails.told("a"), [0, 1, 2], "what was delivered was noted before the end");
}

async fn a_stop_waits_no_longer_than_the_grace(world: World) {
    let mails = Mails::new().with(|settings| settings.grace = Duration::from_millis(5));
    let release = mails.hold("a");
    let handle = mails.start(&world).await;
    world.append(deposits("b", 0..1));
    world.append(deposits("a", 0..2));
    deliveries(&world, 1).await;
    mails.troubled("a").await;
    handle.stop().await;
    let handle = mails.start(&world).await;
    emptied(&handle).await;
    handle.stop().await;
    assert!(release.is_closed());
    assert_eq!(mails.told("a"), [0, 1]);
}
