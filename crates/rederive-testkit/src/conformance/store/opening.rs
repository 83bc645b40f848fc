//! `Store::open`.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Cursor, CursorKind, OpenError, Opening, Store};

use super::{
    StoreUnderTest,
    owner::{Owner, part},
};

/// Nothing is settled, and no partition is ahead.
pub fn a_new_reducer_stands_at_the_start<T: StoreUnderTest>(test: T) {
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    assert_eq!(opened.watermark, Cursor::Start);
    assert_eq!(opened.partitions, []);
    let mut writer = test.store().writer().expect("it gives a writer");
    assert_eq!(writer.revision("accounts"), Ok(Some(opened.revision)));
}

/// Which holds for a reducer that the store does not know, and for no other.
pub fn a_new_reducer_may_begin_later<T: StoreUnderTest>(test: T) {
    let opening = Opening { start: 7.into(), ..Opening::new("mails", 1, CursorKind::Integer) };
    assert_eq!(test.store().open(&opening).expect("it opens").watermark, Cursor::from(7));
    let later = Opening { start: 9.into(), ..opening };
    assert_eq!(test.store().open(&later).expect("it opens").watermark, Cursor::from(7));
}

/// Watermark, revision and partitions are those of the last commit, with the epoch raised.
pub fn progress_is_there_when_a_reducer_is_opened_again<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(5, &[part("a", 7), part("b", 12)]).expect("it commits");
    owner.commit(6, &[]).expect("it commits");
    let opened =
        test.store().open(&Opening::new("accounts", 1, CursorKind::Integer)).expect("it opens");
    assert_eq!(opened.watermark, Cursor::from(6));
    assert!(opened.revision.epoch > owner.revision.epoch, "the epoch was not raised");
    let mut rows: Vec<_> =
        opened.partitions.into_iter().map(|row| (row.partition, row.cursor, row.halt)).collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(rows, [("a".into(), 7.into(), None), ("b".into(), 12.into(), None)]);
}

/// Each has its own watermark, revision and partitions, of the same ids.
pub fn reducers_of_one_store_do_not_share_progress<T: StoreUnderTest>(test: T) {
    let mut first = Owner::open(test.store(), "first");
    let mut second = Owner::open(test.store(), "second");
    first.commit(3, &[part("a", 9)]).expect("it commits");
    second.commit(1, &[part("a", 4)]).expect("it commits");
    for (reducer, watermark, cursor) in [("first", 3, 9), ("second", 1, 4)] {
        let opened =
            test.store().open(&Opening::new(reducer, 1, CursorKind::Integer)).expect("it opens");
        assert_eq!(opened.watermark, Cursor::from(watermark), "{reducer}");
        let cursors: Vec<_> = opened.partitions.into_iter().map(|row| row.cursor).collect();
        assert_eq!(cursors, [Cursor::from(cursor)], "{reducer}");
    }
}

/// No name is reserved or mistaken for another, nor too long with up to 200 bytes.
pub fn a_reducer_may_have_any_name<T: StoreUnderTest>(test: T) {
    let long = "n".repeat(200);
    let names = ["", "it's", "\"quoted\"", "a b", "A B", "日本", "$version", "%", "_", &long];
    for (index, name) in names.into_iter().enumerate() {
        let mut owner = Owner::open(test.store(), name);
        assert_eq!(owner.watermark, Cursor::Start, "{name:?} was mistaken for another");
        owner.commit(index as u64 + 1, &[]).expect("it commits");
    }
    for (index, name) in names.into_iter().enumerate() {
        assert_eq!(Owner::open(test.store(), name).watermark, Cursor::from(index as u64 + 1));
    }
}

/// The error names both versions, and the owner of the stored one goes on.
pub fn another_version_is_refused_and_nothing_is_changed<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(5, &[]).expect("it commits");
    for current in [2, 0, u32::MAX] {
        let refused = test.store().open(&Opening::new("accounts", current, CursorKind::Integer));
        let reducer = "accounts".to_owned();
        assert_eq!(refused, Err(OpenError::VersionDiffers { reducer, stored: 1, current }));
    }
    owner.commit(6, &[]).expect("its owner was fenced by a refused one");
}

/// The error names the stored cursor, and the owner goes on. Without progress there is no kind yet.
pub fn a_log_of_another_kind_is_refused_and_nothing_is_changed<T: StoreUnderTest>(test: T) {
    for (reducer, kind, cursor, other) in [
        ("numbers", CursorKind::Integer, Cursor::from(5), CursorKind::Text),
        ("texts", CursorKind::Text, Cursor::from("5"), CursorKind::Integer),
        ("pairs", CursorKind::Pair, Cursor::from((5, 1)), CursorKind::Integer),
    ] {
        test.store().open(&Opening::new(reducer, 1, other)).expect("it has followed no log yet");
        let mut owner = Owner::open_kind(test.store(), reducer, kind);
        owner.commit(cursor.clone(), &[]).expect("it commits");
        let refused = test.store().open(&Opening::new(reducer, 1, other));
        let stored = cursor.clone();
        let reducer = reducer.to_owned();
        assert_eq!(refused, Err(OpenError::CursorKindDiffers { reducer, stored, current: other }));
        owner.commit(cursor, &[]).expect("its owner was fenced by a refused one");
    }
}

/// While the watermark is still at the start, the rows of partitions are all there is.
pub fn rows_ahead_of_the_watermark_tell_the_kind_of_the_log_too<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    owner.commit(Cursor::Start, &[part("a", 3)]).expect("it commits");
    let refused = test.store().open(&Opening::new("accounts", 1, CursorKind::Text));
    assert!(matches!(refused, Err(OpenError::CursorKindDiffers { .. })), "{refused:?}");
    owner.commit(Cursor::Start, &[]).expect("its owner was fenced by a refused one");
}

/// The identity does not change with time.
pub fn handles_of_one_store_have_one_identity<T: StoreUnderTest>(test: T) {
    let before = test.store().identity();
    Owner::open(test.store(), "accounts").commit(1, &[]).expect("it commits");
    assert_eq!(test.store().identity(), before);
}
