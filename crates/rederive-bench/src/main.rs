//! Measures Rederive beside the best hand-written code for the same job.
//!
//! Each measure runs both sides in turn, every run in a process of its own on a fresh copy of the
//! same database, and compares what the runs derived before it compares their times.

#![allow(clippy::print_stdout, reason = "a program that prints its results")]

mod args;
mod fixture;
mod floor;
mod floors;
mod growth;
mod job;
mod measure;
mod memory;
mod ours;
mod place;
mod plot;
mod reducers;
mod report;
mod run;
mod server;
mod stats;
mod tables;
mod workload;

use std::{env, fs};

use crate::{
    args::{Args, Request, Store},
    fixture::Fixtures,
    floors::Floors,
    job::Job,
    report::Entry,
};

/// What went wrong, for people.
pub(crate) type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    match args::parse(env::args_os().skip(1))? {
        Request::Help => print!("{}", args::HELP),
        Request::Job => {
            let job: Job = serde_json::from_reader(std::io::stdin().lock())?;
            println!("{}", serde_json::to_string(&job.run_here()?)?);
        }
        Request::Run(args) => run(&args)?,
    }
    Ok(())
}

fn run(args: &Args) -> Result<(), Failure> {
    let mut fixtures = Fixtures::new(args.store, args.scale)?;
    println!("{}\n\n{}", settings(args, &fixtures), report::HEADING);
    let mut entries = Vec::new();
    for measure in measure::all(args.store, args.scale) {
        if args.wants(measure.name) {
            let outcome = run::run(&measure, &mut fixtures)?;
            println!("{}", report::line(&measure, &outcome));
            entries.push(Entry::new(args.store, &measure, &outcome));
        }
    }
    fixtures.clear()?;
    let floors = match args.store {
        Store::Memory => None,
        Store::Sqlite => Some(Floors::sqlite()),
        Store::Postgres => Some(Floors::postgres()),
    };
    if let Some(floors) = floors.filter(|_| args.wants(growth::NAME)) {
        let series = growth::measure(args.scale, floors.growth, &mut fixtures)?;
        println!("\n{}", growth::table(&series));
        entries.extend(series.iter().map(|one| one.entry(args.store)));
        if let Some(file) = &args.svg {
            fs::write(file, plot::draw(&series))?;
        }
    }
    if let Some(file) = &args.json {
        fs::write(file, serde_json::to_string_pretty(&entries)? + "\n")?;
    }
    Ok(())
}

fn settings(args: &Args, fixtures: &Fixtures) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rebuild = ours::rebuild::config(false).rebuild;
    format!(
        "store {}, {} on {} with {cores} cores, {}, files in {}\n\
         default settings, bulk: slice {}, window {}, group {}, batch {}",
        args.store.name(),
        args.scale.of("full", "quick", "smoke"),
        env::consts::OS,
        fixtures.describe(),
        env::temp_dir().display(),
        rebuild.slice,
        rebuild.window,
        rebuild.group,
        rebuild.batch,
    )
}
