//! Clients that append an event and wait until it is visible, served by one thread by hand.

use std::{path::Path, thread};

use diesel::{prelude::*, sqlite::SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    apply::{How, apply},
    connect,
    follow::Batch,
    rebuild,
    statement::{Rows, Statement},
};
use crate::{Failure, ours, tables::TABLES, workload::AccountEvent};

struct Request {
    event: AccountEvent,
    json: String,
    done: oneshot::Sender<()>,
}

/// Runs `n` events through so many clients. The writer takes all that has arrived while it wrote the
/// last group; with `split`, it appends in one transaction and applies in the next.
pub(crate) fn run(file: &Path, n: u64, p: u64, clients: u64, split: bool) -> Result<f64, Failure> {
    rebuild::rebuild(file, TABLES[0], How::Json, 1000, false)?;
    let mut conn = connect(file)?;
    let (queue, requests) = mpsc::channel(1024);
    let writer =
        thread::spawn(move || serve(&mut conn, requests, split).map_err(|e| e.to_string()));
    let figure = actix_rt::System::new().block_on(async {
        let request = move |event: AccountEvent| {
            let queue = queue.clone();
            async move {
                let json = serde_json::to_string(&event)?;
                let (done, visible) = oneshot::channel();
                queue.send(Request { event, json, done }).await?;
                Ok(visible.await?)
            }
        };
        ours::clients::measure(n, p, clients, request).await
    });
    writer.join().map_err(|_| "the writer panicked")??;
    figure
}

fn serve(
    conn: &mut SqliteConnection,
    mut requests: mpsc::Receiver<Request>,
    split: bool,
) -> QueryResult<()> {
    let mut head = last_id(conn)?;
    let mut group = Vec::new();
    while requests.blocking_recv_many(&mut group, 4096) > 0 {
        let mut batch = Batch::with_capacity(group.len());
        let mut rows = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        for Request { event, json, done } in group.drain(..) {
            head += 1;
            batch.push((head, event));
            rows.push((head, json));
            waiting.push(done);
        }
        if split {
            conn.immediate_transaction(|conn| append(conn, &rows))?;
            conn.immediate_transaction(|conn| derive(conn, &batch, head))?;
        } else {
            conn.immediate_transaction(|conn| {
                append(conn, &rows)?;
                derive(conn, &batch, head)
            })?;
        }
        for done in waiting {
            // Whoever has gone does not want to know.
            let _ = done.send(());
        }
    }
    Ok(())
}

fn append(conn: &mut SqliteConnection, rows: &[(i64, String)]) -> QueryResult<()> {
    let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
    let time = i64::try_from(time).unwrap_or(i64::MAX);
    for (id, json) in rows {
        let rows = Rows::Event(*id, time, json);
        Statement { head: "INSERT INTO rederive_events (id, time, data) VALUES ", rows, tail: "" }
            .execute(conn)?;
    }
    Ok(())
}

fn derive(conn: &mut SqliteConnection, batch: &Batch, head: i64) -> QueryResult<()> {
    apply(conn, TABLES[0], How::Values(1), batch)?;
    rebuild::store_cursor(conn, TABLES[0], head)
}

fn last_id(conn: &mut SqliteConnection) -> QueryResult<i64> {
    use crate::tables::rederive_events as events;

    let last = events::table.select(diesel::dsl::max(events::id)).first::<Option<i64>>(conn)?;
    Ok(last.unwrap_or(0))
}
