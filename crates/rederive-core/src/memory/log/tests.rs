use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

fn cursors<E>(recorded: Vec<Recorded<E>>) -> Vec<Cursor> {
    recorded.into_iter().map(|event| event.cursor).collect()
}

#[test]
fn events_are_numbered_one_above_their_predecessor() {
    let log = MemoryLog::new();
    assert_eq!(cursors(log.append(["a", "b"])), [1.into(), 2.into()]);
    log.append_at(Cursor::from(9), Timestamp::default(), "c").expect("it is above");
    assert_eq!(cursors(log.append(["d", "e"])), [10.into(), 11.into()]);
    assert!(log.append([]).is_empty());
    assert_eq!(log.head(), Ok(Cursor::from(11)));
}

#[test]
fn a_log_with_text_cursors_keeps_growing_whatever_was_appended_before() {
    let log = MemoryLog::of_kind(CursorKind::Text);
    log.append(["a", "b"]);
    for cursor in ["01J9ZK", "01J9ZKü", "zz00000000000000000041", "zz99999999999999999999"] {
        log.append_at(cursor.into(), Timestamp::default(), "c").expect("it is above");
        log.append(["d", "e"]);
    }
    let all = log.fetch(&Cursor::Start, usize::MAX).expect("it reads").events;
    assert_eq!(all[0].cursor, Cursor::from("00000000000000000001"));
    let all = cursors(all);
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    assert!(all.contains(&Cursor::from("zz00000000000000000043")));
}

#[test]
fn a_cursor_of_choice_must_be_of_the_logs_kind_and_above_all_others() {
    let log = MemoryLog::new();
    let append = |cursor: Cursor| log.append_at(cursor, Timestamp::default(), ());
    append(7.into()).expect("it is the first");
    for refused in [Cursor::Start, 6.into(), 7.into(), "8".into()] {
        assert_eq!(append(refused.clone()), Err(refused));
    }
    append(8.into()).expect("it is above");
    assert_eq!(log.count(&Cursor::Start), Ok(2));
}

#[test]
#[should_panic(expected = "the log is full")]
fn no_event_follows_the_largest_number() {
    let log = MemoryLog::new();
    log.append_at(u64::MAX.into(), Timestamp::default(), ()).expect("it is the first");
    log.append([()]);
}

#[test]
fn a_follower_is_woken_after_the_events_can_be_read() {
    let log = MemoryLog::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let wake: Arc<Wake> = Arc::new({
        let (log, seen) = (log.clone(), Arc::clone(&seen));
        move || {
            let count = log.count(&Cursor::Start).expect("it counts");
            seen.store(count as usize, SeqCst);
        }
    });
    log.subscribe(Arc::downgrade(&wake));
    log.append(0..3);
    assert_eq!(seen.load(SeqCst), 3);
    drop(wake);
    log.append(3..5);
    assert_eq!(seen.load(SeqCst), 3);
}

#[test]
fn what_is_appended_under_a_key_is_appended_once() {
    let log = MemoryLog::new();
    assert_eq!(log.append_once("a", []), []);
    let recorded = log.append_once("a", [1, 2]);
    assert_eq!(log.append_once("b", [7])[0].cursor, Cursor::from(3));
    assert_eq!(log.append_once("a", [9]), recorded);
    assert_eq!(log.head(), Ok(Cursor::from(3)));
}
