//! The developer commands of the workspace: `cargo xtask help` lists them.
//!
//! `step` names the checks in the order in which `cargo xtask test` makes them, `workspace` runs
//! cargo and git, `smoke` starts the examples the way a user would, `postgres` has a PostgreSQL server
//! for the tests, or for any command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer command talks to the terminal"
)]

mod postgres;
mod smoke;
mod step;
mod workspace;

use std::env;
use std::process::ExitCode;

use step::Step;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    if let [first, dashes, command @ ..] = words
        && (first.as_str(), dashes.as_str()) == ("postgres", "--")
    {
        return postgres::run_with_server(command);
    }
    if words.is_empty()
        || words.iter().any(|word| matches!(word.as_str(), "help" | "--help" | "-h"))
    {
        print_help();
        return Ok(());
    }
    if words == ["test"] {
        return step::run_in_order("cargo xtask test", step::STEPS);
    }
    let steps = words.iter().map(|word| step::by_name(word)).collect::<Result<Vec<Step>, _>>()?;
    step::run_in_order(&format!("cargo xtask {}", words.join(" ")), &steps)
}

fn print_help() {
    println!("Usage: cargo xtask test | help | STEP... | postgres -- COMMAND...\n");
    println!("  {:<12} everything below, in this order; stops at the first failure\n", "test");
    for step in step::STEPS {
        println!("  {:<12} {}", step.name, step.summary);
    }
    println!(
        "\nCOMMAND is run with a server: its environment has {}.",
        test_postgres::URL_VARIABLE
    );
}
