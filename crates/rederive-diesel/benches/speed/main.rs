//! How fast the store, the log and what leads to them are by themselves, on both databases:
//! `cargo bench -p rederive-diesel --bench speed -- [MEASURE…]`, where none named means all of them.
//!
//! Processor time is that of one thread, as Linux tells it. On PostgreSQL the clock is taken: the work is
//! the server's. Figures beside hand-written code are those of `rederive-bench`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::type_complexity,
    clippy::print_stdout,
    reason = "a measure talks to the terminal, and ends at the first failure"
)]

mod json_each;
mod log;
mod ops;
mod typed_ops;
mod ways;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests need more of it than the measures do"
)]
#[path = "../../tests/it/postgres"]
mod postgres {
    pub(crate) mod scratch;
}
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests need more of it than the measures do"
)]
#[path = "../../tests/it/support.rs"]
mod support;

use std::time::Duration;

const MEASURES: [(&str, fn()); 6] = [
    ("ops", ops::on_sqlite),
    ("ops-on-postgres", ops::on_postgres),
    ("ways-on-postgres", ways::on_postgres),
    ("typed-ops", typed_ops::emit),
    ("json-each", json_each::for_comparison),
    ("log", log::append_and_fetch),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says so when it runs benches; when it runs tests, nothing is to be measured.
    if !words.iter().any(|word| word == "--bench") {
        println!("nothing is measured: `cargo bench -p rederive-diesel --bench speed` does so");
        return;
    }
    let names: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    for name in &names {
        let known = MEASURES.map(|(known, _)| known);
        assert!(known.contains(&name.as_str()), "no measure {name}, but {}", known.join(", "));
    }
    for (name, measure) in MEASURES {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            measure();
        }
    }
}

const SCHEMA: &str = "CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL,
    balance INTEGER NOT NULL, postings INTEGER NOT NULL) WITHOUT ROWID";

const ON_POSTGRES: &str = "CREATE TABLE accounts (id text PRIMARY KEY, owner text NOT NULL,
    balance bigint NOT NULL, postings bigint NOT NULL)";

/// The processor time of this thread: other work on the machine does not count.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn rate(what: &str, count: usize, time: Duration) {
    println!("{what:60} {:>9.0}/s", count as f64 / time.as_secs_f64());
}

/// Of an account.
fn id(number: usize) -> String {
    format!("account-{number:08}")
}
