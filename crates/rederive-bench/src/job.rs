//! [`Job`]: one side of a measure, run once in a process of its own.

use std::{
    fmt, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    floor::{self, apply::How},
    memory, ours,
    tables::{Sum, TABLES},
};

/// What one process does, on a file of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) file: PathBuf,
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
    /// What is in the tables now.
    pub(crate) sum: Sum,
}

impl Job {
    /// Runs the job in a process of its own.
    pub(crate) fn run(&self) -> Result<Done, Failure> {
        let mut child = Command::new(std::env::current_exe()?);
        let output = child.arg("--job").arg(serde_json::to_string(self)?).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{self:?} failed: {said}").into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs the job in this process.
    pub(crate) fn run_here(&self) -> Result<Done, Failure> {
        let Self { work, file, n, p, clients } = self;
        let mut in_memory = None;
        let figure = match *work {
            Work::Rebuild { reducers, stay } => {
                self.rate(|| ours::rebuild::rebuild(file, reducers, stay))?
            }
            Work::RebuildFolded => self.rate(|| ours::rebuild::folded(file))?,
            Work::FloorFolded { how, size } => {
                self.rate(|| floor::fold::rebuild(file, TABLES[0], how, size))?
            }
            Work::RebuildByStatement => self.rate(|| ours::rebuild::by_statement(file))?,
            Work::FloorRebuild { tables, how, size, ahead } => self.rate(|| {
                let mut tables = TABLES.iter().take(tables);
                tables.try_for_each(|table| floor::rebuild::rebuild(file, table, how, size, ahead))
            })?,
            Work::Clients => ours::clients::on_sqlite(file, *n, *p, *clients)?,
            Work::FloorGroup { split } => floor::clients::run(file, *n, *p, *clients, split)?,
            Work::Start => millis(|| ours::rebuild::start(file))?,
            Work::FloorStart => {
                millis(|| floor::rebuild::rebuild(file, TABLES[0], How::Json, 1000, false))?
            }
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
        let (rss_mb, cpu_s) = (peak_memory(), processor_time());
        let sum = in_memory.map_or_else(|| Sum::of(file), Ok)?;
        Ok(Done { figure, rss_mb, cpu_s, sum })
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

/// The processor time of all threads of this process so far, in seconds.
fn processor_time() -> Option<f64> {
    /// What Linux counts in, for programs.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses and may hold anything; user and system time are the
    // 14th and 15th.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS_PER_SECOND)
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
            Work::FloorGroup { split: true } => f.write_str("two transactions per group"),
            Work::FloorGroup { split: false } => f.write_str("one transaction per group"),
            other => write!(f, "{other:?}"),
        }
    }
}
