//! Clients that append an event and apply it at once, by hand, each on a connection of its own.
//!
//! They append to a table without the trigger of Rederive's log, which orders the appends of all: who
//! applies in the transaction that appends has nobody who follows. Those that do it in one statement do
//! without the cursor as well, as all of them would wait for its row: a tenth of the events in the same
//! time.

use std::{
    fmt,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use diesel::{pg::PgConnection, prelude::*};
use serde::{Deserialize, Serialize};

use super::{
    apply::How,
    connect, rebuild,
    statement::{Bind, Statement},
};
use crate::{
    Failure,
    stats::Spread,
    tables::TABLES,
    workload::{AccountEvent, movements},
};

/// How an event is appended and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    /// One statement that appends and applies.
    One,
    /// A transaction that appends, and one that applies and stores the cursor.
    Two,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::One => "one statement per event, without a cursor",
            By::Two => "two transactions per event",
        })
    }
}

/// Runs `n` events through so many clients: the median of microseconds for one, else events per second
/// of all.
pub(crate) fn run(url: &str, n: u64, p: u64, clients: u64, by: By) -> Result<f64, Failure> {
    rebuild::rebuild(url, TABLES[0], How::Upsert, 10_000, false)?;
    let events: Vec<AccountEvent> = movements(2, p).take(usize::try_from(n)?).collect();
    let connections = clients.min(most_connections(url)?);
    let each = events.len().div_ceil(usize::try_from(connections)?).max(1);
    let shares: Vec<Vec<AccountEvent>> = events.chunks(each).map(<[_]>::to_vec).collect();
    let ready = Arc::new(Barrier::new(shares.len() + 1));
    let mut threads = Vec::new();
    for share in shares {
        let mut conn = connect(url)?;
        let ready = Arc::clone(&ready);
        threads.push(thread::spawn(move || {
            ready.wait();
            let mut took = Vec::with_capacity(share.len());
            for event in &share {
                let begun = Instant::now();
                request(&mut conn, by, event).map_err(|error| error.to_string())?;
                took.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, String>(took)
        }));
    }
    ready.wait();
    let begun = Instant::now();
    let mut took = Vec::new();
    for thread in threads {
        took.extend(thread.join().map_err(|_| "a client panicked")??);
    }
    if clients == 1 {
        return Ok(Spread::of(took).median);
    }
    Ok(events.len() as f64 / begun.elapsed().as_secs_f64())
}

/// As many as the server lets in, but for a few that others may need.
fn most_connections(url: &str) -> Result<u64, Failure> {
    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = diesel::sql_types::Text)]
        max_connections: String,
    }
    let setting: Setting =
        diesel::sql_query("SHOW max_connections").get_result(&mut connect(url)?)?;
    Ok(setting.max_connections.parse::<u64>()?.saturating_sub(20).max(1))
}

const APPEND: &str = "INSERT INTO floor_events (time, data) VALUES (?, ?::text::json) RETURNING id";
const APPLY: &str = "UPDATE accounts SET balance = balance + ?, version = version + 1 WHERE id = ?";

fn request(conn: &mut PgConnection, by: By, event: &AccountEvent) -> Result<(), Failure> {
    let json = serde_json::to_string(event)?;
    let since = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
    let time = i64::try_from(since).unwrap_or(i64::MAX);
    let binds = [
        Bind::BigInt(time),
        Bind::Text(&json),
        Bind::BigInt(event.change()),
        Bind::Text(event.account()),
    ];
    let execute = |conn: &mut PgConnection, text: &str, binds: &[Bind<'_>]| {
        Statement { text, binds }.execute(conn)
    };
    match by {
        By::One => {
            let text = format!("WITH appended AS ({APPEND}) {APPLY}");
            execute(conn, &text, &binds)?;
        }
        By::Two => {
            let id = append(conn, &binds[..2])?;
            conn.transaction(|conn| {
                execute(conn, APPLY, &binds[2..4])?;
                rebuild::store_cursor(conn, TABLES[0], id)
            })?;
        }
    }
    Ok(())
}

fn append(conn: &mut PgConnection, binds: &[Bind<'_>]) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Appended {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        id: i64,
    }
    let appended: Appended = Statement { text: APPEND, binds }.get_result(conn)?;
    Ok(appended.id)
}
