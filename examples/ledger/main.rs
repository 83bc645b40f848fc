//! A double-entry ledger as a web service whose every reply shows its own write.
//!
//! A newcomer's way through the program is the way of a posting: [`routes`] (HTTP) → [`request`]
//! (is it one?) → [`service`] (does it fit? record it and wait) → [`event`] (in the log) →
//! [`derive`] (the reducer) → [`tables`] → [`books`] (read back). [`reservations`] keeps balances
//! from overflowing, [`audit`] says whether they add up, [`database`] is SQLite or PostgreSQL,
//! [`serve`] starts and stops it all.

mod args;
mod audit;
mod books;
mod database;
mod derive;
mod event;
mod problem;
mod request;
mod reservations;
mod routes;
mod serve;
mod service;
mod signal;
mod tables;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;

use args::Request;

fn main() -> ExitCode {
    // To stderr; what should worry an operator unless RUST_LOG says otherwise.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let outcome = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => return print_help(),
        Ok(Request::Serve(args)) => actix_web::rt::System::new().block_on(serve::serve(args)),
        Err(error) => {
            complain(&format!("error: {error}; `--help` lists the arguments"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

fn print_help() -> ExitCode {
    match std::io::stdout().write_all(args::HELP.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

/// To stderr. If not even that can be written to, the exit code must do.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
