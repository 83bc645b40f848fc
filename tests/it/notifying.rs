//! Notifiers: where they begin, and what they send.

use rederive::{Await, Begin, Notice};

use crate::fixture::{
    PATIENCE, World,
    bank::Event,
    mails::{Mails, deliveries, emptied},
    notices::halted,
    on_every_store,
};

on_every_store!(
    a_notifier_sends_what_follows_from_events,
    nothing_is_sent_for_history,
    a_notifier_begins_after_the_cursor_it_is_told,
    what_was_sent_is_passed_by_after_a_restart,
    what_was_appended_while_it_was_down_is_sent,
    an_event_that_it_cannot_read_halts_its_partition_and_is_told,
);

async fn begin(world: &World, mails: &Mails, begin: Option<Begin>) -> rederive::Handle {
    let (builder, store) = (world.builder(), world.store.clone());
    let builder = match begin {
        Some(begin) => builder.notify_from(mails.clone(), begin, store),
        None => builder.notify(mails.clone(), store),
    };
    builder.start().await.expect("it starts")
}

async fn a_notifier_sends_what_follows_from_events(world: World) {
    let mails = Mails::new();
    let handle = begin(&world, &mails, None).await;
    let recorded = world.append([Event::deposited("a", 5), Event::Noise]);
    handle.wait(Await::events("mails", &recorded)).await.expect("done");
    deliveries(&world, 1).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [5]);
}

async fn nothing_is_sent_for_history(world: World) {
    world.append((0..10).map(|amount| Event::deposited("a", amount)));
    let mails = Mails::new();
    let handle = begin(&world, &mails, None).await;
    world.append([Event::deposited("a", 10)]);
    deliveries(&world, 1).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [10]);
}

async fn a_notifier_begins_after_the_cursor_it_is_told(world: World) {
    let recorded = world.append((0..10).map(|amount| Event::deposited("a", amount)));
    let mails = Mails::new();
    let after = Begin::After(recorded[6].cursor.clone());
    let handle = begin(&world, &mails, Some(after)).await;
    deliveries(&world, 3).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [7, 8, 9]);
}

async fn what_was_sent_is_passed_by_after_a_restart(world: World) {
    let mails = Mails::new();
    let handle = begin(&world, &mails, Some(Begin::Start)).await;
    world.append((0..3).map(|amount| Event::deposited("a", amount)));
    deliveries(&world, 3).await;
    handle.stop().await;
    let handle = begin(&world, &mails, Some(Begin::Start)).await;
    world.append([Event::deposited("a", 3)]);
    deliveries(&world, 4).await;
    emptied(&handle).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 2, 3]);
}

async fn what_was_appended_while_it_was_down_is_sent(world: World) {
    let mails = Mails::new();
    begin(&world, &mails, None).await.stop().await;
    world.append((0..3).map(|amount| Event::deposited("a", amount)));
    let handle = begin(&world, &mails, None).await;
    deliveries(&world, 3).await;
    handle.stop().await;
    assert_eq!(mails.told("a"), [0, 1, 2]);
}

async fn an_event_that_it_cannot_read_halts_its_partition_and_is_told(world: World) {
    let mails = Mails::new();
    let handle = begin(&world, &mails, None).await;
    world.append([Event::poison("a"), Event::deposited("a", 1), Event::deposited("b", 2)]);
    let notice = world.probe.notified(halted, PATIENCE).await;
    let Notice::Halted { halt, .. } = notice else { panic!("{notice:?}") };
    assert!(halt.message.contains("nobody can say that"), "{halt}");
    deliveries(&world, 1).await;
    handle.stop().await;
    assert_eq!((mails.told("a").len(), mails.told("b")), (0, vec![2]));
}
