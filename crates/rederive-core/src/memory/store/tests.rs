//! What only a store in memory does; `rederive-testkit` runs the suite for all stores over it.

use super::*;
use crate::{Change, ColumnKind, CursorKind, CustomOp, Op, PartitionWrite, RowOp};

static ROWS: Table = Table::new(
    "rows",
    &[("id", ColumnKind::Text), ("n", ColumnKind::BigInt), ("small", ColumnKind::SmallInt)],
    &[0],
);

fn op(id: &str, change: Change) -> Op {
    Op::Row(RowOp { table: &ROWS, key: [id.into()].into_iter().collect(), change })
}

fn commit(store: &MemoryStore, ops: &[Op]) -> Result<(), CommitError> {
    let mut writer = store.clone();
    let revision = writer.revision("r").expect("it tells").expect("it was opened");
    let (partition, cursor) = (PartitionId::from("p"), Cursor::from(1));
    let partitions = vec![PartitionWrite {
        partition: &partition,
        ops,
        cursor: &cursor,
        guard: None,
        halt: None,
        skips: Vec::new(),
        record: true,
        reset: false,
    }];
    writer.commit(&[ReducerWrite {
        reducer: "r",
        revision,
        watermark: &cursor,
        partitions,
        skips: vec![],
    }])
}

fn opened() -> MemoryStore {
    let store = MemoryStore::new();
    store.open(&Opening::new("r", 1, CursorKind::Integer)).expect("it opens");
    store
}

#[test]
fn a_rejected_op_takes_back_every_change_before_it() {
    let store = opened();
    let first = [
        op("kept", Change::Insert(vec![(1, 1.into())])),
        op("changed", Change::Insert(vec![(1, 5.into())])),
        op("deleted", Change::Insert(vec![])),
    ];
    commit(&store, &first).expect("it commits");
    let before = store.rows(&ROWS);
    let second = [
        op("changed", Change::Increment(1, 1.into())),
        op("changed", Change::Update(vec![(1, 9.into()), (2, 1.into())])),
        op("deleted", Change::Delete),
        op("deleted", Change::Insert(vec![(1, 7.into())])),
        op("new", Change::Upsert(vec![(1, 1.into())])),
        op("new", Change::Delete),
        op("absent", Change::Delete),
        op("kept", Change::Insert(vec![])),
    ];
    let rejected = commit(&store, &second).expect_err("a row with that key exists");
    assert!(rejected.to_string().contains("already has a row with key 'kept'"), "{rejected}");
    assert_eq!(store.rows(&ROWS), before);
}

#[test]
fn a_custom_op_is_rejected_and_named() {
    #[derive(Debug)]
    struct RefreshTheView;
    impl CustomOp for RefreshTheView {}
    let store = opened();
    let ops = [op("a", Change::Insert(vec![])), Op::Custom(Arc::new(RefreshTheView))];
    let rejected = commit(&store, &ops).expect_err("it is not known");
    assert!(rejected.to_string().contains("RefreshTheView"), "{rejected}");
    assert!(store.rows(&ROWS).is_empty());
}

#[test]
fn an_increment_from_null_overflows_as_any_other() {
    let store = opened();
    commit(&store, &[op("a", Change::Insert(vec![]))]).expect("it commits");
    let over = i64::from(i16::MAX) + 1;
    let rejected = commit(&store, &[op("a", Change::Increment(2, over.into()))]);
    assert!(rejected.is_err_and(|error| error.to_string().contains("overflows")));
    assert_eq!(store.row(&ROWS, ["a".into()]), Some(vec!["a".into(), Value::Null, Value::Null]));
}

#[test]
fn clones_share_the_rows_and_have_one_identity() {
    let store = opened();
    let clone = store.clone();
    commit(&store, &[op("a", Change::Insert(vec![]))]).expect("it commits");
    assert_eq!(clone.rows(&ROWS).len(), 1);
    assert_eq!(clone.identity(), store.identity());
    assert_ne!(MemoryStore::new().identity(), store.identity());
}

#[test]
fn rows_ahead_of_the_watermark_tell_the_kind_of_the_log_too() {
    let store = opened();
    let mut writer = store.clone();
    let revision = writer.revision("r").expect("it tells").expect("it was opened");
    let (partition, cursor) = (PartitionId::from("p"), Cursor::from(3));
    let partitions = vec![PartitionWrite {
        partition: &partition,
        ops: &[],
        cursor: &cursor,
        guard: None,
        halt: None,
        skips: Vec::new(),
        record: true,
        reset: false,
    }];
    let watermark = &Cursor::Start;
    writer
        .commit(&[ReducerWrite { reducer: "r", revision, watermark, partitions, skips: vec![] }])
        .expect("it commits");
    let refused =
        store.open(&Opening::new("r", 1, CursorKind::Text)).expect_err("it followed another log");
    assert!(matches!(refused, OpenError::CursorKindDiffers { stored, .. } if stored == cursor));
    assert_eq!(writer.revision("r"), Ok(Some(revision.next())), "nothing was changed");
}
