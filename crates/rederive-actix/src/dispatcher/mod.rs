//! [`Dispatcher`]: the actor that follows the log for one reducer.

mod courier;
mod dispatch;
mod flow;
mod gathered;
mod gathering;
mod group;
mod host;
mod rate;
mod load;
mod pause;
mod rebuild;
mod recover;
mod repair;
mod reset;
mod route;
pub(crate) mod seen;
mod settle;
mod stand_by;
mod status;
mod tentative;
mod undecodable;
mod wait;

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Running};
use rederive_core::{
    Begin, Blocked, Cursor, Engine, EventLog, EventTypes, Notice, OwnedTable, Revision, Waiters,
    effect::Deliverer,
};

use self::{
    flow::Flow,
    gathered::Gathered,
    group::Grouping,
    host::{Host, Residents},
    route::Routes,
};
use crate::{
    config::{Config, OnOwned, OnVersionChange, Sizes},
    ended::EndGuard,
    event_log::EventLogActor,
    health::Health,
    message::{Abort, ActorEnded, Fetch, Follow, Head, NewEvents, Open, OpenDone, Release, Stop},
    observe::Observers,
    ownership::Ownership,
    persistence::Persistence,
    ready::Ready,
    rebuild::{Job, RebuildError},
    waiter::{Outcome, Waiter},
};

/// Follows the log for one reducer: fetches slices, hands each partition its events, forwards what
/// partitions reduced to persistence, settles what is committed and moves the low watermark.
///
/// It owns the read position, the low watermark, the in-flight window and the partition dispatchers.
pub(crate) struct Dispatcher<E: Send + Sync + 'static> {
    links: Links<E>,
    phase: Phase,
    /// Told once whether the reducer could be opened, at the first start.
    ready: Ready,
    attempts: u32,
    revision: Revision,
    /// The low watermark in the store.
    stored: Cursor,
    flow: Flow<E>,
    routes: Routes<Host<E>>,
    residents: Residents<E>,
    gathered: Gathered<E>,
    grouping: Grouping,
    /// Whether there is so much to come that partitions are run here, without actors of their own, and
    /// that the sizes are those of a rebuild. Events are [gathered] for less.
    bulk: bool,
    repairs: repair::Repairs<Host<E>>,
    loads: load::Loads,
    passing: undecodable::Passing,
    tentative: tentative::Open,
    flush_scheduled: bool,
    /// Whether an operator has paused the reducer.
    paused: bool,
    /// Whether any event was ever skipped: then those who wait late are looked up in the store.
    skips: bool,
    /// Whether observers know that we are caught up.
    caught_up: bool,
    /// Those who wait for events that are not dispatched yet.
    future: Waiters<Waiter>,
    /// Those who wait for the low watermark.
    settled: Waiters<Waiter>,
    /// Those whose event is being looked up in the log.
    finding: Waiters<Waiter>,
    heads: wait::Heads,
    /// The rebuild under way, if there is one.
    rebuilding: Option<rebuild::Rebuilding>,
    /// How many events a rebuild that begins has before it.
    measured: Option<u64>,
    courier: courier::AtWork,
    /// Where it begins if the store does not know it, once that is known.
    begins: Option<Cursor>,
    guard: EndGuard<ActorEnded>,
}

/// What a dispatcher is connected to.
pub(crate) struct Links<E: Send + Sync + 'static> {
    pub(crate) engine: Arc<dyn Engine<Event = E>>,
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    pub(crate) tables: Arc<[OwnedTable]>,
    /// The types of events that concern the reducer.
    pub(crate) types: Arc<EventTypes>,
    pub(crate) log: Arc<dyn EventLog<Event = E>>,
    pub(crate) log_actor: Addr<EventLogActor<E>>,
    pub(crate) persistence: Addr<Persistence>,
    pub(crate) config: Config,
    /// Those of the settings that are others during a rebuild.
    pub(crate) sizes: Sizes,
    pub(crate) observers: Observers,
    /// The name of this process.
    pub(crate) instance: Arc<str>,
    pub(crate) store_health: Health,
    pub(crate) log_health: Health,
    pub(crate) ownership: Ownership,
    pub(crate) rebuild: Job,
    /// In place of what the settings say.
    pub(crate) on_version_change: Option<OnVersionChange>,
    pub(crate) begin: Begin,
    pub(crate) deliverer: Option<Arc<dyn Deliverer>>,
}

/// What a dispatcher is doing.
enum Phase {
    Opening,
    /// Another process owns the reducer.
    StandingBy(stand_by::StandBy),
    Running,
    /// The log cannot be read on; what was read goes on.
    Blocked(Blocked),
    Fenced,
    Stopping(Option<Stop>),
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    pub(crate) fn new(links: Links<E>, ready: Ready, guard: EndGuard<ActorEnded>) -> Self {
        Self {
            phase: Phase::Opening,
            ready,
            attempts: 0,
            revision: Revision::default(),
            stored: Cursor::Start,
            flow: Flow::new(Cursor::Start, links.config.window),
            routes: Routes::new(Vec::new()),
            residents: Residents::default(),
            gathered: Gathered::default(),
            bulk: false,
            grouping: Grouping::default(),
            repairs: repair::Repairs::default(),
            loads: load::Loads::default(),
            passing: undecodable::Passing::default(),
            tentative: tentative::Open::default(),
            flush_scheduled: false,
            paused: false,
            skips: false,
            caught_up: false,
            future: Waiters::default(),
            settled: Waiters::default(),
            finding: Waiters::default(),
            heads: wait::Heads::default(),
            rebuilding: None,
            measured: None,
            courier: courier::AtWork::default(),
            begins: match &links.begin {
                Begin::Start => Some(Cursor::Start),
                Begin::After(cursor) => Some(cursor.clone()),
                Begin::End => None,
            },
            guard,
            links,
        }
    }

    #[cfg(feature = "chaos")]
    pub(crate) fn partition_addr(
        &self,
        partition: &rederive_core::PartitionId,
    ) -> Option<&Addr<crate::partition_dispatcher::PartitionDispatcher<E>>> {
        match &self.routes.get(partition)?.addr {
            Host::Actor(addr) => Some(addr),
            Host::Here(_) => None,
        }
    }

    #[cfg(feature = "chaos")]
    pub(crate) fn courier_addr(&self) -> Option<&Addr<crate::courier::Courier>> {
        self.courier.addr()
    }

    /// Opens the reducer, or has it rebuilt if that is wanted.
    fn open(&self, ctx: &Context<Self>) {
        if self.begins.is_none() {
            self.links.log_actor.do_send(Head(ctx.address().recipient()));
        } else if self.links.rebuild.is_ordered() {
            self.measure(Cursor::Start, None, ctx);
        } else {
            self.take_over(None, ctx);
        }
    }

    fn take_over(&self, reset: Option<Cursor>, ctx: &Context<Self>) {
        // What is built anew begins with the first event.
        let start = self.begins.clone().filter(|_| reset.is_none()).unwrap_or_default();
        self.links.persistence.do_send(Open {
            reducer: Arc::clone(&self.links.name),
            version: self.links.version,
            kind: self.links.log.cursor_kind(),
            start,
            tables: Arc::clone(&self.links.tables),
            ownership: self.links.ownership.clone(),
            instance: Arc::clone(&self.links.instance),
            lease: self.links.config.lease,
            on_owned: self.links.config.on_owned,
            reset,
            rebuild: self.links.rebuild.clone(),
            reply: ctx.address().recipient(),
            lost: ctx.address().recipient(),
        });
    }

    /// Reads on if there is something to read and room for it.
    fn read_on(&mut self, ctx: &Context<Self>) {
        let has_room = self.passing.len() < self.links.sizes.window;
        let may_read = matches!(self.phase, Phase::Running) && !self.paused && has_room;
        if may_read && self.flow.wants_more() {
            self.flow.fetching = true;
            // Whatever is appended from now on is either read or announced.
            self.flow.at_head = true;
            self.links.log_actor.do_send(Fetch {
                after: self.flow.position.clone(),
                types: Arc::clone(&self.links.types),
                repair: None,
                limit: self.links.sizes.slice,
                reply: ctx.address().recipient(),
            });
        }
    }

    /// Stands before an event that cannot be passed: says so to those who wait for it or later ones.
    fn block(&mut self, reason: Blocked, ctx: &mut Context<Self>) {
        let retry = matches!(reason, Blocked::Undecodable(_));
        let (reducer, told) = (Arc::clone(&self.links.name), reason.clone());
        self.links.observers.tell(&Notice::Blocked { reducer, reason: told });
        if self.rebuilding.is_some() {
            self.rebuild_stands(&RebuildError::Blocked(reason.clone()));
        }
        let position = self.flow.position.clone();
        let reachable = self.settled.release(&position);
        for (_, waiter) in self.future.release_all().into_iter().chain(self.settled.release_all()) {
            waiter.finish(Outcome::Blocked(reason.clone()));
        }
        for (cursor, waiter) in reachable {
            self.settled.add(cursor, waiter, Waiter::is_gone);
        }
        if matches!(self.phase, Phase::Running) {
            self.phase = Phase::Blocked(reason);
        }
        if retry {
            ctx.run_later(self.links.config.max_backoff, |this, ctx| {
                if let Phase::Blocked(Blocked::Undecodable(_)) = this.phase {
                    this.phase = Phase::Running;
                    this.flow.at_head = false;
                    this.read_on(ctx);
                }
            });
        }
    }

    /// Another owner has the reducer: nothing can be committed here any more.
    fn fence(&mut self, ctx: &mut Context<Self>) {
        self.links.observers.tell(&Notice::Fenced { reducer: Arc::clone(&self.links.name) });
        let stops = matches!(self.phase, Phase::Stopping(_));
        if self.links.config.on_owned == OnOwned::StandBy && !stops {
            // Another dispatcher stands by in this place. Whoever waits notices and asks that one.
            self.links.rebuild.give_up(&RebuildError::Fenced);
            self.links.ownership.lost();
            self.guard.change(|ended| ended.fenced = true);
            ctx.stop();
            return;
        }
        self.dismiss(&Outcome::Fenced);
        self.rebuilding = None;
        self.links.rebuild.give_up(&RebuildError::Fenced);
        self.grouping = Grouping::default();
        self.loads = load::Loads::default();
        self.passing.give_up(&Outcome::Fenced);
        self.repairs.clear();
        self.routes.clear();
        self.residents.clear();
        self.gathered = Gathered::default();
        self.courier.abort();
        if stops {
            self.stop(ctx);
        } else {
            self.phase = Phase::Fenced;
        }
    }

    /// Tells those who wait here, rather than at a partition, that they wait in vain.
    fn dismiss(&mut self, outcome: &Outcome) {
        let watching = self.watching();
        let waiters = [&mut self.future, &mut self.settled, &mut self.finding];
        let waiters = waiters.into_iter().flat_map(Waiters::release_all).map(|(_, waiter)| waiter);
        for waiter in waiters.chain(self.heads.take()).chain(watching) {
            waiter.finish(outcome.clone());
        }
    }

    /// Stops once everything that was begun is done.
    fn stop_if_drained(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.phase, Phase::Stopping(_))
            && (self.flow.unsettled() == self.routes.held_up() || self.loads.given_up())
            && self.grouping.is_idle()
            && self.residents.is_idle()
            && self.gathered.is_idle()
            && self.courier.is_none()
            && !self.store_watermark(ctx)
        {
            self.stop(ctx);
        }
    }

    /// Others may have the reducer at once.
    fn release(&self) {
        self.links.persistence.do_send(Release {
            reducer: Arc::clone(&self.links.name),
            ownership: self.links.ownership.clone(),
            instance: Arc::clone(&self.links.instance),
        });
    }

    fn stop(&mut self, ctx: &mut Context<Self>) {
        self.guard.disarm();
        for host in self.routes.clear().into_iter().chain(self.repairs.clear()) {
            self.residents.passivate(&host);
        }
        self.residents.clear();
        self.rebuild_stands(&RebuildError::Interrupted);
        // Before the answer, so that it comes before the store's actor is told to stop.
        self.release();
        let reducer = Arc::clone(&self.links.name);
        self.links.observers.tell(&Notice::Stopped { reducer, watermark: self.stored.clone() });
        if let Phase::Stopping(stop) = &mut self.phase
            && let Some(stop) = stop.take()
        {
            stop.answer();
        }
        ctx.stop();
    }
}

impl<E: Send + Sync + 'static> Actor for Dispatcher<E> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.open(ctx);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}

impl<E: Send + Sync + 'static> Handler<OpenDone> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, OpenDone(result): OpenDone, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Opening | Phase::StandingBy(_)) {
            return;
        }
        let opened = match result {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                self.ready.answer(Ok(()));
                self.fence(ctx);
                return;
            }
            Err(error) => {
                if self.stand_by_instead(&error, ctx) || self.rebuild_instead(&error, ctx) {
                    return;
                }
                let message = error.to_string();
                // Refused at the first start: whoever started us decides.
                if self.ready.is_awaited() {
                    self.release();
                    self.ready.answer(Err(error));
                    self.guard.disarm();
                    ctx.stop();
                    return;
                }
                self.attempts += 1;
                let delay = self.links.config.backoff(self.attempts);
                self.links.store_health.delayed(self.attempts, &message);
                self.links.observers.tell(&Notice::CommitDelayed {
                    reducers: vec![Arc::clone(&self.links.name)],
                    attempt: self.attempts,
                    delay,
                    error: message,
                });
                ctx.run_later(delay, |this, ctx| this.open(ctx));
                return;
            }
        };
        if self.attempts > 0 {
            self.links.store_health.set(None);
        }
        self.begin_running(ctx);
        self.revision = opened.revision;
        self.skips = opened.skips;
        self.stored = opened.watermark.clone();
        self.opened_rebuilding(&opened, ctx);
        self.flow = Flow::new(opened.watermark.clone(), self.links.sizes.window);
        if self.links.engine.is_stateful()
            && (opened.watermark == Cursor::Start || opened.revision.number == 0)
        {
            self.loads.only(opened.partitions.iter().map(|record| &record.partition));
        }
        self.routes = Routes::new(opened.partitions);
        self.links.observers.tell(&Notice::Started {
            reducer: Arc::clone(&self.links.name),
            watermark: opened.watermark,
        });
        if opened.paused {
            self.set_paused(true, ctx);
        }
        self.ready.answer(Ok(()));
        self.check_rebuild(ctx);
        self.links.log_actor.do_send(Follow(ctx.address().recipient()));
        ctx.run_interval(self.links.config.watermark_interval, |this, ctx| {
            if matches!(this.phase, Phase::Running | Phase::Blocked(_)) {
                this.store_watermark(ctx);
            }
        });
        let sweep = self.links.config.idle_timeout / 4;
        let sweep = sweep.clamp(Duration::from_millis(10), Duration::from_secs(5));
        ctx.run_interval(sweep, |this, _| this.passivate());
        self.start_courier(ctx);
        self.resume_waits(ctx);
        self.resume_repairs(ctx);
        self.read_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<NewEvents> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: NewEvents, ctx: &mut Context<Self>) {
        if self.has_lost(ctx) {
            return;
        }
        self.flow.at_head = false;
        self.read_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Stop> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Context<Self>) {
        let begun = matches!(self.phase, Phase::Running | Phase::Blocked(_) | Phase::Stopping(_));
        // What is not dispatched will not be. Those at the partitions are still answered.
        self.dismiss(&Outcome::Stopped);
        self.phase = Phase::Stopping(Some(stop));
        self.loads.hurry();
        self.stop_courier(ctx);
        if begun {
            self.stop_if_drained(ctx);
        } else {
            self.stop(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<Abort> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Abort, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
    }
}
