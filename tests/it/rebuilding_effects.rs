//! Rebuilding a reducer that emits effects, beside a notifier: what was sent is not sent again, and what
//! was never emitted is.

use std::sync::{Arc, Mutex};

use rederive::{
    Await, Begin, Deliver, DeliverError, Due, Handle, Notice, OnVersionChange, Ops, OwnedTable,
    Partitions, RebuildError, ReduceError, Reducer, RepairError, Sizes, chaos::Victim,
};
use rederive_testkit::{CommitFault, Gate};

use crate::{
    fixture::{
        PATIENCE, World,
        bank::{Accounts, Event, Recorded, fold_healed},
        mails::Mails,
        on_every_store,
    },
    killing::kill,
};

on_every_store!(
    a_rebuild_sends_nothing_again_and_goes_on_sending,
    another_version_is_mute_up_to_where_the_former_one_was,
    a_rebuild_that_is_resumed_stays_mute,
    what_was_held_is_sent_once_it_is_applied,
    the_rebuild_of_a_partition_sends_nothing_again,
);

/// The accounts, each deposit of which is confirmed.
#[derive(Clone)]
struct Confirmed(Accounts);

impl Reducer for Confirmed {
    type Event = Event;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        Reducer::version(&self.0)
    }

    fn tables(&self) -> Vec<OwnedTable> {
        self.0.tables()
    }

    fn partition(&self, event: &Event) -> Partitions {
        self.0.partition(event)
    }

    fn reduce(&self, event: &Recorded, ops: &mut Ops) -> Result<(), ReduceError> {
        if let Event::Deposited { amount, .. } = event.data {
            ops.effect(&amount)?;
        }
        self.0.reduce(event, ops)
    }
}

/// What was confirmed: the account and the amount, in the order of deliveries.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<(String, i64)>>>);

impl Letters {
    fn to(&self, id: &str) -> Vec<i64> {
        let sent = self.0.lock().expect("no panic");
        sent.iter().filter(|(to, _)| to == id).map(|(_, amount)| *amount).collect()
    }
}

impl Deliver for Letters {
    type Effect = i64;

    async fn deliver(&self, due: Due<i64>) -> Result<(), DeliverError> {
        self.0.lock().expect("no panic").push((due.partition.to_string(), due.effect));
        Ok(())
    }
}

struct Office {
    world: World,
    letters: Letters,
    mails: Mails,
}

impl Office {
    fn new(world: World) -> Self {
        let world = world.with(|config| {
            config.rebuild = Sizes { slice: 3, window: 6, batch: 3, group: 3 };
            config.slice = 3;
        });
        Self { world, letters: Letters::default(), mails: Mails::new() }
    }

    async fn start(&self, reducer: Accounts) -> Handle {
        let (builder, store) = (self.world.builder(), self.world.store.clone());
        builder
            .register_delivering(Confirmed(reducer), self.letters.clone(), store.clone())
            .on_version_change(OnVersionChange::Rebuild)
            .notify_from(self.mails.clone(), Begin::Start, store)
            .start()
            .await
            .expect("it starts")
    }

    fn deposit(&self, amounts: std::ops::Range<i64>) {
        for amount in amounts {
            self.world.append(["a", "b"].map(|id| Event::deposited(id, amount)));
        }
    }

    /// Waits until all is sent that is going to be, and nothing is delivered twice.
    async fn sent(&self, handle: &Handle, to_a: std::ops::Range<i64>, to_b: std::ops::Range<i64>) {
        self.world.settled(handle).await;
        handle.wait(Await::caught_up("mails")).await.expect("caught up");
        for reducer in ["accounts", "mails"] {
            loop {
                let counts = handle.count_effects(reducer).await.expect("it counts");
                if counts.pending == 0 {
                    break;
                }
                actix_rt::task::yield_now().await;
            }
        }
        assert_eq!(self.letters.to("a"), to_a.clone().collect::<Vec<_>>());
        assert_eq!(self.letters.to("b"), to_b.clone().collect::<Vec<_>>());
        assert_eq!(self.mails.told("b"), to_b.collect::<Vec<_>>());
    }
}

async fn a_rebuild_sends_nothing_again_and_goes_on_sending(world: World) {
    let office = Office::new(world);
    let handle = office.start(Accounts::new()).await;
    office.world.append(["a", "b"].map(Event::opened));
    office.deposit(0..10);
    office.sent(&handle, 0..10, 0..10).await;
    for round in 1..4 {
        let rebuild = actix_rt::spawn({
            let handle = handle.clone();
            async move { handle.rebuild("accounts").await }
        });
        actix_rt::task::yield_now().await;
        office.deposit(10 * round..10 * (round + 1));
        let report = rebuild.await.expect("no panic").expect("it is rebuilt");
        assert_eq!((report.partitions, report.halted, report.skips), (2, 0, 0));
        office.sent(&handle, 0..10 * (round + 1), 0..10 * (round + 1)).await;
        office.world.check();
    }
    handle.stop().await;
}

async fn another_version_is_mute_up_to_where_the_former_one_was(world: World) {
    let office = Office::new(world);
    let handle = office.start(Accounts::new()).await;
    office.world.append(["a", "b"].map(Event::opened));
    office.deposit(0..10);
    office.sent(&handle, 0..10, 0..10).await;
    handle.stop().await;
    // What the former version has never seen is sent by the new one.
    office.deposit(10..20);
    let handle = office.start(Accounts::new().version(2)).await;
    office.sent(&handle, 0..20, 0..20).await;
    office.deposit(20..25);
    office.sent(&handle, 0..25, 0..25).await;
    office.world.check();
    handle.stop().await;
}

async fn a_rebuild_that_is_resumed_stays_mute(world: World) {
    let office = Office::new(world);
    let mut handle = office.start(Accounts::new()).await;
    office.world.append(["a", "b"].map(Event::opened));
    office.deposit(0..10);
    office.sent(&handle, 0..10, 0..10).await;
    for commit in 0..4 {
        let gate = Gate::closed();
        // Not that of the reset, which is none.
        office.world.store_faults().on_commit_after(commit, CommitFault::Stall(gate.clone()));
        let rebuild = actix_rt::spawn({
            let handle = handle.clone();
            async move { handle.rebuild("accounts").await }
        });
        while gate.arrived() == 0 {
            actix_rt::task::yield_now().await;
        }
        if commit % 2 == 0 {
            kill(&handle, Victim::Dispatcher);
            gate.open();
            rebuild.await.expect("no panic").expect("it goes on");
        } else {
            let stopping = handle.clone();
            let stop = actix_rt::spawn(async move { stopping.stop().await });
            actix_rt::task::yield_now().await;
            gate.open();
            stop.await.expect("no panic");
            assert_eq!(rebuild.await.expect("no panic"), Err(RebuildError::Interrupted));
            let mut watch = office.world.probe.from_now();
            handle = office.start(Accounts::new()).await;
            let rebuilt = |notice: &Notice| matches!(notice, Notice::Rebuilt { .. });
            watch.notified(rebuilt, PATIENCE).await;
        }
        let from = 10 + i64::from(commit as u32);
        office.deposit(from..from + 1);
        office.sent(&handle, 0..from + 1, 0..from + 1).await;
        office.world.check();
    }
    handle.stop().await;
}

async fn what_was_held_is_sent_once_it_is_applied(world: World) {
    let office = Office::new(world);
    let handle = office.start(Accounts::new()).await;
    office.world.append(["a", "b"].map(Event::opened));
    office.deposit(0..3);
    office.world.append([Event::OpenedTwice { id: "a".into() }]);
    office.deposit(3..6);
    office.sent(&handle, 0..3, 0..6).await;
    handle.stop().await;
    let handle = office.start(Accounts::new().healed().version(2)).await;
    office.sent(&handle, 0..6, 0..6).await;
    assert_eq!(office.world.rows(), fold_healed(&office.world.events()).rows);
    handle.stop().await;
}

async fn the_rebuild_of_a_partition_sends_nothing_again(world: World) {
    let office = Office::new(world);
    let reducer = Accounts::new();
    let cure = reducer.cure();
    let handle = office.start(reducer).await;
    office.world.append(["a", "b"].map(Event::opened));
    office.deposit(0..5);
    office.sent(&handle, 0..5, 0..5).await;
    let rebuild = actix_rt::spawn({
        let handle = handle.clone();
        async move { handle.rebuild_partition("accounts", "a").await }
    });
    actix_rt::task::yield_now().await;
    office.deposit(5..10);
    rebuild.await.expect("no panic").expect("it is rebuilt");
    office.sent(&handle, 0..10, 0..10).await;
    // Nor what was sent before a halt; what is held is, once the cause is corrected.
    office.world.append([Event::OpenedTwice { id: "a".into() }]);
    office.deposit(10..12);
    office.sent(&handle, 0..10, 0..12).await;
    let again = handle.rebuild_partition("accounts", "a").await;
    assert!(matches!(again, Err(RepairError::Halted(_))), "{again:?}");
    office.sent(&handle, 0..10, 0..12).await;
    cure.store(true, std::sync::atomic::Ordering::SeqCst);
    handle.rebuild_partition("accounts", "a").await.expect("it is rebuilt");
    office.sent(&handle, 0..12, 0..12).await;
    let last = office.world.append([Event::deposited("a", 12)]);
    handle.wait(Await::events("accounts", &last)).await.expect("done");
    office.sent(&handle, 0..13, 0..12).await;
    handle.stop().await;
}
