//! Follows the log in batches, whichever database it is in.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, Scope},
};

use diesel::QueryResult;

use crate::{Failure, workload::AccountEvent};

/// Events with their ids.
pub(crate) type Batch = Vec<(i64, AccountEvent)>;

/// A connection to a database that has a log.
pub(super) trait Log: Sized {
    /// Where the database is.
    type Place: Sync + ?Sized;

    fn connect(place: &Self::Place) -> Result<Self, Failure>;

    /// Up to `limit` events after `after`, decoded straight from the memory of the database's library.
    fn batch(&mut self, after: i64, limit: i64) -> QueryResult<Batch>;
}

/// What is read.
#[derive(Clone, Copy)]
pub(super) struct Follow {
    pub(super) after: i64,
    /// Of a batch, in events.
    pub(super) size: i64,
    /// A second thread reads and decodes while this one applies.
    pub(super) ahead: bool,
}

impl Follow {
    /// Hands over all batches, each with the id of its last event.
    pub(super) fn each<L: Log>(
        self,
        place: &L::Place,
        conn: &mut L,
        mut apply: impl FnMut(&mut L, &Batch, i64) -> QueryResult<()>,
    ) -> Result<(), Failure> {
        if self.ahead {
            return thread::scope(|scope| {
                for batch in self.read_ahead::<L>(place, scope) {
                    let (batch, last) = batch?;
                    apply(conn, &batch, last)?;
                }
                Ok(())
            });
        }
        let mut after = self.after;
        while let Some((batch, last)) = next(conn, after, self.size)? {
            apply(conn, &batch, last)?;
            after = last;
        }
        Ok(())
    }

    /// All batches, read on a thread of their own.
    fn read_ahead<'s, L: Log>(
        self,
        place: &'s L::Place,
        scope: &'s Scope<'s, '_>,
    ) -> Receiver<Result<(Batch, i64), String>> {
        let (batches, receiver) = sync_channel(2);
        scope.spawn(move || {
            let read = || -> Result<(), Failure> {
                let mut conn = L::connect(place)?;
                let mut after = self.after;
                while let Some((batch, last)) = next(&mut conn, after, self.size)? {
                    if batches.send(Ok((batch, last))).is_err() {
                        return Ok(());
                    }
                    after = last;
                }
                Ok(())
            };
            if let Err(error) = read() {
                let _ = batches.send(Err(error.to_string()));
            }
        });
        receiver
    }
}

/// The batch after `after` and the id of its last event; `None` at the end of the log.
fn next(conn: &mut impl Log, after: i64, size: i64) -> QueryResult<Option<(Batch, i64)>> {
    let batch = conn.batch(after, size)?;
    let last = batch.last().map(|(last, _)| *last);
    Ok(last.map(|last| (batch, last)))
}
