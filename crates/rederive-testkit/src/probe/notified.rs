//! [`Notified`]: waits for a notice without blocking, on any runtime.

use std::{
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use rederive_core::Notice;

use super::{Missed, Watch, find};

/// The wait behind [`Watch::notified`]. `Unpin`, as it holds nothing that points into itself.
pub(super) struct Notified<'w, M> {
    watch: &'w mut Watch,
    matches: M,
    within: Duration,
    looked_at: usize,
    timer: Option<Timer>,
}

impl<'w, M> Notified<'w, M> {
    pub(super) fn new(watch: &'w mut Watch, matches: M, within: Duration) -> Self {
        let looked_at = watch.seen;
        Self { watch, matches, within, looked_at, timer: None }
    }
}

impl<M> Unpin for Notified<'_, M> {}

impl<M: Fn(&Notice) -> bool> Future for Notified<'_, M> {
    type Output = Result<Notice, Missed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let probe = this.watch.probe.clone();
        let mut state = probe.lock();
        if let Some(found) = find(&state.notices, &mut this.looked_at, &this.matches) {
            this.watch.seen = this.looked_at;
            return Poll::Ready(Ok(found));
        }
        let timer = this.timer.get_or_insert_with(|| Timer::start(this.within));
        if timer.is_over(context.waker()) {
            return Poll::Ready(Err(this.watch.missed(this.within, &state)));
        }
        state.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

/// Wakes a task after a time, from a thread of its own: no runtime is assumed, and only tests wait.
struct Timer(Arc<TimerShared>);

struct TimerShared {
    state: Mutex<TimerState>,
    cancelled: Condvar,
    deadline: Instant,
}

#[derive(Default)]
struct TimerState {
    waker: Option<Waker>,
    cancelled: bool,
}

impl Timer {
    fn start(after: Duration) -> Self {
        let shared = Arc::new(TimerShared {
            state: Mutex::default(),
            cancelled: Condvar::new(),
            deadline: Instant::now() + after,
        });
        let timer = Arc::clone(&shared);
        thread::spawn(move || {
            let state = timer.state.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = timer.cancelled.wait_timeout_while(state, after, |state| !state.cancelled);
            let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            if let Some(waker) = state.waker.take().filter(|_| !state.cancelled) {
                waker.wake();
            }
        });
        Self(shared)
    }

    /// True when the time is over; else the waker is called once it is.
    fn is_over(&self, waker: &Waker) -> bool {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).waker = Some(waker.clone());
        Instant::now() >= self.0.deadline
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).cancelled = true;
        self.0.cancelled.notify_all();
    }
}
