//! Whose a reducer is, and for how long.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use std::{thread, time::Duration};

use rederive_core::{
    Change, Claim, Cursor, CursorKind, Lease, OpenError, Opened, Opening, OwnedTable,
    PartitionRecord, Store, TakeFrom, TakeFrom::Nobody,
};

use super::{
    StoreUnderTest,
    owner::{Owner, fenced, op, part},
};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(20);

fn opening<'a>(owner: &'a str, lease: Duration, from: TakeFrom<'a>) -> Opening<'a> {
    let claim = Claim { owner, lease, from };
    Opening { claim, ..Opening::new("accounts", 1, CursorKind::Integer) }
}

fn open<T: StoreUnderTest>(
    test: &T,
    owner: &str,
    lease: Duration,
    from: TakeFrom<'_>,
) -> Result<Opened, OpenError> {
    test.store().open(&opening(owner, lease, from))
}

/// Opens it for an hour; nobody may have it.
fn owned<T: StoreUnderTest>(test: &T, owner: &str) -> Owner {
    let opened = open(test, owner, HOUR, Nobody).expect("nobody has it");
    assert_eq!(opened.lease, HOUR);
    Owner::of("accounts", opened, test.store())
}

fn lease<T: StoreUnderTest>(test: &T) -> Option<Lease> {
    test.store().stored("accounts").expect("readable").expect("known").lease
}

fn remaining<T: StoreUnderTest>(test: &T) -> Duration {
    lease(test).expect("it is owned").remaining
}

/// `by` has it and keeps it.
#[track_caller]
fn is_refused(result: Result<Opened, OpenError>, by: &str) {
    match result {
        Err(OpenError::Owned { reducer, by: owner, remaining }) => {
            assert_eq!((reducer.as_str(), owner.as_str()), ("accounts", by));
            assert!(remaining > Duration::ZERO && remaining <= HOUR, "{remaining:?}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Neither by an opening nor by a reset; the owner goes on.
pub fn who_has_a_valid_lease_keeps_the_reducer<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    alice.commit(3, &[part("a", 9)]).expect("it commits");
    alice.apply([op(test.tags(), ["a"], Change::Insert(Vec::new()))]).expect("it commits");
    let tables = [OwnedTable::new(test.tags())];
    let bob = Opening { tables: &tables, ..opening("bob", HOUR, Nobody) };
    is_refused(test.store().open(&bob), "alice");
    is_refused(test.store().reset(&bob, &9.into()), "alice");
    is_refused(test.store().reset(&Opening { version: 2, ..bob }, &9.into()), "alice");
    assert_eq!(test.rows(test.tags()).len(), 1);
    let stored = test.store().stored("accounts").expect("readable").expect("known");
    assert_eq!((stored.version, stored.watermark, stored.rebuilding), (1, 4.into(), None));
    alice.commit(5, &[]).expect("nobody has taken it");
    assert_eq!(lease(&test).expect("it is owned").owner, "alice");
}

/// And who had it is fenced from then on.
pub fn a_lease_that_has_run_out_keeps_nobody_away<T: StoreUnderTest>(test: T) {
    let opened = open(&test, "alice", MOMENT, Nobody).expect("nobody has it");
    let mut alice = Owner::of("accounts", opened, test.store());
    test.elapse(MOMENT * 2);
    assert_eq!(lease(&test), Some(Lease { owner: "alice".into(), remaining: Duration::ZERO }));
    let mut bob = owned(&test, "bob");
    assert_eq!(alice.commit(1, &[]), fenced("accounts"));
    assert_eq!(lease(&test).expect("it is owned").owner, "bob");
    bob.commit(1, &[]).expect("it commits");
}

/// The revision is what protects; a lease only keeps others away.
pub fn an_owner_whose_lease_has_run_out_goes_on_until_it_is_taken_over<T: StoreUnderTest>(test: T) {
    let opened = open(&test, "alice", MOMENT, Nobody).expect("nobody has it");
    let mut alice = Owner::of("accounts", opened, test.store());
    test.elapse(MOMENT * 2);
    alice.commit(1, &[]).expect("nobody has taken it over");
    test.elapse(MOMENT * 2);
    let renewed = test.store().renew(&[("accounts", alice.revision.epoch)]);
    assert_eq!(renewed, Ok(vec![true]));
    alice.commit(2, &[]).expect("nobody has taken it over");
}

/// The lease is longer after `renew` than before, though time has passed.
fn renews<T: StoreUnderTest>(test: &T, mut renew: impl FnMut()) {
    const TIME: Duration = Duration::from_millis(100);
    test.elapse(TIME);
    let before = remaining(test);
    assert!(before <= HOUR - TIME, "no time has passed: {before:?}");
    // On a slow machine as much time may pass between renewing and looking.
    let longer = (0..100).any(|_| {
        renew();
        remaining(test) > before
    });
    assert!(longer, "it was not renewed: {before:?}");
}

/// From the moment of the commit.
pub fn a_commit_renews_the_lease<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    renews(&test, || alice.apply([]).expect("it commits"));
    is_refused(open(&test, "bob", HOUR, Nobody), "alice");
}

/// Of several reducers at once, each for itself.
pub fn a_lease_is_renewed_by_who_has_the_epoch<T: StoreUnderTest>(test: T) {
    let alice = owned(&test, "alice");
    let epoch = alice.revision.epoch;
    let other = Owner::open(test.store(), "other");
    renews(&test, || {
        let owned = [
            ("nothing", 1),
            ("accounts", epoch),
            ("other", other.revision.epoch),
            ("other", other.revision.epoch + 1),
            ("accounts", epoch - 1),
        ];
        let renewed = test.store().renew(&owned).expect("it is renewed");
        assert_eq!(renewed, [false, true, true, false, false]);
    });
    assert_eq!(test.store().renew(&[]), Ok(vec![]));
    is_refused(open(&test, "bob", HOUR, Nobody), "alice");
}

/// Its successor's lease is not its own.
pub fn who_was_taken_over_renews_and_releases_nothing<T: StoreUnderTest>(test: T) {
    let alice = owned(&test, "alice");
    let opened = open(&test, "bob", MOMENT, TakeFrom::Anybody).expect("it takes it over");
    let epoch = alice.revision.epoch;
    assert_ne!(opened.revision.epoch, epoch);
    assert_eq!(test.store().renew(&[("accounts", epoch)]), Ok(vec![false]));
    assert_eq!(test.store().release("accounts", epoch), Ok(false));
    assert_eq!(lease(&test).expect("not released").owner, "bob");
    test.elapse(MOMENT * 2);
    assert_eq!(remaining(&test), Duration::ZERO, "another's lease was renewed");
}

/// The next owner has not to wait, and neither a renewal nor a commit brings the lease back.
pub fn a_released_reducer_is_free_at_once<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    let epoch = alice.revision.epoch;
    assert_eq!(test.store().release("nothing", 1), Ok(false));
    assert_eq!(test.store().release("accounts", epoch), Ok(true));
    assert_eq!(lease(&test), None);
    assert_eq!(test.store().renew(&[("accounts", epoch)]), Ok(vec![true]));
    alice.commit(1, &[]).expect("it is still the last owner");
    assert_eq!(lease(&test), None);
    owned(&test, "bob");
    assert_eq!(alice.commit(2, &[]), fenced("accounts"));
}

/// If it says that it is that owner come back; and not as somebody of another name.
pub fn an_owner_may_come_back_under_its_name<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    is_refused(open(&test, "alice", HOUR, Nobody), "alice");
    is_refused(open(&test, "bob", HOUR, TakeFrom::Namesake), "alice");
    open(&test, "alice", HOUR, TakeFrom::Namesake).expect("it is the same");
    assert_eq!(alice.commit(1, &[]), fenced("accounts"));
    let again = opening("alice", HOUR, TakeFrom::Namesake);
    test.store().reset(&again, &9.into()).expect("it is the same");
    is_refused(open(&test, "bob", HOUR, TakeFrom::Namesake), "alice");
}

/// And from no other who has it since; also by a reset.
pub fn who_takes_from_one_who_died_takes_it_from_that_one<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    is_refused(open(&test, "bob", HOUR, TakeFrom::Dead("carol")), "alice");
    open(&test, "bob", HOUR, TakeFrom::Dead("alice")).expect("it takes it over");
    assert_eq!(alice.commit(1, &[]), fenced("accounts"));
    is_refused(open(&test, "carol", HOUR, TakeFrom::Dead("alice")), "bob");
    let carol = opening("carol", HOUR, TakeFrom::Dead("bob"));
    test.store().reset(&carol, &9.into()).expect("it takes it over");
    is_refused(open(&test, "alice", HOUR, TakeFrom::Dead("bob")), "carol");
}

/// Also by a reset.
pub fn who_takes_from_anybody_waits_for_nobody<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    open(&test, "bob", HOUR, TakeFrom::Anybody).expect("it takes it over");
    assert_eq!(alice.commit(1, &[]), fenced("accounts"));
    is_refused(open(&test, "alice", HOUR, Nobody), "bob");
    let carol = opening("carol", HOUR, TakeFrom::Anybody);
    test.store().reset(&carol, &9.into()).expect("it takes it over");
    is_refused(open(&test, "alice", HOUR, Nobody), "carol");
}

/// It takes what is free, and keeps nobody away.
pub fn a_claim_of_no_time_holds_nothing<T: StoreUnderTest>(test: T) {
    let opened = open(&test, "alice", Duration::ZERO, Nobody).expect("nobody has it");
    assert_eq!((opened.lease, lease(&test)), (Duration::ZERO, None));
    let mut owner = Owner::of("accounts", opened, test.store());
    owner.commit(1, &[]).expect("it commits");
    let renewed = test.store().renew(&[("accounts", owner.revision.epoch)]);
    assert_eq!((renewed, lease(&test)), (Ok(vec![true]), None));
    owned(&test, "bob");
    is_refused(open(&test, "alice", Duration::ZERO, Nobody), "bob");
}

/// The others are told who.
pub fn of_many_that_want_a_free_reducer_one_gets_it<T: StoreUnderTest>(test: T) {
    let results: Vec<_> = thread::scope(|scope| {
        let test = &test;
        let open =
            |index: usize| move || (index, open(test, &format!("owner {index}"), HOUR, Nobody));
        let threads: Vec<_> = (0..4).map(|index| scope.spawn(open(index))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let (winners, losers): (Vec<_>, Vec<_>) =
        results.into_iter().partition(|(_, result)| result.is_ok());
    assert_eq!(winners.len(), 1, "{winners:?}");
    let winner = format!("owner {}", winners[0].0);
    assert_eq!(lease(&test).expect("it is owned").owner, winner);
    for (_, result) in losers {
        is_refused(result, &winner);
    }
}

/// So whoever is to wait learns at once that waiting would not help.
pub fn what_is_wrong_with_an_opening_is_said_before_whose_it_is<T: StoreUnderTest>(test: T) {
    let mut alice = owned(&test, "alice");
    alice.commit(1, &[]).expect("it commits");
    let newer = Opening { version: 2, ..opening("bob", HOUR, Nobody) };
    let refused = test.store().open(&newer);
    assert!(matches!(refused, Err(OpenError::VersionDiffers { .. })), "{refused:?}");
    let texts = Opening { kind: CursorKind::Text, ..opening("bob", HOUR, Nobody) };
    let refused = test.store().open(&texts);
    assert!(matches!(refused, Err(OpenError::CursorKindDiffers { .. })), "{refused:?}");
    alice.commit(2, &[]).expect("nobody has taken it");
}

/// No name is reserved, too long or mistaken for another.
pub fn an_owner_may_have_any_name<T: StoreUnderTest>(test: T) {
    let long = "n".repeat(1000);
    for name in ["", "it's", "\"quoted\"", "a b", "A B", "日本", "%", "_", &long] {
        open(&test, name, HOUR, TakeFrom::Anybody).expect("it takes it over");
        is_refused(open(&test, "nobody", HOUR, TakeFrom::Namesake), name);
        open(&test, name, HOUR, TakeFrom::Namesake).expect("it is the same");
    }
}

/// What a stand-by looks at, while somebody else commits.
pub fn rows_of_partitions_are_read_by_their_ids<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let mut other = Owner::open(test.store(), "other");
    other.commit(1, &[part("a", 77), part("d", 77)]).expect("it commits");
    let halted = part("ü", 3).halted_at(4);
    let parts = [part("a", 7), part("b", 12), part("", 5), halted, part("c", 9).unrecorded()];
    owner.commit(2, &parts).expect("it commits");
    let read = |ids: &[&str]| -> Vec<(String, Cursor, bool)> {
        let ids: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        let found = test.store().records("accounts", &ids).expect("readable");
        let row =
            |row: PartitionRecord| (row.partition.to_string(), row.cursor, row.halt.is_some());
        found.into_iter().map(row).collect()
    };
    assert_eq!(read(&[]), []);
    assert_eq!(read(&["c", "d", "A"]), [], "none of them has a row");
    assert_eq!(
        read(&["ü", "b", "a", "b", "", "d"]),
        [
            (String::new(), 5.into(), false),
            ("a".to_owned(), 7.into(), false),
            ("b".to_owned(), 12.into(), false),
            ("ü".to_owned(), 3.into(), true),
        ]
    );
    let many: Vec<_> = (0..40_000).map(|id| format!("{id}")).collect();
    let mut many: Vec<_> = many.iter().map(String::as_str).collect();
    many.push("a");
    assert_eq!(read(&many), [("a".to_owned(), 7.into(), false)]);
    let unknown = test.store().records("nothing", &["a".into()]);
    assert_eq!(unknown, Ok(vec![]));
}

/// So whoever waits elsewhere asks which, only if there are any.
pub fn a_store_tells_whether_events_were_skipped<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    let skips = || test.store().stored("accounts").expect("readable").expect("known").skips;
    owner.commit(1, &[part("a", 1)]).expect("it commits");
    assert!(!skips());
    owner.commit(2, &[part("a", 2).skipping([2])]).expect("it commits");
    assert!(skips());
}
