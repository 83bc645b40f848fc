//! Halted partitions.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{
    Cursor, CursorKind, Failure, FailureKind, Halt, Opening, PartitionId, PartitionRecord, Store,
    Timestamp,
};

use super::{
    StoreUnderTest,
    owner::{Owner, Part, part},
};

fn ids(records: &[PartitionRecord]) -> Vec<&str> {
    records.iter().map(|record| record.partition.as_str()).collect()
}

/// Every field of it, whether the reducer is opened or the halted are listed.
pub fn a_halt_is_stored_with_everything_it_says<T: StoreUnderTest>(test: T) {
    let kinds = [FailureKind::Reduce, FailureKind::Panic, FailureKind::Rejected];
    let messages = ["", "it's \"bad\"", "two\nlines", "ünïcödé 🦀", &"long ".repeat(1000)];
    let times = [0, -1, 1_700_000_000_123_456, i64::MAX, i64::MIN];
    let mut parts = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let failure = Failure {
            cursor: Cursor::from(100 + index as u64),
            kind: kinds[index % kinds.len()],
            message: message.to_owned(),
        };
        let attempts = if index == 0 { u32::MAX } else { index as u32 };
        let halt = Halt::new(failure, attempts, Timestamp::from_micros(times[index]));
        parts.push(Part { halt: Some(halt), ..part(format!("p{index}"), 50 + index as u64) });
    }
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(1, &parts).expect("it commits");
    let expected: Vec<_> = parts
        .into_iter()
        .map(|Part { partition, cursor, halt, .. }| PartitionRecord { partition, cursor, halt })
        .collect();
    assert_eq!(test.store().halted("accounts", None, 100).as_ref(), Ok(&expected));
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    let mut rows = opened.partitions;
    rows.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
    assert_eq!(rows, expected);
}

/// A halted partition keeps its row however far the watermark goes.
pub fn a_halt_outlives_the_watermark_and_is_taken_back_by_a_record<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(5, &[part("a", 3).halted_at(4)]).expect("it commits");
    owner.commit(1000, &[]).expect("it commits");
    for _ in 0..2 {
        owner = Owner::open(test.store(), "accounts");
        let halted = test.store().halted("accounts", None, 10).expect("it lists");
        assert_eq!(ids(&halted), ["a"]);
        assert_eq!(halted[0].cursor, Cursor::from(3));
    }
    owner.commit(1000, &[part("a", 4).guard(4)]).expect("it commits");
    assert_eq!(test.store().halted("accounts", None, 10), Ok(vec![]));
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    assert_eq!(opened.partitions, [], "it says no more than the watermark");
}

/// In the order of the ids as bytes; each page begins behind the last id of the one before.
pub fn halted_partitions_are_listed_in_order_page_by_page<T: StoreUnderTest>(test: T) {
    let names = ["", "10", "9", "A", "Z", "a", "a'b", "b", "é", "日本", "🦀"];
    let mut owner = Owner::open(test.store(), "accounts");
    let mut parts: Vec<_> = names.iter().map(|id| part(*id, 3).halted_at(4)).collect();
    parts.reverse();
    owner.commit(5, &parts).expect("it commits");
    for limit in [1, 2, 5, names.len(), 100, usize::MAX] {
        let mut listed = Vec::new();
        let mut after: Option<PartitionId> = None;
        loop {
            let page = test.store().halted("accounts", after.as_ref(), limit).expect("it lists");
            assert!(page.len() <= limit, "{} on a page of {limit}", page.len());
            let Some(last) = page.last() else { break };
            after = Some(last.partition.clone());
            listed.extend(page);
            assert!(listed.len() <= names.len(), "a page repeats another: {:?}", ids(&listed));
        }
        assert_eq!(ids(&listed), names, "in pages of {limit}");
    }
    let between = PartitionId::from("AA");
    let page = test.store().halted("accounts", Some(&between), 2).expect("it lists");
    assert_eq!(ids(&page), ["Z", "a"], "behind an id that is not halted");
}

/// Not those that are ahead, and not those of another reducer.
pub fn only_halted_partitions_of_the_reducer_are_listed<T: StoreUnderTest>(test: T) {
    let mut first = Owner::open(test.store(), "first");
    let mut second = Owner::open(test.store(), "second");
    first.commit(1, &[part("a", 2), part("b", 2).halted_at(3)]).expect("it commits");
    second.commit(1, &[part("a", 2).halted_at(4), part("b", 2)]).expect("it commits");
    let listed = |reducer| {
        let halted = test.store().halted(reducer, None, 10).expect("it lists");
        ids(&halted).concat()
    };
    assert_eq!([listed("first"), listed("second"), listed("unknown")], ["b", "a", ""]);
}
