//! [`Job`]: one side of a measure, run once in a process of its own.

use std::{
    fmt, fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    floor::{
        self,
        apply::How,
        postgres::{self, apply::How as HowOnPostgres, clients::By},
    },
    memory, ours,
    place::Place,
    server::processor_time,
    tables::{Sum, TABLES},
};

/// What one process does, on a database of its own.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) place: Place,
    pub(crate) n: u64,
    pub(crate) p: u64,
    pub(crate) clients: u64,
}

/// The work of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// So many reducers build their tables from the log; their actors stay to the end or not.
    Rebuild {
        reducers: usize,
        stay: bool,
    },
    /// The same by a fold.
    RebuildFolded,
    FloorFolded {
        how: How,
        size: i64,
    },
    /// The same by Diesel's own statements.
    RebuildByStatement,
    /// So many tables are built by hand, one after the other, in transactions of so many events;
    /// a second thread reads ahead or not.
    FloorRebuild {
        tables: usize,
        how: How,
        size: i64,
        ahead: bool,
    },
    /// Callers append one event each and wait until it is visible.
    Clients,
    /// The same by one thread that takes all that has arrived into one transaction, or into two:
    /// one that appends and one that applies.
    FloorGroup {
        split: bool,
    },
    /// Opens the database and catches up.
    Start,
    FloorStart,
    /// The floors of the works above on PostgreSQL.
    PostgresRebuild {
        tables: usize,
        how: HowOnPostgres,
        size: i64,
        ahead: bool,
    },
    PostgresFolded {
        size: i64,
    },
    PostgresClients {
        by: By,
    },
    PostgresStart,
    /// The same as the works above, with log and state in memory.
    MemoryRebuild {
        reducers: usize,
    },
    MemoryFloorRebuild {
        tables: usize,
    },
    MemoryClients,
    MemoryFloorClients,
}

/// What came of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// In the unit of the measure.
    pub(crate) figure: f64,
    /// The most memory that the process ever held, where the system tells.
    pub(crate) rss_mb: Option<f64>,
    /// Processor time that the process took, of all its threads, where the system tells.
    pub(crate) cpu_s: Option<f64>,
    /// What a server of the bench's own took meanwhile.
    #[serde(default)]
    pub(crate) server_cpu_s: Option<f64>,
    /// What is in the tables now.
    pub(crate) sum: Sum,
}

impl Job {
    /// Runs the job in a process of its own.
    pub(crate) fn run(&self) -> Result<Done, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--job").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // Not among the arguments, which everybody sees: a URL may have a password.
            input.write_all(serde_json::to_string(self)?.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let (work, said) = (self.work, String::from_utf8_lossy(&output.stderr));
            return Err(format!("{work:?} failed: {said}").into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs the job in this process.
    pub(crate) fn run_here(&self) -> Result<Done, Failure> {
        let Self { work, place, n, p, clients } = self;
        let file = || place.file();
        let mut in_memory = None;
        let figure = match *work {
            Work::Rebuild { reducers, stay } => {
                self.rate(|| ours::rebuild::rebuild(place, reducers, stay))?
            }
            Work::RebuildFolded => self.rate(|| ours::rebuild::folded(place))?,
            Work::FloorFolded { how, size } => {
                self.rate(|| floor::fold::rebuild(file()?, TABLES[0], how, size))?
            }
            Work::RebuildByStatement => self.rate(|| ours::rebuild::by_statement(place))?,
            Work::FloorRebuild { tables, how, size, ahead } => self.rate(|| {
                let mut tables = TABLES.iter().take(tables);
                tables
                    .try_for_each(|table| floor::rebuild::rebuild(file()?, table, how, size, ahead))
            })?,
            Work::Clients => ours::clients::run(place, *n, *p, *clients)?,
            Work::FloorGroup { split } => floor::clients::run(file()?, *n, *p, *clients, split)?,
            Work::Start => millis(|| ours::rebuild::start(place))?,
            Work::FloorStart => {
                millis(|| floor::rebuild::rebuild(file()?, TABLES[0], How::Json, 1000, false))?
            }
            Work::PostgresRebuild { tables, how, size, ahead } => self.rate(|| {
                let (url, mut tables) = (place.url()?, TABLES.iter().take(tables));
                tables
                    .try_for_each(|table| postgres::rebuild::rebuild(url, table, how, size, ahead))
            })?,
            Work::PostgresFolded { size } => {
                self.rate(|| postgres::fold::rebuild(place.url()?, TABLES[0], size))?
            }
            Work::PostgresClients { by } => {
                postgres::clients::run(place.url()?, *n, *p, *clients, by)?
            }
            Work::PostgresStart => millis(|| {
                let (url, how) = (place.url()?, HowOnPostgres::Upsert);
                postgres::rebuild::rebuild(url, TABLES[0], how, 1000, false)
            })?,
            Work::MemoryRebuild { reducers } => {
                memory::rebuild(*n, *p, reducers, in_memory.insert(Sum::default()))?
            }
            Work::MemoryFloorRebuild { tables } => {
                memory::floor_rebuild(*n, *p, tables, in_memory.insert(Sum::default()))?
            }
            Work::MemoryClients => {
                memory::clients(*n, *p, *clients, in_memory.insert(Sum::default()))?
            }
            Work::MemoryFloorClients => {
                memory::floor_clients(*n, *p, *clients, in_memory.insert(Sum::default()))?
            }
        };
        let (rss_mb, cpu_s) = (peak_memory(), processor_time("self"));
        let sum = in_memory.map_or_else(|| place.sum(), Ok)?;
        Ok(Done { figure, rss_mb, cpu_s, server_cpu_s: None, sum })
    }

    fn rate(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
        rate(self.n, work)
    }
}

/// Events per second.
pub(crate) fn rate(n: u64, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(n as f64 / begun.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

fn millis(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// The most memory that this process ever held, in megabytes of a million bytes.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

impl fmt::Display for Work {
    /// In what it differs from the other floors of its measure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::FloorRebuild { how, size, ahead, .. } => {
                let threads = if *ahead { ", reading ahead" } else { "" };
                write!(f, "{how}, transactions of {size}{threads}")
            }
            Work::FloorFolded { how, size } => write!(f, "{how}, transactions of {size}"),
            Work::PostgresRebuild { how, size, ahead, .. } => {
                let threads = if *ahead { ", reading ahead" } else { "" };
                write!(f, "{how}, transactions of {size}{threads}")
            }
            Work::PostgresFolded { size } => write!(f, "transactions of {size}"),
            Work::PostgresClients { by } => by.fmt(f),
            Work::FloorGroup { split: true } => f.write_str("two transactions per group"),
            Work::FloorGroup { split: false } => f.write_str("one transaction per group"),
            other => write!(f, "{other:?}"),
        }
    }
}
