//! Appends and reads of the event log on SQLite.

use std::{sync::Arc, thread, time::Instant};

use rederive_core::{Cursor, EventLog};
use rederive_diesel::{SqliteDatabase, SqliteOptions, Synchronous};

use crate::{cpu, id, rate, support::Scratch};

pub(crate) fn append_and_fetch() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<(String, i64)>();
    let event = |n: usize| (id(n), n as i64);
    let begun = Instant::now();
    for from in (0..500_000).step_by(1000) {
        log.append_blocking((from..from + 1000).map(event).collect()).unwrap();
    }
    rate("append, 1000 events a call", 500_000, begun.elapsed());
    let begun = cpu();
    let mut after = Cursor::Start;
    let mut count = 0;
    loop {
        let slice = log.fetch(&after, 1000).unwrap();
        count += slice.events.len();
        after = slice.end;
        if slice.at_head {
            break;
        }
    }
    rate("fetch, 1000 events a slice", count, cpu() - begun);
    for (clients, synchronous) in
        [(1, Synchronous::Full), (32, Synchronous::Full), (32, Synchronous::Normal)]
    {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default().synchronous(synchronous);
        let db = SqliteDatabase::open_with(directory.path().join("x.db"), options).unwrap();
        let log = Arc::new(db.event_log::<(String, i64)>());
        let begun = Instant::now();
        let each = 20_000 / clients;
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let log = Arc::clone(&log);
                thread::spawn(move || {
                    for n in 0..each {
                        log.append_blocking(vec![event(n)]).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        rate(
            &format!("append one by one, {clients} threads, {synchronous:?}"),
            each * clients,
            begun.elapsed(),
        );
    }
}
