//! How fast a program is that does the same by hand, without partitions, isolation and waiters.
//!
//! The loop reads the log in slices of a thousand events and runs one Diesel statement per change;
//! a slice's changes and the cursor behind it are one transaction. Both sides append the same events
//! to the same log with the same settings, and both are timed from reading git to the last commit.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use rederive::diesel::SqliteDatabase;
use rederive::{Cursor, EventLog as _};

use crate::args::Work;
use crate::database::{Database, open_file, unusable};
use crate::event::{Batches, HistoryEvent};
use crate::failure::Failure;
use crate::git::{Change, CommitId, Repository};
use crate::tables::{Author, File, authors, files};

diesel::table! {
    floor_cursor (id) {
        id -> Integer,
        cursor -> BigInt,
    }
}

/// How often each side runs; they take turns.
const ROUNDS: usize = 3;

const SLICE: usize = 1000;

/// Runs both sides in turn and tells how they compare.
pub(crate) fn compare(repository: &Repository, to: &CommitId) -> Result<String, Failure> {
    let folder = tempfile::tempdir().map_err(no_folder)?;
    let (mut ours, mut floor, mut events) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("floor-{round}.db"));
        let (took, by_hand) = timed(&path, |database| by_hand(repository, to, database))?;
        floor.push(took);
        let path = folder.path().join(format!("ours-{round}.db"));
        let (took, derived) = timed(&path, |database| {
            Database::Sqlite(database.clone()).derive(repository, to, &Work::default())?;
            rows(database)
        })?;
        ours.push(took);
        events = by_hand.0;
        if by_hand.1 != derived {
            return Err(Failure::new("both sides derived different tables", "This is a bug."));
        }
    }
    let (ours, floor) = (median(ours), median(floor));
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    Ok(format!(
        "{events} events, median of {ROUNDS} rounds in turn\n\
         rederive: {:.2} s, {:.0} events/s\n\
         by hand:  {:.2} s, {:.0} events/s\n\
         ratio {:.2}\n",
        ours.as_secs_f64(),
        rate(ours),
        floor.as_secs_f64(),
        rate(floor),
        rate(ours) / rate(floor),
    ))
}

fn timed<T>(
    path: &Path,
    run: impl FnOnce(&SqliteDatabase) -> Result<T, Failure>,
) -> Result<(Duration, T), Failure> {
    let database = open_file(path)?;
    let begun = Instant::now();
    let result = run(&database)?;
    Ok((begun.elapsed(), result))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

type Tables = (Vec<File>, Vec<Author>);

fn rows(database: &SqliteDatabase) -> Result<Tables, Failure> {
    database
        .read(|connection| {
            Ok((
                files::table.order(files::path).load(connection)?,
                authors::table.order(authors::author).load(connection)?,
            ))
        })
        .map_err(unusable)
}

fn by_hand(
    repository: &Repository,
    to: &CommitId,
    database: &SqliteDatabase,
) -> Result<(u64, Tables), Failure> {
    let log = database.event_log::<HistoryEvent>();
    let range = repository.range(None, to)?;
    for batch in Batches::new(repository.history(&range)?, SLICE) {
        let events = batch.map_err(Failure::from)?.events;
        log.append_blocking(events).map_err(|error| Failure::new(error, "Run again."))?;
    }
    database
        .write(|connection| {
            diesel::sql_query("CREATE TABLE floor_cursor (id INTEGER PRIMARY KEY, cursor INTEGER)")
                .execute(connection)
        })
        .map_err(unusable)?;
    let (mut after, mut events) = (Cursor::Start, 0);
    loop {
        let slice = log.fetch(&after, SLICE).map_err(|error| Failure::new(error, "Run again."))?;
        if slice.events.is_empty() {
            break;
        }
        events += slice.events.len() as u64;
        database
            .write(|connection| {
                for event in &slice.events {
                    apply(&event.data, connection)?;
                }
                let Cursor::Integer(cursor) = slice.end else { return Ok(()) };
                let cursor = i64::try_from(cursor).unwrap_or(i64::MAX);
                diesel::replace_into(floor_cursor::table)
                    .values((floor_cursor::id.eq(1), floor_cursor::cursor.eq(cursor)))
                    .execute(connection)?;
                Ok(())
            })
            .map_err(unusable)?;
        after = slice.end;
    }
    Ok((events, rows(database)?))
}

fn apply(event: &HistoryEvent, connection: &mut SqliteConnection) -> QueryResult<()> {
    let author = Author {
        author: event.author.clone(),
        changes: i64::from(event.change.is_some()),
        commits: i64::from(event.opens_commit),
        first_time: event.time,
        last_time: event.time,
    };
    diesel::insert_into(authors::table)
        .values(&author)
        .on_conflict(authors::author)
        .do_update()
        .set((
            authors::changes.eq(authors::changes + author.changes),
            authors::commits.eq(authors::commits + author.commits),
            authors::last_time.eq(author.last_time),
        ))
        .execute(connection)?;
    let Some(change) = &event.change else { return Ok(()) };
    match &change.change {
        Change::Added(entry) => diesel::insert_into(files::table)
            .values(File {
                path: change.path.clone(),
                mode: entry.mode.clone(),
                blob: entry.blob.clone(),
                changes: 1,
                created_commit: event.commit.to_string(),
                last_commit: event.commit.to_string(),
                last_author: event.author.clone(),
                last_time: event.time,
            })
            .execute(connection)?,
        Change::Modified(entry) => diesel::update(files::table.find(&change.path))
            .set((
                files::mode.eq(&entry.mode),
                files::blob.eq(&entry.blob),
                files::changes.eq(files::changes + 1),
                files::last_commit.eq(event.commit.as_str()),
                files::last_author.eq(&event.author),
                files::last_time.eq(event.time),
            ))
            .execute(connection)?,
        Change::Deleted => diesel::delete(files::table.find(&change.path)).execute(connection)?,
    };
    Ok(())
}

fn no_folder(error: std::io::Error) -> Failure {
    Failure::new(format!("there is no temporary folder: {error}"), "Set TMPDIR and run again.")
}
