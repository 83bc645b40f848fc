//! [`Persistence`]: the actor that brings commits into one store.

use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, Running, SpawnHandle};
use rederive_core::{Group, Notice, Progress, Settled, Settlement, Store, StoreError, Writer};

use crate::{
    config::Config,
    ended::EndGuard,
    health::Health,
    lease::{Held, Leases},
    message::{
        Abort, ActorEnded, Ask, Commit, Committed, Hurry, Load, Loaded, Open, OpenDone, Release,
        Stop,
    },
    observe::Observers,
    take_over::{give_up, take_over},
    worker::{Place, Worker, unpanicked},
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
    /// Taken when it stops.
    leases: Option<Leases>,
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
    /// To go on with, or what became of each group.
    came: Result<Vec<Settled>, (Settlement, String)>,
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
        let leases = Leases::new(Arc::clone(&store), config.clone(), observers.clone());
        Self {
            store,
            config,
            observers,
            place,
            worker: None,
            leases: Some(leases),
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
            // What was committed is freed on this thread.
            let came = match progress {
                Progress::Finished => Ok(settlement.into_settled()),
                Progress::Retry { error, .. } => Err((settlement, error)),
            };
            me.do_send(Ran { came });
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
        if let Some(leases) = self.leases.take() {
            leases.join();
        }
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
        if let Some(stop) = self.stopping.take() {
            stop.answer();
        }
        ctx.stop();
    }
}

pub(crate) fn open_writer<'w>(
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
        let (Some(worker), Some(leases)) = (&self.worker, &self.leases) else { return };
        self.asked += 1;
        let (store, me, leases) = (Arc::clone(&self.store), ctx.address(), leases.holder());
        // In turn with the transactions: the new owner sees all that the old one committed.
        worker.run(move |writer| {
            let opened = unpanicked(|| take_over(&open, writer, &*store));
            let opened = opened.unwrap_or_else(|error| Err(StoreError::new(error).into()));
            let leased = opened.iter().flatten().find(|opened| !opened.lease.is_zero());
            let epoch = leased.map(|opened| opened.revision.epoch);
            let is_owner = opened.iter().flatten().next().is_some();
            open.reply.do_send(OpenDone(opened));
            if let Some(epoch) = epoch {
                let (ownership, lost) = (open.ownership.clone(), open.lost);
                leases.hold(&open.reducer, Held { epoch, ownership, lost });
            }
            // While it is read and reduced what there is to commit.
            if is_owner && let Ok(writer) = open_writer(writer, &*store) {
                let _ = unpanicked(|| writer.prepare());
            }
            me.do_send(Answered);
        });
    }
}

impl Handler<Release> for Persistence {
    type Result = ();

    fn handle(&mut self, release: Release, ctx: &mut Context<Self>) {
        let (Some(worker), Some(leases)) = (&self.worker, &self.leases) else { return };
        self.asked += 1;
        let (store, me, leases) = (Arc::clone(&self.store), ctx.address(), leases.holder());
        // In turn with the transactions, of which none is to come, and with an opening under way.
        worker.run(move |writer| {
            leases.let_go(&release.reducer);
            if let Err(error) = unpanicked(|| give_up(&release, writer, &*store))
                .and_then(|released| released.map_err(|error| error.to_string()))
            {
                log::info!(
                    target: "rederive",
                    "{}: the lease is not released and runs out by itself: {error}",
                    release.reducer
                );
            }
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

    fn handle(&mut self, Ran { came }: Ran, ctx: &mut Context<Self>) {
        match came {
            Ok(settled) => {
                if self.attempts > 0 {
                    self.observers.tell(&Notice::CommitResumed { attempts: self.attempts });
                    self.attempts = 0;
                    self.health.set(None);
                }
                for (settled, reply) in settled.into_iter().zip(&self.settling) {
                    reply.do_send(Committed(Some(settled)));
                }
                self.settling.clear();
                self.go_on(ctx);
            }
            Err(_) if self.hurrying => self.give_up(ctx),
            Err((settlement, error)) => {
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
