//! Groups whose events may not come into the log.

use super::*;
use crate::{Confirm, store::StoreError};

/// The model, to which events come with the first commit that waits for them, if they are to come.
struct Joining {
    model: Model,
    confirm: Vec<Confirm>,
    /// Of how many events each commit was that has waited.
    waited: Vec<usize>,
}

impl Joining {
    fn new(model: Model) -> Self {
        Self { model, confirm: Vec::new(), waited: Vec::new() }
    }

    fn finish(&mut self, groups: Vec<Group>) -> Vec<Settled> {
        let mut settlement = Settlement::new(groups);
        for _ in 0..100 {
            let progress = settlement.run(self);
            assert_eq!(self.model.violations, [""; 0]);
            if progress == Progress::Finished {
                return settlement.into_settled();
            }
        }
        panic!("it does not finish");
    }
}

impl Writer for Joining {
    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        self.model.commit(writes)
    }

    fn commit_with(
        &mut self,
        writes: &[ReducerWrite<'_>],
        events: &[Tentative],
    ) -> Result<(), CommitError> {
        self.waited.push(events.len());
        self.confirm.drain(..).for_each(Confirm::come);
        match events.iter().all(Tentative::wait) {
            true => self.model.commit(writes),
            false => Err(CommitError::Lost),
        }
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        Writer::revision(&mut self.model, reducer)
    }
}

fn tentative(group: Group, events: &Tentative) -> Group {
    Group { tentative: Some(events.clone()), ..group }
}

fn lost() -> Tentative {
    Tentative::new(|| ()).0
}

/// What a group of one commit for event 1 has led to: whether it is lost, and what is applied.
fn ends(settled: &Settled, model: &Model) -> (bool, Vec<u64>) {
    let name = &*settled.reducer;
    assert_eq!(settled.revision, model.revision(name), "the revision of {name}");
    assert_eq!(settled.stored, model.watermark(name), "the watermark of {name}");
    (settled.lost, model.applied(name, "p"))
}

#[test]
fn what_has_come_is_committed_as_anything_else() {
    let mut joining = Joining::new(Model::default());
    let (events, confirm) = Tentative::new(|| ());
    confirm.come();
    let group = group(&mut joining.model, "r", 1, vec![commit("p", [1])]);
    let settled = joining.finish(vec![tentative(group, &events)]);
    assert_eq!(ends(&settled[0], &joining.model), (false, vec![1]));
    assert!(joining.waited.is_empty());
}

#[test]
fn groups_of_the_same_events_are_committed_with_them_by_one_transaction() {
    let mut joining = Joining::new(Model::default());
    let (events, confirm) = Tentative::new(|| ());
    joining.confirm.push(confirm);
    let mut groups = Vec::new();
    for name in ["first", "second"] {
        let group = group(&mut joining.model, name, 1, vec![commit("p", [1])]);
        groups.push(tentative(group, &events));
    }
    groups.push(group(&mut joining.model, "third", 1, vec![commit("p", [1])]));
    let settled = joining.finish(groups);
    assert!(settled.iter().all(|it| ends(it, &joining.model) == (false, vec![1])));
    assert_eq!((joining.waited, joining.model.transactions), (vec![1], 1));
}

#[test]
fn a_group_whose_events_are_lost_is_given_up_and_the_others_are_committed() {
    let mut joining = Joining::new(Model::default());
    let (events, confirm) = Tentative::new(|| ());
    joining.confirm.push(confirm);
    let none = lost();
    let mut groups = Vec::new();
    for (name, events) in [("come", Some(&events)), ("lost", Some(&none)), ("old", None)] {
        let group = group(&mut joining.model, name, 1, vec![commit("p", [1]), commit("q", [])]);
        groups.push(Group { tentative: events.cloned(), ..group });
    }
    let settled = joining.finish(groups);
    let ends: Vec<_> = settled.iter().map(|it| ends(it, &joining.model)).collect();
    assert_eq!(ends, [(false, vec![1]), (true, vec![]), (false, vec![1])]);
    assert_eq!(settled[1].results, [None, None]);
    assert!(settled.iter().all(|settled| !settled.fenced));
    // Together with what had come; then, without the lost group, nobody has to be waited for.
    assert_eq!((joining.waited, joining.model.transactions), (vec![2], 1));
}

#[test]
fn alone_a_group_whose_events_are_lost_is_given_up_at_once() {
    let mut joining = Joining::new(Model::default());
    let group = group(&mut joining.model, "r", 7, vec![]);
    let settled = joining.finish(vec![tentative(group, &lost())]);
    assert_eq!((settled[0].lost, joining.model.transactions), (true, 0));
    assert_eq!(settled[0].stored, Cursor::Start);
}

#[test]
fn what_is_rejected_is_tried_in_parts_none_of_which_is_committed_without_the_events() {
    for come in [true, false] {
        let mut joining = Joining::new(Model::poisoned([2]));
        let (events, confirm) = Tentative::new(|| ());
        let commits = vec![commit("p", [1]), commit("q", [2]), commit("r", [3])];
        let groups = vec![tentative(group(&mut joining.model, "r", 3, commits), &events)];
        let mut settlement = Settlement::new(groups);
        // The first try is rejected in their transaction, which it must leave as it was.
        struct Rejecting;
        impl Writer for Rejecting {
            fn commit(&mut self, _: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
                panic!("their outcome is not known")
            }

            fn commit_with(
                &mut self,
                _: &[ReducerWrite<'_>],
                _: &[Tentative],
            ) -> Result<(), CommitError> {
                Err(CommitError::Transient("not now".to_owned()))
            }

            fn revision(&mut self, _: &str) -> Result<Option<Revision>, StoreError> {
                panic!("nothing is in doubt")
            }
        }
        assert!(matches!(settlement.run(&mut Rejecting), Progress::Retry { .. }));
        if come {
            confirm.come();
        } else {
            drop(confirm);
        }
        assert_eq!(settlement.run(&mut joining), Progress::Finished);
        let settled = settlement.into_settled();
        assert_eq!(settled[0].lost, !come);
        assert_eq!(joining.model.applied("r", "p"), if come { vec![1] } else { vec![] });
        assert_eq!(joining.model.applied("r", "q"), [0; 0]);
        if come {
            let rejected = (None, 2.into());
            assert_eq!(rejections(&settled[0]), [None, Some(rejected), None]);
        }
    }
}

#[test]
fn after_a_doubt_it_is_looked_up_before_anything_is_given_up() {
    // COMMIT was not answered, and so nobody knows whether the events have come.
    for (fault, applied) in [(model::Fault::Done, vec![1]), (model::Fault::Lost, vec![])] {
        let mut joining = Joining::new(Model::default());
        let (events, confirm) = Tentative::new(|| ());
        joining.confirm.push(confirm);
        let first = group(&mut joining.model, "r", 1, vec![commit("p", [1])]);
        // The transaction fails whose outcome the token was to tell.
        let mut settlement = Settlement::new(vec![tentative(first, &events)]);
        struct InDoubt<'m>(&'m mut Model, Fault, Option<Confirm>);
        impl Writer for InDoubt<'_> {
            fn commit(&mut self, _: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
                panic!("their outcome is not known")
            }

            fn commit_with(
                &mut self,
                writes: &[ReducerWrite<'_>],
                _: &[Tentative],
            ) -> Result<(), CommitError> {
                self.2 = None;
                self.0.faults.insert(self.0.transactions, self.1.clone());
                self.0.commit(writes)
            }

            fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
                Writer::revision(&mut *self.0, reducer)
            }
        }
        let confirm = joining.confirm.pop();
        let mut in_doubt = InDoubt(&mut joining.model, fault.clone(), confirm);
        assert!(matches!(settlement.run(&mut in_doubt), Progress::Retry { .. }));
        assert!(events.is_lost());
        assert_eq!(settlement.run(&mut joining), Progress::Finished);
        let settled = settlement.into_settled();
        assert_eq!(joining.model.applied("r", "p"), applied);
        // What is there was committed with the events: so they are, too.
        assert_eq!((settled[0].lost, joining.model.lookups), (fault == Fault::Lost, 1));
    }
}

#[test]
fn a_group_that_is_fenced_stays_so_when_its_events_are_lost() {
    let mut joining = Joining::new(Model::default());
    let first = group(&mut joining.model, "r", 1, vec![commit("p", [1])]);
    let other = group(&mut joining.model, "s", 1, vec![commit("p", [1])]);
    let (come, confirm) = Tentative::new(|| ());
    confirm.come();
    joining.model.open("r");
    let settled = joining.finish(vec![tentative(first, &come), tentative(other, &lost())]);
    assert_eq!((settled[0].fenced, settled[0].lost), (true, false));
    assert_eq!((settled[1].fenced, settled[1].lost), (false, true));
}
