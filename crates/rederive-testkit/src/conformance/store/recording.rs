//! The rows of partitions.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Cursor, CursorKind, Opening, PartitionId, PartitionRecord, Store};

use super::{
    StoreUnderTest,
    owner::{Owner, fenced, part},
};

/// The rows of an opened reducer, in the order of the ids.
fn rows<T: StoreUnderTest>(test: &T, reducer: &str, kind: CursorKind) -> Vec<PartitionRecord> {
    let mut rows = test.store().open(&Opening::new(reducer, 1, kind)).expect("it opens").partitions;
    rows.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
    rows
}

fn cursors<T: StoreUnderTest>(test: &T, reducer: &str) -> Vec<(PartitionId, Cursor)> {
    let rows = rows(test, reducer, CursorKind::Integer).into_iter();
    rows.map(|row| (row.partition, row.cursor)).collect()
}

/// `record` decides, in a transaction with both.
pub fn a_partition_has_a_row_only_if_that_is_asked_for<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let parts = [part("a", 9), part("b", 9).unrecorded(), part("c", 8)];
    owner.commit(1, &parts).expect("it commits");
    assert_eq!(cursors(&test, "accounts"), [("a".into(), 9.into()), ("c".into(), 8.into())]);
}

/// Also twice in a row, and not by a write that records nothing.
pub fn a_row_is_replaced_by_the_next_record<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    for cursor in [9, 10, 99, 100] {
        owner.commit(1, &[part("a", cursor).guard(cursor)]).expect("it commits");
    }
    owner.commit(1, &[part("a", 200).guard(150).unrecorded()]).expect("it commits");
    assert_eq!(cursors(&test, "accounts"), [("a".into(), 100.into())]);
}

/// A row at the watermark says nothing; one above it and one that is halted do.
pub fn rows_that_say_no_more_than_the_watermark_are_removed_when_opened<T: StoreUnderTest>(
    test: T,
) {
    let mut owner = Owner::open(test.store(), "accounts");
    let parts = [part("at", 10), part("below", 9), part("above", 11), part("far", 100)];
    let halted = part("halted", 3).halted_at(4);
    owner.commit(2, &parts).expect("it commits");
    owner.commit(10, &[halted]).expect("it commits");
    let expected =
        [("above".into(), 11.into()), ("far".into(), 100.into()), ("halted".into(), 3.into())];
    assert_eq!(cursors(&test, "accounts"), expected);
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(10, &[part("at", 12).guard(1)]).expect("its row was removed");
}

/// No id is reserved, too long or mistaken for another: text that differs in any byte is another.
pub fn a_partition_may_have_any_id<T: StoreUnderTest>(test: T) {
    let mut ids: Vec<String> = [
        "", " ", "a", "A", "a ", "it's", "\"", "\\", "%", "_", "$", "$version", "\0", "a\0",
        "a\0b", "\n", "é", "e\u{301}", "日本", "🦀", "9", "10", "010", "null", "NULL",
    ]
    .map(str::to_owned)
    .into();
    ids.push("long ".repeat(2000));
    ids.push(format!("{}!", "long ".repeat(2000)));
    ids.sort_unstable();
    let mut owner = Owner::open(test.store(), "accounts");
    let number = |index: usize| index as u64 + 2;
    let all = ids.iter().enumerate();
    let parts: Vec<_> = all.clone().map(|(index, id)| part(id, number(index))).collect();
    owner.commit(1, &parts).expect("it commits");
    for (index, id) in all.clone() {
        let late = [part(id, 1000).guard(number(index))];
        assert_eq!(owner.commit(1, &late), fenced("accounts"), "the row of {id:?} is not found");
    }
    let rows = cursors(&test, "accounts");
    let expected: Vec<_> =
        all.map(|(index, id)| (PartitionId::from(id), Cursor::from(number(index)))).collect();
    assert_eq!(rows, expected);
}

/// `10` is above `9` when they are numbers, and below it when they are text; the largest number and
/// any text are no special cases, nor is any pair.
pub fn cursors_are_stored_as_they_are_and_ordered_by_their_kind<T: StoreUnderTest>(test: T) {
    let numbers = [9, 10, 100, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX].map(Cursor::from);
    let long = "z".repeat(1000);
    let texts = ["", "10", "9", "A", "a", "a\0", "a'b", "é", "日本", &long].map(Cursor::from);
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    let pairs = [(0, 0), (9, 10), (9, u64::MAX), (10, 9), (u64::MAX, u64::MAX)].map(Cursor::from);
    for (kind, cursors) in [
        (CursorKind::Integer, &numbers[..]),
        (CursorKind::Text, &texts),
        (CursorKind::Pair, &pairs),
    ] {
        for (index, watermark) in cursors.iter().enumerate() {
            let reducer = format!("{kind} {index}");
            let mut owner = Owner::open_kind(test.store(), &reducer, kind);
            let all = cursors.iter().enumerate();
            let parts: Vec<_> = all.map(|(id, cursor)| part(id as u64, cursor.clone())).collect();
            owner.commit(watermark.clone(), &parts).expect("it commits");
            let mut stored: Vec<_> =
                rows(&test, &reducer, kind).into_iter().map(|row| row.cursor).collect();
            stored.sort_unstable();
            assert_eq!(stored, cursors[index + 1..], "above {watermark:?}");
            assert_eq!(Owner::open_kind(test.store(), &reducer, kind).watermark, *watermark);
        }
    }
}
