//! Appends wake the followers in other processes, also after the connection to listen was lost.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use diesel::connection::SimpleConnection;
use rederive_core::{EventLog, Wake};
use rederive_diesel::{PostgresEventLog, PostgresOptions};

use super::scratch::Scratch;

const LONG: Duration = Duration::from_secs(30);

/// Followers of a log, as in another process.
struct Follower {
    log: PostgresEventLog<u64>,
    wakes: mpsc::Receiver<()>,
    _wake: Arc<Wake>,
}

impl Follower {
    fn of(scratch: &Scratch) -> Self {
        let log = scratch.elsewhere(PostgresOptions::default()).event_log();
        let (woken, wakes) = mpsc::channel();
        let wake: Arc<Wake> = Arc::new(move || woken.send(()).unwrap_or_default());
        log.subscribe(Arc::downgrade(&wake));
        let follower = Self { log, wakes, _wake: wake };
        // Once it listens.
        follower.is_woken();
        follower
    }

    #[track_caller]
    fn is_woken(&self) {
        self.wakes.recv_timeout(LONG).expect("it is not woken");
        while self.wakes.try_recv().is_ok() {}
    }
}

#[test]
fn an_append_of_another_process_wakes_the_followers() {
    let scratch = Scratch::new("");
    let follower = Follower::of(&scratch);
    let log = scratch.db.event_log();
    for number in 0..3_u64 {
        let recorded = log.append_blocking(vec![number; 10]).unwrap();
        follower.is_woken();
        assert_eq!(follower.log.head().ok().as_ref(), recorded.last().map(|event| &event.cursor));
    }
}

/// What was appended meanwhile is found when it listens again.
#[test]
fn after_the_connection_to_listen_was_lost_followers_are_woken_and_hear_again() {
    let scratch = Scratch::new("");
    let follower = Follower::of(&scratch);
    let log = scratch.db.event_log();
    for number in 0..3_u64 {
        let ended = "SELECT count(pg_terminate_backend(pid)) AS line FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND (query ~ '^(LISTEN|NOTIFY)' OR query LIKE '%pg_backend_pid%')";
        scratch.connection().batch_execute(ended).unwrap();
        follower.is_woken();
        let recorded = log.append_blocking(vec![number]).unwrap();
        follower.is_woken();
        assert_eq!(follower.log.head().ok(), Some(recorded[0].cursor.clone()));
    }
}

#[test]
fn without_notifications_nothing_is_announced_and_nobody_listens() {
    let options = PostgresOptions::default().notifications(false);
    let scratch = Scratch::with("", options.clone());
    let heard = scratch.connection();
    let (mut heard, log) = (heard, scratch.db.event_log::<u64>());
    heard.batch_execute("LISTEN \"rederive_events.public\"").unwrap();
    let wake: Arc<Wake> = Arc::new(|| {});
    log.subscribe(Arc::downgrade(&wake));
    log.append_blocking(vec![1]).unwrap();
    // It would have come before this, which comes by the same way.
    scratch.connection().batch_execute("NOTIFY \"rederive_events.public\", 'mine'").unwrap();
    let mut payloads = Vec::new();
    while payloads.is_empty() {
        heard.batch_execute("SELECT 1").unwrap();
        payloads.extend(heard.notifications_iter().map(|told| told.unwrap().payload));
    }
    assert_eq!(payloads, ["mine"]);
    drop(scratch);
}
