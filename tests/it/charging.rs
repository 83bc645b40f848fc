//! The example `payments`, killed at random moments: what a service did is in the log exactly once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rederive::{Cursor, EventLog};
use rederive_testkit::Seed;
use serde::{Deserialize, Serialize};

use crate::fixture::{
    PATIENCE,
    database::{Database, Opened, on_every_database},
    example,
};

on_every_database! {
    every_order_has_one_outcome_in_order_though_the_service_is_killed_at_any_moment,
}

/// As the example has it.
#[derive(Serialize, Deserialize)]
enum Event {
    Ordered { order: u64, customer: String, cents: u64 },
    Paid { order: u64 },
    Declined { order: u64, why: String },
}

/// The example, which is killed with SIGKILL when this is dropped.
struct Payments {
    child: Child,
    lines: Receiver<String>,
}

impl Payments {
    fn start(database: &Database, bank: &Path) -> Self {
        let mut child = Command::new(example("payments"))
            .arg("--database")
            .arg(database.argument("payments"))
            .arg("--bank")
            .arg(bank)
            // So long the next one waits after one was killed.
            .args(["--lease", "0.2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }
}

impl Drop for Payments {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The orders whose outcome the log holds, in the order of the log.
fn outcomes(log: &impl EventLog<Event = Event>) -> Vec<(u64, bool)> {
    let events = log.fetch(&Cursor::Start, usize::MAX).expect("it can be read").events;
    let outcome = |event: rederive::Recorded<Event>| match event.data {
        Event::Ordered { .. } => None,
        Event::Paid { order } => Some((order, true)),
        Event::Declined { order, .. } => Some((order, false)),
    };
    events.into_iter().filter_map(outcome).collect()
}

const ORDERS: u64 = 600;
const CUSTOMERS: u64 = 7;

fn every_order_has_one_outcome_in_order_though_the_service_is_killed_at_any_moment(
    database: Database,
) {
    let ordered = (0..ORDERS).map(|order| {
        let cents = if is_small(order) { 500 } else { 50_000 };
        Event::Ordered { order, customer: format!("c{}", order % CUSTOMERS), cents }
    });
    let ordered = ordered.collect();
    match database.open() {
        Opened::Sqlite(db) => {
            let log = db.event_log::<Event>();
            log.append_blocking(ordered).expect("it can be appended");
            kill_at_any_moment(&database, &log);
        }
        Opened::Postgres(db) => {
            let log = db.event_log::<Event>();
            log.append_blocking(ordered).expect("it can be appended");
            kill_at_any_moment(&database, &log);
        }
    }
}

fn is_small(order: u64) -> bool {
    !order.is_multiple_of(5)
}

fn kill_at_any_moment(database: &Database, log: &impl EventLog<Event = Event>) {
    let bank = database.folder().join("bank");
    let mut rng = Seed::from_env().rng();
    let (mut kills, begun) = (0, Instant::now());
    loop {
        let payments = Payments::start(database, &bank);
        // Killed after some outcomes, which come faster than one by one.
        let more = rng.range(1..15);
        let mut told = 0;
        while told < more {
            assert!(begun.elapsed() < PATIENCE * 4, "{} outcomes", outcomes(log).len());
            match payments.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(_) => told += 1,
                Err(_) if outcomes(log).len() >= ORDERS as usize => break,
                Err(_) => {}
            }
        }
        if outcomes(log).len() >= ORDERS as usize {
            break;
        }
        drop(payments);
        kills += 1;
    }
    // Long enough for all that is left over to be recorded once more, if it were.
    let mut payments = Payments::start(database, &bank);
    drop(payments.child.stdin.take());
    assert!(payments.child.wait().expect("it ends").success());

    let outcomes = outcomes(log);
    let once: BTreeMap<u64, bool> = outcomes.iter().copied().collect();
    assert_eq!((outcomes.len(), once.len()), (ORDERS as usize, ORDERS as usize), "exactly once");
    assert!(once.iter().all(|(order, paid)| *paid == is_small(*order)), "{once:?}");
    for customer in 0..CUSTOMERS {
        let of = outcomes.iter().map(|(order, _)| order).filter(|it| *it % CUSTOMERS == customer);
        assert!(of.is_sorted(), "one after the other");
    }
    // The bank may have been asked again, but under the same key.
    let asked = fs::read_to_string(&bank).expect("it was asked");
    let mut keys = HashMap::new();
    for line in asked.lines() {
        let mut words = line.split(' ');
        let (key, order) = (words.next().expect("a key"), words.next().expect("an order"));
        assert_eq!(*keys.entry(order).or_insert(key), key, "the key of order {order} has changed");
    }
    assert_eq!(keys.values().collect::<BTreeSet<_>>().len(), ORDERS as usize);
    assert!(kills > 1, "killed only {kills} times");
}
