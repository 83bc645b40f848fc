//! [`Load`]: several clients at once, and [`History`]: what they were told.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
};

use rederive_testkit::Rng;
use serde_json::{Value, json};

use super::{
    PATIENCE,
    books::{Books, Event},
    http::{Connection, Reply},
};

/// What was asked of the program, and what it has acknowledged.
#[derive(Default)]
pub(super) struct History {
    rounds: usize,
    /// Ids of accounts that are open for sure.
    opened: Vec<String>,
    posted: Vec<Posted>,
    /// Requests that were not answered: done or not done, but not twice.
    unknown: HashSet<String>,
}

/// An acknowledged posting. Its memo is like no other's.
struct Posted {
    cursor: u64,
    event: Event,
    memo: String,
    balances: HashMap<String, i64>,
}

/// Clients that make requests until their connection ends.
pub(super) struct Load {
    clients: Vec<JoinHandle<History>>,
    replies: mpsc::Receiver<()>,
}

impl Load {
    pub(super) fn start(
        address: SocketAddr,
        clients: usize,
        history: &mut History,
        rng: &mut Rng,
    ) -> Self {
        history.rounds += 1;
        let (answered, replies) = mpsc::channel();
        let accounts = Arc::new(Mutex::new(history.opened.clone()));
        let clients = (0..clients).map(|client| {
            let name = format!("{}-{client}", history.rounds);
            let (accounts, answered, rng) = (Arc::clone(&accounts), answered.clone(), rng.fork());
            let mut client =
                Client { name, accounts, answered, rng, step: 0, history: History::default() };
            thread::spawn(move || {
                if let Ok(mut connection) = Connection::open(address) {
                    while client.request(&mut connection) {}
                }
                client.history
            })
        });
        Self { clients: clients.collect(), replies }
    }

    pub(super) fn wait_for_replies(&self, count: usize) {
        for _ in 0..count {
            self.replies.recv_timeout(PATIENCE).expect("requests are answered");
        }
    }

    /// Waits for the clients' ends and adds what they were told.
    pub(super) fn join(self, history: &mut History) {
        for client in self.clients {
            let told = client.join().expect("every reply was right");
            history.opened.extend(told.opened);
            history.posted.extend(told.posted);
            history.unknown.extend(told.unknown);
        }
    }
}

struct Client {
    /// Like no other client's.
    name: String,
    /// Ids of open accounts, of all clients.
    accounts: Arc<Mutex<Vec<String>>>,
    answered: mpsc::Sender<()>,
    rng: Rng,
    step: usize,
    history: History,
}

impl Client {
    /// Makes a random request; false when the connection has ended.
    fn request(&mut self, connection: &mut Connection) -> bool {
        self.step += 1;
        let name = format!("{}-{}", self.name, self.step);
        let accounts = self.accounts.lock().unwrap().clone();
        let answered = if accounts.len() < 2 || self.rng.chance(0.05) {
            self.open(connection, name)
        } else if self.rng.chance(0.05) {
            audit(connection)
        } else {
            // Few accounts, so that their partitions are busy.
            let at = self.rng.range(0..accounts.len().min(8));
            let other = (at + 1 + self.rng.range(0..accounts.len() - 1)) % accounts.len();
            self.post(connection, name, [&accounts[at], &accounts[other]])
        };
        if answered {
            // Nobody counts any more once the program is being ended.
            let _ = self.answered.send(());
        }
        answered
    }

    fn open(&mut self, connection: &mut Connection, id: String) -> bool {
        match connection.post("/accounts", &json!({ "id": id, "owner": "crash" })) {
            Err(_) => {
                self.history.unknown.insert(id);
                false
            }
            Ok(reply) => {
                created(reply);
                self.accounts.lock().unwrap().push(id.clone());
                self.history.opened.push(id);
                true
            }
        }
    }

    fn post(&mut self, connection: &mut Connection, memo: String, [from, to]: [&str; 2]) -> bool {
        let amount = 1 + self.rng.range(0..1000);
        let posting = json!({ "from": from, "to": to, "amount": amount, "memo": memo });
        let event = Event::Posted(serde_json::from_value(posting.clone()).unwrap());
        match connection.post("/postings", &posting) {
            Err(_) => {
                self.history.unknown.insert(memo);
                false
            }
            Ok(reply) => {
                let body = created(reply);
                let cursor = body["cursor"].as_u64().expect("a cursor");
                let balances = serde_json::from_value(body["balances"].clone()).expect("balances");
                self.history.posted.push(Posted { cursor, event, memo, balances });
                true
            }
        }
    }
}

fn audit(connection: &mut Connection) -> bool {
    let Ok(reply) = connection.get("/audit") else { return false };
    assert_eq!((reply.status, &reply.body["sum"]), (200, &json!(0)), "{}", reply.body);
    true
}

fn created(reply: Reply) -> Value {
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body
}

impl History {
    pub(super) fn acknowledged(&self) -> usize {
        self.opened.len() + self.posted.len()
    }

    /// What was recorded without anybody being told.
    pub(super) fn recorded_in_silence<'b>(&self, books: &'b Books) -> Vec<&'b String> {
        books.names().filter(|name| self.unknown.contains(*name)).collect()
    }

    /// How much was asked, for the reader of a test's output.
    pub(super) fn summary(&self, books: &Books) -> String {
        format!(
            "{} requests acknowledged, {} not answered, of which {} were recorded",
            self.acknowledged(),
            self.unknown.len(),
            self.recorded_in_silence(books).len(),
        )
    }

    /// What was acknowledged is in the log, once and as it was asked for; what was not answered is
    /// there once or not at all; nothing else is there.
    pub(super) fn check(&self, books: &Books) {
        for Posted { cursor, event, balances, .. } in &self.posted {
            assert_eq!(books.event(*cursor), Some(event), "cursor {cursor}");
            for (account, balance) in balances {
                assert!(
                    books.had_balance_since(account, *cursor, *balance),
                    "{account} had never {balance} since {event:?} at cursor {cursor}"
                );
            }
        }
        let mut asked: HashSet<&String> = self.unknown.iter().collect();
        asked.extend(&self.opened);
        asked.extend(self.posted.iter().map(|posted| &posted.memo));
        let mut found = HashSet::new();
        for name in books.names() {
            assert!(asked.contains(name), "nobody asked for {name}");
            assert!(found.insert(name), "{name} is in the log twice");
        }
        let lost: Vec<_> = self.opened.iter().filter(|id| !found.contains(id)).collect();
        assert!(lost.is_empty(), "lost accounts: {lost:?}");
    }
}
