//! Who may commit, and what.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::thread;

use rederive_core::{
    Change, CommitError, Cursor, CursorKind, Opening, ReducerWrite, Revision, Store,
};

use super::{
    StoreUnderTest,
    owner::{Owner, fenced, op, part},
};

/// Nobody has opened it.
pub fn an_unknown_reducer_has_no_revision_and_cannot_be_written<T: StoreUnderTest>(test: T) {
    let mut writer = test.store().writer().expect("it gives a writer");
    assert_eq!(writer.revision("accounts"), Ok(None));
    let write = ReducerWrite {
        reducer: "accounts",
        revision: Revision::default(),
        watermark: &Cursor::from(1),
        partitions: Vec::new(),
        skips: Vec::new(),
    };
    assert_eq!(writer.commit(&[write]), fenced("accounts"));
    assert_eq!(writer.revision("accounts"), Ok(None));
}

/// The previous owner is told so and changes nothing; the new one commits.
pub fn opening_a_reducer_fences_its_previous_owner<T: StoreUnderTest>(test: T) {
    let mut old = Owner::open(test.store(), "accounts");
    old.commit(1, &[]).expect("it commits");
    let mut new = Owner::open(test.store(), "accounts");
    let insert = op(test.tags(), ["a"], Change::Insert(Vec::new()));
    let parts = [part("a", 9).ops([insert])];
    assert_eq!(old.commit(2, &parts), fenced("accounts"));
    assert_eq!(test.rows(test.tags()).len(), 0);
    new.commit(3, &[]).expect("the new owner commits");
    assert_eq!(old.commit(2, &parts), fenced("accounts"));
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    assert_eq!((opened.watermark, opened.partitions), (3.into(), vec![]));
}

/// A revision too high is as wrong as one too low, in either of its numbers.
pub fn only_the_stored_revision_can_commit<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    for cursor in 1..=3 {
        owner.commit(cursor, &[]).expect("it commits");
    }
    let Revision { epoch, number } = owner.revision;
    for (epoch, number) in [(epoch, number - 1), (epoch, number + 1), (epoch + 1, number)] {
        owner.revision = Revision { epoch, number };
        assert_eq!(owner.commit(9, &[]), fenced("accounts"), "with {:?}", owner.revision);
    }
    owner.revision = Revision { epoch, number };
    assert_eq!(owner.stored_revision(), Some(owner.revision));
    owner.commit(4, &[]).expect("the stored revision commits");
}

/// Whether it stands first or last in the transaction.
pub fn one_fenced_reducer_keeps_the_whole_transaction_out<T: StoreUnderTest>(test: T) {
    let mut good = Owner::open(test.store(), "good");
    let stale = Owner::open(test.store(), "stale");
    Owner::open(test.store(), "stale");
    let insert = op(test.tags(), ["a"], Change::Insert(Vec::new()));
    let parts = [part("a", 1).ops([insert])];
    let watermark = Cursor::from(1);
    let before = good.stored_revision();
    let mut writer = test.store().writer().expect("it gives a writer");
    let writes = || [good.write(&watermark, &parts), stale.write(&watermark, &[])];
    assert_eq!(writer.commit(&writes()), fenced("stale"));
    let mut reversed = writes();
    reversed.reverse();
    assert_eq!(writer.commit(&reversed), fenced("stale"));
    assert_eq!(test.rows(test.tags()).len(), 0);
    assert_eq!(good.stored_revision(), before);
    good.commit(1, &parts).expect("alone it commits");
}

/// Each is given an epoch of its own.
pub fn of_many_that_open_a_reducer_at_once_the_last_can_commit<T: StoreUnderTest>(test: T) {
    let mut owners: Vec<Owner> = thread::scope(|scope| {
        let open = || Owner::open(test.store(), "accounts");
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it opens")).collect()
    });
    owners.sort_unstable_by_key(|owner| owner.revision.epoch);
    let last = owners.pop().expect("there are four");
    let mut epoch = last.revision.epoch;
    for mut owner in owners.into_iter().rev() {
        assert!(owner.revision.epoch < epoch, "two have the epoch {epoch}");
        epoch = owner.revision.epoch;
        assert_eq!(owner.commit(1, &[]), fenced("accounts"));
    }
    let mut last = last;
    last.commit(1, &[]).expect("the last commits");
}

/// The others are fenced or told to try again, and their ops are not applied.
pub fn of_many_that_commit_at_once_with_one_revision_one_succeeds<T: StoreUnderTest>(test: T) {
    let owner = Owner::open(test.store(), "accounts");
    let (tags, revision) = (test.tags(), owner.revision);
    let commit = |index: usize| {
        let watermark = Cursor::from(1);
        let mut writer = test.store().writer().expect("it gives a writer");
        let parts = [part("a", 2).ops([op(tags, [index.to_string()], Change::Insert(Vec::new()))])];
        let owner = Owner {
            reducer: "accounts".to_owned(),
            revision,
            watermark: Cursor::Start,
            writer: test.store().writer().expect("it gives a writer"),
        };
        loop {
            match writer.commit(&[owner.write(&watermark, &parts)]) {
                Err(CommitError::Transient(_)) => thread::yield_now(),
                result => break result,
            }
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let commit = &commit;
        let threads: Vec<_> = (0..4).map(|index| scope.spawn(move || commit(index))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it answers")).collect()
    });
    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(succeeded, 1, "{results:?}");
    assert!(results.iter().filter(|result| result.is_err()).all(|r| *r == fenced("accounts")));
    assert_eq!(test.rows(tags).len(), 1);
}

/// It would be applied twice. An event above the row passes, as does one of a partition without.
pub fn an_event_at_or_below_the_row_of_its_partition_is_fenced<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let tags = test.tags();
    let tag = |tag: &str| op(tags, [tag], Change::Insert(Vec::new()));
    owner.commit(0, &[part("a", 5).guard(4)]).expect("there is no row yet");
    for guard in [4, 5] {
        let parts = [part("b", 9).ops([tag("b")]), part("a", 9).guard(guard).ops([tag("a")])];
        assert_eq!(owner.commit(1, &parts), fenced("accounts"), "guarded by {guard}");
    }
    assert_eq!(test.rows(tags).len(), 0);
    owner.commit(1, &[part("a", 7).guard(6).ops([tag("a")])]).expect("6 is above 5");
    owner.commit(1, &[part("c", 2).guard(2)]).expect("it has no row");
    let mut other = Owner::open(test.store(), "others");
    other.commit(1, &[part("a", 2).guard(2)]).expect("the row is another reducer's");
}

/// `10` is above `9` when they are numbers, also in a pair, and below it when they are text.
pub fn the_guard_compares_cursors_by_their_kind<T: StoreUnderTest>(test: T) {
    let mut numbers = Owner::open(test.store(), "numbers");
    numbers.commit(Cursor::Start, &[part("a", 9)]).expect("it commits");
    numbers.commit(Cursor::Start, &[part("a", 100).guard(10)]).expect("10 is above 9");
    let late = [part("a", 200).guard(99)];
    assert_eq!(numbers.commit(Cursor::Start, &late), fenced("numbers"), "99 is below 100");

    let mut texts = Owner::open_kind(test.store(), "texts", CursorKind::Text);
    texts.commit(Cursor::Start, &[part("a", "9")]).expect("it commits");
    let late = [part("a", "9z").guard("10")];
    assert_eq!(texts.commit(Cursor::Start, &late), fenced("texts"), "\"10\" is below \"9\"");
    texts.commit(Cursor::Start, &[part("a", "a").guard("90")]).expect("\"90\" is above \"9\"");
    texts.commit(Cursor::Start, &[part("a", "é").guard("é")]).expect("\"é\" is above \"a\"");

    let mut pairs = Owner::open_kind(test.store(), "pairs", CursorKind::Pair);
    pairs.commit(Cursor::Start, &[part("a", (9, 500))]).expect("it commits");
    pairs.commit(Cursor::Start, &[part("a", (10, 3)).guard((10, 0))]).expect("10.0 is above 9.500");
    let late = [part("a", (20, 1)).guard((10, 2))];
    assert_eq!(pairs.commit(Cursor::Start, &late), fenced("pairs"), "10.2 is below 10.3");
}

/// Those that have rows are compared with them, also where most have none.
pub fn of_thousands_of_partitions_each_has_its_guard<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let all = |cursor: u64, guard: u64| -> Vec<_> {
        (0..3000).map(|n| part(format!("{n}"), cursor).guard(guard).unrecorded()).collect()
    };
    owner.commit(0, &all(4, 1)).expect("there are no rows");
    let mut parts = all(6, 4);
    parts[7] = part("7", 6).guard(4);
    owner.commit(0, &parts).expect("there are no rows yet");
    assert_eq!(owner.commit(0, &all(9, 6)), fenced("accounts"), "7 stands at 6");
    let mut other = Owner::open(test.store(), "others");
    other.commit(0, &all(9, 6)).expect("the row is another reducer's");
    let mut parts = all(9, 7);
    parts[8] = part("8", 9).guard(7);
    owner.commit(0, &parts).expect("7 is above 6");
    assert_eq!(owner.commit(0, &all(12, 9)), fenced("accounts"), "8 stands at 9");
}
