//! [`Load`]: those who append while something goes wrong, and what they were told.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rederive::diesel::{AppendError, PostgresDatabase, PostgresEventLog};

use super::bank::ACCOUNT_COUNT;
use crate::fixture::{
    PATIENCE,
    bank::{Event, Recorded},
};

/// Amounts tell events apart: each writer has its own.
const AMOUNTS: i64 = 1_000_000;

/// Writers that append until told otherwise.
pub(super) struct Load {
    ends: Arc<AtomicBool>,
    recorded: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<Told>>,
}

/// What one writer was told.
#[derive(Default)]
pub(super) struct Told {
    recorded: Vec<Recorded>,
    /// Amounts of events of which nothing was appended, as they were told.
    refused: Vec<i64>,
    /// Amounts of events that were appended or not.
    doubtful: Vec<i64>,
    amounts: std::ops::Range<i64>,
}

impl Load {
    pub(super) fn start(url: &str, writers: usize) -> Self {
        let (ends, recorded) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let write = |writer: usize| {
            let db = PostgresDatabase::connect(url).expect("it can be connected to");
            let (ends, recorded) = (Arc::clone(&ends), Arc::clone(&recorded));
            let log = db.event_log::<Event>();
            thread::spawn(move || write(&log, writer, &ends, &recorded))
        };
        let writers = (0..writers).map(write).collect();
        Self { ends, recorded, writers }
    }

    /// Waits until so many events more have been recorded.
    pub(super) async fn goes_on(&self, count: usize) {
        let (begun, before) = (Instant::now(), self.recorded());
        while self.recorded() < before + count {
            assert!(begun.elapsed() < 2 * PATIENCE, "nobody appends any more");
            actix_rt::task::yield_now().await;
        }
    }

    pub(super) fn recorded(&self) -> usize {
        self.recorded.load(Ordering::SeqCst)
    }

    /// Ends it, and returns what they were told.
    pub(super) async fn end(self) -> Vec<Told> {
        self.ends.store(true, Ordering::SeqCst);
        let join = move || self.writers.into_iter().map(|writer| writer.join().expect("no panic"));
        tokio::task::spawn_blocking(move || join().collect()).await.expect("no panic")
    }
}

fn write(
    log: &PostgresEventLog<Event>,
    writer: usize,
    ends: &AtomicBool,
    recorded: &AtomicUsize,
) -> Told {
    let first = i64::try_from(writer + 1).expect("few write") * AMOUNTS;
    let mut told = Told { amounts: first..first, ..Told::default() };
    while !ends.load(Ordering::SeqCst) {
        let amount = told.amounts.end;
        told.amounts.end += 1;
        let account = usize::try_from(amount).expect("it is positive") % ACCOUNT_COUNT;
        let event = Event::deposited(&account.to_string(), amount);
        match log.append_blocking(vec![event]) {
            Ok(events) => {
                recorded.fetch_add(events.len(), Ordering::SeqCst);
                told.recorded.extend(events);
            }
            Err(AppendError::InDoubt { .. }) => told.doubtful.push(amount),
            Err(AppendError::Unavailable { .. }) => {
                told.refused.push(amount);
                // As anybody would before trying again.
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    told
}

impl Told {
    /// What they were told is true of these events, which are all.
    pub(super) fn check(&self, events: &[Recorded]) {
        let mut cursors = HashMap::new();
        for event in events {
            let Event::Deposited { amount, .. } = event.data else { continue };
            if self.amounts.contains(&amount) {
                let twice = cursors.insert(amount, &event.cursor);
                assert_eq!(twice, None, "{event:?} is in the log twice");
            }
        }
        for event in &self.recorded {
            let Event::Deposited { amount, .. } = event.data else { continue };
            assert_eq!(cursors.remove(&amount), Some(&event.cursor), "{event:?} is lost");
        }
        for amount in &self.refused {
            assert_eq!(cursors.get(amount), None, "it was said not to be appended");
        }
        for amount in &self.doubtful {
            cursors.remove(amount);
        }
        assert!(cursors.is_empty(), "nobody was told of {cursors:?}");
    }
}
