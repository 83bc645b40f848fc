//! Effects in the outbox.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{
    Change, CursorKind, DeliveryFailure, EffectKey, EffectMarks, EffectRecord, EffectsError, Op,
    Opening, OutboxCounts, OwnedTable, Parked, PartitionId, RowOp, Store, Timestamp,
    effect::OUTBOX,
};

use super::{
    StoreUnderTest,
    owner::{Owner, Part, part},
};

fn key(partition: &str, cursor: u64, number: u32) -> EffectKey {
    EffectKey { partition: partition.into(), cursor: cursor.into(), number }
}

/// The op by which a reducer emits an effect.
fn emit(owner: &Owner, key: &EffectKey, effect: &str) -> Op {
    let change = Change::Insert(vec![(4, effect.into())]);
    Op::Row(RowOp { table: &OUTBOX, key: key.row(&owner.reducer), change })
}

/// Commits these effects; the effect of each key is its text.
fn commit(owner: &mut Owner, keys: &[EffectKey]) {
    let parts: Vec<Part> = keys
        .chunk_by(|a, b| a.partition == b.partition)
        .map(|of| {
            let ops: Vec<_> = of.iter().map(|key| emit(owner, key, &key.text("r"))).collect();
            part(of[0].partition.clone(), 1).unrecorded().ops(ops)
        })
        .collect();
    let watermark = owner.watermark.clone();
    owner.commit(watermark, &parts).expect("it commits");
}

fn parked(message: &str) -> Parked {
    Parked::new(DeliveryFailure::TimedOut, message, 7, Timestamp::from_micros(-5))
}

fn delivered(keys: &[EffectKey]) -> EffectMarks {
    EffectMarks { delivered: keys.to_vec(), ..EffectMarks::default() }
}

fn keys(records: Vec<EffectRecord>) -> Vec<EffectKey> {
    records.into_iter().map(|record| record.key).collect()
}

fn all(store: &impl Store, owner: &Owner) -> Vec<EffectRecord> {
    let outbox = store.outbox();
    outbox.effects(&owner.reducer, owner.revision.epoch, None, 10_000).expect("it can be read")
}

/// With every field, and those of other reducers are not among them.
pub fn effects_are_read_in_the_order_of_their_keys<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    let mut other = Owner::open(test.store(), "mails2");
    let expected = [
        key("", 5, 0),
        key("B", 1, 0),
        key("a", 2, 0),
        key("a", 9, 0),
        key("a", 9, 1),
        key("a", 9, 10),
        key("a", 10, 0),
        key("it's", 3, 0),
        key("ü", 1, 0),
    ];
    let mut shuffled = expected.to_vec();
    shuffled.reverse();
    commit(&mut owner, &shuffled);
    commit(&mut other, &[key("a", 1, 0), key("z", 1, 0)]);
    let record =
        |key: &EffectKey| EffectRecord { key: key.clone(), effect: key.text("r"), parked: None };
    assert_eq!(all(test.store(), &owner), expected.iter().map(record).collect::<Vec<_>>());
    let epoch = owner.revision.epoch;
    let page = |after: &str, limit| {
        let after = PartitionId::from(after);
        let page = test.store().outbox().effects("mails", epoch, Some(&after), limit);
        keys(page.expect("it can be read"))
    };
    assert_eq!(page("B", 2), expected[2..4]);
    assert_eq!(page("a", 9), expected[7..]);
    assert_eq!(page("", 1), expected[1..2]);
    assert_eq!(page("ü", 9), []);
}

/// Delivered ones are gone, parked ones say why, and marking what is not there does nothing.
pub fn effects_are_marked_in_one_transaction<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    let emitted: Vec<_> = (1..=200).map(|cursor| key("a", cursor, 0)).collect();
    commit(&mut owner, &emitted);
    let why = parked("it's \"late\"\n🦀");
    let marks = EffectMarks {
        delivered: emitted[..150].iter().cloned().chain([key("a", 1, 9)]).collect(),
        parked: vec![(emitted[150].clone(), why.clone()), (key("b", 1, 0), why.clone())],
    };
    let epoch = owner.revision.epoch;
    test.store().outbox().mark("mails", epoch, &marks).expect("it marks");
    let left = all(test.store(), &owner);
    assert_eq!(left[0].parked, Some(why));
    assert!(left[1..].iter().all(|record| record.parked.is_none()));
    assert_eq!(keys(left), emitted[150..]);
    test.store().outbox().mark("mails", epoch, &marks).expect("again does no harm");
    let counts = test.store().outbox().counts("mails", u64::MAX).expect("it counts");
    assert_eq!(counts, OutboxCounts { pending: 49, parked: 1 });
    let counts = test.store().outbox().counts("mails", 20).expect("it counts");
    assert_eq!(counts, OutboxCounts { pending: 20, parked: 1 }, "no further than asked for");
    let counts = test.store().outbox().counts("others", u64::MAX).expect("it counts");
    assert_eq!(counts, OutboxCounts::default());
}

/// An owner of another epoch reads nothing and marks nothing.
pub fn the_outbox_is_fenced_by_the_epoch<T: StoreUnderTest>(test: T) {
    let mut first = Owner::open(test.store(), "mails");
    commit(&mut first, &[key("a", 1, 0)]);
    let second = Owner::open(test.store(), "mails");
    let (outbox, marks) = (test.store().outbox(), delivered(&[key("a", 1, 0)]));
    let epoch = first.revision.epoch;
    assert_eq!(outbox.effects("mails", epoch, None, 9), Err(EffectsError::Fenced));
    assert_eq!(outbox.mark("mails", epoch, &marks), Err(EffectsError::Fenced));
    assert_eq!(keys(all(test.store(), &second)), [key("a", 1, 0)]);
    assert_eq!(outbox.effects("others", epoch, None, 9), Err(EffectsError::Fenced));
    outbox.mark("mails", second.revision.epoch, &marks).expect("it marks");
    assert_eq!(all(test.store(), &second), []);
}

/// With all that is stored of it.
pub fn a_forgotten_reducer_has_no_effects<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    commit(&mut owner, &[key("a", 1, 0), key("b", 1, 0)]);
    let mut other = Owner::open(test.store(), "others");
    commit(&mut other, &[key("a", 1, 0)]);
    assert_eq!(test.store().forget("mails"), Ok(true));
    let pending = |of: &str| test.store().outbox().counts(of, u64::MAX).expect("it counts").pending;
    assert_eq!((pending("mails"), pending("others")), (0, 1));
}

/// They are ops like any others.
pub fn a_rejected_commit_leaves_no_effect<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    let (first, again) = (key("a", 1, 0), key("a", 2, 0));
    commit(&mut owner, std::slice::from_ref(&first));
    let ops = [emit(&owner, &again, "1"), emit(&owner, &first, "2")];
    owner.is_refused(ops);
    let left = all(test.store(), &owner);
    assert_eq!(left[0].effect, first.text("r"));
    assert_eq!(keys(left), [first]);
}

/// Page by page, and only those.
pub fn parked_effects_are_listed_redelivered_and_dropped<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    let emitted = [key("a", 1, 0), key("a", 2, 0), key("a", 2, 1), key("b", 1, 0), key("c", 1, 0)];
    commit(&mut owner, &emitted);
    let park = |index: usize| (emitted[index].clone(), parked("no"));
    let marks = EffectMarks { delivered: Vec::new(), parked: vec![park(0), park(2), park(3)] };
    let outbox = test.store().outbox();
    outbox.mark("mails", owner.revision.epoch, &marks).expect("it marks");
    let (mut listed, mut last) = (Vec::new(), None);
    loop {
        let page = outbox.parked("mails", last.as_ref(), 1).expect("it lists");
        let Some(record) = page.last() else { break };
        assert_eq!((page.len(), &record.parked), (1, &Some(parked("no"))));
        last = Some(record.key.clone());
        listed.extend(keys(page));
    }
    assert_eq!(listed, [emitted[0].clone(), emitted[2].clone(), emitted[3].clone()]);
    let verbs = |key: &EffectKey| {
        [outbox.redeliver("mails", key), outbox.drop_effect("mails", key)]
            .map(|done| done.expect("it can be written"))
    };
    assert_eq!(verbs(&emitted[2]), [true, false], "what is not parked is not dropped");
    assert_eq!(verbs(&emitted[4]), [false, false]);
    assert_eq!(verbs(&key("z", 1, 0)), [false, false]);
    assert_eq!(outbox.drop_effect("mails", &emitted[0]), Ok(true));
    assert_eq!(outbox.drop_effect("others", &emitted[3]), Ok(false));
    let left = all(test.store(), &owner);
    assert_eq!(left.iter().filter(|record| record.parked.is_some()).count(), 1);
    assert_eq!(keys(left), emitted[1..]);
}

/// As when derived state is built anew: up to where each partition stood.
pub fn what_was_emitted_before_a_reset_is_not_emitted_again<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "mails");
    commit(&mut owner, &[key("a", 7, 0)]);
    let parts = [part("ahead", 12), part("halted", 3).halted_at(4), part("both", 11).halted_at(13)];
    owner.commit(9, &parts).expect("it commits");
    let tables = [OwnedTable::new(test.things())];
    let opening = || Opening { tables: &tables, ..Opening::new("mails", 1, CursorKind::Integer) };
    let anew = |target: u64| {
        let opened = test.store().reset(&opening(), &target.into()).expect("it is reset");
        Owner::of("mails", opened, test.store())
    };
    let mut owner = anew(20);
    let emitted: Vec<_> = ["a", "ahead", "both", "halted", "new"]
        .iter()
        .flat_map(|partition| (1..=14).map(|cursor| key(partition, cursor, 0)))
        .collect();
    commit(&mut owner, &emitted);
    let later = |partition: &str, after: u64| {
        (after + 1..=14).map(|cursor| key(partition, cursor, 0)).collect::<Vec<_>>()
    };
    let expected = [
        vec![key("a", 7, 0)],
        later("a", 9),
        later("ahead", 12),
        later("both", 11),
        later("halted", 3),
        later("new", 9),
    ];
    assert_eq!(keys(all(test.store(), &owner)), expected.concat());
    // A reset in the midst of it forgets nothing of that.
    let marks = delivered(&expected.concat());
    test.store().outbox().mark("mails", owner.revision.epoch, &marks).expect("it marks");
    owner.commit(5, &[part("halted", 8)]).expect("it commits");
    let mut owner = anew(20);
    commit(&mut owner, &emitted);
    let expected =
        [later("a", 9), later("ahead", 12), later("both", 11), later("halted", 8), later("new", 9)];
    assert_eq!(keys(all(test.store(), &owner)), expected.concat());
    // A partition by itself: up to where it stood, which nobody else is told.
    test.store().outbox().mark("mails", owner.revision.epoch, &delivered(&emitted)).expect("2");
    owner.commit(6, &[part("a", 13)]).expect("it commits");
    let ops = |partition: &str| {
        let keys = (1..=14).map(|cursor| key(partition, cursor, 0));
        keys.map(|key| emit(&owner, &key, "1")).collect::<Vec<_>>()
    };
    let parts =
        [Part { reset: true, ..part("a", 2).ops(ops("a")) }, part("new", 9).ops(ops("new"))];
    owner.commit(6, &parts).expect("it commits");
    let expected = [later("a", 13), later("new", 9)];
    assert_eq!(keys(all(test.store(), &owner)), expected.concat());
}
