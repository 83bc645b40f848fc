//! [`Fixtures`]: databases that both sides start from, made once and copied for each run.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::PathBuf,
};

use diesel::{
    Connection, connection::SimpleConnection, pg::PgConnection, sqlite::SqliteConnection,
};
use rederive::diesel::{PostgresDatabase, SqliteDatabase};
use tempfile::TempDir;
use test_postgres::Database;

use crate::{
    Failure,
    args::{Scale, Store},
    floor,
    measure::{Measure, Start},
    ours,
    place::{Place, with_database},
    server::Server,
    tables,
    workload::{self, AccountEvent},
};

/// Where databases are made, and those that have been.
pub(crate) struct Fixtures {
    made: HashMap<(Start, u64, u64), Copy>,
    count: usize,
    folder: TempDir,
    server: Option<Server>,
    scale: Scale,
}

/// A database that is removed when this is dropped.
pub(crate) enum Copy {
    Memory,
    File(PathBuf),
    Database(Database),
}

impl Fixtures {
    pub(crate) fn new(store: Store, scale: Scale) -> Result<Self, Failure> {
        let server = if store == Store::Postgres { Some(Server::find()?) } else { None };
        let folder = tempfile::tempdir()?;
        Ok(Self { made: HashMap::new(), count: 0, folder, server, scale })
    }

    /// A fresh copy of what the measure starts from.
    pub(crate) fn copy(&mut self, measure: &Measure) -> Result<Copy, Failure> {
        let &Measure { start, n, p, .. } = measure;
        if start == Start::Nothing {
            return Ok(Copy::Memory);
        }
        // The events to come are not in the log yet.
        let key = (start, if start == Start::Opened { p } else { n }, p);
        if !self.made.contains_key(&key) {
            let made = self.empty();
            make(&made.place(), key)?;
            self.made.insert(key, made);
        }
        let Some(made) = self.made.get(&key) else { return Err("no fixture was made".into()) };
        match made {
            Copy::Memory => Ok(Copy::Memory),
            Copy::File(file) => {
                let copy = self.folder.path().join("run.db");
                fs::copy(file, &copy)?;
                // Or a side would pay for it when it first flushes.
                File::open(&copy)?.sync_all()?;
                Ok(Copy::File(copy))
            }
            Copy::Database(database) => {
                let copy = database.copy();
                if let Some(server) = &self.server
                    && self.scale != Scale::Smoke
                {
                    server.settle();
                }
                Ok(Copy::Database(copy))
            }
        }
    }

    fn empty(&mut self) -> Copy {
        self.count += 1;
        match &self.server {
            Some(server) => Copy::Database(server.database()),
            None => Copy::File(self.folder.path().join(format!("{}.db", self.count))),
        }
    }

    /// The processor time that a server of the bench's own has taken.
    pub(crate) fn server_time(&self) -> Option<f64> {
        self.server.as_ref()?.processor_time()
    }

    /// What the databases are run by, for people.
    pub(crate) fn describe(&self) -> String {
        match &self.server {
            Some(server) => server.describe(),
            None => format!("SQLite {} (WAL, synchronous FULL)", floor::sqlite_version()),
        }
    }

    /// Forgets all of them, as the largest fill a disk.
    pub(crate) fn clear(&mut self) -> Result<(), Failure> {
        self.made.clear();
        Ok(())
    }
}

fn make(place: &Place, (start, n, p): (Start, u64, u64)) -> Result<(), Failure> {
    match place {
        Place::Memory => {}
        Place::File(file) => SqliteDatabase::open(file)?.write(tables::create)?,
        Place::Url(url) => PostgresDatabase::connect(url)?.write(|conn| {
            tables::create(conn)?;
            tables::create_log(conn)
        })?,
    }
    match start {
        Start::Nothing => {}
        Start::Log | Start::Opened => append(place, workload::events(n, p))?,
        Start::Derived => {
            append(place, workload::events(p, p))?;
            ours::rebuild::rebuild(place, 1, false)?;
            floor::begin_after(place, i64::try_from(p)?)?;
            append(place, workload::movements(2, p).take(usize::try_from(n)?))?;
        }
    }
    match place {
        Place::Memory => {}
        // All in one file, so that it can be copied.
        Place::File(file) => SqliteConnection::establish(&file.display().to_string())?
            .batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?,
        // As autovacuum leaves a database that has been there for a while.
        Place::Url(url) => PgConnection::establish(url)?.batch_execute("VACUUM ANALYZE")?,
    }
    Ok(())
}

fn append(place: &Place, events: impl Iterator<Item = AccountEvent>) -> Result<(), Failure> {
    let mut events = events.peekable();
    with_database!(place, db => {
        let log = db.event_log::<AccountEvent>();
        while events.peek().is_some() {
            log.append_blocking(events.by_ref().take(4096).collect())?;
        }
        Ok(())
    })
}

impl Copy {
    pub(crate) fn place(&self) -> Place {
        match self {
            Copy::Memory => Place::Memory,
            Copy::File(file) => Place::File(file.clone()),
            Copy::Database(database) => Place::Url(database.url()),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let Copy::File(file) = self else { return };
        for end in ["", "-wal", "-shm"] {
            // Not every run leaves all of them.
            let _ = fs::remove_file(format!("{}{end}", file.display()));
        }
    }
}
