//! [`Service`]: does what events ask for, and records what came of it.

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use super::{DeliverError, DeliverySettings, Due, Effects, Notifier};
use crate::{
    AppendOnce, AppendOnceError, EventTypes, Failure, OnFailure, OnUndecodable, Partitions,
    Recorded, ReduceError, Undecodable,
};

/// Reacts to events by work of its own, and records the outcome as new events: a process manager.
///
/// What an event asks for is decided by [`plan`](Self::plan), which is pure, and kept as tasks in the
/// outbox, in the transaction that notes that the event was seen. [`serve`](Self::serve) does a task:
/// it asks the bank, writes to a database of its own, decides. The events that it answers with are
/// appended to the log under the key of the task, and then the task is done.
///
/// # What holds when the process dies
/// - Each task is served at least once, those of a partition one after the other, in the order of
///   their events.
/// - The events that a task leads to are in the log **exactly once**. A task whose events are there is
///   not served again.
/// - So `serve` runs again only when the process died, or the log failed, between its work and its
///   events, and for tasks that lead to no event: hand [`Due::key`] on to whoever can tell repetitions
///   apart, or let your own commit note it.
///
/// Like a notifier, a service begins at its first start ever with the events that are appended after
/// it, unless it is told otherwise; and when derived state is built anew, nothing is done again.
///
/// The events it appends come back to it as all events do: [`partition`](Self::partition) says which
/// of them concern it.
///
/// ```
/// use rederive_core::{
///     DeliverError, Due, Effects, Partitions, Recorded, ReduceError, Service,
/// };
/// use serde::{Deserialize, Serialize};
///
/// enum Event {
///     Ordered { order: u64, cents: u64 },
///     Paid { order: u64 },
///     Declined { order: u64 },
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge { order: u64, cents: u64 }
///
/// struct Payments;
///
/// impl Service for Payments {
///     type Event = Event;
///     type Task = Charge;
///
///     fn name(&self) -> &str {
///         "payments"
///     }
///
///     fn partition(&self, event: &Event) -> Partitions {
///         match event {
///             Event::Ordered { order, .. } => order.to_string().into(),
///             Event::Paid { .. } | Event::Declined { .. } => Partitions::None,
///         }
///     }
///
///     fn plan(
///         &self,
///         event: &Recorded<Event>,
///         tasks: &mut Effects<'_, Charge>,
///     ) -> Result<(), ReduceError> {
///         match event.data {
///             Event::Ordered { order, cents } => tasks.push(&Charge { order, cents }),
///             _ => Ok(()),
///         }
///     }
///
///     async fn serve(&self, due: Due<Charge>) -> Result<Vec<Event>, DeliverError> {
///         let Charge { order, cents } = due.effect;
///         // Ask the bank, with `due.key` as the idempotency key; an error is tried again.
///         let paid = cents < 10_000;
///         Ok(vec![if paid { Event::Paid { order } } else { Event::Declined { order } }])
///     }
/// }
/// ```
pub trait Service: Send + Sync + 'static {
    /// The type of the log's events.
    type Event: Send + Sync + 'static;

    /// What is to be done.
    type Task: Serialize + DeserializeOwned + 'static;

    /// As [`Reducer::name`](crate::Reducer::name).
    fn name(&self) -> &str;

    /// As [`Reducer::version`](crate::Reducer::version).
    fn version(&self) -> u32 {
        1
    }

    /// As [`Reducer::event_types`](crate::Reducer::event_types).
    fn event_types(&self) -> EventTypes {
        EventTypes::All
    }

    /// As [`Reducer::on_undecodable`](crate::Reducer::on_undecodable).
    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        let _ = event;
        OnUndecodable::Block
    }

    /// As [`Reducer::partition`](crate::Reducer::partition): the tasks of one partition are served one
    /// after the other.
    fn partition(&self, event: &Self::Event) -> Partitions;

    /// Says what is to be done because of the event. It is pure, as
    /// [`Reducer::reduce`](crate::Reducer::reduce) is.
    ///
    /// # Errors
    /// As there: [`on_failure`](Self::on_failure) decides.
    fn plan(
        &self,
        event: &Recorded<Self::Event>,
        tasks: &mut Effects<'_, Self::Task>,
    ) -> Result<(), ReduceError>;

    /// As [`Reducer::on_failure`](crate::Reducer::on_failure).
    fn on_failure(
        &self,
        event: &Recorded<Self::Event>,
        failure: &Failure,
        attempt: u32,
    ) -> OnFailure {
        let _ = (event, failure, attempt);
        OnFailure::Halt
    }

    /// Does a task, and answers with the events that record what came of it, if any. They are
    /// appended all or none.
    ///
    /// When it is done again after a failure, the events may be others: those that are in the log
    /// first count.
    ///
    /// # Errors
    /// As for [`Deliver::deliver`](super::Deliver::deliver): the task is tried again or parked, and
    /// nothing is appended.
    fn serve(
        &self,
        due: Due<Self::Task>,
    ) -> impl Future<Output = Result<Vec<Self::Event>, DeliverError>>;

    /// As [`Deliver::settings`](super::Deliver::settings). The time-out is for a task and for
    /// appending its events together.
    fn settings(&self) -> DeliverySettings {
        DeliverySettings::default()
    }
}

/// A [`Service`] together with the log that it appends to; ready to be registered as a [`Notifier`].
#[derive(Debug)]
pub struct Serving<S, L> {
    service: S,
    log: L,
}

impl<S: Service, L: AppendOnce<Event = S::Event>> Serving<S, L> {
    /// This service, appending to this log.
    pub fn new(service: S, log: L) -> Self {
        Self { service, log }
    }
}

impl<S: Service, L: AppendOnce<Event = S::Event>> Notifier for Serving<S, L> {
    type Event = S::Event;
    type Effect = S::Task;

    fn name(&self) -> &str {
        self.service.name()
    }

    fn version(&self) -> u32 {
        self.service.version()
    }

    fn event_types(&self) -> EventTypes {
        self.service.event_types()
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.service.on_undecodable(event)
    }

    fn partition(&self, event: &S::Event) -> Partitions {
        self.service.partition(event)
    }

    fn notify(
        &self,
        event: &Recorded<S::Event>,
        effects: &mut Effects<'_, S::Task>,
    ) -> Result<(), ReduceError> {
        self.service.plan(event, effects)
    }

    fn on_failure(&self, event: &Recorded<S::Event>, failure: &Failure, attempt: u32) -> OnFailure {
        self.service.on_failure(event, failure, attempt)
    }

    async fn deliver(&self, due: Due<S::Task>) -> Result<(), DeliverError> {
        let key = due.key.clone();
        // Served before, by a process that died before it could note that.
        if self.log.has_appended(&key).await.map_err(DeliverError::retry)? {
            return Ok(());
        }
        let events = self.service.serve(due).await?;
        if events.is_empty() {
            return Ok(());
        }
        self.log.append_once(&key, events).await.map(drop).map_err(|error| match error {
            AppendOnceError::Unavailable(_) => DeliverError::retry(error),
            AppendOnceError::Refused(_) => DeliverError::refuse(error),
        })
    }

    fn settings(&self) -> DeliverySettings {
        self.service.settings()
    }
}
