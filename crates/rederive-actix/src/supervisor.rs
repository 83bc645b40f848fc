//! [`Supervisor`]: the actor that owns all others.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    ResponseActFuture, ResponseFuture, SpawnHandle, WrapFuture,
};
use rederive_core::{Notice, Observer, OpenError, StoreIdentity};
use tokio::sync::oneshot;

use crate::{
    awaiting::{Await, AwaitError, Awaited, carry_out},
    config::Config,
    ended::EndGuard,
    health::Health,
    instance,
    message::{Abort, ActorEnded, ActorKind, ActorStopped, Hurry, Stop},
    observe::Observers,
    persistence::Persistence,
    ready::Ready,
    rebuild::{Job, RebuildError, RebuildReport},
    registration::{DispatcherActor, LogActor, Needs, PersistenceActor, Registration, Shared},
    status::{ReducerStatus, Report, SURVEY_TIME},
    threads::Threads,
    waits::Waits,
    worker::Place,
};

/// Owns the tree of actors: one event-log actor per log, one persistence actor per store, one
/// dispatcher per reducer. Replaces those that die; answers [`Await`].
///
/// Start it on an arbiter of its own, as reducing must not keep request handlers waiting.
pub struct Supervisor {
    shared: Shared,
    registrations: HashMap<Arc<str>, Registration>,
    /// Who waits for the first opening of a reducer.
    openings: HashMap<Arc<str>, Ready>,
    dispatchers: HashMap<Arc<str>, Child<DispatcherActor>>,
    logs: HashMap<usize, Child<LogActor>>,
    stores: HashMap<StoreIdentity, Child<PersistenceActor>>,
    /// The commit thread of each store, which outlives an actor that dies.
    places: HashMap<StoreIdentity, Place>,
    threads: Threads,
    pub(crate) waits: Waits,
    /// When it looks whose time is up.
    pub(crate) alarm: Option<SpawnHandle>,
    generation: u64,
    restarts: Restarts,
    stopping: Option<Stopping>,
}

/// Restarts in a row: the first is made at once, those that follow soon after another wait.
#[derive(Default)]
struct Restarts {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Restarts {
    fn pause(&mut self, config: &Config) -> Duration {
        let now = Instant::now();
        let calm = self.last.is_none_or(|last| now - last > config.max_backoff);
        self.in_a_row = if calm { 0 } else { self.in_a_row.saturating_add(1) };
        self.last = Some(now);
        if calm { Duration::ZERO } else { config.backoff(self.in_a_row) }
    }
}

struct Child<A> {
    actor: A,
    /// Which of the actors in this place: what a predecessor's end says is of no interest.
    generation: u64,
}

/// How far a stop has come.
struct Stopping {
    /// Actors that have been asked to stop and have not answered.
    open: HashSet<ActorKind>,
    /// Dispatchers stop first: they need the others to finish.
    dispatchers_done: bool,
    replies: Vec<oneshot::Sender<()>>,
}

/// Registers a reducer and starts it.
///
/// The answer comes once the reducer has been opened and follows its log, or stands by because another
/// process owns it ([`OnOwned`](crate::OnOwned)).
impl Message for Registration {
    type Result = Result<(), RegisterError>;
}

/// A reducer could not be registered; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A reducer of that name is registered already. Give each reducer a name of its own.
    #[error("a reducer named {name:?} is registered already")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The store refused the reducer or could not be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The supervisor is stopping or has stopped.
    #[error("the supervisor has stopped")]
    Stopped,
}

/// Asks how every reducer is doing, in the order of their names.
#[derive(Clone, Copy, Debug)]
pub struct Status;

impl Message for Status {
    type Result = Vec<ReducerStatus>;
}

/// Stops cleanly: reads no more, commits what is in flight, stores the low watermarks, joins the
/// threads, and ends the supervisor. A pause between attempts is cut short.
///
/// The answer comes when all that is done.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown;

impl Message for Shutdown {
    type Result = ();
}

impl Supervisor {
    /// A supervisor without reducers; send it [`Registration`]s.
    pub fn new(config: Config, observers: Vec<Arc<dyn Observer>>) -> Self {
        let config = config.checked();
        let instance = config.instance.clone().unwrap_or_else(instance::unique).into();
        let threads = Threads::new(config.dispatch_threads);
        let waits = Waits::new(&config);
        Self {
            shared: Shared { config, observers: Observers::new(observers), instance },
            registrations: HashMap::new(),
            openings: HashMap::new(),
            dispatchers: HashMap::new(),
            logs: HashMap::new(),
            stores: HashMap::new(),
            places: HashMap::new(),
            threads,
            waits,
            alarm: None,
            generation: 0,
            restarts: Restarts::default(),
            stopping: None,
        }
    }

    /// The same, for which others wait by these.
    #[must_use]
    pub fn with_waits(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    #[cfg(feature = "chaos")]
    pub(crate) fn deadly(&self, reducer: &Arc<str>) -> Option<&crate::chaos::Deadly> {
        self.dispatchers.get(reducer).map(|child| &child.actor.deadly)
    }

    /// The dispatcher of a reducer: `None` when there is no such reducer, and nothing within while it
    /// is being replaced.
    pub(crate) fn dispatcher_of(&self, reducer: &str) -> Option<Option<DispatcherActor>> {
        self.registrations.get(reducer)?;
        Some(self.dispatchers.get(reducer).map(|child| child.actor.clone()))
    }

    /// The rebuild of a reducer; `None` when it is not registered.
    pub(crate) fn rebuild_of(&self, reducer: &str) -> Option<&Job> {
        self.registrations.get(reducer).map(Registration::rebuild_job)
    }

    /// Has a reducer rebuilt by a new dispatcher. The former one can commit no more once the reset is
    /// stored; those who wait at it notice its end and ask again.
    pub(crate) fn rebuild(
        &mut self,
        reducer: &str,
        reply: oneshot::Sender<Result<RebuildReport, RebuildError>>,
        ctx: &Context<Self>,
    ) -> Result<(), RebuildError> {
        if self.stopping.is_some() {
            return Err(RebuildError::Interrupted);
        }
        let Some((name, registration)) = self.registrations.get_key_value(reducer) else {
            return Err(RebuildError::UnknownReducer { name: reducer.to_owned() });
        };
        if let Some(owner) = registration.standing_by() {
            return Err(RebuildError::StandingBy { owner: owner.to_string() });
        }
        registration.order_rebuild(reply)?;
        let name = Arc::clone(name);
        if let Some(former) = self.dispatchers.remove(&name) {
            former.actor.abort.do_send(Abort);
        }
        self.start(&name, ctx);
        Ok(())
    }

    /// Who owns a reducer that stands by here.
    pub(crate) fn owner_waited_for(&self, reducer: &str) -> Option<String> {
        Some(self.registrations.get(reducer)?.standing_by()?.to_string())
    }

    /// The persistence actor of a reducer's store, likewise.
    pub(crate) fn persistence_of(&self, reducer: &str) -> Option<Option<Addr<Persistence>>> {
        let store = self.registrations.get(reducer)?.store().identity();
        Some(self.stores.get(&store).map(|child| child.actor.addr.clone()))
    }

    fn guard(&mut self, actor: ActorKind, ctx: &Context<Self>) -> (u64, EndGuard<ActorEnded>) {
        self.generation += 1;
        let generation = self.generation;
        let tell = ctx.address().recipient();
        (
            generation,
            EndGuard::new(tell, ActorEnded { actor, generation, fenced: false, lost: false }),
        )
    }

    /// Starts a reducer's dispatcher, and before that the actors it needs.
    fn start(&mut self, name: &Arc<str>, ctx: &Context<Self>) {
        let (dispatcher, guard) = self.guard(ActorKind::Dispatcher(Arc::clone(name)), ctx);
        let Some(registration) = self.registrations.get(name) else { return };
        let (log, store) = (registration.log_key(), Arc::clone(registration.store()));
        let identity = store.identity();
        if !self.logs.contains_key(&log) {
            let (generation, guard) = self.guard(ActorKind::EventLog(log), ctx);
            let Some(registration) = self.registrations.get(name) else { return };
            let actor = registration.start_log(&self.shared, guard);
            self.logs.insert(log, Child { actor, generation });
        }
        if !self.stores.contains_key(&identity) {
            let (generation, guard) = self.guard(ActorKind::Persistence(identity), ctx);
            let Shared { config, observers, .. } = self.shared.clone();
            let health = Health::default();
            let place = self.places.entry(identity).or_default().clone();
            let persistence =
                Persistence::new(store, config, observers, place, health.clone(), guard);
            let addr = persistence.start();
            let actor = PersistenceActor { addr, health };
            self.stores.insert(identity, Child { actor, generation });
        }
        let (Some(registration), Some(log), Some(store)) =
            (self.registrations.get(name), self.logs.get(&log), self.stores.get(&identity))
        else {
            return;
        };
        let ready = self.openings.get(name).cloned().unwrap_or_default();
        let thread = self.threads.of(name);
        let needs = Needs { log: &log.actor, persistence: &store.actor, thread };
        let actor = registration.start(&self.shared, needs, ready, guard);
        if let Some(actor) = actor {
            self.waits.directory.set(name, actor.wait_for.clone());
            self.dispatchers.insert(Arc::clone(name), Child { actor, generation: dispatcher });
        } else {
            // Not to be started at all: whoever registered it is told.
            self.openings.remove(name);
        }
    }

    fn forget(&mut self, name: &Arc<str>) {
        self.registrations.remove(name);
        self.dispatchers.remove(name);
        self.waits.directory.remove(name);
        self.threads.forget(name);
    }

    /// Ends the dispatchers of these reducers, and starts others that resume from what is stored.
    fn restart(&mut self, reducers: Vec<Arc<str>>, pause: Duration, ctx: &mut Context<Self>) {
        for name in &reducers {
            if let Some(old) = self.dispatchers.remove(name) {
                // Not heard by the one that died.
                old.actor.abort.do_send(Abort);
            }
        }
        ctx.run_later(pause, move |this, ctx| {
            // A second fault during the pause may have had it started already.
            for name in &reducers {
                if this.stopping.is_none() && !this.dispatchers.contains_key(name) {
                    this.start(name, ctx);
                }
            }
        });
    }

    fn reducers_where(&self, belongs: impl Fn(&Registration) -> bool) -> Vec<Arc<str>> {
        let names = self.registrations.iter().filter(|(_, registration)| belongs(registration));
        names.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// While stopping: this actor will not answer any more, nor will dispatchers that cannot finish
    /// without it.
    fn ended_while_stopping(&mut self, actor: &ActorKind) {
        let Some(stopping) = &mut self.stopping else { return };
        stopping.open.remove(actor);
        if let ActorKind::Persistence(store) = actor {
            self.stores.remove(store);
            for (name, registration) in &self.registrations {
                if registration.store().identity() == *store
                    && stopping.open.remove(&ActorKind::Dispatcher(Arc::clone(name)))
                    && let Some(dispatcher) = self.dispatchers.get(name)
                {
                    dispatcher.actor.abort.do_send(Abort);
                }
            }
        }
        if let ActorKind::EventLog(log) = actor {
            self.logs.remove(log);
        }
    }

    /// Goes through the phases of a stop as far as nobody is still being waited for.
    fn stop_on(&mut self, ctx: &mut Context<Self>) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.open.is_empty() && !stopping.dispatchers_done {
            stopping.dispatchers_done = true;
            let reply = ctx.address().recipient();
            for (store, child) in &self.stores {
                let who = ActorKind::Persistence(*store);
                stopping.open.insert(who.clone());
                child.actor.addr.do_send(Stop { who, reply: reply.clone() });
            }
            for (log, child) in &self.logs {
                let who = ActorKind::EventLog(*log);
                stopping.open.insert(who.clone());
                child.actor.stop.do_send(Stop { who, reply: reply.clone() });
            }
        }
        if stopping.open.is_empty() {
            self.threads.join();
            for reply in stopping.replies.drain(..) {
                let _ = reply.send(());
            }
            ctx.stop();
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.waits.directory.close();
    }
}

impl Handler<Registration> for Supervisor {
    type Result = ResponseActFuture<Self, Result<(), RegisterError>>;

    fn handle(&mut self, registration: Registration, ctx: &mut Context<Self>) -> Self::Result {
        if self.stopping.is_some() {
            return Box::pin(async { Err(RegisterError::Stopped) }.into_actor(self));
        }
        let name = Arc::clone(registration.name());
        match self.registrations.entry(Arc::clone(&name)) {
            Entry::Occupied(_) => {
                let name = name.to_string();
                let refused = async { Err(RegisterError::Duplicate { name }) };
                return Box::pin(refused.into_actor(self));
            }
            Entry::Vacant(entry) => entry.insert(registration),
        };
        let (ready, opened) = Ready::new();
        self.openings.insert(Arc::clone(&name), ready);
        self.start(&name, ctx);
        Box::pin(opened.into_actor(self).map(move |opened, this, _| {
            this.openings.remove(&name);
            let result = match opened {
                Ok(opened) => opened.map_err(RegisterError::from),
                Err(_) => Err(RegisterError::Stopped),
            };
            if result.is_err() {
                this.forget(&name);
            }
            result
        }))
    }
}

impl Handler<Await> for Supervisor {
    type Result = ResponseFuture<Result<Awaited, AwaitError>>;

    fn handle(&mut self, request: Await, _: &mut Context<Self>) -> Self::Result {
        let directory = self.waits.directory.clone();
        Box::pin(carry_out(request, directory, self.shared.config.await_timeout))
    }
}

impl Handler<Status> for Supervisor {
    type Result = ResponseFuture<Vec<ReducerStatus>>;

    fn handle(&mut self, _: Status, _: &mut Context<Self>) -> Self::Result {
        let dispatchers = self.dispatchers.values();
        let reports: Vec<_> = dispatchers.map(|child| child.actor.report.clone()).collect();
        Box::pin(async move {
            let mut reported = Vec::with_capacity(reports.len());
            for report in reports {
                // One that has just died is being replaced and missing this once.
                reported.extend(report.send(Report).await.ok());
            }
            // All logs have been asked by now, so that this takes as long as the slowest of them.
            let deadline = Instant::now() + SURVEY_TIME;
            let mut statuses = Vec::with_capacity(reported.len());
            for reported in reported {
                statuses.push(reported.complete(deadline, || SystemTime::now().into()).await);
            }
            statuses.sort_by(|a: &ReducerStatus, b| a.reducer.cmp(&b.reducer));
            statuses
        })
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, stopped) = oneshot::channel();
        if let Some(stopping) = &mut self.stopping {
            stopping.replies.push(reply);
        } else {
            for child in self.stores.values() {
                child.actor.addr.do_send(Hurry);
            }
            let me = ctx.address().recipient();
            let mut open = HashSet::new();
            for (name, child) in &self.dispatchers {
                let who = ActorKind::Dispatcher(Arc::clone(name));
                open.insert(who.clone());
                child.actor.stop.do_send(Stop { who, reply: me.clone() });
            }
            self.openings.clear();
            self.stopping = Some(Stopping { open, dispatchers_done: false, replies: vec![reply] });
            self.stop_on(ctx);
        }
        Box::pin(async {
            let _ = stopped.await;
        })
    }
}

impl Handler<ActorStopped> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorStopped(who): ActorStopped, ctx: &mut Context<Self>) {
        if let Some(stopping) = &mut self.stopping {
            stopping.open.remove(&who);
        }
        self.stop_on(ctx);
    }
}

impl Handler<ActorEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: ActorEnded, ctx: &mut Context<Self>) {
        let ActorEnded { actor, generation, fenced, lost } = ended;
        let current = match &actor {
            ActorKind::Dispatcher(name) => self.dispatchers.get(name).map(|it| it.generation),
            ActorKind::EventLog(log) => self.logs.get(log).map(|it| it.generation),
            ActorKind::Persistence(store) => self.stores.get(store).map(|it| it.generation),
        };
        if current != Some(generation) {
            return;
        }
        if self.stopping.is_some() {
            self.ended_while_stopping(&actor);
            self.stop_on(ctx);
            return;
        }
        if let (true, ActorKind::Dispatcher(name)) = (fenced, &actor) {
            self.dispatchers.remove(name);
            self.start(name, ctx);
            return;
        }
        let (reducers, told, what) = match actor {
            ActorKind::Dispatcher(name) => (vec![Arc::clone(&name)], Some(name), "dispatcher"),
            ActorKind::EventLog(log) => {
                self.logs.remove(&log);
                (self.reducers_where(|it| it.log_key() == log), None, "event log")
            }
            ActorKind::Persistence(store) => {
                self.stores.remove(&store);
                let of_store = |it: &Registration| it.store().identity() == store;
                (self.reducers_where(of_store), None, "persistence")
            }
        };
        self.shared.observers.tell(&Notice::Restarted { reducer: told, actor: what });
        // What is lost is lost for all at once: none is to wait for the others.
        let pause = if lost { Duration::ZERO } else { self.restarts.pause(&self.shared.config) };
        self.restart(reducers, pause, ctx);
    }
}
