//! Locks of others, statements that take too long, and too many connections.

use std::{
    iter,
    time::{Duration, Instant},
};

use rederive::{
    Await, Notice,
    diesel::{PostgresDatabase, PostgresOptions},
};

use super::bank::Bank;
use crate::fixture::{
    PATIENCE,
    bank::{Accounts, Event},
    notices::{standing_by, taken_over},
    status,
};

#[actix_rt::test]
async fn a_lock_of_somebody_else_is_waited_for_as_long_as_it_takes() {
    let patience = Duration::from_millis(30);
    let bank = Bank::with(&[], PostgresOptions::default().lock_timeout(patience));
    let handle = bank.start().await;
    let mut other = bank.connect();
    other.execute("BEGIN; SELECT FROM accounts WHERE id = '0' FOR UPDATE");
    let recorded = bank.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
    let said = bank.delayed(&handle, 3).await;
    assert!(said.contains("lock timeout"), "{said}");
    other.execute("ROLLBACK");
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    bank.check(handle).await;
}

#[actix_rt::test]
async fn who_starts_while_the_owner_stands_in_a_transaction_stands_by_until_it_has_ended() {
    let patience = Duration::from_millis(100);
    let bank = Bank::with(&[], PostgresOptions::default().lock_timeout(patience));
    let (alice, bob) = (bank.world.process("alice"), bank.world.process("bob"));
    let first = alice.start().await;
    first.wait(Await::caught_up("accounts")).await.expect("caught up");
    // As if she had been frozen in the midst of a commit, for longer than her lease.
    let mut other = bank.connect();
    other.execute("UPDATE rederive_reducers SET lease_until = 0");
    other.execute("BEGIN; SELECT FROM rederive_reducers FOR UPDATE");
    let second = bob.start().await;
    bob.probe.notified(standing_by, PATIENCE).await;
    assert_eq!(status(&second).await.owner.as_deref(), Some("alice"));
    other.execute("ROLLBACK");
    bob.probe.notified(taken_over, PATIENCE).await;
    let recorded = bank.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
    second.wait(Await::events("accounts", &recorded)).await.expect("done");
    first.stop().await;
    bank.check(second).await;
}

#[actix_rt::test]
async fn a_statement_that_takes_too_long_is_tried_again() {
    let patience = Duration::from_millis(100);
    let bank = Bank::with(&[], PostgresOptions::default().statement_timeout(patience));
    let handle = bank.start().await;
    let mut other = bank.connect();
    other.execute(
        "CREATE TABLE slow (on_it boolean); INSERT INTO slow VALUES (true);
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM pg_sleep(600) FROM slow WHERE on_it;
            RETURN new;
        END $$;
        CREATE TRIGGER wait BEFORE INSERT OR UPDATE ON accounts
            FOR EACH ROW EXECUTE FUNCTION wait();",
    );
    let recorded = bank.append([Event::deposited("0", 1)]);
    let said = bank.delayed(&handle, 3).await;
    assert!(said.contains("statement timeout"), "{said}");
    other.execute("UPDATE slow SET on_it = false");
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    bank.check(handle).await;
}

#[actix_rt::test]
async fn the_victim_of_a_deadlock_tries_again() {
    // Who waits longest is the first to look whether it is a deadlock, and then its victim.
    let bank = Bank::with(&[("deadlock_timeout", "2s")], PostgresOptions::default());
    let handle = bank.start().await;
    let mut other = bank.connect();
    other.execute("SET deadlock_timeout = '1h'");
    let deadlock = |notice: &Notice| match notice {
        Notice::CommitDelayed { error, .. } => error.contains("deadlock detected"),
        _ => false,
    };
    // Whichever of them a commit locks first, in every second round the other has the second one.
    // Whether that is a deadlock of this commit depends on who queues for the row beside it.
    let (account, reducer) = ("accounts WHERE id = '0'", "rederive_reducers");
    let begun = Instant::now();
    let mut rounds = [(account, reducer), (reducer, account)].into_iter().cycle();
    while bank.world.probe.count(deadlock) == 0 {
        assert!(begun.elapsed() < PATIENCE, "never a deadlock");
        let (first, second) = rounds.next().expect("it goes on for ever");
        other.execute(&format!("BEGIN; SELECT FROM {first} FOR UPDATE"));
        let recorded = bank.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
        other.until_somebody_waits().await;
        other.execute(&format!("SELECT FROM {second} FOR UPDATE; COMMIT"));
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    bank.check(handle).await;
}

/// Few connections, all of which anybody may have.
const FEW: &[(&str, &str)] = &[("max_connections", "14"), ("superuser_reserved_connections", "0")];

#[actix_rt::test]
async fn a_server_without_a_free_connection_is_waited_for() {
    let bank = Bank::with(FEW, one_at_once());
    let handle = bank.start().await;
    let mut others = Vec::new();
    let begun = Instant::now();
    // Until all that the supervisor had are ours.
    loop {
        bank.proxy.cut_all();
        others.extend(iter::from_fn(|| bank.try_connect()));
        let told = status(&handle).await;
        let delays = [told.log_delay, told.store_delay];
        if delays.iter().flatten().any(|delay| delay.error.contains("too many clients")) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{delays:?}");
        actix_rt::task::yield_now().await;
    }
    drop(others);
    let recorded = bank.append([Event::deposited("0", 1)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    bank.check(handle).await;
}

#[actix_rt::test]
async fn a_start_without_a_free_connection_says_so_and_may_be_tried_again() {
    let bank = Bank::with(FEW, one_at_once());
    let mut others = Vec::new();
    let error = loop {
        bank.proxy.cut_all();
        others.extend(iter::from_fn(|| bank.try_connect()));
        let builder = bank.world.builder().register(Accounts::new(), bank.world.store.clone());
        match builder.start().await {
            // One that was cut had just become free.
            Ok(handle) => handle.stop().await,
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("too many clients"), "{error}");
    let refused = PostgresDatabase::connect(bank.proxy.url("bank")).map(drop);
    let refused = refused.expect_err("no connection is free").to_string();
    assert!(refused.contains("too many clients"), "{refused}");
    drop(others);
    let handle = bank.start().await;
    bank.check(handle).await;
}

fn one_at_once() -> PostgresOptions {
    PostgresOptions::default().connections(1).connect_timeout(Duration::from_secs(1))
}
