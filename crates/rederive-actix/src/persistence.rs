//! [`Persistence`]: the actor that brings commits into one store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, Running, SpawnHandle};
use rederive_core::{
    Group, Notice, OpenError, Opening, Progress, Settlement, Store, StoreError, Writer,
    error::panic_message,
};

use crate::{
    config::Config,
    ended::EndGuard,
    health::Health,
    message::{
        Abort, ActorEnded, Ask, Commit, Committed, Hurry, Load, Loaded, Open, OpenDone, Stop,
    },
    observe::Observers,
    worker::{Place, Worker},
};

/// Collects groups while the transaction before them runs, and settles all of them in the next:
/// natural batching, without a timer. Its worker owns the connection.
///
/// There is at most one job at the worker, and each dispatcher has at most one group here, so
/// nothing piles up.
pub(crate) struct Persistence {
    store: Arc<dyn Store>,
    config: Config,
    observers: Observers,
    place: Place,
    worker: Option<Worker<Option<Box<dyn Writer>>>>,
    waiting: Vec<Waiting>,
    /// Those whose groups are in the settlement under way.
    settling: Vec<Recipient<Committed>>,
    /// Openings and loads under way.
    asked: usize,
    attempts: u32,
    health: Health,
    /// The settlement that waits for its next attempt.
    delayed: Option<(Settlement, SpawnHandle)>,
    stopping: Option<Stop>,
    hurrying: bool,
    guard: EndGuard<ActorEnded>,
}

struct Waiting {
    group: Group,
    reply: Recipient<Committed>,
}

/// worker → persistence: the settlement came so far.
struct Ran {
    settlement: Settlement,
    progress: Progress,
}

impl actix::Message for Ran {
    type Result = ();
}

/// worker → persistence: an open or a load has been answered.
struct Answered;

impl actix::Message for Answered {
    type Result = ();
}

impl Persistence {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        config: Config,
        observers: Observers,
        place: Place,
        health: Health,
        guard: EndGuard<ActorEnded>,
    ) -> Self {
        Self {
            store,
            config,
            observers,
            place,
            worker: None,
            waiting: Vec::new(),
            settling: Vec::new(),
            asked: 0,
            attempts: 0,
            health,
            delayed: None,
            stopping: None,
            hurrying: false,
            guard,
        }
    }

    fn is_settling(&self) -> bool {
        !self.settling.is_empty()
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.is_settling() {
            return;
        }
        if !self.waiting.is_empty() {
            let (groups, replies) =
                self.waiting.drain(..).map(|waiting| (waiting.group, waiting.reply)).unzip();
            self.settling = replies;
            self.settle(Settlement::new(groups), ctx);
        } else if self.asked == 0 && self.stopping.is_some() {
            self.stop(ctx);
        }
    }

    fn settle(&self, mut settlement: Settlement, ctx: &Context<Self>) {
        let Some(worker) = &self.worker else { return };
        let (store, me) = (Arc::clone(&self.store), ctx.address());
        worker.run(move |writer| {
            let progress = match open_writer(writer, &*store) {
                Ok(open) => settlement.run(open),
                Err(error) => Progress::Retry { error, broken: true },
            };
            if matches!(progress, Progress::Retry { broken: true, .. }) {
                *writer = None;
            }
            me.do_send(Ran { settlement, progress });
        });
    }

    /// Gives up the settlement under way: what it has not committed, it will not.
    fn give_up(&mut self, ctx: &mut Context<Self>) {
        for reply in self.settling.drain(..) {
            reply.do_send(Committed(None));
        }
        self.go_on(ctx);
    }

    fn stop(&mut self, ctx: &mut Context<Self>) {
        self.guard.disarm();
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
        if let Some(stop) = self.stopping.take() {
            stop.answer();
        }
        ctx.stop();
    }
}

fn open_writer<'w>(
    writer: &'w mut Option<Box<dyn Writer>>,
    store: &dyn Store,
) -> Result<&'w mut dyn Writer, String> {
    if writer.is_none() {
        let opened = unpanicked(|| store.writer())?;
        *writer = Some(opened.map_err(|error| error.to_string())?);
    }
    match writer {
        Some(writer) => Ok(&mut **writer),
        None => Err("the store has no writer".to_owned()),
    }
}

/// Opens the reducer, unless it was opened by us and by somebody else since.
fn take_over(
    open: &Open,
    writer: &mut Option<Box<dyn Writer>>,
    store: &dyn Store,
) -> Result<Option<rederive_core::Opened>, OpenError> {
    if let Some(epoch) = open.ownership.epoch() {
        let writer = open_writer(writer, store).map_err(StoreError::new)?;
        let stored = writer.revision(&open.reducer)?;
        if stored.is_none_or(|revision| revision.epoch != epoch) {
            return Ok(None);
        }
    }
    let opening = Opening {
        tables: &open.tables,
        start: open.start.clone(),
        ..Opening::new(&open.reducer, open.version, open.kind)
    };
    let opened = match &open.reset {
        Some(target) => store.reset(&opening, target)?,
        None => store.open(&opening)?,
    };
    if open.reset.is_some() {
        open.rebuild.stored();
    }
    open.ownership.taken(opened.revision.epoch);
    Ok(Some(opened))
}

/// Runs code of a store; a panic in it becomes an error.
fn unpanicked<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|payload| format!("the store panicked: {}", panic_message(&*payload)))
}

impl Actor for Persistence {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match Worker::start("rederive-commit", None, &self.place) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                log::error!(target: "rederive", "cannot start the commit thread: {error}");
                ctx.stop();
            }
        }
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}

impl Handler<Open> for Persistence {
    type Result = ();

    fn handle(&mut self, open: Open, ctx: &mut Context<Self>) {
        let Some(worker) = &self.worker else { return };
        self.asked += 1;
        let (store, me) = (Arc::clone(&self.store), ctx.address());
        // In turn with the transactions: the new owner sees all that the old one committed.
        worker.run(move |writer| {
            let opened = unpanicked(|| take_over(&open, writer, &*store));
            let opened = opened.unwrap_or_else(|error| Err(StoreError::new(error).into()));
            open.reply.do_send(OpenDone(opened));
            me.do_send(Answered);
        });
    }
}

impl Handler<Ask> for Persistence {
    type Result = ();

    fn handle(&mut self, Ask(ask): Ask, ctx: &mut Context<Self>) {
        let Some(worker) = &self.worker else { return };
        self.asked += 1;
        let (store, me) = (Arc::clone(&self.store), ctx.address());
        worker.run(move |_| {
            if let Err(error) = unpanicked(|| ask(&*store)) {
                log::error!(target: "rederive", "{error}");
            }
            me.do_send(Answered);
        });
    }
}

impl Handler<Load> for Persistence {
    type Result = ();

    fn handle(&mut self, Load { rows, reply }: Load, ctx: &mut Context<Self>) {
        let Some(worker) = &self.worker else { return };
        self.asked += 1;
        let (store, me) = (Arc::clone(&self.store), ctx.address());
        // In turn with the transactions: what was committed is seen.
        worker.run(move |_| {
            let loaded = unpanicked(|| store.load(&rows));
            let loaded = loaded.unwrap_or_else(|error| Err(StoreError::new(error)));
            reply.do_send(Loaded(loaded));
            me.do_send(Answered);
        });
    }
}

impl Handler<Answered> for Persistence {
    type Result = ();

    fn handle(&mut self, _: Answered, ctx: &mut Context<Self>) {
        self.asked -= 1;
        self.go_on(ctx);
    }
}

impl Handler<Commit> for Persistence {
    type Result = ();

    fn handle(&mut self, Commit { group, reply }: Commit, ctx: &mut Context<Self>) {
        self.waiting.push(Waiting { group, reply });
        self.go_on(ctx);
    }
}

impl Handler<Ran> for Persistence {
    type Result = ();

    fn handle(&mut self, Ran { settlement, progress }: Ran, ctx: &mut Context<Self>) {
        match progress {
            Progress::Finished => {
                if self.attempts > 0 {
                    self.observers.tell(&Notice::CommitResumed { attempts: self.attempts });
                    self.attempts = 0;
                    self.health.set(None);
                }
                for (settled, reply) in settlement.into_settled().into_iter().zip(&self.settling) {
                    reply.do_send(Committed(Some(settled)));
                }
                self.settling.clear();
                self.go_on(ctx);
            }
            Progress::Retry { .. } if self.hurrying => self.give_up(ctx),
            Progress::Retry { error, .. } => {
                self.attempts += 1;
                let delay = self.config.backoff(self.attempts);
                self.health.delayed(self.attempts, &error);
                self.observers.tell(&Notice::CommitDelayed {
                    reducers: settlement.reducers().cloned().collect(),
                    attempt: self.attempts,
                    delay,
                    error,
                });
                let timer = ctx.run_later(delay, |this, ctx| {
                    if let Some((settlement, _)) = this.delayed.take() {
                        this.settle(settlement, ctx);
                    }
                });
                self.delayed = Some((settlement, timer));
            }
        }
    }
}

impl Handler<Stop> for Persistence {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Context<Self>) {
        self.stopping = Some(stop);
        self.go_on(ctx);
    }
}

impl Handler<Hurry> for Persistence {
    type Result = ();

    fn handle(&mut self, _: Hurry, ctx: &mut Context<Self>) {
        self.hurrying = true;
        if let Some((_, timer)) = self.delayed.take() {
            ctx.cancel_future(timer);
            self.give_up(ctx);
        }
    }
}

impl Handler<Abort> for Persistence {
    type Result = ();

    fn handle(&mut self, _: Abort, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
    }
}
