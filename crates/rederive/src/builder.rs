//! [`Rederive`]: from a log, reducers and stores to a running supervisor.

use std::sync::Arc;

use actix::Actor;
use rederive_actix::{
    Config, LogObserver, OnVersionChange, RebuildError, RebuildNeeded, RebuildReport,
    RegisterError, Registration, Supervisor, View, Waits,
};
use rederive_core::{
    AppendOnce, Begin, Deliver, EventLog, Fold, Folded, Notifier, Notifying, Observer, Reducer,
    Service, Serving, Store, StoreError,
};

use crate::{handle::Handle, home::Home};

/// Builds and starts a supervisor whose reducers follow one event log.
///
/// See the [crate documentation](crate) for an example.
#[must_use = "nothing runs before `start`"]
pub struct Rederive<E> {
    log: Arc<dyn EventLog<Event = E>>,
    registrations: Vec<Registration>,
    config: Config,
    observers: Vec<Arc<dyn Observer>>,
}

/// A supervisor could not be started; what had been started is stopped again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The thread for the actors could not be started.
    #[error("the actors' thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A reducer was refused.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl<E: Send + Sync + 'static> Rederive<E> {
    /// Begins with the log. Notices are written as `log` records; [`observe`](Self::observe) adds
    /// others who want to know.
    pub fn new(log: impl EventLog<Event = E>) -> Self {
        Self {
            log: Arc::new(log),
            registrations: Vec::new(),
            config: Config::default(),
            observers: vec![Arc::new(LogObserver)],
        }
    }

    /// Registers a reducer whose derived state and progress live in `store`.
    pub fn register(mut self, reducer: impl Reducer<Event = E>, store: impl Store) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(store));
        self.registrations.push(Registration::new(Arc::new(reducer), log, store));
        self
    }

    /// Registers a reducer whose [effects](rederive_core::Ops::effect) are delivered by `deliver`.
    ///
    /// ```
    /// use rederive::{
    ///     Begin, Deliver, DeliverError, Due, MemoryLog, MemoryStore, prelude::*,
    /// };
    /// use std::sync::mpsc;
    ///
    /// struct Orders;
    ///
    /// impl Reducer for Orders {
    ///     type Event = String;
    ///     fn name(&self) -> &str { "orders" }
    ///     fn partition(&self, order: &String) -> Partitions { order.into() }
    ///     fn reduce(&self, order: &Recorded<String>, ops: &mut Ops) -> Result<(), ReduceError> {
    ///         // … and changes of tables, in the same transaction.
    ///         ops.effect(&format!("ship {}", order.data))
    ///     }
    /// }
    ///
    /// struct Shipping(mpsc::Sender<String>);
    ///
    /// impl Deliver for Shipping {
    ///     type Effect = String;
    ///     async fn deliver(&self, due: Due<String>) -> Result<(), DeliverError> {
    ///         self.0.send(due.effect).map_err(DeliverError::retry)
    ///     }
    /// }
    ///
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (log, (shipping, shipped)) = (MemoryLog::new(), mpsc::channel());
    /// let rederive = Rederive::new(log.clone())
    ///     .register_delivering(Orders, Shipping(shipping), MemoryStore::new())
    ///     .start()
    ///     .await?;
    /// log.append(["books".to_owned()]);
    /// # actix_rt::task::spawn_blocking(move || {
    /// assert_eq!(shipped.recv().as_deref(), Ok("ship books"));
    /// # }).await?;
    /// rederive.stop().await;
    /// # Ok(()) }
    /// ```
    ///
    /// A delivery that blocks keeps only later ones of its reducer. Where several are to be made at
    /// once, hand what blocks to a thread of the runtime's pool:
    ///
    /// ```
    /// use rederive::{Deliver, DeliverError, Due};
    ///
    /// struct Files;
    ///
    /// impl Deliver for Files {
    ///     type Effect = String;
    ///     async fn deliver(&self, due: Due<String>) -> Result<(), DeliverError> {
    ///         let name = due.key.replace('/', "_");
    ///         let written = actix_rt::task::spawn_blocking(move || std::fs::write(name, due.effect));
    ///         written.await.map_err(DeliverError::retry)?.map_err(DeliverError::retry)
    ///     }
    /// }
    /// ```
    pub fn register_delivering(
        mut self,
        reducer: impl Reducer<Event = E>,
        deliver: impl Deliver,
        store: impl Store,
    ) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(store));
        let registration = Registration::new(Arc::new(reducer), log, store);
        self.registrations.push(registration.delivering(Arc::new(deliver)));
        self
    }

    /// Registers a notifier, whose effects and progress live in `store`. It begins with the events
    /// that are appended after its first start ever.
    pub fn notify(self, notifier: impl Notifier<Event = E>, store: impl Store) -> Self {
        self.notify_from(notifier, Begin::End, store)
    }

    /// Registers a notifier that begins elsewhere.
    pub fn notify_from(
        mut self,
        notifier: impl Notifier<Event = E>,
        begin: Begin,
        store: impl Store,
    ) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(store));
        let notifying = Notifying::new(notifier);
        let registration = Registration::new(Arc::new(notifying.clone()), log, store);
        self.registrations.push(registration.delivering(Arc::new(notifying)).beginning(begin));
        self
    }

    /// Registers a service, whose tasks and progress live in `store`. The events that record what it
    /// did are appended to `log`: the one that is followed. It begins with the events that are
    /// appended after its first start ever.
    ///
    /// ```
    /// use rederive::{
    ///     DeliverError, Due, Effects, EventStream, MemoryLog, MemoryStore, Service, prelude::*,
    /// };
    ///
    /// #[derive(Clone, Debug, PartialEq)]
    /// enum Event { Ordered(String), Shipped(String) }
    ///
    /// struct Shipping;
    ///
    /// impl Service for Shipping {
    ///     type Event = Event;
    ///     type Task = String;
    ///     fn name(&self) -> &str { "shipping" }
    ///     fn partition(&self, event: &Event) -> Partitions {
    ///         match event { Event::Ordered(item) => item.into(), Event::Shipped(_) => Partitions::None }
    ///     }
    ///     fn plan(&self, event: &Recorded<Event>, tasks: &mut Effects<'_, String>) -> Result<(), ReduceError> {
    ///         match &event.data { Event::Ordered(item) => tasks.push(item), Event::Shipped(_) => Ok(()) }
    ///     }
    ///     async fn serve(&self, due: Due<String>) -> Result<Vec<Event>, DeliverError> {
    ///         // … ship it; then the log is told:
    ///         Ok(vec![Event::Shipped(due.effect)])
    ///     }
    /// }
    ///
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let log = MemoryLog::new();
    /// let rederive = Rederive::new(log.clone())
    ///     .register_service(Shipping, log.clone(), MemoryStore::new())
    ///     .start()
    ///     .await?;
    /// let mut events = EventStream::new(log.clone(), Cursor::Start)?;
    /// rederive.wait(Await::caught_up("shipping")).await?;
    /// log.append([Event::Ordered("books".into())]);
    /// events.next().await;
    /// let shipped = events.next().await.ok_or("it goes on for ever")??;
    /// assert_eq!(shipped.data, Event::Shipped("books".into()));
    /// # rederive.stop().await; Ok(()) }
    /// ```
    pub fn register_service<S, L>(self, service: S, log: L, store: impl Store) -> Self
    where
        S: Service<Event = E>,
        L: AppendOnce<Event = E>,
    {
        self.register_service_from(service, Begin::End, log, store)
    }

    /// Registers a service that begins elsewhere.
    pub fn register_service_from<S, L>(
        self,
        service: S,
        begin: Begin,
        log: L,
        store: impl Store,
    ) -> Self
    where
        S: Service<Event = E>,
        L: AppendOnce<Event = E>,
    {
        self.notify_from(Serving::new(service, log), begin, store)
    }

    /// Registers a fold whose states and progress live in `store`, as JSON unless it is
    /// [`Folded`] with another form. [`States`](rederive_core::States) reads them.
    ///
    /// ```
    /// use rederive::{MemoryLog, MemoryStore, PartitionId, States, prelude::*};
    ///
    /// struct Lengths;
    ///
    /// impl Fold for Lengths {
    ///     type Event = String;
    ///     type State = usize;
    ///
    ///     fn name(&self) -> &str {
    ///         "lengths"
    ///     }
    ///
    ///     fn partition(&self, word: &String) -> Partitions {
    ///         word.chars().next().map_or(Partitions::None, |first| first.to_string().into())
    ///     }
    ///
    ///     fn fold(
    ///         &self,
    ///         sum: &mut usize,
    ///         word: &Recorded<String>,
    ///         _: &PartitionId,
    ///     ) -> Result<(), ReduceError> {
    ///         *sum += word.data.len();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (log, store) = (MemoryLog::new(), MemoryStore::new());
    /// let rederive = Rederive::new(log.clone()).register_fold(Lengths, store.clone()).start().await?;
    /// let recorded = log.append(["apple".to_owned(), "ant".to_owned()]);
    /// rederive.wait(Await::events("lengths", &recorded)).await?;
    /// assert_eq!(store.state::<usize>("lengths", "a")?, Some(8));
    /// # rederive.stop().await; Ok(()) }
    /// ```
    pub fn register_fold<F: Fold<Event = E>>(
        mut self,
        fold: impl Into<Folded<F>>,
        store: impl Store,
    ) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(store));
        self.registrations.push(Registration::of(Arc::new(fold.into()), log, store));
        self
    }

    /// Registers a fold whose [effects](Fold::effects) are delivered by `deliver`.
    pub fn register_fold_delivering<F: Fold<Event = E>>(
        mut self,
        fold: impl Into<Folded<F>>,
        deliver: impl Deliver,
        store: impl Store,
    ) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(store));
        let registration = Registration::of(Arc::new(fold.into()), log, store);
        self.registrations.push(registration.delivering(Arc::new(deliver)));
        self
    }

    /// Registers a fold whose states live in memory only; `view` reads them.
    ///
    /// ```
    /// # use rederive::{MemoryLog, PartitionId, prelude::*};
    /// # struct Lengths;
    /// # impl Fold for Lengths {
    /// #     type Event = String;
    /// #     type State = usize;
    /// #     fn name(&self) -> &str { "lengths" }
    /// #     fn partition(&self, word: &String) -> Partitions { word[..1].into() }
    /// #     fn fold(&self, sum: &mut usize, word: &Recorded<String>, _: &PartitionId) -> Result<(), ReduceError> {
    /// #         *sum += word.data.len();
    /// #         Ok(())
    /// #     }
    /// # }
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let log = MemoryLog::new();
    /// let view = View::new();
    /// let rederive = Rederive::new(log.clone()).register_view(Lengths, &view).start().await?;
    /// let mut apples = view.watch("a");
    /// let recorded = log.append(["apple".to_owned()]);
    /// rederive.wait(Await::events("lengths", &recorded)).await?;
    /// assert_eq!(view.get("a").as_deref(), Some(&5));
    /// assert!(apples.has_changed()?);
    /// # rederive.stop().await; Ok(()) }
    /// ```
    pub fn register_view<F: Fold<Event = E>>(mut self, fold: F, view: &View<F::State>) -> Self {
        let (log, store) = (Arc::clone(&self.log), Arc::new(view.clone()));
        self.registrations.push(Registration::of(Arc::new(view.keep(fold)), log, store));
        self
    }

    /// What becomes of the reducer that was registered last when its derived state was built by
    /// another version. Before the first registration, it is what becomes of all for which nothing
    /// else is said ([`Config::on_version_change`]).
    pub fn on_version_change(mut self, wish: OnVersionChange) -> Self {
        match self.registrations.pop() {
            Some(last) => self.registrations.push(last.on_version_change(wish)),
            None => self.config.on_version_change = wish,
        }
        self
    }

    /// Adds one who is told what happens.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Takes these settings instead of the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The reducers whose derived state is not what their code would build, or not yet, each with the
    /// reason. Nothing is started or changed; the call may block.
    ///
    /// # Errors
    /// [`StoreError`] when a store cannot be read.
    pub fn needs_rebuild(&self) -> Result<Vec<(String, RebuildNeeded)>, StoreError> {
        let mut needed = Vec::new();
        for registration in &self.registrations {
            let reason = registration.needs_rebuild()?;
            needed.extend(reason.map(|reason| (registration.reducer().to_owned(), reason)));
        }
        Ok(needed)
    }

    /// Builds the derived state of these reducers anew and stops: for a command that does this and
    /// nothing else. The reducers that are not named are not started. Each rebuild begins at the
    /// beginning, also after one that was interrupted.
    ///
    /// The results stand in the order of the names. A reducer that another process owns is not rebuilt,
    /// unless [`Config::on_owned`] is [`OnOwned::TakeOver`](crate::OnOwned::TakeOver).
    ///
    /// # Errors
    /// [`StartError`] when a reducer is refused; the others are not waited for, and go on with their
    /// rebuild when they are started.
    pub async fn rebuild<N: Into<String>>(
        mut self,
        reducers: impl IntoIterator<Item = N>,
    ) -> Result<Vec<Result<RebuildReport, RebuildError>>, StartError> {
        let names: Vec<String> = reducers.into_iter().map(Into::into).collect();
        self.registrations.retain(|it| names.iter().any(|name| name == it.reducer()));
        let rebuild = |name: String| {
            let registration = self.registrations.iter().find(|it| it.reducer() == name);
            match registration {
                Some(registration) => registration.rebuild(),
                None => Err(RebuildError::UnknownReducer { name }),
            }
        };
        let begun: Vec<_> = names.into_iter().map(rebuild).collect();
        let handle = self.start().await?;
        let mut results = Vec::with_capacity(begun.len());
        for rebuild in begun {
            results.push(match rebuild {
                Ok(done) => done.await,
                Err(error) => Err(error),
            });
        }
        handle.stop().await;
        Ok(results)
    }

    /// Starts the supervisor and all reducers; they follow the log from where they stopped last. Those
    /// that another process owns stand by, unless [`Config::on_owned`] says otherwise.
    ///
    /// Inside an actix application the actors get an arbiter (a thread) of their own in its system.
    /// Elsewhere, in a plain tokio runtime or none, they get a system of their own; the future runs
    /// on any executor.
    ///
    /// # Errors
    /// [`StartError`] when a reducer is refused, as for a version that differs from the stored one.
    /// Nothing runs then.
    pub async fn start(self) -> Result<Handle, StartError> {
        let Self { registrations, config, observers, .. } = self;
        let home = Home::start()?;
        let waits = Waits::new(&config);
        let of_supervisor = waits.clone();
        let addr = Supervisor::start_in_arbiter(&home.arbiter(), move |_| {
            Supervisor::new(config, observers).with_waits(of_supervisor)
        });
        let handle = Handle::new(addr, waits, home);
        for registration in registrations {
            if let Err(error) = handle.register(registration).await {
                handle.stop().await;
                return Err(error.into());
            }
        }
        Ok(handle)
    }
}
