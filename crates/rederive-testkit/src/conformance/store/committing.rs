//! Transactions: all of it or nothing.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::{sync::Arc, thread};

use rederive_core::{Change, CommitError, Cursor, CursorKind, CustomOp, Op, Opening, Store, Value};

use super::{
    StoreUnderTest,
    owner::{Owner, op, part, set},
};

/// By one; the epoch stays.
pub fn a_commit_raises_the_revision_and_stores_the_watermark<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    for watermark in [1, 5, 5, 1000] {
        let before = owner.revision;
        owner.commit(watermark, &[part("a", watermark).unrecorded()]).expect("it commits");
        assert_eq!(owner.stored_revision(), Some(before.next()));
    }
    assert_eq!(Owner::open(test.store(), "accounts").watermark, Cursor::from(1000));
}

/// As an idle reducer does.
pub fn a_transaction_may_store_only_a_watermark<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(7, &[]).expect("it commits");
    assert_eq!(Owner::open(test.store(), "accounts").watermark, Cursor::from(7));
}

/// Each with its own watermark, partitions and ops.
pub fn one_transaction_commits_several_reducers<T: StoreUnderTest>(test: T) {
    let names = ["first", "second", "third"];
    let owners = names.map(|name| Owner::open(test.store(), name));
    let tag = |tag: &str| op(test.tags(), [tag], Change::Insert(Vec::new()));
    let parts = names.map(|name| vec![part("a", 9).ops([tag(name)]), part("b", 2).unrecorded()]);
    let watermarks = [2, 3, 4].map(Cursor::from);
    let all = owners.iter().zip(&watermarks).zip(&parts);
    let writes: Vec<_> =
        all.map(|((owner, watermark), parts)| owner.write(watermark, parts)).collect();
    test.store().writer().expect("it gives a writer").commit(&writes).expect("it commits");
    assert_eq!(test.rows(test.tags()).len(), 3);
    for (owner, watermark) in owners.into_iter().zip(watermarks) {
        let opened = test
            .store()
            .open(&Opening::new(&owner.reducer, 1, CursorKind::Integer))
            .expect("it opens");
        assert_eq!(opened.watermark, watermark);
        assert_eq!(opened.revision.number, owner.revision.number + 1);
        assert_eq!(opened.partitions.len(), 1, "{:?}", opened.partitions);
    }
}

/// Rows, watermark, revision and partitions, of every reducer, wherever the op stands.
pub fn a_rejected_op_takes_the_whole_transaction_back<T: StoreUnderTest>(test: T) {
    let tags = test.tags();
    let mut first = Owner::open(test.store(), "first");
    let second = Owner::open(test.store(), "second");
    let tag = |tag: &str| op(tags, [tag], Change::Insert(Vec::new()));
    first.apply([tag("taken")]).expect("it commits");
    let good = |reducer: &str| {
        vec![
            part("a", 9).ops([tag(&format!("{reducer} a")), op(tags, ["taken"], Change::Delete)]),
            part("b", 8).halted_at(9).ops([tag(&format!("{reducer} b"))]),
        ]
    };
    let bad_first = vec![part("z", 7).ops([tag("new"), tag("new")])];
    let bad_last: Vec<_> =
        good("second").into_iter().chain([part("c", 9).ops([tag("first a")])]).collect();
    let before = first.stored_revision();
    for (parts_of_first, parts_of_second) in
        [(good("first"), bad_last), (bad_first, good("second"))]
    {
        let watermark = Cursor::from(6);
        let writes =
            [first.write(&watermark, &parts_of_first), second.write(&watermark, &parts_of_second)];
        let mut writer = test.store().writer().expect("it gives a writer");
        let result = writer.commit(&writes);
        assert!(matches!(result, Err(CommitError::Rejected { .. })), "{result:?}");
    }
    assert_eq!(test.rows(tags), [[Value::from("taken")]]);
    assert_eq!(first.stored_revision(), before);
    for (reducer, watermark) in [("first", Cursor::from(1)), ("second", Cursor::Start)] {
        let opened =
            test.store().open(&Opening::new(reducer, 1, CursorKind::Integer)).expect("it opens");
        assert_eq!((opened.watermark, opened.partitions), (watermark, vec![]), "{reducer}");
        assert_eq!(test.store().halted(reducer, None, 10), Ok(vec![]));
    }
}

/// And nothing is done; the writer can be used again.
pub fn a_custom_op_that_is_not_known_is_rejected<T: StoreUnderTest>(test: T) {
    #[derive(Debug)]
    struct KnownToNobody;
    impl CustomOp for KnownToNobody {}
    let mut owner = Owner::open(test.store(), "accounts");
    let tag = |tag: &str| op(test.tags(), [tag], Change::Insert(Vec::new()));
    owner.is_refused([tag("a"), Op::Custom(Arc::new(KnownToNobody)), tag("b")]);
    assert_eq!(test.rows(test.tags()).len(), 0);
    owner.apply([tag("c")]).expect("it commits");
}

/// There is no limit on the parameters of a statement that a caller had to know.
pub fn one_transaction_may_hold_thousands_of_partitions<T: StoreUnderTest>(test: T) {
    const PARTITIONS: u64 = 5000;
    let things = test.things();
    let mut owner = Owner::open(test.store(), "accounts");
    let row = |id: u64| {
        let values = set(things, [("big", (id as i64).into()), ("name", "n".into())]);
        op(things, [id.to_string()], Change::Upsert(values))
    };
    let parts: Vec<_> =
        (0..PARTITIONS).map(|id| part(id, id + 1).guard(id + 1).ops([row(id)])).collect();
    owner.commit(Cursor::Start, &parts).expect("it commits");
    assert_eq!(test.rows(things).len() as u64, PARTITIONS);
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    assert_eq!(opened.partitions.len() as u64, PARTITIONS);
    let sum: u64 = opened
        .partitions
        .iter()
        .map(|row| match row.cursor {
            Cursor::Integer(cursor) => cursor,
            _ => 0,
        })
        .sum();
    assert_eq!(sum, PARTITIONS * (PARTITIONS + 1) / 2);
}

/// A writer that must wait for another says so by a transient error.
pub fn writers_of_different_reducers_work_at_the_same_time<T: StoreUnderTest>(test: T) {
    const COMMITS: u64 = 25;
    thread::scope(|scope| {
        for reducer in ["a", "b", "c", "d"] {
            let test = &test;
            scope.spawn(move || {
                let mut owner = Owner::open(test.store(), reducer);
                for cursor in 1..=COMMITS {
                    let tag = format!("{reducer}{cursor}");
                    let insert = op(test.tags(), [tag], Change::Insert(Vec::new()));
                    let parts = [part("p", cursor).guard(cursor).ops([insert])];
                    while let Err(error) = owner.commit(cursor, &parts) {
                        assert!(matches!(error, CommitError::Transient(_)), "{error}");
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(test.rows(test.tags()).len() as u64, 4 * COMMITS);
    for reducer in ["a", "b", "c", "d"] {
        assert_eq!(Owner::open(test.store(), reducer).watermark, Cursor::from(COMMITS));
    }
}

/// A transaction without reducers.
pub fn nothing_to_write_is_no_error<T: StoreUnderTest>(test: T) {
    let mut writer = test.store().writer().expect("it gives a writer");
    assert_eq!(writer.commit(&[]), Ok(()));
}
