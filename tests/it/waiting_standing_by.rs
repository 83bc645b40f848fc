//! Waiting at a process that stands by: it watches what the owner stores.

use std::time::Duration;

use rederive::{Await, AwaitError, Handle, OnFailure, Outcome};
use rederive_testkit::{CommitFault, Gate};

use crate::fixture::{
    PATIENCE, World,
    bank::{Accounts, Event, Recorded},
    notices::{standing_by, taken_over},
    on_every_store, outcomes, status,
};

on_every_store!(
    an_event_is_done_once_the_owner_has_stored_it,
    whoever_waits_before_the_event_exists_is_answered,
    an_event_of_two_partitions_is_done_when_both_have_it,
    an_event_that_concerns_nobody_is_ignored,
    what_a_halted_partition_holds_is_told_as_halted,
    an_event_that_the_owner_has_skipped_is_told_as_skipped,
    a_cursor_that_the_log_cannot_have_is_missing,
    caught_up_waits_for_what_is_in_the_log_when_it_is_asked,
    caught_up_is_not_done_while_a_partition_is_halted,
    a_wait_ends_in_time_and_is_never_told_done_before_it_is_stored,
    a_reducer_that_panics_when_asked_for_partitions_is_not_told_as_ignored,
    those_who_wait_are_answered_by_the_stand_by_when_it_has_taken_over,
    those_who_wait_at_a_stop_of_the_stand_by_are_told,
    a_store_that_cannot_be_read_is_asked_again,
    a_log_that_cannot_be_read_is_asked_again,
    what_was_committed_before_the_stand_by_began_is_done,
);

/// An owner and a stand-by.
struct Two {
    world: World,
    owner: Handle,
    stand_by: Handle,
    /// Where the stand-by's notices are.
    bob: World,
}

impl Two {
    async fn start(world: World) -> Self {
        Self::start_with(world, Accounts::new()).await
    }

    async fn start_with(world: World, reducer: Accounts) -> Self {
        // So that the owner stores where it stands when there is nothing to commit.
        let world = world.with(|config| config.watermark_interval = Duration::from_millis(5));
        let owner = world.process("alice").start_with([reducer.clone()]).await;
        let bob = world.process("bob");
        let stand_by = bob.start_with([reducer]).await;
        bob.probe.notified(standing_by, PATIENCE).await;
        Self { world, owner, stand_by, bob }
    }

    async fn wait(&self, request: Await) -> Vec<Outcome> {
        outcomes(self.stand_by.wait(request).await)
    }

    async fn wait_for(&self, events: &[Recorded]) -> Vec<Outcome> {
        self.wait(Await::events("accounts", events)).await
    }

    /// It has stood by all the time.
    async fn stop(self) {
        assert_eq!(self.bob.probe.count(taken_over), 0);
        self.stand_by.stop().await;
        self.owner.stop().await;
    }
}

async fn an_event_is_done_once_the_owner_has_stored_it(world: World) {
    let two = Two::start(world).await;
    for amount in 0..20 {
        let events = [Event::opened(&amount.to_string()), Event::deposited("0", amount)];
        let recorded = two.world.append(events);
        assert_eq!(two.wait_for(&recorded).await, [Outcome::Done, Outcome::Done]);
        // A reader sees it.
        two.world.check();
    }
    two.stop().await;
}

async fn whoever_waits_before_the_event_exists_is_answered(world: World) {
    let two = Two::start(world).await;
    let waits: Vec<_> = (1..=40_u64)
        .map(|cursor| Await::cursors("accounts", [cursor.into()]))
        .map(|request| two.stand_by.supervisor().send(request))
        .collect();
    // The log is asked for this after the others: so it has said that it has none of those events.
    assert_eq!(two.wait(Await::caught_up("accounts")).await, [Outcome::Done]);
    two.world.append((0..40).map(|id| Event::opened(&id.to_string())));
    for wait in waits {
        wait.await.expect("it lives").expect("done");
    }
    two.world.check();
    two.stop().await;
}

async fn an_event_of_two_partitions_is_done_when_both_have_it(world: World) {
    let two = Two::start(world).await;
    two.world.append([Event::opened("a"), Event::opened("b")]);
    let transfer = Event::Transferred { from: "a".into(), to: "b".into(), amount: 5 };
    let recorded = two.world.append([transfer]);
    assert_eq!(two.wait_for(&recorded).await, [Outcome::Done]);
    two.world.check();
    two.stop().await;
}

async fn an_event_that_concerns_nobody_is_ignored(world: World) {
    let two = Two::start(world).await;
    let recorded = two.world.append([Event::Noise]);
    assert_eq!(two.wait_for(&recorded).await, [Outcome::Ignored]);
    two.stop().await;
}

async fn what_a_halted_partition_holds_is_told_as_halted(world: World) {
    let two = Two::start(world).await;
    let recorded = two.world.append([
        Event::opened("a"),
        Event::poison("a"),
        Event::deposited("a", 1),
        Event::opened("b"),
        Event::Transferred { from: "b".into(), to: "a".into(), amount: 1 },
    ]);
    for (at, halted) in [(0, false), (1, true), (2, true), (3, false), (4, true)] {
        let outcome = two.wait_for(&recorded[at..=at]).await.remove(0);
        match outcome {
            Outcome::Halted(halt) if halted => assert_eq!(halt.cursor, recorded[1].cursor),
            outcome => assert!(!halted && outcome == Outcome::Done, "{at}: {outcome:?}"),
        }
    }
    two.stop().await;
}

async fn an_event_that_the_owner_has_skipped_is_told_as_skipped(world: World) {
    let reducer = Accounts::new().on_failure(|_| OnFailure::Skip);
    let two = Two::start_with(world, reducer).await;
    let recorded =
        two.world.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    for (at, event) in recorded.iter().enumerate() {
        let outcome = two.wait_for(std::slice::from_ref(event)).await.remove(0);
        match outcome {
            Outcome::Skipped(skip) if at == 1 => assert_eq!(skip.cursor, event.cursor),
            outcome => assert!(at != 1 && outcome == Outcome::Done, "{at}: {outcome:?}"),
        }
    }
    two.stop().await;
}

async fn a_cursor_that_the_log_cannot_have_is_missing(world: World) {
    let two = Two::start(world).await;
    let missing = two.wait(Await::cursors("accounts", ["text".into()])).await;
    assert_eq!(missing, [Outcome::Missing]);
    two.stop().await;
}

async fn caught_up_waits_for_what_is_in_the_log_when_it_is_asked(world: World) {
    let two = Two::start(world).await;
    for round in 0..10 {
        two.world.append([Event::opened(&round.to_string()), Event::Noise]);
        assert_eq!(two.wait(Await::caught_up("accounts")).await, [Outcome::Done]);
        two.world.check();
    }
    // Not while the owner has it in its hands.
    let gate = Gate::closed();
    two.world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    two.world.append([Event::deposited("1", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let soon = Await::caught_up("accounts").within(Duration::from_millis(50));
    assert_eq!(two.wait(soon).await, [Outcome::TimedOut]);
    let waiting = two.stand_by.supervisor().send(Await::caught_up("accounts"));
    gate.open();
    waiting.await.expect("it lives").expect("done");
    two.world.check();
    two.stop().await;
}

async fn caught_up_is_not_done_while_a_partition_is_halted(world: World) {
    let two = Two::start(world).await;
    let recorded = two.world.append([Event::opened("a"), Event::poison("a"), Event::opened("b")]);
    let outcome = two.wait(Await::caught_up("accounts")).await.remove(0);
    let Outcome::Halted(halt) = outcome else { panic!("{outcome:?}") };
    assert_eq!(halt.cursor, recorded[1].cursor);
    two.owner.skip("accounts", "a", halt.cursor.clone()).await.expect("it goes on");
    assert_eq!(two.wait(Await::caught_up("accounts")).await, [Outcome::Done]);
    two.stop().await;
}

async fn a_wait_ends_in_time_and_is_never_told_done_before_it_is_stored(world: World) {
    let two = Two::start(world).await;
    let gate = Gate::closed();
    two.world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let recorded = two.world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let soon = Await::events("accounts", &recorded).within(Duration::from_millis(50));
    let error = two.stand_by.wait(soon).await.expect_err("it is not stored");
    assert!(error.is_timeout(), "{error}");
    let waiting = two.stand_by.supervisor().send(Await::events("accounts", &recorded));
    gate.open();
    waiting.await.expect("it lives").expect("done");
    two.world.check();
    two.stop().await;
}

async fn a_reducer_that_panics_when_asked_for_partitions_is_not_told_as_ignored(world: World) {
    let two = Two::start(world).await;
    let recorded = two.world.append([Event::Unroutable]);
    let outcome = two.wait_for(&recorded).await.remove(0);
    assert!(matches!(outcome, Outcome::Blocked(_)), "{outcome:?}");
    two.stop().await;
}

async fn those_who_wait_are_answered_by_the_stand_by_when_it_has_taken_over(world: World) {
    let two = Two::start(world).await;
    let gate = Gate::closed();
    two.world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    let recorded = two.world.append([Event::opened("a"), Event::deposited("a", 1)]);
    gate.wait_for_arrivals(1, PATIENCE);
    let waits = [
        Await::events("accounts", &recorded),
        Await::caught_up("accounts"),
        Await::cursors("accounts", [3.into()]),
    ]
    .map(|request| two.stand_by.supervisor().send(request));
    assert_eq!(two.wait(Await::cursors("accounts", ["x".into()])).await, [Outcome::Missing]);
    two.world.expire();
    two.bob.probe.notified(taken_over, PATIENCE).await;
    two.world.append([Event::deposited("a", 2)]);
    for wait in waits {
        wait.await.expect("it lives").expect("done");
    }
    two.world.check();
    gate.open();
    two.owner.stop().await;
    two.stand_by.stop().await;
    two.world.check();
}

async fn those_who_wait_at_a_stop_of_the_stand_by_are_told(world: World) {
    let two = Two::start(world).await;
    let gate = Gate::closed();
    two.world.store_faults().on_commit(CommitFault::Stall(gate.clone()));
    two.world.append([Event::opened("a")]);
    gate.wait_for_arrivals(1, PATIENCE);
    let waits = [
        Await::cursors("accounts", [1.into()]),
        Await::cursors("accounts", [9.into()]),
        Await::caught_up("accounts"),
    ]
    .map(|request| two.stand_by.supervisor().send(request));
    assert_eq!(two.wait(Await::cursors("accounts", ["x".into()])).await, [Outcome::Missing]);
    two.stand_by.stop().await;
    for wait in waits {
        match wait.await {
            Ok(waited) => assert_eq!(outcomes(waited), [Outcome::Stopped]),
            Err(gone) => panic!("not answered: {gone}"),
        }
    }
    gate.open();
    two.owner.stop().await;
}

async fn a_store_that_cannot_be_read_is_asked_again(world: World) {
    let two = Two::start(world).await;
    two.world.store_faults().fail_other(3);
    let recorded = two.world.append([Event::opened("a")]);
    assert_eq!(two.wait_for(&recorded).await, [Outcome::Done]);
    assert_eq!(status(&two.stand_by).await.store_delay, None);
    two.stop().await;
}

async fn a_log_that_cannot_be_read_is_asked_again(world: World) {
    let two = Two::start(world).await;
    let recorded = two.world.append([Event::opened("a"), Event::opened("b")]);
    two.owner.wait(Await::events("accounts", &recorded)).await.expect("done");
    two.world.log_faults().fail_reads(2);
    assert_eq!(two.wait_for(&recorded).await, [Outcome::Done, Outcome::Done]);
    two.stop().await;
}

async fn what_was_committed_before_the_stand_by_began_is_done(world: World) {
    let owner = world.process("alice").start().await;
    let recorded = world.append([Event::opened("a"), Event::deposited("a", 1)]);
    owner.wait(Await::events("accounts", &recorded)).await.expect("done");
    let bob = world.process("bob");
    // The wait may be there before it is known that the reducer is owned.
    let stand_by = bob.start().await;
    stand_by.wait(Await::events("accounts", &recorded)).await.expect("done");
    let unknown = stand_by.wait(Await::events("nobody", &recorded)).await;
    assert!(matches!(unknown, Err(AwaitError::UnknownReducer { .. })), "{unknown:?}");
    stand_by.stop().await;
    owner.stop().await;
}
