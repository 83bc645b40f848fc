//! Awaiting from other threads and other runtimes than the one that the supervisor was started on.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use actix::{Arbiter, System};
use rederive::{Await, Handle, Outcome};

use crate::fixture::{World, bank::Event, outcomes};

/// The plainest executor there is: without timers, without any runtime.
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

/// What somebody does who is elsewhere: appends, awaits, reads, and is told when the time is up.
async fn wait_here(world: World, handle: Handle) {
    let recorded = world.append([Event::opened("a"), Event::deposited("a", 5)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(world.rows()["a"].0, 5);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let never = Await::cursors("accounts", [1_000_000.into()]).within(Duration::from_millis(10));
    assert_eq!(outcomes(handle.wait(never).await), [Outcome::TimedOut]);
    let sent = handle.send(Await::events("accounts", &recorded)).await.expect("it lives");
    assert_eq!(outcomes(sent), [Outcome::Done, Outcome::Done]);
}

/// Starts a supervisor in an actix system of its own, and has somebody wait elsewhere.
fn wait_elsewhere(elsewhere: impl Fn(World, Handle)) {
    for world in [World::memory(), World::sqlite(), World::postgres()] {
        let handle = block_on(world.start());
        elsewhere(world.clone(), handle.clone());
        block_on(handle.stop());
        world.check();
    }
}

#[test]
fn on_a_plain_thread_with_an_executor_of_its_own() {
    wait_elsewhere(|world, handle| block_on(wait_here(world, handle)));
}

#[test]
fn on_another_tokio_runtime_of_one_thread() {
    wait_elsewhere(|world, handle| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
        runtime.block_on(wait_here(world, handle));
    });
}

#[test]
fn on_another_tokio_runtime_of_several_threads() {
    wait_elsewhere(|world, handle| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.expect("it starts");
        let waiting = runtime.spawn(wait_here(world, handle));
        runtime.block_on(waiting).expect("no panic");
    });
}

#[test]
fn in_another_actix_system() {
    wait_elsewhere(|world, handle| System::new().block_on(wait_here(world, handle)));
}

#[actix_rt::test]
async fn on_another_arbiter_of_the_same_system() {
    let world = World::memory();
    let handle = world.start().await;
    let (arbiter, other) = (Arbiter::new(), (world.clone(), handle.clone()));
    let (told, waited) = tokio::sync::oneshot::channel();
    let spawned = arbiter.spawn(async move {
        wait_here(other.0, other.1).await;
        told.send(thread::current().id()).expect("somebody waits");
    });
    assert!(spawned);
    assert_ne!(waited.await.expect("no panic"), thread::current().id());
    arbiter.stop();
    handle.stop().await;
    world.check();
}
