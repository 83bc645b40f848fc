//! What a read returns.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::collections::BTreeSet;

use rederive_core::{Cursor, CursorKind, EventLog, EventTypes, ReadError, Recorded};

use super::{LogUnderTest, read_all};

type EventOf<T> = <<T as LogUnderTest>::Log as EventLog>::Event;

fn numbers<T: LogUnderTest>(test: &T, events: &[Recorded<EventOf<T>>]) -> Vec<u64> {
    events.iter().map(|event| test.number(&event.data)).collect()
}

/// The head of an empty log is the start, and nothing can be read, counted or found.
pub fn an_empty_log_stands_at_the_start<T: LogUnderTest>(test: T) {
    let log = test.log();
    assert_eq!(log.head(), Ok(Cursor::Start));
    assert_eq!(log.count(&Cursor::Start), Ok(0));
    let slice = log.fetch(&Cursor::Start, 10).expect("it reads");
    assert!(slice.events.is_empty() && slice.at_head && slice.undecodable.is_empty());
    assert_eq!(slice.end, Cursor::Start);
    assert!(log.find(&Cursor::Start).expect("it reads").is_none());
}

/// One append or many: the order is that of the appends.
pub fn events_are_read_in_the_order_in_which_they_were_appended<T: LogUnderTest>(test: T) {
    let mut cursors = Vec::new();
    for range in [0..1, 1..1, 1..20, 20..21, 21..300] {
        cursors.extend(test.append(range));
    }
    let (events, end) = read_all(test.log(), &Cursor::Start, 1000);
    assert!(numbers(&test, &events).into_iter().eq(0..300));
    assert!(events.iter().map(|event| &event.cursor).eq(&cursors), "not the cursors returned");
    assert_eq!(Some(&end), cursors.last());
}

/// No cursor is the start or of another kind, and each is above the one before.
pub fn cursors_are_of_the_logs_kind_and_grow<T: LogUnderTest>(test: T) {
    // Past 9 and 99, where text and numbers differ.
    let cursors: Vec<Cursor> = (0..120).flat_map(|n| test.append(n..n + 1)).collect();
    let kind = Some(test.log().cursor_kind());
    assert!(cursors.iter().all(|cursor| cursor.kind() == kind), "a cursor is not of kind {kind:?}");
    assert!(cursors.is_sorted_by(|a, b| a < b), "a cursor is not above the one before");
}

/// Whatever the limit: the slices, each begun at the end of the last, are the log.
pub fn slices_of_any_limit_cover_the_log_without_gap_or_overlap<T: LogUnderTest>(test: T) {
    test.append(0..30);
    for limit in [1, 2, 3, 7, 29, 30, 31, 1000] {
        let (events, _) = read_all(test.log(), &Cursor::Start, limit);
        assert!(numbers(&test, &events).into_iter().eq(0..30), "in slices of {limit}");
    }
}

/// A slice ends at its limit, and says that there is more.
pub fn a_slice_never_holds_more_than_its_limit<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..10);
    for limit in 1..10 {
        let slice = test.log().fetch(&Cursor::Start, limit).expect("it reads");
        assert_eq!((slice.events.len(), &slice.end), (limit, &cursors[limit - 1]));
        assert!(!slice.at_head, "there are more than {limit}");
    }
}

/// The largest limit is no special case.
pub fn a_limit_beyond_all_numbers_reads_everything<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..10);
    let slice = test.log().fetch(&cursors[2], usize::MAX).expect("it reads");
    assert!(numbers(&test, &slice.events).into_iter().eq(3..10));
    assert!(slice.at_head);
}

/// At the head there is nothing, which is no error, and the end stays.
pub fn a_read_behind_the_last_event_is_empty_and_at_the_head<T: LogUnderTest>(test: T) {
    test.append(0..3);
    let head = test.log().head().expect("it tells");
    let slice = test.log().fetch(&head, 10).expect("it reads");
    assert!(slice.events.is_empty() && slice.at_head);
    assert_eq!(slice.end, head);
    test.append(3..4);
    let slice = test.log().fetch(&head, 10).expect("it reads");
    assert_eq!(numbers(&test, &slice.events), [3]);
}

/// Reads begin at any event.
pub fn a_read_may_begin_between_two_events<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..10);
    for (index, cursor) in cursors.iter().enumerate() {
        let slice = test.log().fetch(cursor, 2).expect("it reads");
        let first = index as u64 + 1;
        assert!(numbers(&test, &slice.events).into_iter().eq((first..10).take(2)));
    }
}

/// A later read returns the same data at the same cursor and time.
pub fn an_event_once_read_stays_as_it_was<T: LogUnderTest>(test: T) {
    test.append(0..10);
    let (before, end) = read_all(test.log(), &Cursor::Start, 4);
    test.append(10..20);
    let (after, _) = read_all(test.log(), &Cursor::Start, 7);
    assert_eq!(after.len(), 20);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.cursor, after.cursor);
        assert_eq!(before.time, after.time);
        assert_eq!(test.number(&before.data), test.number(&after.data));
    }
    let (later, _) = read_all(test.log(), &end, 7);
    assert!(numbers(&test, &later).into_iter().eq(10..20));
}

/// `find` reads what `fetch` reads, one event at a time.
pub fn an_event_is_found_at_its_cursor_and_nowhere_else<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..5);
    for (number, cursor) in cursors.iter().enumerate() {
        let found = test.log().find(cursor).expect("it reads").expect("it is there");
        assert_eq!((&found.cursor, test.number(&found.data)), (cursor, number as u64));
    }
    let absent = match test.log().cursor_kind() {
        CursorKind::Integer => [Cursor::from(1 << 40), Cursor::from(u64::MAX)],
        CursorKind::Text => [Cursor::from("~"), Cursor::from("")],
        CursorKind::Pair => [Cursor::from((u64::MAX, 1)), Cursor::from((0, 0))],
    };
    for cursor in absent.iter().chain([&Cursor::Start]) {
        assert!(test.log().find(cursor).expect("it reads").is_none(), "found at {cursor}");
    }
}

/// After each append, the head is its last event.
pub fn the_head_is_the_last_event<T: LogUnderTest>(test: T) {
    for (from, to) in [(0, 1), (1, 5), (5, 12)] {
        let cursors = test.append(from..to);
        assert_eq!(test.log().head().ok().as_ref(), cursors.last());
    }
}

/// Nothing is counted behind the head; elsewhere the count may be a guess if the log says so.
pub fn the_count_is_of_the_events_behind_a_cursor<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..12);
    assert_eq!(test.log().count(&cursors[11]), Ok(0));
    let counted = test.log().count(&Cursor::Start).expect("it counts");
    assert!(counted > 0);
    if test.counts_exactly() {
        assert_eq!(counted, 12);
        for (index, cursor) in cursors.iter().enumerate() {
            assert_eq!(test.log().count(cursor), Ok(11 - index as u64));
        }
    }
}

/// Numbers are ordered as numbers, text bytewise, pairs by their first number and then by their
/// second; large ones are no special case.
pub fn cursors_of_choice_are_ordered_by_their_kind<T: LogUnderTest>(test: T) {
    let cursors: Vec<Cursor> = match test.log().cursor_kind() {
        CursorKind::Integer => [8, 9, 10, 99, 100, 1 << 40, i64::MAX as u64 - 1]
            .into_iter()
            .map(Cursor::from)
            .collect(),
        CursorKind::Text => ["01J9ZK", "10", "9", "Z", "a", "a'b", "é", "日本"]
            .into_iter()
            .map(Cursor::from)
            .collect(),
        CursorKind::Pair => [(8, 100), (9, 10), (9, 1 << 40), (10, 9), (99, 1), (1 << 40, 1)]
            .into_iter()
            .map(Cursor::from)
            .collect(),
    };
    for (number, cursor) in cursors.iter().enumerate() {
        if !test.append_at(cursor.clone(), number as u64) {
            return;
        }
    }
    let log = test.log();
    let (events, _) = read_all(log, &Cursor::Start, 3);
    assert!(events.iter().map(|event| &event.cursor).eq(&cursors));
    assert_eq!(log.head().ok().as_ref(), cursors.last());
    for (index, cursor) in cursors.iter().enumerate() {
        let (later, _) = read_all(log, cursor, 2);
        assert!(
            later.iter().map(|event| &event.cursor).eq(&cursors[index + 1..]),
            "after {cursor}"
        );
        assert!(log.find(cursor).expect("it reads").is_some(), "not found: {cursor}");
    }
}

/// It stands in its slice, apart from those that can be decoded; it counts in the limit, and whoever
/// asks for it is told what it is.
pub fn an_undecodable_event_is_told_apart_and_hides_no_other<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..6);
    if !test.spoil(&cursors[3]) {
        return;
    }
    let log = test.log();
    for _ in 0..2 {
        let slice = log.fetch(&Cursor::Start, 10).expect("it reads");
        assert_eq!(numbers(&test, &slice.events), [0, 1, 2, 4, 5]);
        assert_eq!((&slice.end, slice.at_head), (&cursors[5], true));
        let broken: Vec<_> = slice.undecodable.iter().map(|event| &event.cursor).collect();
        assert_eq!(broken, [&cursors[3]]);
        assert!(!slice.undecodable[0].message.is_empty());
    }
    for (limit, read, end) in [(3, 3, 2), (4, 3, 3), (5, 4, 4)] {
        let slice = log.fetch(&Cursor::Start, limit).expect("it reads");
        assert_eq!((slice.events.len(), &slice.end), (read, &cursors[end]), "limit {limit}");
        assert_eq!(slice.undecodable.len(), usize::from(limit > 3));
    }
    let slice = log.fetch(&cursors[2], 1).expect("it reads");
    assert_eq!((slice.events.len(), slice.undecodable.len()), (0, 1));
    assert_eq!((&slice.end, slice.at_head), (&cursors[3], false));
    assert!(matches!(log.find(&cursors[3]), Err(ReadError::Undecodable(_))));
    assert_eq!(log.head().ok().as_ref(), cursors.last());
}

/// From the start and from the middle, in slices of any size; an event that cannot be decoded is an
/// item in its place, and what is appended after the end is found by asking again.
pub fn the_iterator_reads_what_the_slices_hold<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..10);
    let spoilt = test.spoil(&cursors[6]);
    for (skip, limit) in [(0, 1), (0, 3), (4, 1), (4, 1000), (10, 3)] {
        let after = if skip == 0 { &Cursor::Start } else { &cursors[skip - 1] };
        let mut events = test.log().events(after.clone()).in_slices_of(limit);
        for (index, cursor) in cursors.iter().enumerate().skip(skip) {
            match events.next() {
                Some(Ok(event)) => {
                    assert_eq!((&event.cursor, test.number(&event.data)), (cursor, index as u64));
                }
                Some(Err(ReadError::Undecodable(event))) => {
                    assert!(spoilt && index == 6 && event.cursor == *cursor, "{event}");
                }
                Some(Err(ReadError::Log(error))) => panic!("{error}"),
                None => panic!("it ended before {cursor}"),
            }
        }
        assert!(events.next().is_none());
        assert_eq!(events.read_up_to(), &cursors[9]);
    }
    let mut events = test.log().events(cursors[9].clone());
    assert!(events.next().is_none());
    let appended = test.append(10..12);
    let read: Vec<_> = events.map(|event| event.expect("it reads").cursor).collect();
    assert_eq!(read, appended);
}

/// Whatever is left out is of a type that was not wanted, and the slices cover the log all the same.
pub fn leaving_out_types_leaves_out_nothing_else<T: LogUnderTest>(test: T) {
    let cursors = test.append(0..30);
    let log = test.log();
    let (all, _) = read_all(log, &Cursor::Start, 1000);
    let names: BTreeSet<String> =
        all.iter().filter_map(|event| Some(log.event_type(&event.data)?.into_owned())).collect();
    let wanted: Vec<EventTypes> = std::iter::once(EventTypes::only(Vec::<String>::new()))
        .chain(names.iter().map(|name| EventTypes::only([name.as_str()])))
        .chain([EventTypes::only(names.iter().map(String::as_str)), EventTypes::All])
        .collect();
    for (types, limit) in wanted.iter().flat_map(|types| [(types, 2), (types, 1000)]) {
        let (mut at, mut read) = (Cursor::Start, Vec::new());
        loop {
            let slice = log.fetch_types(&at, limit, types).expect("it reads");
            assert!(slice.events.len() <= limit);
            assert!(
                slice.events.iter().all(|event| event.cursor > at && event.cursor <= slice.end)
            );
            assert!(slice.at_head || slice.end > at, "an empty slice that is not at the head");
            at = slice.end;
            read.extend(slice.events.into_iter().map(|event| event.cursor));
            if slice.at_head {
                break;
            }
        }
        assert!(read.is_sorted_by(|a, b| a < b));
        assert!(at >= cursors[29], "{types:?}: it ends at {at}, before the head");
        let must = all.iter().filter(|event| types.admits(log.event_type(&event.data).as_deref()));
        for event in must {
            assert!(read.contains(&event.cursor), "{types:?}: {} is left out", event.cursor);
        }
    }
}

/// What the log has at hand after any place is what it would read there, up to some event, and is
/// never more than was asked for.
pub fn what_is_at_hand_is_what_a_read_finds<T: LogUnderTest>(test: T) {
    let log = test.log();
    for range in [0..3, 3..4, 4..9] {
        test.append(range);
        let (all, _) = read_all(log, &Cursor::Start, 1000);
        let places = all.iter().map(|event| &event.cursor).chain([&Cursor::Start]);
        for after in places {
            for limit in [1, 2, 3, 1000] {
                let Some(recent) = log.recent(after, limit) else { continue };
                let read = log.fetch(after, 1000).expect("it reads");
                assert!(recent.events.len() <= limit, "more than {limit} after {after}");
                assert!(recent.undecodable.is_empty(), "what cannot be decoded is not at hand");
                let end = recent.events.last().map(|event| &event.cursor);
                assert_eq!(end, Some(&recent.end), "it ends with its last event");
                for (recent, read) in recent.events.iter().zip(&read.events) {
                    assert_eq!((&recent.cursor, recent.time), (&read.cursor, read.time));
                    assert_eq!(test.number(&recent.data), test.number(&read.data));
                }
                assert_eq!(recent.at_head, recent.events.len() == read.events.len());
            }
        }
    }
}
