//! Recording postings: each reply shows its own write, and no balance overflows.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::ResponseError;
use actix_web::http::StatusCode;
use rederive::Await;

use super::{World, eventually, on_every_database, posting};
use crate::derive::LEDGER;
use crate::event::{LedgerEvent, Posting};
use crate::problem::Problem;
use crate::service::{Receipt, Service};

/// Records all of them at the same time.
async fn post_at_once(
    service: &Service,
    postings: impl IntoIterator<Item = Posting>,
) -> Vec<Result<Receipt, Problem>> {
    let post = |posting| {
        let service = service.clone();
        actix_web::rt::spawn(async move { service.post(posting).await })
    };
    let under_way: Vec<_> = postings.into_iter().map(post).collect();
    let mut results = Vec::new();
    for posting in under_way {
        results.push(posting.await.unwrap());
    }
    results
}

on_every_database! {
    a_reply_shows_its_own_write,
    of_two_accounts_with_one_id_one_is_opened,
    of_postings_at_the_same_time_only_those_that_fit_are_recorded,
    a_balance_may_go_from_one_end_to_the_other_at_once,
    what_is_recorded_but_not_visible_yet_is_said_and_stays_reserved,
    the_audit_is_exact_while_postings_are_made,
    with_a_halted_account_nothing_is_claimed,
}

async fn a_reply_shows_its_own_write(world: World) {
    world.open(&["a", "b"]).await;
    for n in 1..=20 {
        let receipt = world.service.post(posting("a", "b", 5)).await.unwrap();
        let balances = BTreeMap::from([("a".to_owned(), -5 * n), ("b".to_owned(), 5 * n)]);
        assert_eq!(receipt, Receipt { cursor: n + 2, balances });
    }
    world.end().await;
}

async fn of_two_accounts_with_one_id_one_is_opened(world: World) {
    let open = |owner: &str| {
        let service = world.service.clone();
        let account = crate::request::NewAccount { id: "a".to_owned(), owner: owner.to_owned() };
        actix_web::rt::spawn(async move { service.open(account).await })
    };
    let under_way: Vec<_> = (0..10).map(|n| open(&n.to_string())).collect();
    let mut opened = Vec::new();
    for account in under_way {
        match account.await.unwrap() {
            Ok(account) => opened.push(account),
            Err(problem) => assert_eq!(problem.status_code(), StatusCode::CONFLICT, "{problem}"),
        }
    }
    assert_eq!(opened.len(), 1);
    world.end().await;
}

async fn of_postings_at_the_same_time_only_those_that_fit_are_recorded(world: World) {
    world.open(&["a", "b", "c", "d", "full"]).await;
    let payers = ["a", "b", "c", "d"];
    // Four of them fill the account, each from an account of its own.
    let quarter = i64::MAX / 4;
    let postings = (0..40).map(|n| posting(payers[n % 4], "full", quarter));
    let results = post_at_once(&world.service, postings).await;
    let recorded = results.iter().flatten().count();
    // Of those on their way, one may count twice for a moment, as visible and as reserved: then another
    // is refused that would fit.
    assert!((1..=4).contains(&recorded), "{recorded} recorded");
    for payer in &payers[recorded..] {
        world.service.post(posting(payer, "full", quarter)).await.unwrap();
    }
    for problem in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(problem.status_code(), StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
    // Nothing is halted, and three units are still to be had.
    let receipt = world.service.post(posting("a", "full", 3)).await.unwrap();
    assert_eq!(receipt.balances["full"], i64::MAX);
    assert!(world.service.post(posting("a", "full", 1)).await.is_err());
    assert_eq!(world.service.audit().await.unwrap().sum, 0);
    world.end().await;
}

async fn a_balance_may_go_from_one_end_to_the_other_at_once(world: World) {
    world.open(&["a", "b", "c", "d"]).await;
    world.service.post(posting("a", "b", i64::MAX)).await.unwrap();
    // Their sum does not fit into 64 bits, but each balance on the way does.
    let postings = ["c", "d"].map(|from| posting(from, "a", i64::MAX));
    for result in post_at_once(&world.service, postings).await {
        result.unwrap();
    }
    let receipt = world.service.post(posting("a", "b", 1)).await;
    assert_eq!(receipt.unwrap_err().status_code(), StatusCode::UNPROCESSABLE_ENTITY);
    let receipt = world.service.post(posting("a", "c", 1)).await.unwrap();
    assert_eq!(receipt.balances["a"], i64::MAX - 1);
    assert_eq!(world.service.audit().await.unwrap().postings, 4);
    world.end().await;
}

async fn what_is_recorded_but_not_visible_yet_is_said_and_stays_reserved(world: World) {
    world.open(&["a", "b"]).await;
    let hasty = world.service.with_patience(Duration::ZERO);
    // Once in a while it is visible at once all the same: then back, and again.
    let problem = loop {
        match hasty.post(posting("a", "b", i64::MAX)).await {
            Err(problem) => break problem,
            Ok(_) => world.service.post(posting("b", "a", i64::MAX)).await.unwrap(),
        };
    };
    assert_eq!(problem.status_code(), StatusCode::SERVICE_UNAVAILABLE);
    let what = problem.to_string();
    assert!(
        what.starts_with("recorded at cursor ") && what.contains("but not visible yet"),
        "{what}"
    );
    // Never both, neither while it is on its way nor later.
    let problem = hasty.post(posting("a", "b", 1)).await.unwrap_err();
    assert_eq!(problem.status_code(), StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    // The way back is open once it has arrived and is not reserved any more.
    eventually(async || world.service.post(posting("b", "a", 1)).await.is_ok()).await;
    eventually(async || world.service.post(posting("a", "b", 1)).await.is_ok()).await;
    assert_eq!(world.service.audit().await.unwrap().sum, 0);
    world.end().await;
}

async fn the_audit_is_exact_while_postings_are_made(world: World) {
    world.open(&["a", "b", "c", "d"]).await;
    let ids = ["a", "b", "c", "d"];
    let poster = {
        let service = world.service.clone();
        actix_web::rt::spawn(async move {
            for round in 0..10 {
                let postings =
                    (0..40).map(|n| posting(ids[(n + round) % 4], ids[(n + 1) % 4], n as i64 + 1));
                let postings = postings.filter(|posting| posting.from != posting.to);
                for result in post_at_once(&service, postings).await {
                    result.unwrap();
                }
            }
        })
    };
    let (mut audits, mut cursor) = (0, 4);
    while !poster.is_finished() {
        let audit = world.service.audit().await.unwrap();
        // Every event above the fourth is a posting.
        assert_eq!((audit.sum, audit.accounts, audit.postings), (0, 4, audit.cursor - 4));
        assert!(audit.cursor >= cursor);
        (audits, cursor) = (audits + 1, audit.cursor);
    }
    poster.await.unwrap();
    assert!(audits > 1);
    world.end().await;
}

async fn with_a_halted_account_nothing_is_claimed(world: World) {
    world.open(&["a", "b"]).await;
    // As it cannot come about by way of requests.
    let lost = vec![LedgerEvent::Posted(posting("a", "nobody", 5))];
    let recorded = world.new.db.append(lost).await.unwrap();
    world.handle.wait(Await::events(LEDGER, &recorded)).await.unwrap_err();

    let problem = world.service.audit().await.unwrap_err();
    assert_eq!(problem.status_code(), StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    // The others go on.
    let receipt = world.service.post(posting("a", "b", 1)).await.unwrap();
    assert_eq!((receipt.balances["a"], receipt.balances["b"]), (-6, 1));
    world.end().await;
}
