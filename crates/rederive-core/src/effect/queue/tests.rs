mod property;

use super::*;
use crate::Cursor;

fn key(partition: &str, cursor: u64) -> EffectKey {
    EffectKey { partition: partition.into(), cursor: Cursor::from(cursor), number: 0 }
}

fn record(partition: &str, cursor: u64) -> EffectRecord {
    EffectRecord { key: key(partition, cursor), effect: "1".to_owned(), parked: None }
}

fn parked_record(partition: &str, cursor: u64) -> EffectRecord {
    let parked = Parked::new(DeliveryFailure::Refused, "no", 1, Timestamp::default());
    EffectRecord { parked: Some(parked), ..record(partition, cursor) }
}

fn failed() -> Result<(), (DeliveryFailure, String)> {
    Err((DeliveryFailure::Failed, "not now".to_owned()))
}

/// A queue that has read this outbox.
fn queue(settings: DeliverySettings, page: Vec<EffectRecord>) -> DeliveryQueue {
    let mut queue = DeliveryQueue::new(settings);
    assert!(queue.read().is_some());
    queue.found(page);
    queue
}

fn begun(queue: &mut DeliveryQueue, now: Instant) -> Vec<EffectKey> {
    std::iter::from_fn(|| queue.begin(now)).map(|job| job.key).collect()
}

fn finish(queue: &mut DeliveryQueue, partition: &str, now: Instant) {
    let outcome = queue.finished(&partition.into(), Ok(()), now, Timestamp::default());
    assert_eq!(outcome, Some(Outcome::Delivered));
}

#[test]
fn each_partition_is_delivered_one_by_one_and_in_order() {
    let now = Instant::now();
    let page = vec![record("a", 1), record("a", 2), record("b", 1)];
    let mut queue = queue(DeliverySettings::default(), page);
    assert_eq!(begun(&mut queue, now), [key("a", 1), key("b", 1)]);
    finish(&mut queue, "a", now);
    assert_eq!(begun(&mut queue, now), [key("a", 2)]);
}

#[test]
fn no_more_partitions_than_set_are_delivered_at_once() {
    let now = Instant::now();
    let page = ["a", "b", "c"].map(|partition| record(partition, 1)).to_vec();
    let mut queue = queue(DeliverySettings { concurrency: 2, ..DeliverySettings::default() }, page);
    assert_eq!(begun(&mut queue, now), [key("a", 1), key("b", 1)]);
    finish(&mut queue, "b", now);
    assert_eq!(begun(&mut queue, now), [key("c", 1)]);
}

#[test]
fn a_failed_partition_waits_longer_each_time_and_others_go_on() {
    let mut now = Instant::now();
    let page = vec![record("a", 1), record("a", 2), record("b", 1), record("b", 2)];
    let mut queue = queue(DeliverySettings::default(), page);
    assert_eq!(begun(&mut queue, now).len(), 2);
    finish(&mut queue, "b", now);
    for (attempts, seconds) in [(1, 1), (2, 2), (3, 4)] {
        let delay = Duration::from_secs(seconds);
        let outcome = queue.finished(&"a".into(), failed(), now, Timestamp::default());
        let (kind, message) = (DeliveryFailure::Failed, "not now".to_owned());
        let delayed = Delayed { kind, message, attempts, delay };
        assert_eq!(outcome, Some(Outcome::Delayed(delayed)));
        assert_eq!(queue.next_due(), Some(now + delay));
        let others = begun(&mut queue, now + delay - Duration::from_millis(1));
        assert_eq!(others, if attempts == 1 { vec![key("b", 2)] } else { vec![] });
        now += delay;
        let again = queue.begin(now).expect("it is due");
        assert_eq!((again.key, again.attempt), (key("a", 1), attempts + 1));
    }
}

#[test]
fn after_a_success_the_next_effect_of_the_partition_begins_with_the_first_attempt_and_pause() {
    let mut now = Instant::now();
    let mut queue = queue(DeliverySettings::default(), vec![record("a", 1)]);
    for attempt in 1..=3 {
        assert_eq!(queue.begin(now).map(|job| job.attempt), Some(attempt));
        queue.finished(&"a".into(), failed(), now, Timestamp::default());
        now = queue.next_due().expect("it is tried again");
    }
    // The next one is known before the first has ended.
    queue.wake();
    assert!(queue.read().is_some());
    assert_eq!(queue.begin(now).map(|job| job.key), Some(key("a", 1)));
    queue.found(vec![record("a", 1), record("a", 2)]);
    finish(&mut queue, "a", now);
    let next = queue.begin(now).expect("it is due");
    assert_eq!((next.key, next.attempt), (key("a", 2), 1));
    queue.finished(&"a".into(), failed(), now, Timestamp::default());
    assert_eq!(queue.next_due(), Some(now + Duration::from_secs(1)));
}

#[test]
fn what_is_refused_or_has_failed_too_often_is_parked_and_holds_up_its_partition() {
    let now = Instant::now();
    for (failure, attempts) in [(DeliveryFailure::Refused, 9), (DeliveryFailure::TimedOut, 1)] {
        let page = vec![record("a", 1), record("a", 2)];
        let mut queue = queue(DeliverySettings { attempts, ..DeliverySettings::default() }, page);
        assert_eq!(begun(&mut queue, now), [key("a", 1)]);
        let outcome =
            queue.finished(&"a".into(), Err((failure, "no".to_owned())), now, Timestamp::default());
        let parked = Parked::new(failure, "no", 1, Timestamp::default());
        assert_eq!(outcome, Some(Outcome::Parked(parked.clone())));
        assert_eq!(begun(&mut queue, now), []);
        let marks = queue.marks().expect("it is to be written");
        assert_eq!(marks.parked, [(key("a", 1), parked)]);
        queue.written();
        queue.wake();
        assert!(queue.read().is_some());
        queue.found(vec![parked_record("a", 1), record("a", 2), record("b", 1)]);
        assert_eq!(begun(&mut queue, now), [key("b", 1)], "others go on");
        // Redelivered.
        queue.wake();
        assert!(queue.read().is_some());
        queue.found(vec![record("a", 1), record("a", 2), record("b", 1)]);
        assert_eq!(begun(&mut queue, now), [key("a", 1)]);
    }
}

#[test]
fn what_is_read_again_before_it_is_marked_is_not_delivered_again() {
    let now = Instant::now();
    let mut queue = queue(DeliverySettings::default(), vec![record("a", 1)]);
    assert_eq!(begun(&mut queue, now), [key("a", 1)]);
    queue.wake();
    assert!(queue.read().is_some());
    finish(&mut queue, "a", now);
    queue.found(vec![record("a", 1), record("a", 2)]);
    assert_eq!(begun(&mut queue, now), [key("a", 2)]);
    assert_eq!(queue.marks().expect("one is delivered").delivered, [key("a", 1)]);
    queue.not_written();
    finish(&mut queue, "a", now);
    let marks = queue.marks().expect("both are");
    assert_eq!(marks.delivered, [key("a", 1), key("a", 2)]);
    assert!(queue.read().is_none(), "one question at a time");
    queue.written();
    assert!(queue.is_at_rest());
    assert!(queue.lines.is_empty(), "{queue:?}");
}

#[test]
fn an_outbox_that_does_not_fit_is_read_on_as_room_is_made() {
    let now = Instant::now();
    let settings = DeliverySettings { window: 2, ..DeliverySettings::default() };
    let mut queue = DeliveryQueue::new(settings);
    assert_eq!(queue.read(), Some(Read { after: None, limit: 2 }));
    queue.found(vec![record("a", 1), record("a", 2)]);
    assert_eq!(queue.read(), None, "there is no room");
    assert_eq!(begun(&mut queue, now), [key("a", 1)]);
    finish(&mut queue, "a", now);
    assert!(queue.marks().is_some());
    queue.written();
    assert_eq!(queue.read(), Some(Read { after: Some("a".into()), limit: 1 }));
    queue.found(vec![]);
    assert_eq!(queue.read(), None, "nothing is new");
    assert_eq!(begun(&mut queue, now), [key("a", 2)]);
    finish(&mut queue, "a", now);
    assert!(queue.marks().is_some());
    queue.written();
    assert_eq!(queue.read(), Some(Read { after: None, limit: 2 }), "`a` may have more");
}

#[test]
fn a_stopped_queue_begins_nothing_and_still_writes_what_has_ended() {
    let now = Instant::now();
    let mut queue = queue(DeliverySettings::default(), vec![record("a", 1), record("a", 2)]);
    assert_eq!(begun(&mut queue, now), [key("a", 1)]);
    queue.stop();
    queue.wake();
    finish(&mut queue, "a", now);
    assert_eq!(begun(&mut queue, now), []);
    assert_eq!(queue.read(), None);
    assert!(queue.marks().is_some());
    assert!(!queue.is_at_rest());
    queue.written();
    assert!(queue.is_at_rest());
}
