use rederive_core::{
    CursorKind, Failure, FailureKind, MemoryStore, Opening, PartitionWrite, ReducerWrite, Revision,
    Skip, SkippedBy, Timestamp, Writer,
};

use super::*;

/// A reducer that somebody else owns and writes.
struct Owned {
    store: MemoryStore,
    revision: Revision,
}

fn failure(cursor: u64) -> Failure {
    Failure { cursor: cursor.into(), kind: FailureKind::Reduce, message: "it fails".to_owned() }
}

impl Owned {
    fn new() -> Self {
        let store = MemoryStore::new();
        let opened = store.open(&Opening::new("accounts", 1, CursorKind::Integer));
        let revision = opened.expect("it opens").revision;
        Self { store, revision }
    }

    /// Commits the watermark and rows: a partition, its cursor, the event that halts it, and one that
    /// it skips.
    fn commit(&mut self, watermark: u64, rows: &[(&str, u64, Option<u64>, Option<u64>)]) {
        self.pass(watermark, rows, &[]);
    }

    /// The same and events that are passed without a partition.
    fn pass(
        &mut self,
        watermark: u64,
        rows: &[(&str, u64, Option<u64>, Option<u64>)],
        passed: &[u64],
    ) {
        let halt = |cursor| Halt::new(failure(cursor), 1, Timestamp::default());
        let skip = |cursor| Skip::new(failure(cursor), 1, Timestamp::default(), SkippedBy::Policy);
        let passed: Vec<_> = passed.iter().copied().map(skip).collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|&(id, cursor, halted, skipped)| {
                let (id, cursor) = (PartitionId::from(id), Cursor::from(cursor));
                (id, cursor, halted.map(halt), skipped.map(skip))
            })
            .collect();
        let partitions = rows.iter().map(|(partition, cursor, halt, skip)| PartitionWrite {
            partition,
            ops: &[],
            cursor,
            guard: None,
            halt: halt.as_ref(),
            skips: skip.iter().collect(),
            record: true,
            reset: false,
        });
        let write = ReducerWrite {
            reducer: "accounts",
            revision: self.revision,
            watermark: &watermark.into(),
            partitions: partitions.collect(),
            skips: passed.iter().collect(),
        };
        self.store.commit(&[write]).expect("it commits");
        self.revision = self.revision.next();
    }

    fn see(&self, awaited: &[(u64, &[&str])]) -> Vec<Option<Outcome>> {
        let awaited: Vec<_> = awaited
            .iter()
            .map(|(cursor, partitions)| Awaited {
                cursor: (*cursor).into(),
                partitions: partitions.iter().map(|id| PartitionId::from(*id)).collect(),
            })
            .collect();
        Sight::take(&self.store, "accounts", &awaited, false).expect("readable").outcomes
    }
}

fn is_halted_at(outcome: Option<&Option<Outcome>>, cursor: u64) -> bool {
    matches!(outcome, Some(Some(Outcome::Halted(halt))) if halt.cursor == cursor.into())
}

#[test]
fn an_event_is_done_when_all_its_partitions_have_passed_it() {
    let mut owned = Owned::new();
    owned.commit(3, &[("a", 7, None, None), ("b", 5, None, None)]);
    let seen = owned.see(&[(3, &["x"]), (7, &["a"]), (5, &["a", "b"])]);
    assert_eq!(seen, [Some(Outcome::Done), Some(Outcome::Done), Some(Outcome::Done)]);
    assert_eq!(owned.see(&[(4, &["x"]), (8, &["a"]), (6, &["a", "b"])]), [None, None, None]);
}

#[test]
fn a_row_that_stays_behind_says_nothing_against_the_watermark() {
    let mut owned = Owned::new();
    owned.commit(1, &[("a", 2, None, None)]);
    owned.commit(9, &[]);
    assert_eq!(owned.see(&[(9, &["a"]), (10, &["a"])]), [Some(Outcome::Done), None]);
}

#[test]
fn what_a_halted_partition_holds_is_halted_though_the_watermark_has_passed_it() {
    let mut owned = Owned::new();
    owned.commit(9, &[("a", 4, Some(5), None)]);
    let seen = owned.see(&[(4, &["a"]), (5, &["a"]), (9, &["b", "a"]), (20, &["a", "b"])]);
    assert_eq!(seen[0], Some(Outcome::Done));
    assert!((1..4).all(|at| is_halted_at(seen.get(at), 5)), "{seen:?}");
}

#[test]
fn a_skipped_event_is_told_as_one_for_the_partition_that_skipped_it() {
    let mut owned = Owned::new();
    owned.commit(3, &[("a", 5, None, Some(5))]);
    let seen = owned.see(&[(5, &["a"]), (5, &["b"]), (3, &["a"]), (5, &["b", "a"])]);
    let skipped =
        |at: usize| matches!(&seen[at], Some(Outcome::Skipped(skip)) if skip.cursor == 5.into());
    assert!(skipped(0) && skipped(3), "{seen:?}");
    assert_eq!((&seen[1], &seen[2]), (&None, &Some(Outcome::Done)));
}

#[test]
fn an_event_that_was_passed_without_a_partition_is_skipped_once_the_watermark_has_passed_it() {
    let mut owned = Owned::new();
    owned.commit(4, &[("a", 9, None, None)]);
    assert_eq!(owned.see(&[(5, &[])]), [None]);
    owned.pass(5, &[], &[5]);
    let seen = owned.see(&[(5, &[]), (4, &[])]);
    assert!(
        matches!(&seen[0], Some(Outcome::Skipped(skip)) if skip.cursor == 5.into()),
        "{seen:?}"
    );
    assert_eq!(seen[1], Some(Outcome::Done));
}

#[test]
fn a_halt_is_looked_for_only_if_somebody_asks() {
    let mut owned = Owned::new();
    owned.commit(9, &[("a", 4, Some(5), None)]);
    let look = |halts| Sight::take(&owned.store, "accounts", &[], halts).expect("readable").halt;
    assert_eq!(look(false), None);
    assert_eq!(look(true).flatten().map(|halt| halt.cursor.clone()), Some(5.into()));
    owned.commit(9, &[("a", 9, None, None)]);
    assert_eq!(
        Sight::take(&owned.store, "accounts", &[], true).expect("readable").halt,
        Some(None)
    );
}

#[test]
fn of_a_reducer_that_was_forgotten_nothing_is_known() {
    let owned = Owned::new();
    owned.store.forget("accounts").expect("writable");
    assert_eq!(owned.see(&[(1, &["a"])]), [None]);
}
