//! Where the actors live: in an application's actix system or in one of their own, and without a
//! trace after the stop.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use rederive::{Await, Ops, Partitions, ReduceError, Reducer};

use crate::fixture::{
    World,
    bank::{Accounts, Event, Recorded},
};

/// A reducer of which one can tell whether anybody still has it.
struct Traced {
    accounts: Accounts,
    _trace: Arc<()>,
}

impl Reducer for Traced {
    type Event = Event;

    fn name(&self) -> &str {
        self.accounts.name()
    }

    fn partition(&self, event: &Event) -> Partitions {
        self.accounts.partition(event)
    }

    fn reduce(&self, event: &Recorded, ops: &mut Ops) -> Result<(), ReduceError> {
        self.accounts.reduce(event, ops)
    }
}

/// Starts, works and stops; then nothing of it may be left.
async fn live_and_stop() {
    let (world, trace) = (World::memory(), Arc::new(()));
    let left = Arc::downgrade(&trace);
    let reducer = Traced { accounts: Accounts::new(), _trace: trace };
    let builder = world.builder().register(reducer, world.store.clone());
    let handle = builder.start().await.expect("it starts");
    let recorded = world.append((0..50).map(|id| Event::opened(&id.to_string())));
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert!(threads_of_ours() > 0);
    // Dropping one of several handles stops nothing.
    drop(handle.clone());
    handle.wait(Await::caught_up("accounts")).await.expect("it lives on");
    handle.stop().await;
    world.check();
    assert_eq!(Weak::strong_count(&left), 0, "some actor or thread is left");
    // Only where each test has a process of its own does this say something.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!(threads_of_ours(), 0);
    }
}

/// How many threads the process has that are named after us.
fn threads_of_ours() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 1 };
    let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
    // The system cuts names to 15 bytes.
    names.flatten().filter(|name| name.starts_with("rederive")).count()
}

#[actix_rt::test]
async fn in_an_actix_system_everything_ends_with_the_stop() {
    live_and_stop().await;
    // And can be started again there.
    live_and_stop().await;
}

#[test]
fn in_a_plain_tokio_runtime_everything_ends_with_the_stop() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
    runtime.block_on(live_and_stop());
}

#[test]
fn in_a_tokio_runtime_of_several_threads_the_handle_can_be_shared() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("it starts");
    runtime.block_on(async {
        tokio::spawn(live_and_stop()).await.expect("no panic");
        let world = World::memory();
        let handle = world.start().await;
        let tasks: Vec<_> = (0..8)
            .map(|id| {
                let (world, handle) = (world.clone(), handle.clone());
                tokio::spawn(async move {
                    let recorded = world.append([Event::opened(&id.to_string())]);
                    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
                    assert!(world.rows().contains_key(&id.to_string()));
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        handle.stop().await;
        world.check();
    });
}

#[test]
fn without_any_runtime_everything_ends_with_the_stop() {
    block_on(live_and_stop());
}

/// The plainest executor there is.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
