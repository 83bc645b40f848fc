//! `Store::reset` and what follows from it: rebuilding until the target is reached.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{
    Change, CommitError, Cursor, CursorKind, OpenError, Opened, Opening, OwnedTable, Store, Table,
    Value,
};

use super::{
    StoreUnderTest,
    owner::{Owner, op, part, set},
};

const CREATE_THINGS: &str = "CREATE TABLE things (
    id TEXT PRIMARY KEY NOT NULL, small SMALLINT, middle INTEGER, big BIGINT,
    real DOUBLE PRECISION, flag BOOLEAN, name TEXT, data BYTEA)";

fn opening<'a>(reducer: &'a str, version: u32, tables: &'a [OwnedTable]) -> Opening<'a> {
    Opening { tables, ..Opening::new(reducer, version, CursorKind::Integer) }
}

fn open<T: StoreUnderTest>(test: &T, version: u32, tables: &[OwnedTable]) -> Opened {
    test.store().open(&opening("accounts", version, tables)).expect("it opens")
}

fn reset<T: StoreUnderTest>(test: &T, version: u32, tables: &[OwnedTable], target: u64) -> Owner {
    let opened = test.store().reset(&opening("accounts", version, tables), &target.into());
    Owner::of("accounts", opened.expect("it is reset"), test.store())
}

fn insert(table: &'static Table, id: &str) -> rederive_core::Op {
    op(table, [id], Change::Insert(vec![]))
}

/// A reducer that has come to 9, with a row, a partition ahead and a halted one.
fn built<T: StoreUnderTest>(test: &T, tables: &[OwnedTable]) -> Owner {
    let mut owner = Owner::of("accounts", open(test, 1, tables), test.store());
    let parts = [
        part("a", 12).ops([insert(test.things(), "old")]),
        part("b", 3).halted_at(4).ops([op(test.tags(), ["kept"], Change::Insert(vec![]))]),
    ];
    owner.commit(9, &parts).expect("it commits");
    owner
}

/// Rows, watermark and partitions are gone, the version is the new one, the former owner is out.
pub fn a_reset_empties_the_tables_and_forgets_all_progress<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut former = built(&test, &tables);
    let opened = test.store().reset(&opening("accounts", 2, &tables), &30.into());
    let opened = opened.expect("it is reset");
    assert_eq!((&opened.watermark, &opened.partitions[..]), (&Cursor::Start, &[][..]));
    assert!(opened.revision.epoch > former.revision.epoch, "the epoch was not raised");
    assert_eq!(opened.rebuilding, Some(30.into()));
    assert_eq!(test.rows(test.things()), Vec::<Vec<Value>>::new());
    assert!(matches!(former.commit(10, &[]), Err(CommitError::Fenced { .. })));
    assert_eq!(test.store().halted("accounts", None, 10), Ok(Vec::new()));
    let refused = test.store().open(&opening("accounts", 1, &tables));
    assert!(matches!(refused, Err(OpenError::VersionDiffers { stored: 2, .. })), "{refused:?}");
}

/// Tables that the reducer does not declare, and other reducers, stay as they are.
pub fn a_reset_leaves_alone_what_is_not_the_reducers<T: StoreUnderTest>(test: T) {
    built(&test, &[OwnedTable::new(test.things())]);
    let mut other = Owner::open(test.store(), "other");
    other.commit(7, &[part("a", 8)]).expect("it commits");
    reset(&test, 1, &[OwnedTable::new(test.things())], 30);
    assert_eq!(test.rows(test.tags()), [["kept".into()]]);
    other.commit(8, &[]).expect("it is still its owner");
    let opened = test.store().open(&Opening::new("other", 1, CursorKind::Integer));
    assert_eq!(opened.expect("it opens").partitions.len(), 0, "8 is reached");
}

/// However far it came, an opening says that it is not complete, until a commit reaches the target.
pub fn a_reducer_is_rebuilding_until_the_watermark_reaches_the_target<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut owner = reset(&test, 2, &tables, 30);
    owner.commit(29, &[part("a", 40)]).expect("it commits");
    let opened = open(&test, 2, &tables);
    assert_eq!(opened.rebuilding, Some(30.into()), "it was taken for complete");
    assert_eq!(opened.watermark, Cursor::from(29));
    let stored = test.store().stored("accounts").expect("readable").expect("known");
    assert_eq!((stored.version, stored.rebuilding), (2, Some(30.into())));
    let mut owner = Owner::of("accounts", opened, test.store());
    owner.commit(31, &[]).expect("it commits");
    assert_eq!(open(&test, 2, &tables).rebuilding, None);
    let stored = test.store().stored("accounts").expect("readable").expect("known");
    assert_eq!((stored.watermark, stored.rebuilding), (31.into(), None));
}

/// The comparison is that of cursors: 9 is before 10.
pub fn the_target_is_compared_as_a_cursor<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut owner = reset(&test, 1, &tables, 10);
    owner.commit(9, &[]).expect("it commits");
    assert_eq!(open(&test, 1, &tables).rebuilding, Some(10.into()));
    let mut owner = reset(&test, 1, &tables, 10);
    owner.commit(10, &[]).expect("it commits");
    assert_eq!(open(&test, 1, &tables).rebuilding, None);
}

/// Of an empty log, for instance.
pub fn a_rebuild_with_nothing_to_do_is_over_at_once<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let opened = test.store().reset(&opening("accounts", 1, &tables), &Cursor::Start);
    assert_eq!(opened.expect("it is reset").rebuilding, None);
    assert_eq!(open(&test, 1, &tables).rebuilding, None);
}

/// It need not have been opened before.
pub fn a_reducer_that_is_not_known_can_be_reset<T: StoreUnderTest>(test: T) {
    assert_eq!(test.store().stored("accounts"), Ok(None));
    let tables = [OwnedTable::new(test.things())];
    let mut owner = reset(&test, 3, &tables, 2);
    owner.commit(2, &[]).expect("it commits");
    assert_eq!(open(&test, 3, &tables).watermark, Cursor::from(2));
}

/// What a reducer follows after a reset may be a log of another kind.
pub fn a_reset_forgets_the_kind_of_the_log<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    built(&test, &tables);
    let texts = Opening { kind: CursorKind::Text, ..opening("accounts", 1, &tables) };
    assert!(matches!(test.store().open(&texts), Err(OpenError::CursorKindDiffers { .. })));
    test.store().reset(&texts, &"b".into()).expect("it is reset");
    assert_eq!(test.store().open(&texts).expect("it opens").rebuilding, Some("b".into()));
}

/// A table that a reducer creates is there once it is opened, and new after a reset.
pub fn a_table_that_the_reducer_creates_is_created_once<T: StoreUnderTest>(test: T) {
    let statements = CREATE_THINGS.replace("BYTEA", test.binary());
    let tables = [OwnedTable::new(test.things()).create(statements)];
    let opened = test.store().open(&opening("accounts", 1, &tables)).expect("it opens");
    let mut owner = Owner::of("accounts", opened, test.store());
    owner.apply([insert(test.things(), "a")]).expect("it commits");
    open(&test, 1, &tables);
    assert_eq!(test.rows(test.things()).len(), 1, "opening it again created it anew");
    let mut owner = reset(&test, 1, &tables, 30);
    assert_eq!(test.rows(test.things()), Vec::<Vec<Value>>::new());
    owner.apply([insert(test.things(), "b")]).expect("it can be written");
    assert_eq!(test.rows(test.things()).len(), 1);
}

/// The error names both; nothing is changed for either.
pub fn a_table_of_another_reducer_is_refused<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut owner = built(&test, &tables);
    let taken = OpenError::TableTaken {
        reducer: "thief".to_owned(),
        table: test.things().name.to_owned(),
        owner: "accounts".to_owned(),
    };
    let thief = opening("thief", 1, &tables);
    assert_eq!(test.store().open(&thief), Err(taken.clone()));
    assert_eq!(test.store().reset(&thief, &5.into()), Err(taken));
    assert_eq!(test.store().stored("thief"), Ok(None));
    assert_eq!(test.rows(test.things()).len(), 1);
    owner.commit(10, &[]).expect("its owner was fenced by a refused one");
}

/// Then its tables are free again, and those it created are gone.
pub fn what_is_forgotten_leaves_nothing_behind<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut owner = built(&test, &tables);
    assert_eq!(test.store().forget("accounts"), Ok(true));
    assert_eq!(test.store().forget("accounts"), Ok(false));
    assert_eq!(test.store().stored("accounts"), Ok(None));
    assert!(matches!(owner.commit(10, &[]), Err(CommitError::Fenced { .. })));
    assert_eq!(test.rows(test.things()).len(), 1, "a table that it only used was emptied");
    test.store().open(&opening("heir", 1, &tables)).expect("the table is free");
}

/// A refused declaration leaves the reducer as it was, at an opening and at a reset.
pub fn a_declaration_that_cannot_be_is_refused<T: StoreUnderTest>(test: T) {
    let tables = [OwnedTable::new(test.things())];
    let mut owner = built(&test, &tables);
    let bad = [OwnedTable::new(test.things()).partitioned_by("nothing")];
    for refused in [
        test.store().open(&opening("accounts", 1, &bad)),
        test.store().reset(&opening("accounts", 1, &bad), &5.into()),
    ] {
        assert!(matches!(refused, Err(OpenError::TableDiffers { .. })), "{refused:?}");
    }
    assert_eq!(test.rows(test.things()).len(), 1);
    owner.commit(10, &[]).expect("its owner was fenced by a refused one");
}

/// Its rows are deleted, whatever the type of the column, and it stands where the write says.
pub fn a_partition_can_be_reset_alone<T: StoreUnderTest>(test: T) {
    let tables = [
        OwnedTable::new(test.things()).partitioned_by("big"),
        OwnedTable::new(test.tags()).partitioned_by("tag"),
    ];
    let mut owner = Owner::of("accounts", open(&test, 1, &tables), test.store());
    let thing = |id: &str, of: i64| {
        op(test.things(), [id], Change::Insert(set(test.things(), [("big", of.into())])))
    };
    let tag = |id: &str| insert(test.tags(), id);
    let parts = [
        part("7", 12).ops([thing("a", 7), thing("b", 7), tag("7")]),
        part("77", 12).ops([thing("c", 77), tag("77"), tag("07")]),
    ];
    owner.commit(9, &parts).expect("it commits");
    let mut part = part("7", Cursor::Start).halted_at(Cursor::Start).guard(1);
    part.reset = true;
    owner.commit(9, &[part]).expect("it commits");
    let ids: Vec<_> = test.rows(test.things()).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(ids, ["c".into()]);
    let mut tags: Vec<_> = test.rows(test.tags()).into_iter().map(|row| row[0].clone()).collect();
    tags.sort_unstable_by_key(ToString::to_string);
    assert_eq!(tags, ["07".into(), "77".into()]);
    let opened = open(&test, 1, &tables);
    let reset = opened.partitions.iter().find(|row| row.partition.as_str() == "7");
    assert_eq!(reset.map(|row| &row.cursor), Some(&Cursor::Start));
}
