//! The event log: appends, streams, followers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rederive_core::{Cursor, EventLog, ReadError, Recorded, Wake};
use rederive_diesel::{AppendError, Expected, SqliteDatabase, SqliteEventLog};
use serde::{Deserialize, Serialize, Serializer};

use crate::{at_hand, support::Scratch};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Number(u64),
    Text(String),
}

fn log(scratch: &Scratch) -> SqliteEventLog<Event> {
    scratch.db.event_log()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(Event::Number).collect()
}

#[test]
fn an_event_comes_back_as_it_was_appended() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    let texts = ["", "a\0b", "\u{1f980} \"quoted\" \\ \n", "ünï"];
    let events: Vec<_> = texts.map(|text| Event::Text(text.to_owned())).into();
    let recorded = log.append_blocking(events.clone()).unwrap();
    assert_eq!(recorded.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), events);
    assert_eq!(log.fetch(&Cursor::Start, 10).unwrap().events, recorded);
    let scratch = scratch.reopened();
    assert_eq!(
        scratch.db.event_log::<Event>().find(&Cursor::from(3)).unwrap().unwrap(),
        recorded[2]
    );
}

#[test]
fn what_was_just_appended_is_at_hand_for_those_who_have_seen_all_before_it() {
    let scratch = Scratch::new("");
    at_hand::served_to_those_who_have_seen_all_before(&scratch.db.event_log(), append);
}

#[test]
fn nothing_is_at_hand_behind_what_others_have_appended() {
    let scratch = Scratch::new("");
    let elsewhere = SqliteDatabase::open(scratch.db.path()).unwrap();
    let (log, elsewhere) = (scratch.db.event_log(), elsewhere.event_log());
    at_hand::nothing_is_served_behind_others(&log, &elsewhere, append);
}

fn append(log: &SqliteEventLog<u64>, numbers: std::ops::Range<u64>) -> Vec<Recorded<u64>> {
    log.append_blocking(numbers.collect()).unwrap()
}

#[test]
fn appends_of_many_threads_are_each_consecutive_and_none_is_lost() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                for n in 0..50 {
                    let from = (thread * 50 + n) * 10;
                    let recorded = log.append_blocking(numbers(from..from + 3)).unwrap();
                    let ids: Vec<_> = recorded
                        .iter()
                        .map(|event| match event.cursor {
                            Cursor::Integer(id) => id,
                            ref other => panic!("{other}"),
                        })
                        .collect();
                    assert_eq!(ids, [ids[0], ids[0] + 1, ids[0] + 2]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let events = log.fetch(&Cursor::Start, 10_000).unwrap().events;
    assert_eq!(events.len(), 8 * 50 * 3);
    for three in events.chunks(3) {
        let Event::Number(first) = three[0].data else { panic!("{three:?}") };
        assert_eq!(three[1].data, Event::Number(first + 1));
        assert_eq!(three[2].data, Event::Number(first + 2));
    }
}

#[test]
fn a_conflict_fails_its_own_request_and_no_other() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    let append = |stream: &str, expected, count| {
        log.append_to_blocking(stream, expected, numbers(0..count)).map(|events| events.len())
    };
    assert_eq!(append("a", Expected::NoStream, 2).unwrap(), 2);
    assert_eq!(append("b", Expected::Any, 1).unwrap(), 1);
    assert_eq!(append("a", Expected::Version(2), 1).unwrap(), 1);
    assert_eq!(append("a", Expected::Any, 1).unwrap(), 1);
    let conflicts = [
        (
            "a",
            Expected::NoStream,
            "stream \"a\" is at version 4, not at version 0; nothing was appended",
        ),
        (
            "a",
            Expected::Version(3),
            "stream \"a\" is at version 4, not at version 3; nothing was appended",
        ),
        (
            "c",
            Expected::Version(1),
            "stream \"c\" is at version 0, not at version 1; nothing was appended",
        ),
    ];
    for (stream, expected, message) in conflicts {
        assert_eq!(append(stream, expected, 1).unwrap_err().to_string(), message);
    }
    assert_eq!(log.head().unwrap(), Cursor::from(5));
    let versions = "SELECT stream || stream_version AS line FROM rederive_events ORDER BY id";
    assert_eq!(scratch.text(versions), ["a1", "a2", "b1", "a3", "a4"]);
    assert_eq!(log.read_stream("a", 2, 1).unwrap()[0].cursor, Cursor::from(4));
    assert_eq!(log.read_stream("a", 0, 100).unwrap().len(), 4);
}

#[test]
fn of_requests_for_one_version_that_arrive_together_one_wins() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for version in 0..30 {
                    let event = numbers(0..1);
                    match log.append_to_blocking("s", Expected::Version(version), event) {
                        Ok(_) => _ = won.fetch_add(1, Ordering::Relaxed),
                        Err(AppendError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    let count = log.head().unwrap();
    assert_eq!(count, Cursor::from(u64::try_from(won.into_inner()).unwrap()));
    let gaps = "SELECT DISTINCT '' || (id - stream_version) AS line FROM rederive_events";
    assert_eq!(scratch.text(gaps), ["0"]);
}

#[test]
fn an_event_that_cannot_be_encoded_is_named_and_nothing_is_appended() {
    #[derive(Deserialize)]
    struct Picky(bool);
    impl Serialize for Picky {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 { serializer.serialize_none() } else { Err(serde::ser::Error::custom("no")) }
        }
    }
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<Picky>();
    let error = log.append_blocking(vec![Picky(true), Picky(false)]).err().unwrap();
    assert_eq!(error.to_string(), "event 1 cannot be encoded: no; nothing was appended");
    assert_eq!(log.head().unwrap(), Cursor::Start);
}

#[test]
fn an_id_is_never_given_twice_even_when_its_event_is_gone() {
    let scratch = Scratch::new("");
    log(&scratch).append_blocking(numbers(0..3)).unwrap();
    scratch.execute("DELETE FROM rederive_events");
    let scratch = scratch.reopened();
    let recorded = log(&scratch).append_blocking(numbers(0..1)).unwrap();
    assert_eq!(recorded[0].cursor, Cursor::from(4));
}

#[test]
fn when_the_ids_are_used_up_appends_are_refused() {
    let scratch = Scratch::new("");
    let last = i64::MAX - 1;
    scratch
        .execute(&format!("INSERT INTO rederive_events (id, time, data) VALUES ({last}, 0, '1')"));
    let log = scratch.db.event_log::<u64>();
    let refused = log.append_blocking(vec![1, 2]).unwrap_err();
    assert!(matches!(refused, AppendError::Rejected { .. }), "{refused}");
    let recorded = log.append_blocking(vec![3]).unwrap();
    assert_eq!(recorded[0].cursor, Cursor::from(u64::try_from(i64::MAX).unwrap()));
    assert_eq!(log.fetch(&Cursor::Start, 9).unwrap().events.len(), 2);
}

#[test]
fn what_cannot_be_decoded_is_told_apart_with_all_that_is_known_of_it() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    log.append_blocking(numbers(0..2)).unwrap();
    let recorded = log.append_to_blocking("s", Expected::Any, numbers(2..5)).unwrap();
    scratch.execute("UPDATE rederive_events SET data = '{\"Gone\":1}' WHERE id = 3");
    let slice = log.fetch(&Cursor::Start, 10).unwrap();
    assert_eq!((slice.events.len(), slice.end, slice.at_head), (4, Cursor::from(5), true));
    let broken = &slice.undecodable[0];
    assert_eq!((slice.undecodable.len(), &broken.cursor), (1, &Cursor::from(3)));
    assert!(broken.message.contains("unknown variant `Gone`"), "{broken}");
    assert_eq!(broken.time, Some(recorded[0].time));
    assert_eq!(broken.stream.as_deref(), Some("s"));
    assert_eq!(broken.raw.as_deref(), Some("{\"Gone\":1}"));
    let found = log.find(&Cursor::from(3));
    assert!(matches!(found, Err(ReadError::Undecodable(found)) if found == *broken));
}

#[test]
fn a_request_that_the_database_refuses_does_not_take_others_with_it() {
    let scratch = Scratch::new("");
    scratch.execute(
        "CREATE TRIGGER no BEFORE INSERT ON rederive_events WHEN new.data LIKE '%13%' BEGIN
             SELECT RAISE(ABORT, 'an unlucky number'); END",
    );
    let log = log(&scratch);
    std::thread::scope(|scope| {
        for n in 0..20 {
            let log = &log;
            scope.spawn(move || match log.append_blocking(numbers(n..n + 1)) {
                Ok(_) => assert_ne!(n, 13),
                Err(AppendError::Rejected { message }) => {
                    assert_eq!((n, message.as_str()), (13, "an unlucky number"));
                }
                Err(other) => panic!("{other}"),
            });
        }
    });
    assert_eq!(log.fetch(&Cursor::Start, 99).unwrap().events.len(), 19);
}

#[test]
fn every_handle_of_the_database_wakes_every_follower() {
    let scratch = Scratch::new("");
    let woken = Arc::new(AtomicUsize::new(0));
    let wake: Arc<Wake> = {
        let woken = Arc::clone(&woken);
        Arc::new(move || _ = woken.fetch_add(1, Ordering::SeqCst))
    };
    log(&scratch).subscribe(Arc::downgrade(&wake));
    log(&scratch).append_blocking(numbers(0..100)).unwrap();
    // The thread wakes them after it has answered; when it has ended, it has.
    drop(scratch.reopened());
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

#[test]
fn what_was_accepted_is_written_although_every_handle_is_dropped() {
    let scratch = Scratch::new("");
    let path = scratch.path();
    let log = log(&scratch);
    let mut appends: Vec<_> = (0..50).map(|n| Box::pin(log.append(numbers(n..n + 1)))).collect();
    let waker = std::task::Waker::noop();
    for append in &mut appends {
        // Accepted; now and then even written by now.
        let _ = append.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    use std::future::Future;
    drop(appends);
    drop(log);
    let again = scratch.reopened();
    assert_eq!(again.db.path(), path);
    assert_eq!(again.db.event_log::<Event>().head().unwrap(), Cursor::from(50));
}

#[test]
fn appending_works_on_an_async_runtime_and_a_full_queue_only_makes_it_wait() {
    let directory = tempfile::tempdir().unwrap();
    let options = rederive_diesel::SqliteOptions::default().append_queue(2);
    let db = SqliteDatabase::open_with(directory.path().join("x.db"), options).unwrap();
    let log = db.event_log::<u64>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let recorded = runtime.block_on(async {
        let tasks: Vec<_> = (0..100_u64)
            .map(|n| {
                let log = log.clone();
                tokio::spawn(async move { log.append(vec![n]).await })
            })
            .collect();
        let mut recorded = Vec::new();
        for task in tasks {
            recorded.extend(task.await.unwrap().unwrap());
        }
        recorded
    });
    assert_eq!(recorded.len(), 100);
    assert_eq!(log.head().unwrap(), Cursor::from(100));
}

/// A runtime lets nothing be ready for a task that has done much without yielding.
#[test]
fn appending_on_the_thread_of_a_runtime_does_not_wait_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let options = rederive_diesel::SqliteOptions::default().append_queue(1);
    let db = SqliteDatabase::open_with(directory.path().join("x.db"), options).unwrap();
    let log = db.event_log::<u64>();
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (send, mut queue) = tokio::sync::mpsc::unbounded_channel();
            (0..10_000).for_each(|n| send.send(n).unwrap());
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            // Until the budget is used up: there is more in the queue, and it says that there is not.
            while queue.poll_recv(&mut context).is_ready() {}
            for n in 0..3 {
                log.append_blocking(vec![n]).unwrap();
            }
            // With a queue that is full now and then.
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        (0..50).for_each(|n| drop(log.append_blocking(vec![n]).unwrap()))
                    });
                }
                (0..50).for_each(|n| drop(log.append_blocking(vec![n]).unwrap()));
            });
        });
        done.send(log.head().unwrap()).unwrap();
    });
    let head = wait.recv_timeout(std::time::Duration::from_secs(60)).expect("it is appended");
    assert_eq!(head, Cursor::from(253));
}

#[test]
fn appending_nothing_does_nothing() {
    let scratch = Scratch::new("");
    let log = log(&scratch);
    assert_eq!(log.append_blocking(Vec::new()).unwrap(), []);
    assert_eq!(log.append_to_blocking("s", Expected::NoStream, Vec::new()).unwrap(), []);
    let stale = log.append_to_blocking("s", Expected::Version(3), Vec::new());
    assert!(matches!(stale, Err(AppendError::Conflict { actual: 0, .. })));
}

#[test]
fn an_append_can_be_spawned_on_any_thread() {
    fn spawnable<T: Send + 'static>(_: T) {}
    let scratch = Scratch::new("");
    let log = log(&scratch);
    spawnable(async move { log.append(numbers(0..1)).await.map(drop) });
}

/// Appends under a key, on a runtime of its own.
fn append_once(log: &SqliteEventLog<Event>, key: &str, events: Vec<Event>) -> Vec<Recorded<Event>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.append_once(key, events)).unwrap()
}

#[test]
fn what_is_appended_under_a_key_is_appended_once() {
    let scratch = Scratch::new("");
    let events = log(&scratch);
    let key = "mails/a%2Fb/i00000000000000000007/0";
    assert_eq!(append_once(&events, key, vec![]), []);
    let recorded = append_once(&events, key, numbers(1..3));
    assert_eq!(recorded.len(), 2);
    assert_eq!(append_once(&events, "b", numbers(7..8))[0].cursor, 3.into());
    assert_eq!(append_once(&events, key, numbers(9..10)), recorded);
    drop(events);
    let scratch = scratch.reopened();
    assert_eq!(append_once(&log(&scratch), key, numbers(1..3)), recorded);
    assert_eq!(log(&scratch).head(), Ok(Cursor::from(3)));
}

#[test]
fn of_those_who_append_under_one_key_at_the_same_time_one_does() {
    let scratch = Scratch::new("");
    let append = |number| {
        let log = log(&scratch);
        std::thread::spawn(move || append_once(&log, "key", numbers(number..number + 1)))
    };
    let threads: Vec<_> = (0..8).map(append).collect();
    let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(all.iter().all(|recorded| *recorded == all[0]), "{all:?}");
    assert_eq!(log(&scratch).head(), Ok(Cursor::from(1)));
}
