//! From the repository to the two tables: append what is new, and wait until it is derived.

use std::time::Duration;

use rederive::diesel::{Expected, SqliteDatabase, SqliteEventLog};
use rederive::{Await, Cursor, EventLog as _, Handle, Rederive};

use crate::event::{Batches, HistoryEvent};
use crate::failure::Failure;
use crate::git::{CommitId, Repository};
use crate::progress::{Progress, Stage};
use crate::reducers::{Authors, Files};

/// Events per transaction, at least; a commit is never split.
const BATCH: usize = 1000;

/// All events are in this stream. Its version guards the log: two programs that append at the same
/// time would otherwise record the same commits twice.
const STREAM: &str = "history";

/// How often the bar moves while the reducers catch up.
const TICK: Duration = Duration::from_millis(250);

/// Brings the log and both tables of `database` up to the commit `to`.
pub(crate) async fn derive(
    repository: &Repository,
    to: &CommitId,
    database: &SqliteDatabase,
) -> Result<(), Failure> {
    let log = database.event_log::<HistoryEvent>();
    let head = log.head().map_err(unreadable)?;
    let last = last_commit(&log, &head)?;
    let range = repository.range(last.as_ref(), to)?;

    let handle = Rederive::new(log.clone())
        .register(Files, database.store())
        .register(Authors, database.store())
        .start()
        .await
        .map_err(|error| {
            let advice = "Remove the database file to derive everything anew, and run again.";
            Failure::new(error, advice)
        })?;
    let progress = Progress::on_stderr();
    let reading = progress.stage("reading", "commits", range.commits);
    let batches = Batches::new(repository.history(&range)?, BATCH);
    let derived = match append(&log, batches, reading).await {
        Ok(()) => catch_up(&handle, &progress, &log).await,
        Err(failure) => Err(failure),
    };
    handle.stop().await;
    derived
}

/// The commit that the log goes up to; `None` for an empty log.
fn last_commit(
    log: &SqliteEventLog<HistoryEvent>,
    head: &Cursor,
) -> Result<Option<CommitId>, Failure> {
    if *head == Cursor::Start {
        return Ok(None);
    }
    let last = log.find(head).map_err(unreadable)?;
    Ok(last.map(|event| event.data.commit))
}

/// Appends the new commits. The reducers follow at the same time.
async fn append(
    log: &SqliteEventLog<HistoryEvent>,
    batches: impl Iterator<Item = Result<crate::event::Batch, crate::git::GitError>>,
    mut stage: Stage,
) -> Result<(), Failure> {
    let mut version = log.count(&Cursor::Start).map_err(unreadable)?;
    let mut commits = 0;
    for batch in batches {
        let batch = batch.map_err(|error| Failure::from(error).after(commits))?;
        let events = batch.events.len() as u64;
        let expected = if version == 0 { Expected::NoStream } else { Expected::Version(version) };
        log.append_to(STREAM, expected, batch.events).await.map_err(|error| {
            let advice = "If another run is at work on this database, let it finish; run again.";
            Failure::new(format!("the commits cannot be recorded: {error}"), advice).after(commits)
        })?;
        version += events;
        commits += batch.commits;
        stage.reach(commits);
    }
    stage.finish();
    Ok(())
}

/// Waits until both tables hold all that is in the log.
async fn catch_up(
    handle: &Handle,
    progress: &Progress,
    log: &SqliteEventLog<HistoryEvent>,
) -> Result<(), Failure> {
    let mut stage: Option<(Stage, u64)> = None;
    loop {
        let request = Await::caught_up("files").and("authors").within(TICK);
        match handle.wait(request).await {
            Ok(_) => break,
            Err(error) if error.is_timeout() => {
                let statuses = handle.status().await;
                let slowest = statuses.iter().map(|status| &status.watermark).min();
                let left = log.count(slowest.unwrap_or(&Cursor::Start)).map_err(unreadable)?;
                let (stage, total) =
                    stage.get_or_insert_with(|| (progress.stage("deriving", "events", left), left));
                stage.reach(total.saturating_sub(left));
            }
            Err(error) => {
                let advice = "The log holds all commits that were read; correct the cause, or \
                              remove the database file to begin anew, and run again.";
                return Err(Failure::new(format!("the tables are not complete: {error}"), advice));
            }
        }
    }
    if let Some((mut stage, total)) = stage {
        stage.reach(total);
        stage.finish();
    }
    Ok(())
}

fn unreadable(error: impl Into<rederive::core::ReadError>) -> Failure {
    let advice = "Look at the database file, or remove it to begin anew, and run again.";
    Failure::new(error.into(), advice)
}
