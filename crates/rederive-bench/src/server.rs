//! [`Server`]: the PostgreSQL server of a run of the bench.

use std::{env, fs};

use test_postgres::{Cluster, Database, Programs, URL_VARIABLE};

use crate::{Failure, place::execute};

/// A server of the user's, or a throwaway one.
pub(crate) struct Server {
    url: String,
    cluster: Option<Cluster>,
}

/// What a throwaway server runs with, beside `fsync` and `synchronous_commit`, which are on.
pub(crate) const SETTINGS: [(&str, &str); 3] =
    [("max_connections", "300"), ("shared_buffers", "256MB"), ("max_wal_size", "4GB")];

impl Server {
    /// The server that the environment names, or else one that ends with this value.
    pub(crate) fn find() -> Result<Self, Failure> {
        if let Ok(url) = env::var(URL_VARIABLE) {
            return Ok(Self { url, cluster: None });
        }
        let cluster = Cluster::start_of(Programs::find()?, &SETTINGS)?;
        Ok(Self { url: cluster.url("postgres"), cluster: Some(cluster) })
    }

    /// An empty database.
    pub(crate) fn database(&self) -> Database {
        Database::create_on(self.url.as_str(), execute)
    }

    /// Has the server write out what it holds back, or a run would pay for the one before it.
    pub(crate) fn settle(&self) {
        // Not everybody may, on a server of the user's.
        let _ = execute(&self.url, "CHECKPOINT");
    }

    /// What is known of it, for people.
    pub(crate) fn describe(&self) -> String {
        match &self.cluster {
            Some(cluster) => {
                let settings = SETTINGS.map(|(name, value)| format!("{name} {value}")).join(", ");
                let programs = cluster.programs().folder().display();
                format!(
                    "a throwaway PostgreSQL server of {programs} (fsync on, synchronous_commit on, {settings})"
                )
            }
            // The URL may have a password.
            None => format!("the PostgreSQL server in {URL_VARIABLE}"),
        }
    }

    /// The processor time that all processes of a throwaway server have taken so far, in seconds, where
    /// the system tells.
    pub(crate) fn processor_time(&self) -> Option<f64> {
        let number = self.cluster.as_ref()?.process()?;
        let children = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).ok()?;
        let of_children = children.split_whitespace().filter_map(processor_time);
        Some(processor_time(&number.to_string())? + of_children.sum::<f64>())
    }
}

/// The processor time of a process, `self` for this one, and of those of its children that have ended, in
/// seconds.
pub(crate) fn processor_time(process: &str) -> Option<f64> {
    /// What Linux counts in, for programs.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses and may hold anything; user and system time are the
    // 14th and 15th, and those of children follow.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    let times: Result<Vec<f64>, _> = times.map(str::parse).collect();
    Some(times.ok()?.iter().sum::<f64>() / TICKS_PER_SECOND)
}
