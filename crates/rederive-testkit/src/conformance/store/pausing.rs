//! Paused reducers.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{CursorKind, Opening, Store};

use super::{StoreUnderTest, owner::Owner};

/// Until it is taken back; other reducers are not paused.
pub fn a_pause_is_there_when_the_reducer_is_opened_again<T: StoreUnderTest>(test: T) {
    let paused = |reducer| {
        let opening = Opening::new(reducer, 1, CursorKind::Integer);
        test.store().open(&opening).expect("it opens").paused
    };
    assert!(!paused("accounts"));
    assert!(!paused("others"));
    test.store().pause("accounts", true).expect("it is noted");
    assert!(paused("accounts"));
    assert!(paused("accounts"), "opening it has taken the pause back");
    assert!(!paused("others"));
    test.store().pause("accounts", false).expect("it is noted");
    assert!(!paused("accounts"));
    test.store().pause("unknown", true).expect("nothing to do");
    assert!(!paused("unknown"));
}

/// What is in flight may still be committed.
pub fn a_pause_fences_nobody<T: StoreUnderTest>(test: T) {
    let mut owner = Owner::open(test.store(), "accounts");
    test.store().pause("accounts", true).expect("it is noted");
    owner.commit(5, &[]).expect("it commits");
    let opening = Opening::new("accounts", 1, CursorKind::Integer);
    assert!(test.store().open(&opening).expect("it opens").paused);
}
