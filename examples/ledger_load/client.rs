//! [`Client`]: one of many, who knows what it has done and checks that every reply shows it.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Connection, Reply};

/// Accounts that nobody but their client posts to.
const OWN: usize = 3;

/// A client, its connection, and what it knows.
pub(crate) struct Client {
    connection: Connection,
    own: Vec<Own>,
    shared: Vec<Shared>,
    step: usize,
    /// The cursor of its last posting, and how many it has made.
    last: i64,
    postings: i64,
    pub(crate) times: Times,
}

/// An account of which everything is known.
struct Own {
    id: String,
    balance: i64,
    postings: i64,
}

/// An account that all clients give to and nobody takes from: its balance only grows.
pub(crate) struct Shared {
    pub(crate) id: String,
    /// The largest balance this client has seen.
    seen: i64,
    /// What this client has given.
    pub(crate) given: i64,
}

/// How long requests took.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) postings: Vec<Duration>,
    pub(crate) reads: Vec<Duration>,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// No reply, or one that says that something failed.
    Error(String),
    /// A reply that does not show what it must.
    Violation(String),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Wrong::Error(error.to_string())
    }
}

impl Client {
    /// A client with accounts of its own, whose ids begin with `name`.
    pub(crate) fn new(
        connection: Connection,
        name: &str,
        shared: &[String],
    ) -> Result<Self, Wrong> {
        let shared = shared.iter().map(|id| Shared { id: id.clone(), seen: 0, given: 0 }).collect();
        let own =
            (0..OWN).map(|n| Own { id: format!("{name}-{n}"), balance: 0, postings: 0 }).collect();
        let (times, step, last, postings) = (Times::default(), 0, 0, 0);
        let mut client = Self { connection, own, shared, step, last, postings, times };
        for n in 0..OWN {
            open_account(&mut client.connection, &client.own[n].id)?;
        }
        Ok(client)
    }

    /// Makes requests until the time has come.
    pub(crate) fn work(&mut self, until: Instant) -> Result<(), Wrong> {
        while Instant::now() < until {
            self.step += 1;
            let begun = Instant::now();
            let is_posting = match self.step % 10 {
                0 if self.step.is_multiple_of(1000) => self.audit().map(|()| false)?,
                0 => self.list().map(|()| false)?,
                5 => self.show().map(|()| false)?,
                3 | 7 => self.give().map(|()| true)?,
                _ => self.move_between_own().map(|()| true)?,
            };
            let times = if is_posting { &mut self.times.postings } else { &mut self.times.reads };
            times.push(begun.elapsed());
        }
        Ok(())
    }

    /// What it has given to the shared accounts.
    pub(crate) fn shared(&self) -> &[Shared] {
        &self.shared
    }

    fn move_between_own(&mut self) -> Result<(), Wrong> {
        let (from, to) = (self.step % OWN, (self.step + 1) % OWN);
        let amount = self.amount();
        let (from_id, to_id) = (self.own[from].id.clone(), self.own[to].id.clone());
        let body = self.post(&from_id, &to_id, amount)?;
        self.own[from].changed(-amount);
        self.own[to].changed(amount);
        for own in [&self.own[from], &self.own[to]] {
            same(&body["balances"][&own.id], own.balance, &body, "balance after a posting")?;
        }
        Ok(())
    }

    fn give(&mut self) -> Result<(), Wrong> {
        let (from, to) = (self.step % OWN, self.step % self.shared.len());
        let amount = self.amount();
        let (from_id, to_id) = (self.own[from].id.clone(), self.shared[to].id.clone());
        let body = self.post(&from_id, &to_id, amount)?;
        self.own[from].changed(-amount);
        let own = &self.own[from];
        same(&body["balances"][&own.id], own.balance, &body, "balance after a posting")?;
        let shared = &mut self.shared[to];
        shared.given += amount;
        let balance = body["balances"][&shared.id].as_i64();
        let least = shared.seen + amount;
        match balance.filter(|balance| *balance >= least) {
            Some(balance) => shared.seen = balance,
            None => {
                return Err(Wrong::Violation(format!(
                    "{} must have at least {least} after it was given {amount}: {body}",
                    shared.id
                )));
            }
        }
        Ok(())
    }

    fn post(&mut self, from: &str, to: &str, amount: i64) -> Result<Value, Wrong> {
        let memo = format!("step {}", self.step);
        let posting = json!({ "from": from, "to": to, "amount": amount, "memo": memo });
        let body = expect(201, self.connection.post("/postings", &posting)?)?;
        let cursor = body["cursor"].as_i64().filter(|cursor| *cursor > self.last);
        self.last = cursor.ok_or_else(|| {
            Wrong::Violation(format!("the cursor must be above {}: {body}", self.last))
        })?;
        self.postings += 1;
        Ok(body)
    }

    fn show(&mut self) -> Result<(), Wrong> {
        let own = &self.own[self.step % OWN];
        let body = expect(200, self.connection.get(&format!("/accounts/{}", own.id))?)?;
        same(&body["balance"], own.balance, &body, "balance")?;
        same(&body["postings"], own.postings, &body, "number of postings")
    }

    /// Lists the last posting, which its accounts show.
    fn list(&mut self) -> Result<(), Wrong> {
        let (id, last) = (&self.own[(self.step - 1) % OWN].id, self.last);
        let path = format!("/accounts/{id}/postings?after={}&limit=2", last - 1);
        let body = expect(200, self.connection.get(&path)?)?;
        same(&body[0]["cursor"], last, &body, "cursor of the last posting")
    }

    fn audit(&mut self) -> Result<(), Wrong> {
        let body = expect(200, self.connection.get("/audit")?)?;
        same(&body["sum"], 0, &body, "sum")?;
        if body["cursor"].as_i64() < Some(self.last)
            || body["postings"].as_i64() < Some(self.postings)
        {
            let last = self.last;
            return Err(Wrong::Violation(format!("the audit must include cursor {last}: {body}")));
        }
        Ok(())
    }

    fn amount(&self) -> i64 {
        // Different ones, so that one posting cannot pass for another.
        i64::try_from(self.step % 997).unwrap_or(0) + 1
    }
}

impl Own {
    fn changed(&mut self, by: i64) {
        self.balance += by;
        self.postings += 1;
    }
}

pub(crate) fn open_account(connection: &mut Connection, id: &str) -> Result<(), Wrong> {
    let account = json!({ "id": id, "owner": "ledger_load" });
    let body = expect(201, connection.post("/accounts", &account)?)?;
    same(&body["balance"], 0, &body, "balance of a new account")
}

pub(crate) fn expect(status: u16, reply: Reply) -> Result<Value, Wrong> {
    if reply.status == status {
        Ok(reply.body)
    } else {
        let Reply { status: got, body } = reply;
        Err(Wrong::Error(format!("status {got} instead of {status}: {body}")))
    }
}

pub(crate) fn same(got: &Value, expected: i64, body: &Value, what: &str) -> Result<(), Wrong> {
    if *got == expected {
        Ok(())
    } else {
        Err(Wrong::Violation(format!("the {what} must be {expected}: {body}")))
    }
}
