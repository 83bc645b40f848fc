//! Connections that break: at a commit, in the middle of a transaction, at any moment.

use std::time::Duration;

use rederive::{Await, Notice, diesel::PostgresOptions};
use rederive_testkit::Seed;
use test_postgres::Moment;

use super::bank::{ACCOUNT_COUNT, Bank};
use crate::fixture::bank::Event;

/// In every transaction that changes an account.
const STORE: &str = "\"accounts\"";

/// In every transaction that appends.
const LOG: &str = "rederive_append(";

/// Commits meet this fault three times in a row.
async fn commit_despite(moment: Moment) {
    let bank = Bank::new();
    let handle = bank.start().await;
    for amount in 1..4 {
        bank.proxy.cut_at(moment, STORE);
        let recorded = bank.append([
            Event::deposited("0", amount),
            Event::Transferred { from: "1".into(), to: "2".into(), amount },
        ]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    assert_eq!(bank.proxy.sprung(), 3);
    let count = |matches: fn(&Notice) -> bool| bank.world.probe.count(matches);
    assert!(count(|notice| matches!(notice, Notice::CommitDelayed { .. })) >= 3);
    assert_eq!(count(|notice| matches!(notice, Notice::CommitResumed { .. })), 3);
    bank.check(handle).await;
}

#[actix_rt::test]
async fn a_commit_whose_answer_is_lost_is_not_done_again() {
    commit_despite(Moment::AfterCommit).await;
}

#[actix_rt::test]
async fn a_commit_that_never_came_to_the_server_is_done_again() {
    commit_despite(Moment::BeforeCommit).await;
}

#[actix_rt::test]
async fn a_transaction_that_breaks_off_in_the_middle_is_done_again() {
    commit_despite(Moment::BeforeStatement).await;
}

#[actix_rt::test]
async fn an_append_whose_answer_is_lost_is_in_the_log_once() {
    let bank = Bank::new();
    let handle = bank.start().await;
    for moment in [Moment::AfterCommit, Moment::BeforeCommit, Moment::BeforeStatement] {
        bank.proxy.cut_at(moment, LOG);
        // By the proxy. It is found out what has become of it.
        let recorded = bank.world.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    assert_eq!(bank.proxy.sprung(), 3);
    assert_eq!(bank.world.events().len(), ACCOUNT_COUNT + 6);
    bank.check(handle).await;
}

#[actix_rt::test]
async fn a_server_that_cannot_be_reached_is_waited_for() {
    let patience = PostgresOptions::default().connect_timeout(Duration::from_secs(1));
    let bank = Bank::with(&[], patience);
    let handle = bank.start().await;
    for _ in 0..3 {
        bank.proxy.refuse(true);
        bank.proxy.cut_all();
        bank.append([Event::deposited("0", 1)]);
        bank.told(&handle).await;
        bank.proxy.refuse(false);
        handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    }
    bank.check(handle).await;
}

#[actix_rt::test]
async fn a_network_that_hangs_for_a_while_costs_nothing() {
    let bank = Bank::new();
    let handle = bank.start().await;
    bank.proxy.freeze(true);
    let recorded = bank.append([Event::deposited("0", 1)]);
    let soon = Await::events("accounts", &recorded).within(Duration::from_millis(50));
    let waited = handle.wait(soon).await;
    assert!(waited.is_err_and(|error| error.is_timeout()), "nothing can have been committed");
    bank.proxy.freeze(false);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    bank.check(handle).await;
}

#[actix_rt::test]
async fn connections_that_are_cut_at_random_under_load_cost_nothing() {
    let bank = Bank::new();
    let handle = bank.start().await;
    let load = bank.load(3);
    let mut rng = Seed::from_env().rng();
    let mut cut = 0;
    while cut < 60 {
        load.goes_on(rng.range(1..8)).await;
        cut += bank.proxy.cut_all();
    }
    let told = load.end().await;
    bank.check_told(handle, &told).await;
}

#[actix_rt::test]
async fn backends_that_are_terminated_at_random_under_load_cost_nothing() {
    let bank = Bank::new();
    let handle = bank.start().await;
    let load = bank.load(3);
    let mut rng = Seed::from_env().rng();
    let mut administrator = bank.connect();
    let mut terminated = 0;
    while terminated < 60 {
        load.goes_on(rng.range(0..5)).await;
        terminated += administrator.number(
            "SELECT count(pg_terminate_backend(pid)) FROM (
                SELECT pid FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                ORDER BY random() LIMIT 1) AS one",
        );
    }
    let told = load.end().await;
    bank.check_told(handle, &told).await;
}
