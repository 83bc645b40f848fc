//! A server that does not take writes for a while.

use rederive::Await;
use test_postgres::Cluster;

use super::bank::Bank;
use crate::fixture::bank::Event;

#[actix_rt::test]
async fn a_server_that_has_become_a_stand_by_is_waited_for_until_it_is_promoted() {
    let bank = Bank::new();
    let handle = bank.start().await;
    // What is in the log, but not committed when it goes away.
    let mut other = bank.connect();
    other.execute("BEGIN; LOCK TABLE accounts");
    let recorded = bank.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
    other.until_somebody_waits().await;
    bank.server(Cluster::stop_immediate).await.expect("it ends");
    bank.server(Cluster::start_as_stand_by).await.expect("it starts");
    bank.told(&handle).await;
    let said = loop {
        let said = bank.delayed(&handle, 1).await;
        if said.contains("read-only") || said.contains("read-write mode during recovery") {
            break said;
        }
        actix_rt::task::yield_now().await;
    };
    assert!(!said.is_empty());
    bank.connect().execute("SELECT pg_promote()");
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    bank.check(handle).await;
}

#[actix_rt::test]
async fn a_database_that_is_read_only_by_default_is_written_to_all_the_same() {
    let bank = Bank::new();
    let handle = bank.start().await;
    bank.connect().execute("ALTER DATABASE bank SET default_transaction_read_only = on");
    // Connections that are made from now on have the default.
    bank.proxy.cut_all();
    let events = bank.world.append([Event::deposited("0", 1)]);
    handle.wait(Await::events("accounts", &events)).await.expect("done");
    bank.check(handle).await;
}
