use std::{cell::RefCell, sync::Arc, sync::Once};

use log::{
    Level, Log, Metadata, Record,
    kv::{Error, Key, Value, VisitSource},
};
use rederive_core::{Blocked, Cursor, Failure, FailureKind, Halt, Notice, Observer, Timestamp};

use super::*;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Written {
    level: Option<Level>,
    text: String,
    pairs: Vec<(String, String)>,
}

thread_local! {
    /// Tests of one process share a logger; those of one thread do not.
    static WRITTEN: RefCell<Vec<Written>> = const { RefCell::new(Vec::new()) };
}

struct Capture;

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "rederive"
    }

    fn log(&self, record: &Record<'_>) {
        assert_eq!(record.target(), "rederive");
        let mut pairs = Pairs::default();
        record.key_values().visit(&mut pairs).expect("they can be visited");
        let (level, text) = (Some(record.level()), record.args().to_string());
        WRITTEN.with_borrow_mut(|all| all.push(Written { level, text, pairs: pairs.0 }));
    }

    fn flush(&self) {}
}

#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

/// What the observer writes at this notice.
fn written(notice: &Notice) -> Written {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Capture).expect("there is no other");
        log::set_max_level(log::LevelFilter::Trace);
    });
    WRITTEN.take();
    LogObserver.notice(notice);
    let mut all = WRITTEN.take();
    assert_eq!(all.len(), 1, "one record for one notice");
    all.remove(0)
}

fn reducer() -> Arc<str> {
    "accounts".into()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_halt_is_an_error_that_names_the_event_and_the_reason() {
    let failure = Failure {
        cursor: Cursor::from(7),
        kind: FailureKind::Reduce,
        message: "insufficient funds".to_owned(),
    };
    let halt = Arc::new(Halt::new(failure, 3, Timestamp::default()));
    let told = written(&Notice::Halted { reducer: reducer(), partition: "alice".into(), halt });
    assert_eq!(told.level, Some(Level::Error));
    assert_eq!(
        told.text,
        "accounts: partition alice is halted: the event at cursor 7 could not be reduced: \
         insufficient funds; its later events are held, other partitions go on"
    );
    let expected = [
        ("notice", "halted"),
        ("reducer", "accounts"),
        ("partition", "alice"),
        ("cursor", "7"),
        ("kind", "reduce"),
        ("error", "insufficient funds"),
        ("attempt", "3"),
    ];
    assert_eq!(told.pairs, pairs(&expected));
}

#[test]
fn a_commit_is_for_debugging_and_says_how_much_it_held() {
    let (watermark, reducer) = (Cursor::from(9), reducer());
    let told = written(&Notice::Committed { reducer, partitions: 2, events: 5, watermark });
    assert_eq!(told.level, Some(Level::Debug));
    let expected = [
        ("notice", "committed"),
        ("reducer", "accounts"),
        ("partitions", "2"),
        ("events", "5"),
        ("watermark", "9"),
    ];
    assert_eq!(told.pairs, pairs(&expected));
}

#[test]
fn a_delay_is_a_warning_with_the_attempt_the_pause_and_the_error() {
    let (attempt, delay, error) = (2, Duration::from_millis(100), "database is locked".to_owned());
    let reducers = vec![reducer(), "audit".into()];
    let told = written(&Notice::CommitDelayed { reducers, attempt, delay, error: error.clone() });
    assert_eq!(told.level, Some(Level::Warn));
    let rest = [("attempt", "2"), ("delay_ms", "100"), ("error", "database is locked")];
    let first = [("notice", "commit_delayed"), ("reducers", "accounts, audit")];
    assert_eq!(told.pairs, pairs(&[&first[..], &rest[..]].concat()));
    let told = written(&Notice::ReadDelayed { attempt, delay, error });
    assert_eq!(told.level, Some(Level::Warn));
    assert_eq!(told.pairs, pairs(&[&[("notice", "read_delayed")], &rest[..]].concat()));
}

#[test]
fn a_blocked_reducer_is_an_error_with_the_event_if_it_is_one() {
    let reason =
        Blocked::PartitionPanicked { cursor: Cursor::from(4), message: "whose is it?".to_owned() };
    let told = written(&Notice::Blocked { reducer: reducer(), reason });
    assert_eq!(told.level, Some(Level::Error));
    assert!(told.pairs.contains(&("cursor".to_owned(), "4".to_owned())), "{told:?}");
    let reason = Blocked::TooManyHalted { halted: 10 };
    let told = written(&Notice::Blocked { reducer: reducer(), reason });
    assert!(told.pairs.iter().all(|(key, _)| key != "cursor"), "{told:?}");
}

#[test]
fn every_level_is_the_one_that_the_table_says() {
    let (watermark, partition) = (Cursor::from(1), "alice".into());
    let of = |notice| (written(&notice).level.expect("it is written"), notice);
    let expected = [
        (Level::Info, Notice::Started { reducer: reducer(), watermark: watermark.clone() }),
        (Level::Info, Notice::Stopped { reducer: reducer(), watermark: watermark.clone() }),
        (Level::Info, Notice::Paused { reducer: reducer() }),
        (Level::Info, Notice::Resumed { reducer: reducer() }),
        (Level::Info, Notice::Recovered { reducer: reducer(), partition }),
        (Level::Info, Notice::CommitResumed { attempts: 2 }),
        (Level::Info, Notice::LoadResumed { reducer: reducer(), attempts: 2 }),
        (Level::Debug, Notice::CaughtUp { reducer: reducer(), watermark: watermark.clone() }),
        (Level::Trace, Notice::WatermarkStored { reducer: reducer(), watermark }),
        (Level::Trace, Notice::Activated { reducer: reducer(), partition: "a".into() }),
        (Level::Trace, Notice::Passivated { reducer: reducer(), partition: "a".into() }),
        (Level::Error, Notice::Fenced { reducer: reducer() }),
        (Level::Warn, Notice::Restarted { reducer: None, actor: "event log" }),
        (Level::Warn, Notice::Restarted { reducer: Some(reducer()), actor: "dispatcher" }),
    ];
    for (level, notice) in expected {
        assert_eq!(of(notice.clone()), (level, notice));
    }
}
