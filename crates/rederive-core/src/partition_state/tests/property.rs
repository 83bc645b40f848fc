//! A partition under random deliveries, redeliveries, failures and rejections.

use std::{collections::BTreeMap, ops::RangeInclusive};

use rederive_testkit::{Rng, for_each_seed};

use super::*;

/// A log of events, a partition that gets them, and a store that takes its commits.
struct World {
    state: PartitionState<u64>,
    reducer: Numbers,
    rejected: Vec<u64>,
    broken: Vec<u64>,
    skipped: Vec<u64>,
    /// Where the partition began, the last event of the log and the last one delivered.
    begun: u64,
    head: u64,
    delivered: u64,
    /// Per slice: how many deliveries there were, and how many of them are settled.
    slices: BTreeMap<u64, (usize, usize)>,
    in_flight: Option<(PartitionCommit, Settles)>,
    applied: Vec<u64>,
}

/// How often an event is tried again, and what becomes of it then.
fn plan(event: u64) -> (u32, OnFailure) {
    let then = if event.is_multiple_of(4) { OnFailure::Halt } else { OnFailure::Skip };
    ((event % 3) as u32, then)
}

/// The same for an event that cannot be decoded.
fn decoding_policy(event: &Cursor) -> OnUndecodable {
    match plan(number(event)).1 {
        OnFailure::Halt => OnUndecodable::Halt("p".into()),
        _ => OnUndecodable::Skip("p".into()),
    }
}

fn policy(event: u64, attempt: u32) -> OnFailure {
    let (retries, then) = plan(event);
    OnFailure::retry(attempt, retries).unwrap_or(then)
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        let head = rng.range(1..60) as u64;
        let some = |rng: &mut Rng, chance| (1..=head).filter(|_| rng.chance(chance)).collect();
        let some: Vec<Vec<u64>> =
            [0.03, 0.3, 0.03, 0.03, 0.05].map(|chance| some(rng, chance)).into();
        let [failing, quiet, rejected, broken, flaky] = some.try_into().expect("five");
        // No more often than they are tried again: so they succeed in the end.
        let flaky = flaky.into_iter().map(|event| (event, plan(event).0)).collect();
        let flaky = Arc::new(Mutex::new(flaky));
        let (on_failure, on_undecodable) = (Some(policy as _), Some(decoding_policy as _));
        let reducer = Numbers { failing, quiet, flaky, on_failure, on_undecodable };
        let begun = (rng.range(0..4) as u64).min(head);
        World {
            state: state_at(begun, reducer.clone()),
            reducer,
            rejected,
            broken,
            skipped: Vec::new(),
            begun,
            head,
            delivered: 0,
            slices: BTreeMap::new(),
            in_flight: None,
            applied: Vec::new(),
        }
    }

    fn deliver(&mut self, events: RangeInclusive<u64>) {
        let number = self.slices.len() as u64;
        self.slices.insert(number, (events.clone().count(), 0));
        self.state.deliver(delivery_with(number, events, &self.broken));
    }

    /// The next events of the log, perhaps after some that were delivered before.
    fn deliver_more(&mut self, rng: &mut Rng) {
        let again = rng.chance(0.3);
        let from = if again {
            rng.range(1..self.delivered as usize + 2) as u64
        } else {
            self.delivered + 1
        };
        let to = (from + rng.range(0..5) as u64).min(self.head);
        if from <= to {
            self.deliver(from..=to);
            self.delivered = self.delivered.max(to);
        }
    }

    fn settle(&mut self, settles: Settles) {
        for (slice, count) in settles {
            let (delivered, settled) = self.slices.get_mut(&slice).expect("a known slice");
            *settled += count;
            assert!(settled <= delivered, "slice {slice} settled more than was delivered");
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::Settled(settles) => self.settle(settles),
            Next::Commit(commit, settles) => {
                assert!(self.in_flight.is_none(), "a second commit while one is in flight");
                self.in_flight = Some((commit, settles));
            }
        }
    }

    fn go_on(&mut self, limit: usize) {
        let next = self.state.next(limit, Timestamp::default);
        self.follow(next);
        self.state.take_backoff();
    }

    fn resume(&mut self) {
        self.state.resume(self.state.pauses);
    }

    /// The store answers the commit in flight.
    fn answer(&mut self) {
        let Some((commit, settles)) = self.in_flight.take() else { return };
        let cursors = commit.steps.iter().map(|step| &step.cursor);
        assert!(cursors.is_sorted_by(|a, b| a < b), "steps out of order");
        let events = applied(&commit.ops);
        if let Some(at) = events.iter().position(|event| self.rejected.contains(event)) {
            let guilty = Cursor::from(events[at]);
            let before = commit.steps.iter().rfind(|step| step.cursor < guilty);
            let committed = before.map(|step| number(&step.cursor));
            self.applied.extend(&events[..at]);
            let rejection = rejection(committed, events[at]);
            let next = self.state.rejected(rejection, Timestamp::default);
            self.follow(next);
        } else {
            self.applied.extend(events);
            self.skipped.extend(commit.skip.iter().map(|skip| number(&skip.cursor)));
            self.state.committed();
            assert_eq!(*self.state.cursor(), commit.cursor);
            self.settle(settles);
        }
    }

    /// What becomes of an event that does not succeed however often it is tried.
    fn fails(&self, event: u64) -> Option<OnFailure> {
        let rejected = self.rejected.contains(&event) && !self.reducer.quiet.contains(&event);
        let fails = rejected || self.reducer.failing.contains(&event);
        (fails || self.broken.contains(&event)).then_some(plan(event).1)
    }

    fn halts_at(&self, event: u64) -> bool {
        self.fails(event) == Some(OnFailure::Halt)
    }

    fn check(self) {
        let new = self.begun + 1..=self.head;
        let good = new.clone().take_while(|event| !self.halts_at(*event));
        let (good, skipped): (Vec<_>, Vec<_>) =
            good.partition(|event| self.fails(*event).is_none());
        assert_eq!(
            self.skipped, skipped,
            "skipped once each, in order, up to the event that halts"
        );
        let expected: Vec<_> =
            good.into_iter().filter(|event| !self.reducer.quiet.contains(event)).collect();
        assert_eq!(self.applied, expected, "all that has an effect, up to the first bad event");
        let halt = new.clone().find(|event| self.halts_at(*event)).map(Cursor::from);
        assert_eq!(self.state.halt().map(|halt| halt.cursor.clone()), halt);
        for (slice, (delivered, settled)) in self.slices {
            assert_eq!(delivered, settled, "deliveries of slice {slice}, and those settled");
        }
    }
}

#[test]
fn every_delivery_is_settled_once_and_every_event_applied_once_in_order() {
    for_each_seed(0..500, 100, |rng| {
        let mut world = World::new(rng);
        let mut last = world.state.cursor().clone();
        while world.delivered < world.head || rng.chance(0.8) {
            match rng.range(0..4) {
                3 => world.resume(),
                0 => world.deliver_more(rng),
                1 => world.go_on(rng.range(1..8)),
                _ => world.answer(),
            }
            assert!(*world.state.cursor() >= last, "the cursor went back");
            last = world.state.cursor().clone();
        }
        // Enough for every delivery to be taken, committed, rejected and its halt committed, and for
        // every event to be tried as often as it may be.
        for _ in 0..3 * (world.slices.len() + 1) + 8 * 60 {
            world.resume();
            world.go_on(8);
            world.answer();
        }
        assert!(world.in_flight.is_none());
        world.check();
    });
}

fn number(cursor: &Cursor) -> u64 {
    match cursor {
        Cursor::Integer(number) => *number,
        _ => unreachable!("cursors are numbers"),
    }
}
