//! [`Registration`]: a reducer with its log and its store, ready to be started, and started again.

use std::{any::Any, sync::Arc};

use actix::{Actor, Addr, ArbiterHandle, Context, Recipient};
use rederive_core::{
    Begin, Deliver, Engine, EventLog, EventTypes, OpenError, OwnedTable, Reducer, Stateless, Store,
    StoreError, effect::Deliverer,
};
use tokio::sync::oneshot;

use crate::{
    config::{Config, OnVersionChange},
    dispatcher::{Dispatcher, Links},
    ended::EndGuard,
    event_log::EventLogActor,
    health::Health,
    message::{
        Abort, ActorEnded, RebuildPartition, RepairPartition, SetPaused, Stop, StopRebuild,
        WaitFor, WakeCourier,
    },
    observe::Observers,
    ownership::Ownership,
    persistence::Persistence,
    ready::Ready,
    rebuild::{Job, RebuildError, RebuildNeeded, RebuildReport},
    status::Report,
};

/// A reducer together with the log it follows and the store it writes to.
///
/// Reducers that are registered with the same `Arc` of a log share its reads.
pub struct Registration(Box<dyn Register + Send>);

impl Registration {
    /// Puts the three together. The reducer's name, version, tables and event types are asked for
    /// once, here.
    pub fn new<E: Send + Sync + 'static>(
        reducer: Arc<dyn Reducer<Event = E>>,
        log: Arc<dyn EventLog<Event = E>>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self::of(Arc::new(Stateless::new(reducer)), log, store)
    }

    /// The same for a reducer of any kind.
    pub fn of<E: Send + Sync + 'static>(
        engine: Arc<dyn Engine<Event = E>>,
        log: Arc<dyn EventLog<Event = E>>,
        store: Arc<dyn Store>,
    ) -> Self {
        let (name, version) = (engine.name().into(), engine.version());
        let (tables, types) = (engine.tables().into(), Arc::new(engine.event_types()));
        let (ownership, rebuild) = (Ownership::default(), Job::default());
        Self(Box::new(Typed {
            name,
            version,
            tables,
            types,
            engine,
            log,
            store,
            ownership,
            rebuild,

            begin: Begin::default(),
            on_version_change: None,
            deliverer: None,
        }))
    }

    /// Has the reducer rebuilt when it is started. The future says how that went.
    ///
    /// # Errors
    /// [`RebuildError`]; without tables that could be emptied, nothing is going to be rebuilt.
    pub fn rebuild(
        &self,
    ) -> Result<impl Future<Output = Result<RebuildReport, RebuildError>> + use<>, RebuildError>
    {
        let (reply, done) = oneshot::channel();
        self.order_rebuild(reply)?;
        Ok(async { done.await.unwrap_or(Err(RebuildError::Interrupted)) })
    }

    pub(crate) fn order_rebuild(
        &self,
        reply: oneshot::Sender<Result<RebuildReport, RebuildError>>,
    ) -> Result<(), RebuildError> {
        if !self.0.can_be_rebuilt() {
            let reducer = self.name().to_string();
            return Err(OpenError::NoTables { reducer }.into());
        }
        self.0.rebuild().order(Some(reply))
    }

    /// Who owns the reducer while this process stands by.
    pub(crate) fn standing_by(&self) -> Option<Arc<str>> {
        self.0.ownership().standing_by()
    }

    pub(crate) fn rebuild_job(&self) -> &Job {
        self.0.rebuild()
    }

    /// What is stored of the reducer fits its code.
    pub fn needs_rebuild(&self) -> Result<Option<RebuildNeeded>, StoreError> {
        let stored = self.store().stored(self.name())?;
        Ok(RebuildNeeded::of(self.0.version(), stored))
    }

    /// The reducer's name.
    pub fn reducer(&self) -> &str {
        self.0.name()
    }

    /// The effects of the reducer are delivered by this.
    #[must_use]
    pub fn delivering(mut self, deliver: Arc<impl Deliver>) -> Self {
        self.0.set_deliverer(deliver);
        self
    }

    /// What becomes of the reducer when its derived state was built by another version; without
    /// this, what [`Config::on_version_change`] says.
    #[must_use]
    pub fn on_version_change(mut self, wish: OnVersionChange) -> Self {
        self.0.set_on_version_change(wish);
        self
    }

    /// Where the reducer begins at its first start ever.
    #[must_use]
    pub fn beginning(mut self, begin: Begin) -> Self {
        self.0.set_begin(begin);
        self
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.0.store()
    }

    /// Tells logs apart.
    pub(crate) fn log_key(&self) -> usize {
        self.0.log_key()
    }

    pub(crate) fn start_log(&self, shared: &Shared, guard: EndGuard<ActorEnded>) -> LogActor {
        self.0.start_log(shared, guard)
    }

    pub(crate) fn start(
        &self,
        shared: &Shared,
        needs: Needs<'_>,
        ready: Ready,
        guard: EndGuard<ActorEnded>,
    ) -> Option<DispatcherActor> {
        self.0.start(shared, needs, ready, guard)
    }
}

/// What all actors of a supervisor are given.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) observers: Observers,
    /// The name of this process, by which others know it as an owner.
    pub(crate) instance: Arc<str>,
}

/// A running event-log actor; the type of its events is known to its registrations only.
pub(crate) struct LogActor {
    addr: Box<dyn Any + Send>,
    health: Health,
    pub(crate) stop: Recipient<Stop>,
}

/// A running persistence actor.
pub(crate) struct PersistenceActor {
    pub(crate) addr: Addr<Persistence>,
    pub(crate) health: Health,
}

/// What a dispatcher needs to be there before it is started.
pub(crate) struct Needs<'s> {
    pub(crate) log: &'s LogActor,
    pub(crate) persistence: &'s PersistenceActor,
    /// Where it runs.
    pub(crate) thread: ArbiterHandle,
}

/// A running dispatcher.
#[derive(Clone)]
pub(crate) struct DispatcherActor {
    pub(crate) wait_for: Recipient<WaitFor>,
    pub(crate) report: Recipient<Report>,
    pub(crate) repair: Recipient<RepairPartition>,
    pub(crate) rebuild_partition: Recipient<RebuildPartition>,
    pub(crate) pause: Recipient<SetPaused>,
    pub(crate) stop_rebuild: Recipient<StopRebuild>,
    pub(crate) wake_courier: Recipient<WakeCourier>,
    pub(crate) stop: Recipient<Stop>,
    pub(crate) abort: Recipient<Abort>,
    #[cfg(feature = "chaos")]
    pub(crate) deadly: crate::chaos::Deadly,
}

trait Register {
    fn set_deliverer(&mut self, deliverer: Arc<dyn Deliverer>);
    fn set_begin(&mut self, begin: Begin);
    fn set_on_version_change(&mut self, wish: OnVersionChange);
    fn name(&self) -> &Arc<str>;
    fn version(&self) -> u32;
    fn ownership(&self) -> &Ownership;
    fn rebuild(&self) -> &Job;
    fn can_be_rebuilt(&self) -> bool;
    fn store(&self) -> &Arc<dyn Store>;
    fn log_key(&self) -> usize;
    fn start_log(&self, shared: &Shared, guard: EndGuard<ActorEnded>) -> LogActor;
    fn start(
        &self,
        shared: &Shared,
        needs: Needs<'_>,
        ready: Ready,
        guard: EndGuard<ActorEnded>,
    ) -> Option<DispatcherActor>;
}

struct Typed<E> {
    name: Arc<str>,
    version: u32,
    tables: Arc<[OwnedTable]>,
    types: Arc<EventTypes>,
    engine: Arc<dyn Engine<Event = E>>,
    log: Arc<dyn EventLog<Event = E>>,
    store: Arc<dyn Store>,
    ownership: Ownership,
    rebuild: Job,
    begin: Begin,
    on_version_change: Option<OnVersionChange>,
    deliverer: Option<Arc<dyn Deliverer>>,
}

impl<E: Send + Sync + 'static> Register for Typed<E> {
    fn set_deliverer(&mut self, deliverer: Arc<dyn Deliverer>) {
        self.deliverer = Some(deliverer);
    }

    fn set_begin(&mut self, begin: Begin) {
        self.begin = begin;
    }

    fn set_on_version_change(&mut self, wish: OnVersionChange) {
        self.on_version_change = Some(wish);
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    fn rebuild(&self) -> &Job {
        &self.rebuild
    }

    fn can_be_rebuilt(&self) -> bool {
        !self.tables.is_empty() || self.engine.keeps_states()
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn log_key(&self) -> usize {
        Arc::as_ptr(&self.log).cast::<()>().addr()
    }

    fn start_log(&self, shared: &Shared, guard: EndGuard<ActorEnded>) -> LogActor {
        let Shared { config, observers, .. } = shared.clone();
        let health = Health::default();
        let log = Arc::clone(&self.log);
        let actor = EventLogActor::new(log, config, observers, health.clone(), guard);
        let addr = actor.start();
        LogActor { stop: addr.clone().recipient(), addr: Box::new(addr), health }
    }

    fn start(
        &self,
        shared: &Shared,
        needs: Needs<'_>,
        ready: Ready,
        guard: EndGuard<ActorEnded>,
    ) -> Option<DispatcherActor> {
        let Needs { log, persistence, thread } = needs;
        // Of that type because it was started by a registration with the same log.
        let log_actor = log.addr.downcast_ref::<Addr<EventLogActor<E>>>()?;
        let links = Links {
            engine: Arc::clone(&self.engine),
            name: Arc::clone(&self.name),
            version: self.version,
            tables: Arc::clone(&self.tables),
            types: Arc::clone(&self.types),
            log: Arc::clone(&self.log),
            log_actor: log_actor.clone(),
            persistence: persistence.addr.clone(),
            config: shared.config.clone(),
            sizes: shared.config.sizes(false),
            observers: shared.observers.clone(),
            instance: Arc::clone(&shared.instance),
            store_health: persistence.health.clone(),
            log_health: log.health.clone(),
            ownership: self.ownership.clone(),
            rebuild: self.rebuild.clone(),
            begin: self.begin.clone(),
            on_version_change: self.on_version_change,
            deliverer: self.deliverer.clone(),
        };
        let begin = move |_: &mut Context<_>| Dispatcher::new(links, ready, guard);
        let addr = Dispatcher::start_in_arbiter(&thread, begin);
        Some(DispatcherActor {
            #[cfg(feature = "chaos")]
            deadly: crate::chaos::Deadly {
                dispatcher: addr.clone().recipient(),
                partition: addr.clone().recipient(),
                courier: addr.clone().recipient(),
                event_log: log_actor.clone().recipient(),
                persistence: persistence.addr.clone().recipient(),
            },
            wait_for: addr.clone().recipient(),
            report: addr.clone().recipient(),
            repair: addr.clone().recipient(),
            rebuild_partition: addr.clone().recipient(),
            pause: addr.clone().recipient(),
            stop_rebuild: addr.clone().recipient(),
            wake_courier: addr.clone().recipient(),
            stop: addr.clone().recipient(),
            abort: addr.recipient(),
        })
    }
}
