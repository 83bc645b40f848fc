//! Smoke run of the example `bank`, the application of `docs/guide.md`: what the guide has its
//! reader try, with a `kill -9` in between.

use std::{path::Path, process::Command};

use serde_json::json;

use super::{examples, http, scratch::Scratch, server::Server};

pub(crate) fn check() -> Result<(), String> {
    let program = examples::build_one("bank")?;
    let scratch = Scratch::new("bank")?;
    let file = scratch.path().join("bank.db");

    let first = start(&program, &file)?;
    let alice = "/accounts/alice";
    let address = first.address();
    let post = |path: String, expected, body| {
        http::expect(address, expected, &format!("POST {path}"), Some(&body))
    };
    post(alice.to_owned(), 200, json!({ "owner": "Alice" }))?;
    post(alice.to_owned(), 409, json!({ "owner": "Alice again" }))?;
    post(format!("{alice}/deposits"), 200, json!({ "cents": 500 }))?;
    post(format!("{alice}/withdrawals"), 409, json!({ "cents": 501 }))?;
    let after = post(format!("{alice}/withdrawals"), 200, json!({ "cents": 200 }))?;
    if after["cents"] != 300 {
        return Err(format!("the answer does not show its own write: {after}"));
    }
    // Killed, not stopped: that is what dropping a server does.
    drop(first);

    let second = start(&program, &file)?;
    let kept = http::expect(second.address(), 200, &format!("GET {alice}"), None)?;
    if kept["cents"] != 300 {
        return Err(format!("after a kill the account is not as it was: {kept}"));
    }
    let status = second.terminate()?;
    if !status.success() {
        return Err(format!("after SIGTERM the bank should end with exit code 0: {status}"));
    }
    println!("an account was opened, changed, and the same after a kill; SIGTERM ended it well");
    Ok(())
}

fn start(program: &Path, file: &Path) -> Result<Server, String> {
    Server::start(Command::new(program).arg(file).arg("127.0.0.1:0"))
}
