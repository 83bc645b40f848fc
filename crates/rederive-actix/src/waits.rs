//! [`Waits`]: awaiting without a detour through the supervisor's thread.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use actix::{Addr, AsyncContext, Context, Handler, Message};

use crate::{
    awaiting::{Await, AwaitError, Awaited, Directory, Polled, Question, poll_all, replies},
    config::Config,
    supervisor::Supervisor,
    waiter::{Outcome, Promise, Waiter},
};

/// What is needed to wait for events from any thread, on any executor: dispatchers are asked, and
/// answer, directly. Only who waits too long, and who has to ask again as a dispatcher has died, is
/// served by the supervisor, which has timers.
#[derive(Clone)]
pub struct Waits {
    pub(crate) directory: Directory,
    deadlines: Arc<Mutex<Deadlines>>,
    default_time: Duration,
}

/// Those who wait, by the end of their time.
#[derive(Default)]
struct Deadlines {
    waiting: BTreeMap<(Instant, u64), Vec<Weak<Promise>>>,
    next: u64,
    /// When the supervisor is going to look, if it is.
    armed: Option<Instant>,
}

/// Whoever waits → supervisor: a time ends before you would look.
struct Arm;

impl Message for Arm {
    type Result = ();
}

/// Takes an entry out when the wait is over, or given up.
struct Entry<'w> {
    waits: &'w Waits,
    key: (Instant, u64),
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.waits.lock().waiting.remove(&self.key);
    }
}

impl Waits {
    /// For a supervisor with these settings, which is to be given them:
    /// [`Supervisor::with_waits`].
    pub fn new(config: &Config) -> Self {
        let default_time = config.await_timeout;
        Self { directory: Directory::default(), deadlines: Arc::default(), default_time }
    }

    /// Carries out the request; the same as sending it to the supervisor.
    ///
    /// # Errors
    /// [`AwaitError`].
    pub async fn wait(
        &self,
        supervisor: &Addr<Supervisor>,
        request: Await,
    ) -> Result<Awaited, AwaitError> {
        if !supervisor.connected() {
            return Err(AwaitError::Stopped);
        }
        let time = request.time().unwrap_or(self.default_time);
        // A time without an end that can be told is the supervisor's business.
        let Some(deadline) = Instant::now().checked_add(time) else {
            return supervisor.send(request).await.unwrap_or(Err(AwaitError::Stopped));
        };
        let mut questions = request.ask(&self.directory)?;
        let polled = {
            let _entry = self.enter(deadline, &questions, supervisor);
            poll_fn(|cx| poll_all(&mut questions, cx)).await
        };
        match polled {
            Polled::Decided => {
                let late = questions.iter().any(Question::is_late);
                replies(questions, if late { &Outcome::TimedOut } else { &Outcome::Pending })
            }
            Polled::Lost => {
                let left = deadline.saturating_duration_since(Instant::now());
                let again = supervisor.send(request.within(left)).await;
                again.unwrap_or(Err(AwaitError::Stopped))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Deadlines> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(
        &self,
        deadline: Instant,
        questions: &[Question],
        supervisor: &Addr<Supervisor>,
    ) -> Entry<'_> {
        let mut deadlines = self.lock();
        deadlines.next += 1;
        let key = (deadline, deadlines.next);
        deadlines
            .waiting
            .insert(key, questions.iter().map(|question| question.promise.clone()).collect());
        if deadlines.armed.is_none_or(|armed| deadline < armed) {
            deadlines.armed = Some(deadline);
            supervisor.do_send(Arm);
        }
        Entry { waits: self, key }
    }

    /// Tells those whose time is up. Returns when to look again.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let mut deadlines = self.lock();
        while let Some(entry) = deadlines.waiting.first_entry()
            && entry.key().0 <= now
        {
            expired.extend(entry.remove());
        }
        deadlines.armed = deadlines.waiting.first_key_value().map(|((at, _), _)| *at);
        let next = deadlines.armed;
        drop(deadlines);
        for waiter in expired.iter().filter_map(Waiter::upgrade) {
            waiter.finish(Outcome::TimedOut);
        }
        next
    }
}

impl Handler<Arm> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Arm, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        if let Some(next) = self.waits.expire(Instant::now()) {
            let pause = next.saturating_duration_since(Instant::now());
            self.alarm = Some(ctx.notify_later(Arm, pause));
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Actor;

    use super::*;

    #[test]
    fn nothing_is_kept_of_a_wait_that_is_over() {
        actix_rt::System::new().block_on(async {
            let config = Config::default();
            let waits = Waits::new(&config);
            let supervisor = Supervisor::new(config, Vec::new()).with_waits(waits.clone()).start();
            let entry = waits.enter(Instant::now() + Duration::from_secs(60), &[], &supervisor);
            assert_eq!(waits.lock().waiting.len(), 1);
            drop(entry);
            assert!(waits.lock().waiting.is_empty());
        });
    }
}
