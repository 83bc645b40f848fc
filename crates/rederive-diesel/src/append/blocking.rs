//! Waiting on a thread that may block.
//!
//! A runtime gives each task a budget, and what it offers to wait on pretends not to be ready once
//! that is used up, until the task yields: whoever blocks within a task would wait for ever. So
//! nothing of a runtime's is waited on by the thread of the caller.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, mpsc},
    task, thread,
};

/// Waits for one answer.
pub(super) struct Waiting<T>(mpsc::Receiver<T>);

impl<T> Waiting<T> {
    pub(super) fn new() -> (mpsc::SyncSender<T>, Self) {
        let (answer, waiting) = mpsc::sync_channel(1);
        (answer, Self(waiting))
    }

    /// The answer; `None` when nobody is left to give it.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}

/// Runs a future to its end, on a thread of its own, which has no budget.
pub(super) fn block_on<F>(future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    thread::scope(|scope| match scope.spawn(|| run(future)).join() {
        Ok(output) => output,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Runs a future on this thread, which sleeps while it waits.
fn run<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            task::Poll::Ready(output) => return output,
            task::Poll::Pending => thread::park(),
        }
    }
}
