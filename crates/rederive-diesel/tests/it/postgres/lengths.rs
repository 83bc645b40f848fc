//! Names, ids and cursors at the length of what an index of PostgreSQL's holds, and beyond.

use rederive_core::{
    Change, CommitError, Cursor, CursorKind, EffectKey, FailureKind, Op, Opening, PartitionId,
    PartitionWrite, ReducerWrite, Revision, RowOp, Skip, SkippedBy, Store, Timestamp,
    effect::OUTBOX,
};
use rederive_diesel::PostgresStore;
use rederive_testkit::Seed;

use super::scratch::Scratch;

/// Text that cannot be compressed.
fn noise(length: usize) -> String {
    let mut rng = Seed(7).rng();
    (0..length).map(|_| char::from(u8::try_from(rng.range(33..127)).unwrap())).collect()
}

/// Commits at this cursor, in this partition, with an effect or a skip.
struct Commit<'c> {
    reducer: &'c str,
    revision: Revision,
    partition: &'c PartitionId,
    cursor: Cursor,
}

impl Commit<'_> {
    fn run(&self, store: &PostgresStore, effect: bool, skip: bool) -> Result<(), CommitError> {
        let Self { reducer, partition, cursor, .. } = self;
        let key = EffectKey {
            partition: PartitionId::clone(partition),
            cursor: cursor.clone(),
            number: 0,
        };
        let change = Change::Insert(vec![(4, "effect".into())]);
        let effects = [Op::Row(RowOp { table: &OUTBOX, key: key.row(reducer), change })];
        let skipped = Skip {
            cursor: cursor.clone(),
            kind: FailureKind::Rejected,
            message: String::new(),
            attempts: 1,
            time: Timestamp::from_micros(0),
            by: SkippedBy::Operator,
        };
        let write = PartitionWrite {
            partition,
            ops: if effect { &effects } else { &[] },
            cursor,
            guard: None,
            halt: None,
            skips: if skip { vec![&skipped] } else { Vec::new() },
            record: true,
            reset: false,
        };
        store.writer().unwrap().commit(&[ReducerWrite {
            reducer,
            revision: self.revision,
            watermark: cursor,
            partitions: vec![write],
            skips: Vec::new(),
        }])
    }
}

#[test]
fn names_ids_and_cursors_of_the_greatest_length_are_stored_together() {
    let scratch = Scratch::new("");
    let store = scratch.db.store();
    let reducer = noise(200);
    let opened = store.open(&Opening::new(&reducer, 1, CursorKind::Text)).unwrap();
    let partition = PartitionId::from(noise(5000));
    // One more is the letter that tells its kind.
    let cursor = Cursor::from(noise(1299));
    let commit =
        Commit { reducer: &reducer, revision: opened.revision, partition: &partition, cursor };
    commit.run(&store, true, true).unwrap();
    let effects = store.outbox().effects(&reducer, opened.revision.epoch, None, 9).unwrap();
    assert_eq!(effects[0].key.cursor, commit.cursor);
    assert_eq!(effects[0].key.partition, partition);
    assert_eq!(store.skips(&reducer, None, 9).unwrap()[0].skip.cursor, commit.cursor);
}

#[test]
fn a_name_that_no_index_holds_is_refused_when_its_reducer_is_opened() {
    let scratch = Scratch::new("");
    let store = scratch.db.store();
    for name in ["x".repeat(201), "\0".repeat(101)] {
        let opening = Opening::new(&name, 1, CursorKind::Integer);
        for refused in [store.open(&opening), store.reset(&opening, &Cursor::Start)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("bytes") && said.contains("200"), "{said}");
        }
        assert_eq!(store.stored(&name).unwrap(), None);
    }
}

#[test]
fn a_cursor_that_no_index_holds_is_refused_where_it_would_stand_in_one() {
    let scratch = Scratch::new("");
    let store = scratch.db.store();
    let opened = store.open(&Opening::new("r", 1, CursorKind::Text)).unwrap();
    let (partition, cursor) = (PartitionId::from("p"), Cursor::from(noise(1300)));
    let commit = Commit { reducer: "r", revision: opened.revision, partition: &partition, cursor };
    for (effect, skip) in [(true, false), (false, true)] {
        match commit.run(&store, effect, skip) {
            Err(CommitError::Rejected { message, .. }) => {
                assert!(message.contains("cursor has 1301 bytes"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    commit.run(&store, false, false).unwrap();
    assert_eq!(store.stored("r").unwrap().unwrap().watermark, commit.cursor);
}
