//! Catching up: everything in the log is read, in slices, whether or not somebody wakes us.

use std::time::Duration;

use diesel::RunQueryDsl as _;
use rederive::{Await, Cursor, Notice, Rederive, diesel::SqliteDatabase};
use rederive_testkit::{Gate, LogFault};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event},
    notices::{caught_up, stored},
    on_every_store, quiet, status,
};

on_every_store!(
    more_events_than_a_slice_holds_are_read_in_several_slices,
    a_log_that_answers_with_less_than_asked_for_is_read_to_its_end,
    ignored_events_advance_the_watermark_which_is_stored_on_the_timer,
    a_long_stretch_of_irrelevant_events_is_passed_within_a_small_window,
    polling_finds_events_when_no_wake_up_comes,
    a_wait_until_caught_up_needs_neither_wake_up_nor_poll,
    a_wait_until_caught_up_counts_what_was_appended_just_before,
    a_wait_until_caught_up_counts_what_was_appended_while_a_read_is_under_way,
    wake_ups_without_news_do_no_harm,
    an_empty_log_is_caught_up_with_at_once,
);

fn deposits(count: i64) -> impl Iterator<Item = Event> {
    (0..count).map(|amount| Event::deposited(&format!("account {}", amount % 7), amount))
}

fn open_accounts(world: &World) {
    world.append((0..7).map(|number| Event::opened(&format!("account {number}"))));
}

async fn more_events_than_a_slice_holds_are_read_in_several_slices(world: World) {
    let world = world.with(|config| config.slice = 3);
    open_accounts(&world);
    world.append(deposits(50));
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    let faults = world.log_faults();
    assert!(faults.fetches() + faults.at_hand() >= 57 / 3);
    // And again while it runs.
    let later = world.append(deposits(20));
    handle.wait(Await::events("accounts", &later)).await.expect("done");
    world.check();
    handle.stop().await;
}

async fn a_log_that_answers_with_less_than_asked_for_is_read_to_its_end(world: World) {
    world.log_faults().shorten(2);
    open_accounts(&world);
    world.append(deposits(15));
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

#[actix_rt::test]
async fn a_log_with_text_cursors_is_followed_in_their_order() {
    let world = World::memory_of_text().with(|config| config.slice = 4);
    open_accounts(&world);
    let handle = world.start().await;
    let recorded = world.append(deposits(120));
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.stop().await;
    let handle = world.start().await;
    world.append(deposits(5));
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn ignored_events_advance_the_watermark_which_is_stored_on_the_timer(world: World) {
    let world = world.with(|config| config.watermark_interval = Duration::from_millis(5));
    let handle = world.start().await;
    world.append(vec![Event::Noise; 10]);
    world.probe.notified(stored(10), PATIENCE).await;
    assert_eq!(status(&handle).await.watermark, Cursor::from(10));
    // As it was stored, a start after a crash begins there: this one takes the reducer over.
    let again = world.start().await;
    let started = |notice: &Notice| matches!(notice, Notice::Started { watermark, .. } if *watermark == Cursor::from(10));
    world.probe.notified(started, PATIENCE).await;
    again.stop().await;
    handle.stop().await;
}

async fn a_long_stretch_of_irrelevant_events_is_passed_within_a_small_window(world: World) {
    let world = world.with(|config| (config.slice, config.window) = (5, 3));
    let handle = world.start().await;
    world.append(vec![Event::Noise; 500]);
    let recorded = world.append([Event::opened("a")]);
    world.append(vec![Event::Noise; 500]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert_eq!(status(&handle).await.watermark, Cursor::from(1001));
    handle.stop().await;
    // A clean stop stores it.
    assert!(world.probe.count(stored(1001)) > 0);
    world.check();
}

async fn polling_finds_events_when_no_wake_up_comes(world: World) {
    let world = world.with(|config| config.poll_interval = Duration::from_millis(5));
    world.log_faults().drop_wake_ups();
    let handle = world.start().await;
    for id in ["a", "b", "c"] {
        let recorded = world.append([Event::opened(id), Event::deposited(id, 1)]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    world.check();
    // PostgreSQL's log may wake its followers once more, when it begins to listen.
    assert!(world.log_faults().dropped_wake_ups() >= 3);
    handle.stop().await;
}

async fn a_wait_until_caught_up_needs_neither_wake_up_nor_poll(world: World) {
    world.log_faults().drop_wake_ups();
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    world.append([Event::opened("a"), Event::opened("b")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.check();
    handle.stop().await;
}

async fn a_wait_until_caught_up_counts_what_was_appended_just_before(world: World) {
    // Whether or not its wake-up is still queued, on its way or lost.
    let world = world.with(|config| config.slice = 2);
    let handle = world.start().await;
    for round in 0..60 {
        if round == 30 {
            world.log_faults().drop_wake_ups();
        }
        let ids: Vec<_> = (0..round % 4 + 1).map(|number| format!("{round}-{number}")).collect();
        world.append(ids.iter().map(|id| Event::opened(id)));
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        let rows = world.rows();
        assert!(ids.iter().all(|id| rows.contains_key(id)), "round {round}: {ids:?}");
    }
    handle.stop().await;
}

async fn a_wait_until_caught_up_counts_what_was_appended_while_a_read_is_under_way(world: World) {
    let handle = world.start().await;
    world.probe.notified(caught_up, PATIENCE).await;
    let gate = Gate::closed();
    world.log_faults().on_fetch(LogFault::Stall(gate.clone()));
    world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    // Wake-ups queue up behind the read, and the first wait is asked for before the second.
    world.append([Event::opened("b")]);
    let first = handle.supervisor().send(Await::caught_up("accounts"));
    world.append([Event::opened("c")]);
    let second = handle.supervisor().send(Await::caught_up("accounts"));
    gate.open();
    first.await.expect("it lives").expect("caught up");
    assert!(world.rows().contains_key("b"));
    second.await.expect("it lives").expect("caught up");
    assert_eq!(world.rows().len(), 3);
    handle.stop().await;
}

/// Another process has a connection of its own and wakes nobody here.
#[actix_rt::test]
async fn a_wait_until_caught_up_counts_what_another_process_appended_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = || SqliteDatabase::open(folder.path().join("bank.db")).expect("it can be opened");
    let (db, elsewhere) = (open(), open());
    let create = "CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL,
        changes INTEGER NOT NULL, last INTEGER) STRICT";
    db.write(|conn| diesel::sql_query(create).execute(conn)).expect("it can be created");
    let rederive = Rederive::new(db.event_log()).config(quiet());
    let handle = rederive.register(Accounts::new(), db.store()).start().await.expect("it starts");
    for round in 1..=20 {
        let event = Event::opened(&round.to_string());
        elsewhere.event_log().append(vec![event]).await.expect("appended");
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
        let rows = db.read(|conn| {
            diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM accounts")
                .get_result::<i64>(conn)
        });
        assert_eq!(rows.expect("it can be read"), round);
    }
    handle.stop().await;
}

async fn wake_ups_without_news_do_no_harm(world: World) {
    let handle = world.start().await;
    for _ in 0..100 {
        world.log_faults().wake();
    }
    let recorded = world.append([Event::opened("a")]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    world.check();
    handle.stop().await;
}

async fn an_empty_log_is_caught_up_with_at_once(world: World) {
    let handle = world.start().await;
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    world.probe.notified(caught_up, PATIENCE).await;
    assert_eq!(status(&handle).await.watermark, Cursor::Start);
    handle.stop().await;
    assert_eq!(world.store_faults().counts().commits, 0);
}
