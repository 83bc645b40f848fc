//! Transient faults, commits in doubt, owners that were replaced, writers that panic.

use super::*;

/// Two groups, one of them with a poisoned event, so that many transactions are needed.
fn scene() -> (Model, Vec<Group>) {
    let mut model = Model::poisoned([14]);
    let poisoned = vec![commit("a", [1, 2]), commit("p", 11..=16), commit("c", [20])];
    let groups = vec![
        group(&mut model, "good", 3, vec![commit("a", [1, 2]), commit("b", [3])]),
        group(&mut model, "poisoned", 20, poisoned),
    ];
    (model, groups)
}

/// Everything that must be the same whatever went wrong on the way.
fn outcome(settled: Vec<Settled>, model: &Model) -> String {
    let state = |settled: &Settled| {
        let name = &*settled.reducer;
        assert_eq!(settled.revision, model.revision(name), "the revision of {name}");
        assert_eq!(settled.stored, model.watermark(name), "the watermark of {name}");
        let applied = ["a", "b", "c", "p"].map(|partition| model.applied(name, partition));
        (applied, format!("{:?} {:?} {:?}", model.rows(name), settled.results, settled.fenced))
    };
    format!("{:?}", settled.iter().map(state).collect::<Vec<_>>())
}

#[test]
fn a_fault_at_any_transaction_changes_nothing_about_the_outcome() {
    let (mut model, groups) = scene();
    let expected = outcome(settle(groups, &mut model), &model);
    let transactions = model.transactions;
    assert!(transactions > 6);
    for fault in Fault::PASSING {
        for at in 0..transactions {
            let (mut model, groups) = scene();
            model.faults.insert(at, fault.clone());
            let mut settlement = Settlement::new(groups);
            let resumed = finish(&mut settlement, &mut model);
            // A rejected transaction was not done: no answer of it can be lost.
            let answered = model.lookups == 0 && fault != Fault::Transient;
            assert_eq!(resumed, usize::from(!answered), "{fault:?} at {at}");
            let outcome = outcome(settlement.into_settled(), &model);
            assert_eq!(outcome, expected, "{fault:?} at {at}");
        }
    }
}

#[test]
fn faults_at_every_other_transaction_change_nothing_about_the_outcome() {
    let (mut model, groups) = scene();
    let expected = outcome(settle(groups, &mut model), &model);
    for fault in Fault::PASSING {
        let (mut model, groups) = scene();
        model.faults = (0..100).map(|index| (2 * index, fault.clone())).collect();
        model.lookup_faults = (0..100).map(|index| (3 * index, index % 2 == 0)).collect();
        assert_eq!(outcome(settle(groups, &mut model), &model), expected, "{fault:?}");
    }
}

#[test]
fn only_a_writer_that_panicked_is_called_broken() {
    for fault in Fault::PASSING {
        let (mut model, groups) = scene();
        model.cure();
        model.faults.insert(0, fault.clone());
        let mut settlement = Settlement::new(groups);
        let Progress::Retry { broken, error } = settlement.run(&mut model) else {
            panic!("it went on after {fault:?}");
        };
        assert_eq!(broken, matches!(fault, Fault::PanicBefore | Fault::PanicAfter), "{fault:?}");
        assert!(!error.is_empty());
        assert_eq!(settlement.run(&mut model), Progress::Finished);
    }
}

#[test]
fn nothing_is_tried_again_before_the_stored_revision_was_read() {
    for fault in [Fault::Done, Fault::PanicAfter, Fault::Lost] {
        let (mut model, groups) = scene();
        model.cure();
        model.faults.insert(0, fault.clone());
        model.lookup_faults = [(0, false), (1, true), (2, false)].into();
        let mut settlement = Settlement::new(groups);
        for run in 0..4 {
            assert!(matches!(settlement.run(&mut model), Progress::Retry { .. }), "run {run}");
            assert_eq!(model.transactions, 1, "tried again while in doubt after {fault:?}");
        }
        assert_eq!(settlement.run(&mut model), Progress::Finished);
        assert_eq!(model.transactions, if fault == Fault::Lost { 2 } else { 1 });
        assert_eq!(model.applied("good", "a"), [1, 2]);
    }
}

#[test]
fn a_reducer_taken_over_while_in_doubt_is_given_up_and_the_others_are_looked_up() {
    let names = ["r0", "r1", "r2"];
    for (lost, done) in names.into_iter().flat_map(|name| [(name, true), (name, false)]) {
        let mut model = Model::default();
        let groups =
            names.map(|name| group(&mut model, name, 2, vec![commit("a", [1]), commit("b", [2])]));
        let fault =
            if done { Fault::DoneThenTakenOver(lost) } else { Fault::LostThenTakenOver(lost) };
        model.faults.insert(0, fault.clone());
        for settled in settle(groups.into(), &mut model) {
            let name = &*settled.reducer;
            // The first is asked for; its answer is that of the whole transaction.
            let is_given_up = name == lost && (name == "r0" || !done);
            let expected = if is_given_up { None } else { Some(Ok(())) };
            assert_eq!(settled.results, [expected.clone(), expected], "{name} after {fault:?}");
            assert_eq!(settled.fenced, is_given_up, "{name} after {fault:?}");
            let is_applied = done || name != lost;
            let applied = [model.applied(name, "a"), model.applied(name, "b")].concat();
            assert_eq!(applied, if is_applied { vec![1, 2] } else { vec![] }, "{name}: {fault:?}");
        }
    }
}

#[test]
fn a_reducer_taken_over_in_the_middle_keeps_the_results_it_has() {
    let (mut model, groups) = scene();
    settle(groups, &mut model);
    for at in 0..model.transactions {
        let (mut model, groups) = scene();
        model.faults.insert(at, Fault::TakenOver("poisoned"));
        let settled = settle(groups, &mut model);
        assert_eq!((settled[0].fenced, rejections(&settled[0])), (false, vec![None, None]));
        assert_eq!(model.applied("good", "a"), [1, 2]);
        assert_eq!(model.watermark("good"), Cursor::from(3));
        let known = &settled[1].results;
        for (result, (partition, all)) in
            known.iter().zip([("a", vec![1, 2]), ("p", (11..=16).collect()), ("c", vec![20])])
        {
            let applied = model.applied("poisoned", partition);
            match result {
                Some(Ok(())) => assert_eq!(applied, all, "{partition} at {at}"),
                Some(Err(rejection)) => assert_eq!(rejection.cursor, Cursor::from(14)),
                None => assert!(applied.len() < all.len(), "{partition} at {at}"),
            }
        }
        assert_eq!(settled[1].fenced, known.iter().any(Option::is_none), "at {at}");
    }
}
