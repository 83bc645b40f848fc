//! The test kit for those who embed Rederive: `rederive::testing`, here and on SQLite.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rederive::{
    States, Table, View,
    core::error::panic_message,
    testing::{self, ReadableStore, Supervised, properties, readable, rows},
};

use crate::fixture::{
    World,
    backend::AnyStore,
    bank::{ACCOUNTS, Accounts, COPIES, Event},
    folded::{Balance, Balances},
};

fn transfer(from: &str, to: &str, amount: i64) -> Event {
    Event::Transferred { from: from.into(), to: to.into(), amount }
}

fn works() {
    let bank = Supervised::reducer(Accounts::new()).and(Accounts::copies()).start();
    let recorded = bank.append([Event::opened("a"), Event::opened("b"), transfer("a", "b", 3)]);
    assert_eq!(recorded.len(), 3);
    bank.assert_rows(&ACCOUNTS, rows![["b", 3, 2, 3], ["a", -3, 2, 3]]);
    bank.assert_rows(&COPIES, bank.rows(&ACCOUNTS));
    bank.assert_nothing_halted();
    bank.append([Event::poison("a"), Event::deposited("a", 1), Event::deposited("b", 1)]);
    bank.assert_halted("accounts", "a", "poison");
    bank.assert_rows(&ACCOUNTS, rows![["a", -3, 2, 3], ["b", 4, 3, 6]]);
    // Corrected and restarted.
    let bank = bank.restart(|bank| bank.and(Accounts::new().healed()));
    bank.run(bank.handle().retry("accounts", "a")).expect("it is repaired");
    bank.assert_nothing_halted();
    bank.assert_rows(&ACCOUNTS, rows![["a", -2, 3, 5], ["b", 4, 3, 6]]);
}

#[test]
fn reducers_are_supervised_in_a_plain_test() {
    works();
}

#[actix_rt::test]
async fn reducers_are_supervised_in_a_test_on_an_actix_runtime() {
    works();
}

#[test]
fn folds_and_views_are_supervised_as_well() {
    let view = View::new();
    let bank = Supervised::fold(Balances::default());
    let bank = bank.and_view(Balances::named("viewed"), &view).start();
    bank.append([Event::opened("a"), Event::deposited("a", 5), Event::poison("a")]);
    bank.assert_halted("balances", "a", "poison");
    bank.assert_halted("viewed", "a", "poison");
    let stored: Option<Balance> = bank.store().state("balances", "a").expect("it can be read");
    assert_eq!(stored.expect("it is stored").balance, 5);
    assert_eq!(view.get("a").expect("it is shown").balance, 5);
}

#[test]
fn a_failed_assertion_says_what_is_otherwise_and_stops_the_supervisor() {
    let mut handle = None;
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let bank = Supervised::reducer(Accounts::new()).start();
        handle = Some(bank.handle().clone());
        bank.append([Event::opened("a"), Event::poison("a")]);
        bank.assert_rows(&ACCOUNTS, rows![["a", 7, 1, 1]]);
    }));
    let said = panic_message(&*failed.expect_err("it must fail"));
    assert!(said.contains("balance: 0 instead of 7"), "{said}");
    assert!(said.contains("accounts, partition \"a\": the event at cursor 2"), "{said}");
    let handle = handle.expect("it had been started");
    assert!(!handle.supervisor().connected(), "it was not stopped");
}

#[test]
fn what_cannot_settle_is_told_with_the_status() {
    let bank = Supervised::reducer(Accounts::new()).start();
    bank.append([Event::Unroutable]);
    let failed = catch_unwind(AssertUnwindSafe(|| bank.settle()));
    let said = panic_message(&*failed.expect_err("it is blocked"));
    assert!(said.contains("whose is it?") && said.contains("Blocked"), "{said}");
}

/// A store in a new SQLite database.
fn on_sqlite() -> impl ReadableStore {
    on(World::sqlite())
}

/// A store in a new PostgreSQL database.
fn on_postgres() -> impl ReadableStore {
    on(World::postgres())
}

fn on(world: World) -> impl ReadableStore {
    readable(world.store.inner().clone(), |store: &AnyStore, table: &'static Table| {
        let row = |(id, (balance, changes, last)): (String, (i64, i64, i64))| {
            vec![id.into(), balance.into(), changes.into(), last.into()]
        };
        store.rows(table).into_iter().map(row).collect()
    })
}

fn events() -> Vec<Event> {
    let mut events: Vec<Event> = ["a", "b", "c"].map(Event::opened).into();
    events.extend([transfer("a", "b", 2), Event::Noise, transfer("b", "c", 1)]);
    events.extend([Event::OpenedTwice { id: "c".into() }, Event::deposited("c", 5)]);
    events.extend([Event::deposited("a", 1), Event::poison("b"), transfer("a", "b", 1)]);
    events
}

#[test]
fn every_property_can_be_had_on_sqlite() {
    properties::incremental_equals_rebuild_on(on_sqlite, Accounts::new(), events());
    properties::crash_at_every_commit_on(on_sqlite, Accounts::new(), &events()[..6]);
}

// Apart, as each of them makes many databases.
#[test]
fn incremental_equals_rebuild_can_be_had_on_postgres() {
    properties::incremental_equals_rebuild_on(on_postgres, Accounts::new(), events());
}

#[test]
fn crash_at_every_commit_can_be_had_on_postgres() {
    properties::crash_at_every_commit_on(on_postgres, Accounts::new(), &events()[..6]);
}

#[test]
fn a_scenario_can_be_had_on_sqlite() {
    testing::given_on(on_sqlite(), Accounts::new(), events())
        .then_halted("c", "")
        .then_halted("b", "poison")
        .then_rows(&ACCOUNTS, rows![["a", -2, 4, 11], ["b", 1, 3, 6], ["c", 1, 2, 6]]);
}
