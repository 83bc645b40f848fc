//! From events to changes of the two tables.

use rederive::diesel::{DieselOps as _, owned};
use rederive::{Ops, OwnedTable, Partitions, Recorded, ReduceError, Reducer};

use crate::event::HistoryEvent;
use crate::git::{Change, PathChange};
use crate::tables::{Author, File, authors, files};

/// Keeps the table `files`: one row per file that exists.
pub(crate) struct Files;

impl Reducer for Files {
    type Event = HistoryEvent;

    fn name(&self) -> &str {
        "files"
    }

    fn tables(&self) -> Vec<OwnedTable> {
        vec![owned(files::table).partitioned_by("path")]
    }

    fn partition(&self, event: &HistoryEvent) -> Partitions {
        event.change.as_ref().map_or(Partitions::None, |change| (&change.path).into())
    }

    fn reduce(&self, event: &Recorded<HistoryEvent>, ops: &mut Ops) -> Result<(), ReduceError> {
        let HistoryEvent { commit, author, time, change, .. } = &event.data;
        let Some(PathChange { path, change }) = change else { return Ok(()) };
        match change {
            Change::Added(entry) => ops.insert(
                files::table,
                File {
                    path: path.clone(),
                    mode: entry.mode.clone(),
                    blob: entry.blob.clone(),
                    changes: 1,
                    created_commit: commit.to_string(),
                    last_commit: commit.to_string(),
                    last_author: author.clone(),
                    last_time: *time,
                },
            ),
            Change::Modified(entry) => {
                ops.increment(files::changes, path, 1_i64)?;
                ops.update(
                    files::table,
                    path,
                    (
                        (files::mode, &entry.mode),
                        (files::blob, &entry.blob),
                        (files::last_commit, commit.as_str()),
                        (files::last_author, author),
                        (files::last_time, *time),
                    ),
                )
            }
            Change::Deleted => ops.delete(files::table, path),
        }
    }
}

/// Keeps the table `authors`: one row per author.
pub(crate) struct Authors;

impl Reducer for Authors {
    type Event = HistoryEvent;

    fn name(&self) -> &str {
        "authors"
    }

    fn tables(&self) -> Vec<OwnedTable> {
        vec![owned(authors::table).partitioned_by("author")]
    }

    fn partition(&self, event: &HistoryEvent) -> Partitions {
        (&event.author).into()
    }

    fn reduce(&self, event: &Recorded<HistoryEvent>, ops: &mut Ops) -> Result<(), ReduceError> {
        let HistoryEvent { author, time, opens_commit, change, .. } = &event.data;
        ops.insert_new(
            authors::table,
            Author {
                author: author.clone(),
                changes: 0,
                commits: 0,
                first_time: *time,
                last_time: *time,
            },
        )?;
        ops.increment(authors::changes, author, i64::from(change.is_some()))?;
        ops.increment(authors::commits, author, i64::from(*opens_commit))?;
        ops.update(authors::table, author, (authors::last_time, *time))
    }
}
