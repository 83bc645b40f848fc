//! From the repository to the two tables: append what is new, and wait until it is derived.

use std::{io::Write as _, time::Duration};

use rederive::diesel::{AppendError, Expected, PostgresEventLog, SqliteEventLog};
use rederive::progress::{Progress, Stage};
use rederive::{
    Await, Config, Cursor, EventLog, Handle, OnOwned, RebuildError, Recorded, Rederive, Sizes,
    Store,
};

use crate::args::Work;
use crate::event::{Batches, HistoryEvent};
use crate::failure::Failure;
use crate::git::{CommitId, Repository};
use crate::reducers::{Authors, Files};

/// Events per transaction, at least; a commit is never split.
const BATCH: usize = 1000;

/// All events are in this stream. Its version guards the log: two programs that append at the same
/// time would otherwise record the same commits twice.
const STREAM: &str = "history";

/// How often the bar moves while the reducers catch up.
const TICK: Duration = Duration::from_millis(250);

/// A log that the history is recorded in.
pub(crate) trait HistoryLog: EventLog<Event = HistoryEvent> + Clone {
    /// Appends events to the stream, if it is as long as expected.
    async fn record(
        &self,
        expected: Expected,
        events: Vec<HistoryEvent>,
    ) -> Result<Vec<Recorded<HistoryEvent>>, AppendError>;
}

macro_rules! history_log {
    ($log:ty) => {
        impl HistoryLog for $log {
            async fn record(
                &self,
                expected: Expected,
                events: Vec<HistoryEvent>,
            ) -> Result<Vec<Recorded<HistoryEvent>>, AppendError> {
                self.append_to(STREAM, expected, events).await
            }
        }
    };
}

history_log!(SqliteEventLog<HistoryEvent>);
history_log!(PostgresEventLog<HistoryEvent>);

/// Brings the log, and both tables of the store, up to the commit `to`.
pub(crate) async fn derive(
    repository: &Repository,
    to: &CommitId,
    log: &impl HistoryLog,
    store: &(impl Store + Clone),
    work: &Work,
) -> Result<(), Failure> {
    // Before the last commit is looked up: what somebody else records after that, or a server for a run
    // that was killed, is a conflict then, and not recorded once more.
    let version = log.count(&Cursor::Start).map_err(unreadable)?;
    let head = log.head().map_err(unreadable)?;
    let last = last_commit(log, &head)?;
    let range = repository.range(last.as_ref(), to)?;

    let handle = Rederive::new(log.clone())
        .register(Files, store.clone())
        .register(Authors, store.clone())
        .config(config(work))
        .start()
        .await
        .map_err(|error| {
            let advice = "Remove the database, or name another one, to derive everything anew.";
            Failure::new(error, advice)
        })?;
    let progress = Progress::on_stderr();
    let reading = progress.stage("reading", "commits", range.commits);
    let batches = Batches::new(repository.history(&range)?, BATCH);
    let derived = async {
        append(log, version, batches, reading).await?;
        if work.rebuild {
            rebuild(&handle).await?;
        }
        catch_up(&handle, &progress, log).await
    };
    let derived = derived.await;
    handle.stop().await;
    derived
}

fn config(work: &Work) -> Config {
    // One run at a time: what an earlier one that was killed still owns is not waited for.
    let config = Config { on_owned: OnOwned::TakeOver, ..Config::default() };
    let Some(portion) = work.portion else { return config };
    let rebuild = Sizes { slice: portion, window: 2 * portion, batch: portion, group: portion };
    Config {
        slice: portion,
        window: 2 * portion,
        batch: portion,
        group: portion,
        rebuild,
        ..config
    }
}

/// Derives both tables anew, at the same time. One that a former run has begun goes on.
async fn rebuild(handle: &Handle) -> Result<(), Failure> {
    let tasks = ["files", "authors"].map(|reducer| {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.rebuild(reducer).await })
    });
    for task in tasks {
        match task.await.unwrap_or(Err(RebuildError::Interrupted)) {
            // Nobody may be there to read it.
            Ok(report) => drop(writeln!(std::io::stderr(), "rebuilt {report}")),
            Err(RebuildError::UnderWay) => {}
            Err(error) => {
                let advice = "Correct the cause and run again: the rebuild goes on.";
                return Err(Failure::new(error, advice));
            }
        }
    }
    Ok(())
}

/// The commit that the log goes up to; `None` for an empty log.
fn last_commit(log: &impl HistoryLog, head: &Cursor) -> Result<Option<CommitId>, Failure> {
    if *head == Cursor::Start {
        return Ok(None);
    }
    let last = log.find(head).map_err(unreadable)?;
    Ok(last.map(|event| event.data.commit))
}

/// Appends the new commits to a stream of so many events. The reducers follow at the same time.
async fn append(
    log: &impl HistoryLog,
    mut version: u64,
    batches: impl Iterator<Item = Result<crate::event::Batch, crate::git::GitError>>,
    mut stage: Stage,
) -> Result<(), Failure> {
    let mut commits = 0;
    for batch in batches {
        let batch = batch.map_err(|error| Failure::from(error).after(commits))?;
        let events = batch.events.len() as u64;
        let expected = if version == 0 { Expected::NoStream } else { Expected::Version(version) };
        log.record(expected, batch.events).await.map_err(|error| {
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
    log: &impl HistoryLog,
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
                              name another database to begin anew, and run again.";
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
    let advice = "Look at the database, or name another one to begin anew, and run again.";
    Failure::new(error.into(), advice)
}
