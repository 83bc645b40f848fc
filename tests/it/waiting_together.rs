//! Awaiting several reducers at once: each answers for itself, however long the others take.

use std::time::Duration;

use rederive::{Await, AwaitError, Awaited, Cursor, Handle, Outcome};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, Recorded},
};

/// Three reducers of one log, each with a store of its own; gates hold the commits of those named.
struct Three {
    world: World,
    handle: Handle,
    gates: Vec<Gate>,
}

const NAMES: [&str; 3] = ["accounts", "copies", "third"];

impl Three {
    async fn start(slow: &[&str]) -> Self {
        let world = World::memory();
        let mut gates = Vec::new();
        let reducers = [Accounts::new(), Accounts::copies(), Accounts::third()];
        let mut builder = world.builder();
        for (name, reducer) in NAMES.into_iter().zip(reducers) {
            let store = World::memory().store;
            if slow.contains(&name) {
                let gate = Gate::closed();
                store.faults().on_commit(CommitFault::Stall(gate.clone()));
                gates.push(gate);
            }
            builder = builder.register(reducer, store);
        }
        let handle = builder.start().await.expect("it starts");
        Self { world, handle, gates }
    }

    fn all(recorded: &[Recorded]) -> Await {
        Await::events(NAMES[0], recorded).and(NAMES[1]).and(NAMES[2])
    }

    /// What is told when some are too slow.
    async fn wait_in_vain(&self, recorded: &[Recorded]) -> Awaited {
        for gate in &self.gates {
            gate.wait_for_arrivals(1, PATIENCE);
        }
        let slow = self.gates.len();
        // The others are done before the time runs, so that what is told does not depend on it.
        for name in &NAMES[..NAMES.len() - slow] {
            self.handle.wait(Await::events(*name, recorded)).await.expect("done");
        }
        let request = Self::all(recorded).within(Duration::from_millis(200));
        let error = self.handle.wait(request).await.expect_err("some are too slow");
        assert!(error.is_timeout(), "{error}");
        let AwaitError::Incomplete(awaited) = error else { panic!("{error}") };
        awaited
    }

    /// The slow ones go on, and then all are done.
    async fn end(self, recorded: &[Recorded]) {
        self.gates.iter().for_each(Gate::open);
        self.handle.wait(Self::all(recorded)).await.expect("done in all");
        self.handle.stop().await;
    }
}

#[actix_rt::test]
async fn several_reducers_answer_by_their_names() {
    let three = Three::start(&[]).await;
    let recorded = three.world.append([Event::opened("a"), Event::Noise]);
    let awaited = three.handle.wait(Three::all(&recorded)).await.expect("done in all");
    let by_reducer = awaited.by_reducer();
    assert_eq!(by_reducer.keys().copied().collect::<Vec<_>>(), NAMES);
    for replies in by_reducer.values() {
        let told: Vec<_> = replies.iter().map(|reply| (&reply.cursor, &reply.outcome)).collect();
        let cursors = [1, 2].map(|cursor| Some(Cursor::from(cursor)));
        assert_eq!(told, [(&cursors[0], &Outcome::Done), (&cursors[1], &Outcome::Ignored)]);
    }
    assert_eq!(awaited.outcome("copies", &Cursor::from(2)), Some(&Outcome::Ignored));
    assert_eq!(awaited.outcome("copies", &Cursor::from(3)), None);
    assert_eq!(awaited.outcome("others", &Cursor::from(1)), None);
    assert_eq!(awaited.caught_up("copies"), None);
    let awaited = three.handle.wait(Await::caught_up("copies").and("third")).await;
    let awaited = awaited.expect("caught up");
    assert_eq!(awaited.caught_up("copies"), Some(&Outcome::Done));
    assert_eq!(awaited.caught_up("accounts"), None);
    three.end(&recorded).await;
}

#[actix_rt::test]
async fn one_reducer_that_takes_too_long_leaves_the_answers_of_the_others() {
    let three = Three::start(&["third"]).await;
    let recorded = three.world.append([Event::opened("a")]);
    let awaited = three.wait_in_vain(&recorded).await;
    let outcomes = NAMES.map(|name| awaited.outcome(name, &recorded[0].cursor));
    use Outcome::{Done, TimedOut};
    assert_eq!(outcomes, [Some(&Done), Some(&Done), Some(&TimedOut)]);
    three.end(&recorded).await;
}

#[actix_rt::test]
async fn several_reducers_that_take_too_long_time_out_together() {
    let three = Three::start(&["copies", "third"]).await;
    let recorded = three.world.append([Event::opened("a")]);
    let awaited = three.wait_in_vain(&recorded).await;
    let outcomes = NAMES.map(|name| awaited.outcome(name, &recorded[0].cursor));
    use Outcome::{Done, TimedOut};
    assert_eq!(outcomes, [Some(&Done), Some(&TimedOut), Some(&TimedOut)]);
    three.end(&recorded).await;
}

#[actix_rt::test]
async fn an_await_that_failed_keeps_its_replies() {
    let three = Three::start(&[]).await;
    let recorded = three.world.append([Event::opened("a"), Event::poison("a")]);
    let error = three.handle.wait(Three::all(&recorded)).await.expect_err("it is halted");
    let awaited = error.awaited().expect("there are replies");
    assert_eq!(awaited.by_reducer().len(), 3);
    let halted = |name: &&str| {
        matches!(awaited.outcome(name, &recorded[1].cursor), Some(Outcome::Halted(_)))
    };
    assert!(NAMES.iter().any(halted));
    assert!(AwaitError::Stopped.awaited().is_none());
    three.handle.stop().await;
}
