//! A server that is stopped, killed, and started again under load.

use rederive::Await;
use test_postgres::Cluster;

use super::bank::Bank;
use crate::fixture::bank::Event;

#[actix_rt::test]
async fn a_server_that_is_stopped_killed_and_started_again_under_load_costs_nothing() {
    let bank = Bank::new();
    let handle = bank.start().await;
    let load = bank.load(3);
    let ends = [Cluster::stop_immediate, Cluster::kill, Cluster::stop, Cluster::stop_immediate];
    for end in ends {
        load.goes_on(60).await;
        bank.server(end).await.expect("it ends");
        bank.told(&handle).await;
        bank.server(Cluster::start_again).await.expect("it starts");
        load.goes_on(20).await;
        handle.wait(Await::caught_up("accounts")).await.expect("caught up without a restart");
    }
    let told = load.end().await;
    bank.check_told(handle, &told).await;
}

#[actix_rt::test]
async fn a_server_that_goes_away_at_a_commit_has_done_it_or_not() {
    use test_postgres::{Moment, Then};

    let bank = Bank::new();
    let handle = bank.start().await;
    for moment in [Moment::AfterCommit, Moment::BeforeCommit] {
        let (at_commit, is_at_commit) = std::sync::mpsc::channel();
        let (go_on, goes_on) = std::sync::mpsc::channel();
        bank.proxy.at(moment, "\"accounts\"", move || {
            // Whoever does not wait for it any more has failed already.
            let _ = at_commit.send(());
            let _ = goes_on.recv();
            Then::Cut
        });
        let recorded = bank.append([Event::deposited("0", 1), Event::deposited("1", 1)]);
        bank.server(move |cluster| {
            is_at_commit.recv().expect("a commit is made");
            cluster.kill()
        })
        .await
        .expect("it ends");
        go_on.send(()).expect("the proxy waits for it");
        bank.told(&handle).await;
        bank.server(Cluster::start_again).await.expect("it starts");
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    bank.check(handle).await;
}
