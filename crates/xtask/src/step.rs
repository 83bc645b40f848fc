//! The steps of `cargo xtask test`, and how a row of steps is run and reported.

use std::time::{Duration, Instant};

use crate::postgres::{self, Postgres};
use crate::smoke;
use crate::workspace::{cargo, is_installed, run};

/// One check of the workspace, which can be run alone.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    check: fn(&mut Postgres) -> Result<(), String>,
}

/// Cheap checks first, so that a slip is reported early; the smoke runs last, because they start
/// programs that the tests before them have shown to work in parts.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", summary: "sources are formatted", check: |_| fmt() },
    Step { name: "lint", summary: "clippy has no warning", check: |_| lint() },
    Step { name: "doc", summary: "the documentation builds without a warning", check: |_| doc() },
    Step {
        name: "postgres",
        summary: "there is a PostgreSQL server to test with",
        check: postgres::check,
    },
    Step { name: "suite", summary: "unit and integration tests", check: suite },
    Step { name: "doctest", summary: "code in the documentation and the README", check: doctest },
    Step {
        name: "git-history",
        summary: "the example git_history verifies this repository",
        check: |_| smoke::git_history::check(),
    },
    Step {
        name: "bank",
        summary: "the example bank does what docs/guide.md says",
        check: |_| smoke::bank::check(),
    },
    Step {
        name: "ledger",
        summary: "the example ledger serves requests and stops on SIGTERM",
        check: |_| smoke::ledger::check(),
    },
    Step {
        name: "bench",
        summary: "rederive-bench runs, whatever its figures",
        check: smoke::bench::check,
    },
];

pub(crate) fn by_name(name: &str) -> Result<Step, String> {
    STEPS
        .iter()
        .find(|step| step.name == name)
        .copied()
        .ok_or_else(|| format!("no command `{name}`; `cargo xtask help` lists them all"))
}

/// Runs the steps one after another, up to the first that fails.
pub(crate) fn run_in_order(command: &str, steps: &[Step]) -> Result<(), String> {
    let start = Instant::now();
    // One server for all of them, which ends here.
    let mut postgres = Postgres::default();
    for step in steps {
        println!("\n== {}: {}", step.name, step.summary);
        let step_start = Instant::now();
        (step.check)(&mut postgres).map_err(|why| {
            let name = step.name;
            let after = seconds(step_start.elapsed());
            format!("step `{name}` failed after {after}: {why}\n(alone: `cargo xtask {name}`)")
        })?;
        println!("== {}: passed in {}", step.name, seconds(step_start.elapsed()));
    }
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    println!("\n{command}: {} passed in {}", names.join(", "), seconds(start.elapsed()));
    Ok(())
}

fn fmt() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))
        .map_err(|why| format!("{why}; `cargo fmt --all` repairs it"))
}

fn lint() -> Result<(), String> {
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets", "--locked"])
        .args(["--", "-D", "warnings"]))?;
    // In the whole workspace, each has the features that any of its crates asks for.
    for database in ["sqlite", "postgres"] {
        println!("(the facade with {database} alone)");
        run(cargo()
            .args(["clippy", "--package", "rederive", "--locked"])
            .args(["--no-default-features", "--features", database])
            .args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn doc() -> Result<(), String> {
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// All tests but the doc tests, which nextest cannot run.
fn suite(postgres: &mut Postgres) -> Result<(), String> {
    // Tests start the examples as programs; not every form of `cargo test` builds them as such.
    smoke::examples::build()?;
    let mut tests = cargo();
    if is_installed("cargo-nextest") {
        tests.args(["nextest", "run", "--workspace", "--locked"]);
    } else {
        println!("(cargo-nextest is not installed: cargo test does its work)");
        tests.args(["test", "--workspace", "--locked", "--tests"]);
    }
    postgres.serve(&mut tests)?;
    run(&mut tests)
}

fn doctest(postgres: &mut Postgres) -> Result<(), String> {
    let mut tests = cargo();
    postgres.serve(tests.args(["test", "--workspace", "--doc", "--locked"]))?;
    run(&mut tests)
}

fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    match (whole / 60, whole % 60) {
        (0, _) => format!("{whole}.{tenth} s"),
        (minutes, rest) => format!("{minutes} min {rest:02} s"),
    }
}
