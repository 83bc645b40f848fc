//! Commits that the store rejects.

use super::*;

#[test]
fn all_but_the_poisoned_commit_among_a_thousand_are_committed_in_few_transactions() {
    for poisoned in [0, 1, 499, 500, 998, 999] {
        let mut model = Model::poisoned([poisoned + 1]);
        let commits = (0..1000).map(|i| commit(&i.to_string(), [i + 1])).collect();
        let groups = vec![group(&mut model, "r", 1000, commits)];
        let settled = settle(groups, &mut model);
        for (index, rejection) in rejections(&settled[0]).into_iter().enumerate() {
            let index = index as u64;
            let applied = model.applied("r", &index.to_string());
            if index == poisoned {
                assert_eq!((rejection, applied), (Some((None, (index + 1).into())), vec![]));
            } else {
                assert_eq!((rejection, applied), (None, vec![index + 1]));
            }
        }
        // Two for each halving, and a few at both ends.
        assert!(model.transactions <= 2 * 10 + 5, "{} transactions", model.transactions);
        assert_eq!(settled[0].revision, model.revision("r"));
    }
}

#[test]
fn the_watermark_stays_when_a_commit_is_rejected_and_every_other_partition_has_a_row() {
    let mut model = Model::poisoned([2]);
    let commits = vec![commit("a", [1]), commit("b", [2]), commit("c", [3]), commit("d", [4])];
    let groups = vec![group(&mut model, "r", 4, commits)];
    let settled = settle(groups, &mut model);
    assert_eq!((settled[0].stored.clone(), model.watermark("r")), (Cursor::Start, Cursor::Start));
    let rows = [("a", 1.into(), false), ("c", 3.into(), false), ("d", 4.into(), false)];
    assert_eq!(model.rows("r"), rows);
}

#[test]
fn the_events_before_the_poisoned_one_of_a_commit_are_committed_and_no_later_ones() {
    const EVENTS: std::ops::RangeInclusive<u64> = 11..=23;
    for poisoned in EVENTS {
        let mut model = Model::poisoned([poisoned]);
        let commits = vec![commit("before", [1]), commit("p", EVENTS), commit("after", [30])];
        let groups = vec![group(&mut model, "r", 30, commits)];
        let settled = settle(groups, &mut model);
        let last = (poisoned > 11).then(|| Cursor::from(poisoned - 1));
        let expected = [None, Some((last.clone(), poisoned.into())), None];
        assert_eq!(rejections(&settled[0]), expected);
        assert!(model.applied("r", "p").into_iter().eq(11..poisoned));
        assert_eq!(model.position("r", "p").0, last.unwrap_or_default());
        assert_eq!(
            (model.applied("r", "before"), model.applied("r", "after")),
            (vec![1], vec![30])
        );
    }
}

#[test]
fn a_lone_commit_is_settled_as_one_among_many_is() {
    for poisoned in 1..=4 {
        let mut model = Model::poisoned([poisoned]);
        let events = [(1, 2), (2, 1), (3, 3), (4, 1)];
        let groups = vec![group(&mut model, "r", 4, vec![commit_of("p", events)])];
        let settled = settle(groups, &mut model);
        let last = (poisoned > 1).then(|| Cursor::from(poisoned - 1));
        assert_eq!(rejections(&settled[0]), [Some((last, poisoned.into()))]);
        let good = events.into_iter().take_while(|(event, _)| *event < poisoned);
        let ops: Vec<_> = good.flat_map(|(event, count)| vec![event; count]).collect();
        assert_eq!(model.applied("r", "p"), ops);
        assert_eq!(model.watermark("r"), Cursor::Start);
    }
}

#[test]
fn a_commit_with_several_poisoned_events_is_rejected_at_the_first() {
    let mut model = Model::poisoned([3, 5, 6]);
    let groups = vec![group(&mut model, "r", 8, vec![commit("p", 1..=8)])];
    let settled = settle(groups, &mut model);
    assert_eq!(rejections(&settled[0]), [Some((Some(2.into()), 3.into()))]);
    assert_eq!(model.applied("r", "p"), [1, 2]);
}

#[test]
fn an_event_without_ops_is_part_of_the_committed_prefix() {
    let mut model = Model::poisoned([3]);
    let commits = vec![commit_of("p", [(1, 1), (2, 0), (3, 1)])];
    let groups = vec![group(&mut model, "r", 3, commits)];
    let settled = settle(groups, &mut model);
    assert_eq!(rejections(&settled[0]), [Some((Some(2.into()), 3.into()))]);
}

#[test]
fn the_halt_of_a_rejected_commit_is_not_stored_and_that_of_a_good_one_is() {
    let halts = |partition, events: &[u64]| PartitionCommit {
        halt: halting(partition, events[events.len() - 1]).halt,
        ..commit(partition, events.iter().copied())
    };
    let mut model = Model::poisoned([2]);
    let commits = vec![halts("bad", &[1, 2]), halts("good", &[3, 4]), halting("only", 5)];
    let groups = vec![group(&mut model, "r", 6, commits)];
    let settled = settle(groups, &mut model);
    assert_eq!(rejections(&settled[0]), [Some((Some(1.into()), 2.into())), None, None]);
    let rows = [("bad", 1.into(), false), ("good", 4.into(), true), ("only", 5.into(), true)];
    assert_eq!(model.rows("r"), rows);
}

#[test]
fn a_poisoned_group_does_not_keep_the_others_from_being_committed_whole() {
    let names = ["r0", "r1", "r2", "r3", "r4"];
    for poisoned in names {
        let mut model = Model::poisoned([66]);
        let groups = names.map(|name| {
            let events = if name == poisoned { [66, 67] } else { [1, 2] };
            let commits = vec![commit("a", [events[0]]), commit("b", [events[1]])];
            group(&mut model, name, 67, commits)
        });
        for settled in settle(groups.into(), &mut model) {
            let is_poisoned = &*settled.reducer == poisoned;
            let expected = is_poisoned.then_some((None, Cursor::from(66)));
            assert_eq!(rejections(&settled), [expected, None]);
            let stored = if is_poisoned { Cursor::Start } else { Cursor::from(67) };
            assert_eq!(
                (&settled.stored, model.watermark(&settled.reducer)),
                (&stored, stored.clone())
            );
            assert_eq!(settled.revision, model.revision(&settled.reducer));
        }
    }
}

#[test]
fn a_rejected_write_without_events_is_tried_again_and_nothing_is_blamed() {
    /// Rejects everything.
    struct Stubborn;
    impl Writer for Stubborn {
        fn commit(&mut self, _: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
            let message = "no such table".to_owned();
            Err(CommitError::Rejected { kind: FailureKind::Rejected, message })
        }
        fn revision(&mut self, _: &str) -> Result<Option<Revision>, crate::StoreError> {
            unreachable!("nothing is in doubt")
        }
    }
    let mut model = Model::default();
    for commits in [vec![], vec![halting("p", 1)]] {
        let groups = vec![group(&mut model, "r", 1, commits)];
        let mut settlement = Settlement::new(groups);
        for _ in 0..3 {
            match settlement.run(&mut Stubborn) {
                Progress::Retry { error, broken: false } => {
                    assert!(error.contains("no such table"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        finish(&mut settlement, &mut model);
        assert!(settlement.into_settled()[0].results.iter().all(|r| *r == Some(Ok(()))));
    }
}
