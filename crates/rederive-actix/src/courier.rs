//! [`Courier`]: the actor that delivers the effects of one reducer.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    Running, SpawnHandle, WrapFuture,
};
use rederive_core::{
    DeliveryFailure, EffectRecord, EffectsError, Notice, Outbox, StoreError,
    effect::{Deliverer, DeliveryQueue, Job, Outcome},
    error::panic_message,
};

use crate::{
    config::Config,
    ended::EndGuard,
    message::{Abort, Ask, CourierDone, WakeCourier},
    observe::Observers,
    persistence::Persistence,
};

/// Has the [`DeliveryQueue`] decide, asks the store on its thread, and runs the deliveries on this
/// one, which is the courier's alone. Owned by the reducer's dispatcher, and reading and writing under
/// its epoch.
pub(crate) struct Courier {
    links: CourierLinks,
    queue: DeliveryQueue,
    /// A question is at the store, or waits for its next attempt.
    asked: bool,
    attempts: u32,
    alarm: Option<(Instant, SpawnHandle)>,
    stopping: bool,
    guard: EndGuard<CourierDone>,
}

/// What a courier is connected to.
pub(crate) struct CourierLinks {
    pub(crate) reducer: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) deliverer: Arc<dyn Deliverer>,
    pub(crate) persistence: Addr<Persistence>,
    pub(crate) config: Config,
    pub(crate) observers: Observers,
    /// Told how the courier ended.
    pub(crate) done: Recipient<CourierDone>,
    /// Which of the reducer's couriers this is.
    pub(crate) generation: u64,
}

/// How a courier ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CourierEnd {
    /// It was told to.
    Stopped,
    /// Somebody else owns the reducer.
    Fenced,
    /// By a fault of ours.
    Died,
}

/// dispatcher → courier: begin no more deliveries; end when those under way have ended.
pub(crate) struct StopCourier;

impl Message for StopCourier {
    type Result = ();
}

/// the store → courier: what was read, or that it was written.
struct Answer(Result<Option<Vec<EffectRecord>>, EffectsError>);

impl Message for Answer {
    type Result = ();
}

impl Courier {
    pub(crate) fn new(links: CourierLinks) -> Self {
        let died = CourierDone { end: CourierEnd::Died, generation: links.generation };
        let guard = EndGuard::new(links.done.clone(), died);
        let queue = DeliveryQueue::new(links.deliverer.settings());
        Self { links, queue, asked: false, attempts: 0, alarm: None, stopping: false, guard }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        while let Some(job) = self.queue.begin(Instant::now()) {
            self.deliver(job, ctx);
        }
        self.ask(ctx);
        self.set_alarm(ctx);
        if self.stopping && !self.asked && self.queue.is_at_rest() {
            self.end(CourierEnd::Stopped, ctx);
        }
    }

    fn end(&mut self, end: CourierEnd, ctx: &mut Context<Self>) {
        self.guard.disarm();
        self.links.done.do_send(CourierDone { end, generation: self.links.generation });
        ctx.stop();
    }

    /// Writes what has ended, or reads what is next: one question at a time.
    fn ask(&mut self, ctx: &mut Context<Self>) {
        if self.asked {
            return;
        }
        let (reducer, epoch) = (Arc::clone(&self.links.reducer), self.links.epoch);
        if let Some(marks) = self.queue.marks() {
            self.question(ctx, move |outbox| outbox.mark(&reducer, epoch, &marks).map(|()| None));
        } else if let Some(read) = self.queue.read() {
            self.question(ctx, move |outbox| {
                outbox.effects(&reducer, epoch, read.after.as_ref(), read.limit).map(Some)
            });
        }
    }

    fn question(
        &mut self,
        ctx: &mut Context<Self>,
        ask: impl FnOnce(&dyn Outbox) -> Result<Option<Vec<EffectRecord>>, EffectsError>
        + Send
        + 'static,
    ) {
        self.asked = true;
        let me = ctx.address();
        self.links.persistence.do_send(Ask(Box::new(move |store| {
            let answer = catch_unwind(AssertUnwindSafe(|| ask(store.outbox())));
            let panicked = |payload: Box<dyn std::any::Any + Send>| {
                Err(StoreError::new(format!("it panicked: {}", panic_message(&*payload))).into())
            };
            me.do_send(Answer(answer.unwrap_or_else(panicked)));
        })));
    }

    fn deliver(&mut self, job: Job, ctx: &mut Context<Self>) {
        let (deliverer, reducer) =
            (Arc::clone(&self.links.deliverer), Arc::clone(&self.links.reducer));
        let timeout = deliverer.settings().timeout;
        let delivery = async move {
            let result = within(timeout, unpanicked(|| deliverer.deliver(&reducer, &job))).await;
            (job, result)
        };
        ctx.spawn(delivery.into_actor(self).map(|(job, result), this, ctx| {
            this.ended(&job, result);
            this.go_on(ctx);
        }));
    }

    fn ended(&mut self, job: &Job, result: Result<(), (DeliveryFailure, String)>) {
        let partition = &job.key.partition;
        let outcome =
            self.queue.finished(partition, result, Instant::now(), SystemTime::now().into());
        let (reducer, key) = (Arc::clone(&self.links.reducer), job.key.clone());
        match outcome {
            None => {}
            Some(Outcome::Delivered) => {
                self.links.observers.tell(&Notice::Delivered {
                    reducer,
                    key,
                    attempt: job.attempt,
                });
            }
            Some(Outcome::Delayed(delayed)) => {
                self.links.observers.tell(&Notice::DeliveryDelayed { reducer, key, delayed });
            }
            Some(Outcome::Parked(parked)) => {
                self.links.observers.tell(&Notice::Parked { reducer, key, parked });
            }
        }
    }

    /// Wakes up when the next partition may try again.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        let due = self.queue.next_due();
        if self.alarm.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, timer)) = self.alarm.take() {
            ctx.cancel_future(timer);
        }
        if let Some(due) = due {
            let pause = due.saturating_duration_since(Instant::now());
            let timer = ctx.run_later(pause, |this, ctx| {
                this.alarm = None;
                this.go_on(ctx);
            });
            self.alarm = Some((due, timer));
        }
    }
}

/// Polls a future of the user's; a panic in it becomes a failure.
async fn unpanicked<F>(make: impl FnOnce() -> F) -> Result<(), (DeliveryFailure, String)>
where
    F: Future<Output = Result<(), (DeliveryFailure, String)>>,
{
    let panicked = |payload: Box<dyn std::any::Any + Send>| {
        Err((DeliveryFailure::Panicked, panic_message(&*payload)))
    };
    let future = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => future,
        Err(payload) => return panicked(payload),
    };
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        // What panicked is not polled again.
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or_else(|payload| Poll::Ready(panicked(payload)))
    })
    .await
}

async fn within(
    timeout: Duration,
    delivery: impl Future<Output = Result<(), (DeliveryFailure, String)>>,
) -> Result<(), (DeliveryFailure, String)> {
    tokio::time::timeout(timeout, delivery).await.unwrap_or_else(|_| {
        Err((DeliveryFailure::TimedOut, format!("it has not ended within {timeout:?}")))
    })
}

impl Actor for Courier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let poll = self.links.deliverer.settings().checked().poll_interval;
        ctx.run_interval(poll, |this, ctx| {
            this.queue.wake();
            this.go_on(ctx);
        });
        self.go_on(ctx);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}

impl Handler<WakeCourier> for Courier {
    type Result = ();

    fn handle(&mut self, _: WakeCourier, ctx: &mut Context<Self>) {
        self.queue.wake();
        self.go_on(ctx);
    }
}

impl Handler<Answer> for Courier {
    type Result = ();

    fn handle(&mut self, Answer(answer): Answer, ctx: &mut Context<Self>) {
        match answer {
            Ok(page) => {
                self.asked = false;
                self.attempts = 0;
                match page {
                    Some(page) => self.queue.found(page),
                    None => self.queue.written(),
                }
                self.go_on(ctx);
            }
            Err(EffectsError::Fenced) => self.end(CourierEnd::Fenced, ctx),
            Err(EffectsError::Store(error)) => {
                self.queue.not_read();
                self.queue.not_written();
                if self.stopping {
                    // What was delivered and is not noted is delivered again at the next start.
                    self.end(CourierEnd::Stopped, ctx);
                    return;
                }
                self.attempts += 1;
                let delay = self.links.config.backoff(self.attempts);
                self.links.observers.tell(&Notice::OutboxDelayed {
                    reducer: Arc::clone(&self.links.reducer),
                    attempt: self.attempts,
                    delay,
                    error: error.to_string(),
                });
                ctx.run_later(delay, |this, ctx| {
                    this.asked = false;
                    this.go_on(ctx);
                });
            }
        }
    }
}

impl Handler<StopCourier> for Courier {
    type Result = ();

    fn handle(&mut self, _: StopCourier, ctx: &mut Context<Self>) {
        self.stopping = true;
        self.queue.stop();
        if self.attempts > 0 {
            self.end(CourierEnd::Stopped, ctx);
            return;
        }
        let grace = self.links.deliverer.settings().grace;
        ctx.run_later(grace, |this, ctx| this.end(CourierEnd::Stopped, ctx));
        self.go_on(ctx);
    }
}

impl Handler<Abort> for Courier {
    type Result = ();

    fn handle(&mut self, _: Abort, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
    }
}
