//! Skipped events.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{
    Cursor, CursorKind, Failure, FailureKind, Opening, PartitionId, Skip, SkipRecord, SkippedBy,
    Store, Timestamp,
};

use super::{
    StoreUnderTest,
    owner::{Owner, Part, part},
};

fn places(records: &[SkipRecord]) -> Vec<(u64, &str)> {
    records.iter().map(place).collect()
}

fn place(SkipRecord { partition, skip }: &SkipRecord) -> (u64, &str) {
    let Cursor::Integer(cursor) = skip.cursor else { panic!("not a number: {}", skip.cursor) };
    (cursor, partition.as_ref().map_or("-", PartitionId::as_str))
}

/// Every field of it, and an opened reducer knows that there are some.
pub fn a_skip_is_stored_with_everything_it_says<T: StoreUnderTest>(test: T) {
    let kinds = FailureKind::ALL;
    let messages = ["", "it's \"bad\"", "two\nlines", "ünïcödé 🦀", &"long ".repeat(1000)];
    let times = [0, -1, 1_700_000_000_123_456, i64::MAX, i64::MIN];
    let mut expected = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let failure = Failure {
            cursor: Cursor::from(100 + index as u64),
            kind: kinds[index % kinds.len()],
            message: message.to_owned(),
        };
        let attempts = if index == 0 { u32::MAX } else { index as u32 };
        let by = if index % 2 == 0 { SkippedBy::Policy } else { SkippedBy::Operator };
        let skip = Skip::new(failure, attempts, Timestamp::from_micros(times[index]), by);
        expected.push(SkipRecord { partition: Some(format!("p{index}").into()), skip });
    }
    let parts: Vec<_> = expected
        .iter()
        .filter_map(|SkipRecord { partition, skip }| {
            let part = part(partition.clone()?, skip.cursor.clone());
            Some(Part { skips: vec![skip.clone()], ..part })
        })
        .collect();
    let opening = Opening::new("accounts", 1, CursorKind::Integer);
    assert!(!test.store().open(&opening).expect("it opens").skips);
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(1, &parts).expect("it commits");
    assert_eq!(test.store().skips("accounts", None, 100), Ok(expected));
    assert!(test.store().open(&opening).expect("it opens").skips);
    assert_eq!(test.store().skips("others", None, 100), Ok(Vec::new()));
}

/// By cursor, then by partition; also across partitions of one event.
pub fn skips_are_listed_in_order_page_by_page<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(20, &[part("b", 12).skipping([2, 10]), part("a", 12).skipping([10])]).expect("1");
    owner.commit(20, &[part("b", 13).skipping([13]), part("é", 12).skipping([10])]).expect("2");
    let mut listed = Vec::new();
    let mut after: Option<(Cursor, Option<PartitionId>)> = None;
    loop {
        let position = after.as_ref().map(|(cursor, partition)| (cursor, partition.as_ref()));
        let page = test.store().skips("accounts", position, 2).expect("it lists");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some((last.skip.cursor.clone(), last.partition.clone()));
        listed.extend(page);
    }
    assert_eq!(places(&listed), [(2, "b"), (10, "a"), (10, "b"), (10, "é"), (13, "b")]);
}

/// One for each partition.
pub fn the_skips_of_one_event_are_found<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(20, &[part("b", 12).skipping([1, 10]), part("a", 12).skipping([10])]).expect("1");
    let of = |cursor: u64| test.store().skips_of("accounts", &cursor.into()).expect("it finds");
    assert_eq!(places(&of(10)), [(10, "a"), (10, "b")]);
    assert_eq!(places(&of(1)), [(1, "b")]);
    assert_eq!(of(2), []);
}

/// With the watermark that passes it, or not at all; it stands before those of partitions, and is
/// gone with a reset.
pub fn a_skip_of_the_reducer_is_recorded_with_the_watermark<T: StoreUnderTest>(test: T) {
    let skip = |cursor: u64| {
        let (cursor, kind) = (cursor.into(), FailureKind::Undecodable);
        let failure = Failure { cursor, kind, message: "unknown".to_owned() };
        Skip::new(failure, 1, Timestamp::from_micros(7), SkippedBy::Policy)
    };
    let mut former = Owner::open(test.store(), "accounts");
    let mut owner = Owner::open(test.store(), "accounts");
    assert!(former.commit_skipping(5, &[], &[skip(4)]).is_err(), "it was taken over");
    assert_eq!(test.store().skips("accounts", None, 10), Ok(Vec::new()));
    owner.commit_skipping(5, &[], &[skip(2), skip(4)]).expect("it commits");
    owner.commit_skipping(9, &[part("a", 12).skipping([4, 7])], &[skip(7)]).expect("it commits");
    let listed = test.store().skips("accounts", None, 10).expect("it lists");
    assert_eq!(places(&listed), [(2, "-"), (4, "-"), (4, "a"), (7, "-"), (7, "a")]);
    assert_eq!(listed[0], SkipRecord { partition: None, skip: skip(2) });
    let after = (&Cursor::from(4), None);
    let later = test.store().skips("accounts", Some(after), 2).expect("it lists");
    assert_eq!(places(&later), [(4, "a"), (7, "-")]);
    let of_event = test.store().skips_of("accounts", &7.into()).expect("it finds");
    assert_eq!(places(&of_event), [(7, "-"), (7, "a")]);
    let opening = Opening::new("accounts", 1, CursorKind::Integer);
    assert!(test.store().open(&opening).expect("it opens").skips);
    test.store().reset(&opening, &9.into()).expect("it is reset");
    assert_eq!(test.store().skips("accounts", None, 10), Ok(Vec::new()));
}

/// It is part of the transaction.
pub fn a_rejected_commit_records_no_skip<T: StoreUnderTest>(test: T) {
    let mut first = Owner::open(test.store(), "accounts");
    let mut second = Owner::open(test.store(), "accounts");
    let refused = first.commit(5, &[part("a", 4).skipping([4])]);
    assert!(refused.is_err(), "it was taken over");
    assert_eq!(test.store().skips("accounts", None, 10), Ok(Vec::new()));
    second.commit(5, &[part("a", 4).skipping([4])]).expect("it commits");
    assert_eq!(places(&test.store().skips("accounts", None, 10).expect("it lists")), [(4, "a")]);
}

/// As after a day of an event type that nobody understands.
pub fn thousands_of_skips_fit_in_one_transaction<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(5000, &[part("a", 5000).skipping(1..=5000)]).expect("it commits");
    assert_eq!(test.store().skips("accounts", None, 10_000).expect("it lists").len(), 5000);
}
