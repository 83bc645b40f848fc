//! Puts the example `ledger` under load and checks that every reply shows its own write.
//!
//! Each [`client`] posts between accounts of its own, whose balances it knows to the unit, and gives
//! to accounts that all share, whose balances only grow. [`http`] is the wire, [`report`] the end.

mod args;
mod client;
mod http;
mod report;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use args::{Args, Request};
use client::{Client, Times, Wrong};
use http::Connection;
use report::Report;

/// How many accounts all clients share.
const SHARED: usize = 8;

fn main() -> ExitCode {
    let (text, code) = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => (args::HELP.to_owned(), 0),
        Ok(Request::Load(args)) => match load(&args) {
            Ok(report) => (report.to_string(), u8::from(!report.wrong.is_empty())),
            Err(wrong) => (format!("error: the load cannot be started: {wrong:?}\n"), 2),
        },
        Err(error) => (format!("error: {error}; `--help` lists the arguments\n"), 2),
    };
    // If nothing can be written, the exit code must do.
    let _ = match code {
        2 => std::io::stderr().write_all(text.as_bytes()),
        _ => std::io::stdout().write_all(text.as_bytes()),
    };
    ExitCode::from(code)
}

fn load(args: &Args) -> Result<Report, Wrong> {
    let mut connection = Connection::open(args.address)?;
    // Not used by any run before.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("load-{}-{}", since_1970.as_millis(), std::process::id());
    let shared: Vec<String> = (0..SHARED).map(|n| format!("{run}-shared-{n}")).collect();
    for id in &shared {
        client::open_account(&mut connection, id)?;
    }

    let ready = Barrier::new(args.clients + 1);
    let (mut elapsed, mut all, mut wrong) = (Duration::ZERO, Vec::new(), Vec::new());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|n| {
                let (name, shared, ready) = (format!("{run}-{n}"), &shared, &ready);
                scope.spawn(move || {
                    let client = Connection::open(args.address).map_err(Wrong::from);
                    let client =
                        client.and_then(|connection| Client::new(connection, &name, shared));
                    // Whoever failed must come too, or the others wait for ever.
                    ready.wait();
                    match client {
                        Ok(mut client) => {
                            let done = client.work(Instant::now() + args.time);
                            (Some(client), done)
                        }
                        Err(wrong) => (None, Err(wrong)),
                    }
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        for client in clients {
            let panicked = |_| (None, Err(Wrong::Error("a client panicked".to_owned())));
            let (client, done) = client.join().unwrap_or_else(panicked);
            all.extend(client);
            wrong.extend(done.err());
        }
        elapsed = begun.elapsed();
    });
    // What became of a request without a reply is not known, nor what the totals must be then.
    if wrong.is_empty() {
        wrong.extend(check_totals(args, &all).err());
    }
    let mut times = Times::default();
    for client in &mut all {
        times.postings.append(&mut client.times.postings);
        times.reads.append(&mut client.times.reads);
    }
    Ok(Report { elapsed, times, wrong })
}

/// The shared accounts hold what all clients together have given.
fn check_totals(args: &Args, clients: &[Client]) -> Result<(), Wrong> {
    // A new one: the ledger closes a connection on which nothing was asked for a while.
    let mut connection = Connection::open(args.address)?;
    let shared = clients.first().map(Client::shared).unwrap_or_default();
    for (n, account) in shared.iter().enumerate() {
        let given = clients.iter().map(|client| client.shared()[n].given).sum();
        let reply = connection.get(&format!("/accounts/{}", account.id))?;
        let body = client::expect(200, reply)?;
        client::same(&body["balance"], given, &body, "balance of a shared account")?;
    }
    let body = client::expect(200, connection.get("/audit")?)?;
    client::same(&body["sum"], 0, &body, "sum")
}
