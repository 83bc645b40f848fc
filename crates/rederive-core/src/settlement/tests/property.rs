//! Random reducers, events, groups, faults and crashes, until everything is settled.

use std::collections::{BTreeMap, BTreeSet};

use rederive_testkit::{Rng, for_each_seed};

use super::*;

const REDUCERS: [&str; 3] = ["r0", "r1", "r2"];
const EVENTS: u64 = 40;
const PARTITIONS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Copy)]
struct Event {
    cursor: u64,
    partition: &'static str,
    ops: usize,
    /// The reducer fails at it.
    fails: bool,
}

/// The owner of a reducer: what a dispatcher and its partitions know.
struct Owner {
    name: &'static str,
    events: Vec<Event>,
    revision: Revision,
    stored: Cursor,
    partitions: BTreeMap<&'static str, Place>,
}

#[derive(Clone, Default)]
struct Place {
    cursor: Cursor,
    halted: bool,
    /// A rejected event whose halt is still to be stored.
    rejected: Option<Halt>,
}

impl Owner {
    fn open(name: &'static str, events: Vec<Event>, model: &mut Model) -> Self {
        let (revision, stored) = model.open(name);
        let place = |partition| {
            let (cursor, halted) = model.position(name, partition);
            (partition, Place { cursor, halted, rejected: None })
        };
        let partitions = PARTITIONS.map(place).into();
        Self { name, events, revision, stored, partitions }
    }

    fn reopen(&mut self, model: &mut Model) {
        *self = Self::open(self.name, std::mem::take(&mut self.events), model);
    }

    /// What a partition would commit next: the next few events, or the halt of a rejected one.
    fn next_commit(&mut self, partition: &'static str, rng: &mut Rng) -> Option<PartitionCommit> {
        let place = self.partitions.get_mut(partition)?;
        if place.halted {
            return None;
        }
        if place.rejected.is_some() {
            let (cursor, halt) = (place.cursor.clone(), place.rejected.clone());
            return Some(PartitionCommit { cursor, halt, ..commit(partition, []) });
        }
        let later = |event: &&Event| Cursor::from(event.cursor) > place.cursor;
        let mine = self.events.iter().filter(|event| event.partition == partition);
        let batch: Vec<_> = mine.filter(later).take(rng.range(1..6)).collect();
        let good = batch.iter().take_while(|event| !event.fails);
        let mut commit = commit_of(partition, good.map(|event| (event.cursor, event.ops)));
        let failed = batch.iter().find(|event| event.fails);
        commit.halt = failed.and_then(|event| halting(partition, event.cursor - 1).halt);
        commit.cursor = commit.steps.last().map_or(&place.cursor, |step| &step.cursor).clone();
        if commit.ops.is_empty() && commit.halt.is_none() {
            place.cursor = commit.cursor;
            return None;
        }
        Some(commit)
    }

    /// A group of some partitions' commits, with the watermark that it leads to or an older one.
    fn group(&mut self, rng: &mut Rng) -> Group {
        let chosen = PARTITIONS.into_iter().filter(|_| rng.chance(0.6)).collect::<Vec<_>>();
        let commits: Vec<_> =
            chosen.into_iter().filter_map(|partition| self.next_commit(partition, rng)).collect();
        let mut after = self.partitions.clone();
        for commit in &commits {
            let place = after.get_mut(commit.partition.as_str()).expect("one of ours");
            place.cursor = commit.cursor.clone();
            place.halted |= commit.halt.is_some();
        }
        let settled = |event: &&Event| {
            let place = &after[event.partition];
            place.halted || Cursor::from(event.cursor) <= place.cursor
        };
        let reached = self.events.iter().take_while(settled).last();
        let reached = reached.map_or(Cursor::Start, |event| event.cursor.into());
        let watermark =
            if rng.chance(0.7) { reached.max(self.stored.clone()) } else { self.stored.clone() };
        Group {
            reducer: self.name.into(),
            revision: self.revision,
            stored: self.stored.clone(),
            watermark,
            commits,
            skips: vec![],
            tentative: None,
        }
    }

    /// Takes note of what became of a group; false when the reducer was taken over.
    fn take_note(&mut self, commits: Vec<PartitionCommit>, settled: Settled) -> bool {
        if settled.fenced {
            return false;
        }
        self.revision = settled.revision;
        self.stored = settled.stored;
        for (commit, result) in commits.into_iter().zip(settled.results) {
            let id = commit.partition.as_str();
            let place = self.partitions.get_mut(id).expect("one of ours");
            match result.expect("only a fenced reducer lacks results") {
                Ok(()) => {
                    place.cursor = commit.cursor;
                    place.halted = commit.halt.is_some();
                }
                Err(rejection) => {
                    place.cursor = rejection.committed.unwrap_or(place.cursor.clone());
                    let Rejection { cursor, kind, message, .. } = rejection;
                    let failure = Failure { cursor, kind, message };
                    place.rejected = Some(Halt::new(failure, 1, Timestamp::default()));
                }
            }
        }
        true
    }
}

fn random_fault(rng: &mut Rng) -> Fault {
    let reducer = *rng.pick(&REDUCERS);
    let others = [
        Fault::TakenOver(reducer),
        Fault::DoneThenTakenOver(reducer),
        Fault::LostThenTakenOver(reducer),
    ];
    if rng.chance(0.8) { rng.pick(&Fault::PASSING).clone() } else { rng.pick(&others).clone() }
}

/// One settlement of some owners' groups, with faults if `faulty`.
fn settle_some(owners: &mut [Owner], model: &mut Model, rng: &mut Rng, faulty: bool) {
    let mut chosen: Vec<usize> = (0..owners.len()).filter(|_| rng.chance(0.7)).collect();
    let groups: Vec<Group> = chosen.iter().map(|owner| owners[*owner].group(rng)).collect();
    let commits: Vec<_> = groups.iter().map(|group| group.commits.clone()).collect();
    let mut settlement = Settlement::new(groups);
    let (transactions, lookups) = (model.transactions, model.lookups);
    let chance = if faulty { 0.2 } else { 0.0 };
    let mut some = |from: usize| (from..from + 100).filter(|_| rng.chance(chance)).collect();
    let (at, lookups): (Vec<usize>, Vec<usize>) = (some(transactions), some(lookups));
    model.faults = at.into_iter().map(|at| (at, random_fault(rng))).collect();
    model.lookup_faults = lookups.into_iter().map(|at| (at, rng.chance(0.5))).collect();
    for run in 0.. {
        assert!(run < 1000, "it does not finish");
        let progress = settlement.run(model);
        assert_eq!(model.violations, [""; 0]);
        if progress == Progress::Finished {
            break;
        }
        if faulty && rng.chance(0.1) {
            // The process dies.
            owners.iter_mut().for_each(|owner| owner.reopen(model));
            return;
        }
    }
    for ((settled, commits), owner) in
        settlement.into_settled().into_iter().zip(commits).zip(chosen.drain(..))
    {
        if !owners[owner].take_note(commits, settled) {
            owners[owner].reopen(model);
        }
    }
}

#[test]
fn whatever_happens_each_event_is_applied_once_in_order_up_to_the_first_bad_one() {
    for_each_seed(0..300, 100, |rng| {
        let poison: BTreeSet<u64> = (1..=EVENTS).filter(|_| rng.chance(0.05)).collect();
        let mut model = Model::poisoned(poison.iter().copied());
        let mut owners: Vec<Owner> = Vec::new();
        for name in REDUCERS {
            let event = |cursor| {
                let partition = *rng.pick(&PARTITIONS);
                let (ops, fails) = (rng.range(0..3), rng.chance(0.03));
                Event { cursor, partition, ops, fails }
            };
            let events: Vec<Event> = (1..=EVENTS).map(event).collect();
            for partition in PARTITIONS {
                let mine = events.iter().filter(|event| event.partition == partition);
                let ops = mine.flat_map(|event| vec![event.cursor; event.ops]).collect();
                model.known.insert((name.to_owned(), partition.to_owned()), ops);
            }
            owners.push(Owner::open(name, events, &mut model));
        }
        for _ in 0..rng.range(1..30) {
            settle_some(&mut owners, &mut model, rng, true);
        }
        let end = Cursor::from(EVENTS);
        while REDUCERS.iter().any(|name| model.watermark(name) < end) {
            settle_some(&mut owners, &mut model, rng, false);
            assert!(model.transactions < 10_000, "it does not come to an end");
        }
        for owner in owners {
            for partition in PARTITIONS {
                let mine = owner.events.iter().filter(|event| event.partition == partition);
                let is_bad =
                    |event: &Event| event.fails || event.ops > 0 && poison.contains(&event.cursor);
                let good = mine.clone().take_while(|event| !is_bad(event));
                let expected: Vec<_> =
                    good.flat_map(|event| vec![event.cursor; event.ops]).collect();
                assert_eq!(model.applied(owner.name, partition), expected);
                let is_halted = model.position(owner.name, partition).1;
                assert_eq!(is_halted, mine.clone().any(is_bad), "{partition} of {}", owner.name);
            }
        }
    });
}
