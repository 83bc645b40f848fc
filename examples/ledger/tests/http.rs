//! The HTTP interface: statuses and bodies.

use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::http::Method;
use actix_web::test::{self, TestRequest};
use actix_web::web::Data;
use serde_json::{Value, json};

use super::{World, on_every_database};
use crate::routes;

/// The status and the body of a reply. Every body here is JSON, or empty.
async fn ask(world: &World, method: Method, path: &str, body: &str) -> (u16, Value) {
    let service = Data::new(world.service.clone());
    let app = test::init_service(App::new().app_data(service).configure(routes::configure)).await;
    let request = TestRequest::default().method(method).uri(path).set_payload(body.to_owned());
    let reply = test::call_service(&app, request.to_request()).await;
    let status = reply.status().as_u16();
    let body = reply.into_body().try_into_bytes().unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, body)
}

async fn get(world: &World, path: &str) -> (u16, Value) {
    ask(world, Method::GET, path, "").await
}

async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    ask(world, Method::POST, path, &body.to_string()).await
}

on_every_database! {
    an_account_is_opened_once_and_shown,
    a_posting_is_shown_from_both_sides,
    lists_come_in_pages,
    every_error_says_why_in_json,
}

async fn an_account_is_opened_once_and_shown(world: World) {
    let alice = json!({ "id": "alice", "owner": "Alice" });
    let shown = json!({ "id": "alice", "owner": "Alice", "balance": 0, "postings": 0 });
    assert_eq!(post(&world, "/accounts", alice.clone()).await, (201, shown.clone()));
    assert_eq!(get(&world, "/accounts/alice").await, (200, shown));
    assert_eq!(post(&world, "/accounts", alice).await.0, 409);
    assert_eq!(get(&world, "/healthz").await.0, 200);
    world.end().await;
}

async fn a_posting_is_shown_from_both_sides(world: World) {
    world.open(&["alice", "bob"]).await;
    let body = json!({ "from": "alice", "to": "bob", "amount": 250, "memo": "rent" });
    let (status, receipt) = post(&world, "/postings", body).await;
    assert_eq!((status, &receipt["balances"]), (201, &json!({ "alice": -250, "bob": 250 })));

    let (_, from_alice) = get(&world, "/accounts/alice/postings").await;
    let (_, from_bob) = get(&world, "/accounts/bob/postings").await;
    assert_eq!(from_alice, from_bob);
    let line = &from_alice[0];
    assert_eq!(
        (&line["cursor"], &line["from"], &line["to"], &line["amount"], &line["memo"]),
        (&receipt["cursor"], &json!("alice"), &json!("bob"), &json!(250), &json!("rent"))
    );
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    let audit = json!({ "sum": 0, "accounts": 2, "postings": 1, "cursor": receipt["cursor"] });
    assert_eq!(get(&world, "/audit").await, (200, audit));
    world.end().await;
}

async fn lists_come_in_pages(world: World) {
    world.open(&["a", "b", "ä", "c"]).await;
    for to in ["b", "c", "b"] {
        post(&world, "/postings", json!({ "from": "a", "to": to, "amount": 1 })).await;
    }
    let ids = async |path: &str| -> Vec<String> {
        let (_, list) = get(&world, path).await;
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().into()).collect()
    };
    assert_eq!(ids("/accounts").await, ["a", "b", "c", "ä"]);
    assert_eq!(ids("/accounts?limit=2").await, ["a", "b"]);
    assert_eq!(ids("/accounts?after=b&limit=1").await, ["c"]);
    assert_eq!(ids("/accounts?after=bb").await, ["c", "ä"]);

    let cursors = async |path: &str| -> Vec<i64> {
        let (_, list) = get(&world, path).await;
        list.as_array().unwrap().iter().map(|one| one["cursor"].as_i64().unwrap()).collect()
    };
    assert_eq!(cursors("/accounts/a/postings").await, [5, 6, 7]);
    assert_eq!(cursors("/accounts/b/postings?after=0").await, [5, 7]);
    assert_eq!(cursors("/accounts/a/postings?after=5&limit=1").await, [6]);
    assert_eq!(cursors("/accounts/%C3%A4/postings").await, [] as [i64; 0]);
    world.end().await;
}

async fn every_error_says_why_in_json(world: World) {
    world.open(&["a", "b"]).await;
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(100_000));
    let posting = |amount: &str| format!(r#"{{"from":"a","to":"b","amount":{amount}}}"#);
    let cases = [
        (400, Method::POST, "/postings", "{".to_owned()),
        (400, Method::POST, "/postings", String::new()),
        (400, Method::POST, "/postings", r#"{"from":"a","to":"b"}"#.to_owned()),
        (400, Method::POST, "/postings", r#"{"from":"a","to":7,"amount":1}"#.to_owned()),
        (400, Method::POST, "/accounts", r#"{"id":"x"}"#.to_owned()),
        (400, Method::GET, "/accounts?limit=none", String::new()),
        (400, Method::GET, "/accounts/a/postings?after=b", String::new()),
        (400, Method::GET, "/accounts?limt=1", String::new()),
        (404, Method::GET, "/accounts/nobody", String::new()),
        (404, Method::GET, "/accounts/nobody/postings", String::new()),
        (404, Method::POST, "/postings", r#"{"from":"a","to":"nobody","amount":1}"#.to_owned()),
        (404, Method::POST, "/postings", r#"{"from":"nobody","to":"a","amount":1}"#.to_owned()),
        (404, Method::GET, "/", String::new()),
        (405, Method::POST, "/accounts/a", String::new()),
        (405, Method::DELETE, "/accounts", String::new()),
        (405, Method::GET, "/postings", String::new()),
        (413, Method::POST, "/accounts", large),
        (422, Method::POST, "/accounts", r#"{"id":"","owner":"O"}"#.to_owned()),
        (422, Method::POST, "/postings", r#"{"from":"a","to":"a","amount":1}"#.to_owned()),
        (422, Method::POST, "/postings", posting("0")),
        (422, Method::POST, "/postings", posting("1.5")),
        (422, Method::POST, "/postings", posting("\"1\"")),
        (422, Method::POST, "/postings", posting("9223372036854775808")),
    ];
    for (expected, method, path, body) in cases {
        let what = format!("{method} {path} {body:.80}");
        let (status, reply) = ask(&world, method, path, &body).await;
        assert_eq!(status, expected, "{what}: {reply}");
        let why = reply["error"].as_str().unwrap_or_default();
        assert!(!why.is_empty(), "{what}: {reply}");
        assert!(!body.contains("nobody") || why.contains("nobody"), "{what}: {reply}");
    }
    assert_eq!(world.service.audit().await.unwrap().postings, 0);
    world.end().await;
}
