//! Smoke run of the example `ledger`: one posting between two accounts, then SIGTERM.

use std::process::Command;

use serde_json::{Value, json};

use super::scratch::Scratch;
use super::server::Server;
use super::{examples, http};

pub(crate) fn check() -> Result<(), String> {
    let program = examples::build_one("ledger")?;
    let scratch = Scratch::new("ledger")?;
    let mut command = Command::new(program);
    command.arg("--database").arg(scratch.path().join("ledger.db"));
    command.args(["--listen", "127.0.0.1:0"]);

    let server = Server::start(&mut command)?;
    use_it(server.address())?;
    let status = server.terminate()?;
    if !status.success() {
        return Err(format!("after SIGTERM the ledger should end with exit code 0: {status}"));
    }
    println!("healthz, two accounts, one posting and the audit answered; SIGTERM ended it well");
    Ok(())
}

/// Posts once and reads the result back: the reply shows its own write, and the books balance.
fn use_it(address: &str) -> Result<(), String> {
    let get = |path: &str| http::expect(address, 200, &format!("GET {path}"), None);
    let post =
        |path: &str, body: Value| http::expect(address, 201, &format!("POST {path}"), Some(&body));
    get("/healthz")?;
    post("/accounts", json!({ "id": "alice", "owner": "Alice" }))?;
    post("/accounts", json!({ "id": "bob", "owner": "Bob" }))?;

    let posting = post("/postings", json!({ "from": "alice", "to": "bob", "amount": 250 }))?;
    if posting["balances"] != json!({ "alice": -250, "bob": 250 }) {
        return Err(format!("the posting's reply does not show its own write: {posting}"));
    }
    let audit = get("/audit")?;
    if audit["sum"] != 0 || audit["accounts"] != 2 || audit["postings"] != 1 {
        return Err(format!("the audit does not show two accounts in balance: {audit}"));
    }
    Ok(())
}
