//! [`Postgres`]: the PostgreSQL server of one run, for the steps that need one.

mod install;

use std::env;
use std::process::Command;

use test_postgres::{Cluster, Pgbouncer, Programs, URL_VARIABLE};

use crate::workspace::run;

/// A server of the user's, or a throwaway one that starts when the first step asks for it and ends
/// with the run.
#[derive(Default)]
pub(crate) struct Postgres {
    cluster: Option<Cluster>,
}

impl Postgres {
    /// Lets the command's tests find the server.
    pub(crate) fn serve(&mut self, command: &mut Command) -> Result<(), String> {
        let url = self.url()?;
        command.env(URL_VARIABLE, url);
        Ok(())
    }

    /// Where the server is.
    pub(crate) fn url(&mut self) -> Result<String, String> {
        if let Ok(url) = env::var(URL_VARIABLE) {
            return Ok(url);
        }
        let cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => start()?,
        };
        Ok(self.cluster.insert(cluster).url("postgres"))
    }
}

/// The step that says which server the tests will use, and sees to it that there is a pgbouncer.
pub(crate) fn check(postgres: &mut Postgres) -> Result<(), String> {
    let url = postgres.url()?;
    if let Err(missing) = Pgbouncer::find() {
        if !install::is_possible() {
            return Err(missing);
        }
        install::pgbouncer().map_err(|why| format!("{missing}\n(installing it failed: {why})"))?;
    }
    match &postgres.cluster {
        Some(cluster) => {
            let folder = cluster.programs().folder().display();
            println!("a throwaway cluster of {folder}: {url}");
        }
        // The URL may have a password.
        None => println!("the server in {URL_VARIABLE}"),
    }
    Ok(())
}

/// `cargo xtask postgres -- COMMAND…`
pub(crate) fn run_with_server(words: &[String]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("no command after `--`")?;
    let mut postgres = Postgres::default();
    let mut command = Command::new(program);
    postgres.serve(command.args(arguments))?;
    run(&mut command)
}

fn start() -> Result<Cluster, String> {
    let programs = Programs::find().or_else(|missing| {
        if !install::is_possible() {
            return Err(missing);
        }
        install::run().map_err(|why| format!("{missing}\n(installing them failed: {why})"))?;
        Programs::find()
    })?;
    Cluster::start_of(programs, &[])
}
