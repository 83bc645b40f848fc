//! [`Fixtures`]: databases that both sides start from, made once and copied for each run.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};
use rederive::diesel::{SqliteDatabase, SqliteEventLog};
use tempfile::TempDir;

use crate::{
    Failure, floor,
    measure::{Measure, Start},
    ours, tables,
    workload::{self, AccountEvent},
};

/// A folder for temporary files and the databases in it.
pub(crate) struct Fixtures {
    folder: TempDir,
    made: HashMap<(Start, u64, u64), PathBuf>,
}

impl Fixtures {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self { folder: tempfile::tempdir()?, made: HashMap::new() })
    }

    /// A fresh copy of what the measure starts from.
    pub(crate) fn copy(&mut self, measure: &Measure) -> Result<Copy, Failure> {
        let &Measure { start, n, p, .. } = measure;
        let copy = Copy(self.folder.path().join("run.db"));
        if start == Start::Nothing {
            return Ok(copy);
        }
        // The events to come are not in the log yet.
        let key = (start, if start == Start::Opened { p } else { n }, p);
        let made = match self.made.get(&key) {
            Some(made) => made,
            None => {
                let file = self.folder.path().join(format!("{}.db", self.made.len()));
                make(&file, key)?;
                self.made.entry(key).or_insert(file)
            }
        };
        fs::copy(made, &copy.0)?;
        // Or a side would pay for it when it first flushes.
        File::open(&copy.0)?.sync_all()?;
        Ok(copy)
    }

    /// Forgets all of them, as the largest fill a disk.
    pub(crate) fn clear(&mut self) -> Result<(), Failure> {
        for (_, file) in self.made.drain() {
            fs::remove_file(file)?;
        }
        Ok(())
    }
}

fn make(file: &Path, (start, n, p): (Start, u64, u64)) -> Result<(), Failure> {
    let db = SqliteDatabase::open(file)?;
    db.write(tables::create)?;
    let log = db.event_log();
    match start {
        Start::Nothing => {}
        Start::Log | Start::Opened => append(&log, workload::events(n, p))?,
        Start::Derived => {
            append(&log, workload::events(p, p))?;
            ours::rebuild::rebuild(file, 1, false)?;
            let done = i64::try_from(p)?;
            db.write(|conn| floor::rebuild::store_cursor(conn, "accounts", done))?;
            append(&log, workload::movements(2, p).take(usize::try_from(n)?))?;
        }
    }
    drop((log, db));
    // All in one file, so that it can be copied.
    let mut conn = SqliteConnection::establish(&file.display().to_string())?;
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

fn append(
    log: &SqliteEventLog<AccountEvent>,
    events: impl Iterator<Item = AccountEvent>,
) -> Result<(), Failure> {
    let mut events = events.peekable();
    while events.peek().is_some() {
        log.append_blocking(events.by_ref().take(4096).collect())?;
    }
    Ok(())
}

/// A database that is removed when this is dropped.
pub(crate) struct Copy(PathBuf);

impl Copy {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            // Not every run leaves all of them.
            let _ = fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}
