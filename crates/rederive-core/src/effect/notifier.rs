//! [`Notifier`]: effects of events and nothing else.

use std::{future::Future, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Deliver, DeliverError, DeliverySettings, Due};
use crate::{
    Cursor, EventTypes, Failure, OnFailure, OnUndecodable, Ops, PartitionId, Partitions, Recorded,
    ReduceError, Reducer, Undecodable,
};

/// Tells the world outside of events: by mails, pushes, requests.
///
/// It is a [`Reducer`] without derived state, together with the [`Deliver`] of its effects. What an
/// event leads to is decided by [`notify`](Self::notify), which is pure, and kept in the outbox until
/// [`deliver`](Self::deliver) has delivered it: at least once, in order within the partition, with
/// the same key each time.
///
/// Unless it is told otherwise, a notifier begins at its first start ever with the events that are
/// appended after it: nothing is sent for history. It goes on from where it stopped at later starts.
///
/// ```
/// use rederive_core::{DeliverError, Due, Effects, Notifier, Partitions, Recorded, ReduceError};
/// use serde::{Deserialize, Serialize};
///
/// struct SignedUp { mail: String }
///
/// #[derive(Serialize, Deserialize)]
/// struct Welcome { to: String }
///
/// struct WelcomeMails;
///
/// impl Notifier for WelcomeMails {
///     type Event = SignedUp;
///     type Effect = Welcome;
///
///     fn name(&self) -> &str {
///         "welcome mails"
///     }
///
///     fn partition(&self, event: &SignedUp) -> Partitions {
///         (&event.mail).into()
///     }
///
///     fn notify(
///         &self,
///         event: &Recorded<SignedUp>,
///         effects: &mut Effects<'_, Welcome>,
///     ) -> Result<(), ReduceError> {
///         effects.push(&Welcome { to: event.data.mail.clone() })
///     }
///
///     async fn deliver(&self, due: Due<Welcome>) -> Result<(), DeliverError> {
///         println!("to {}: welcome! ({})", due.effect.to, due.key);
///         Ok(())
///     }
/// }
/// ```
pub trait Notifier: Send + Sync + 'static {
    /// The type of the log's events.
    type Event: Send + Sync + 'static;

    /// What is to be delivered.
    type Effect: Serialize + DeserializeOwned + 'static;

    /// As [`Reducer::name`].
    fn name(&self) -> &str;

    /// As [`Reducer::version`].
    fn version(&self) -> u32 {
        1
    }

    /// As [`Reducer::event_types`].
    fn event_types(&self) -> EventTypes {
        EventTypes::All
    }

    /// As [`Reducer::on_undecodable`].
    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        let _ = event;
        OnUndecodable::Block
    }

    /// As [`Reducer::partition`]: effects of one partition are delivered one after the other.
    fn partition(&self, event: &Self::Event) -> Partitions;

    /// Emits what is to be delivered because of the event.
    ///
    /// # Errors
    /// As for [`Reducer::reduce`]: [`on_failure`](Self::on_failure) decides.
    fn notify(
        &self,
        event: &Recorded<Self::Event>,
        effects: &mut Effects<'_, Self::Effect>,
    ) -> Result<(), ReduceError>;

    /// As [`Reducer::on_failure`].
    fn on_failure(
        &self,
        event: &Recorded<Self::Event>,
        failure: &Failure,
        attempt: u32,
    ) -> OnFailure {
        let _ = (event, failure, attempt);
        OnFailure::Halt
    }

    /// As [`Deliver::deliver`].
    ///
    /// # Errors
    /// As there.
    fn deliver(&self, due: Due<Self::Effect>) -> impl Future<Output = Result<(), DeliverError>>;

    /// As [`Deliver::settings`].
    fn settings(&self) -> DeliverySettings {
        DeliverySettings::default()
    }
}

/// Collects the effects of one event, for [`Notifier::notify`].
#[derive(Debug)]
pub struct Effects<'o, T> {
    ops: &'o mut Ops,
    of: PhantomData<fn(T)>,
}

impl<T: Serialize> Effects<'_, T> {
    /// Adds an effect.
    ///
    /// # Errors
    /// As for [`Ops::effect`].
    pub fn push(&mut self, effect: &T) -> Result<(), ReduceError> {
        self.ops.effect(effect)
    }

    /// The partition that they are collected for.
    pub fn partition(&self) -> &PartitionId {
        self.ops.partition()
    }
}

/// A [`Notifier`] as what it consists of: a [`Reducer`] and a [`Deliver`].
#[derive(Debug)]
pub struct Notifying<N>(Arc<N>);

impl<N: Notifier> Notifying<N> {
    /// Both of this notifier.
    pub fn new(notifier: N) -> Self {
        Self(Arc::new(notifier))
    }
}

impl<N> Clone for Notifying<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Notifier> Reducer for Notifying<N> {
    type Event = N::Event;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn event_types(&self) -> EventTypes {
        self.0.event_types()
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.0.on_undecodable(event)
    }

    fn partition(&self, event: &N::Event) -> Partitions {
        self.0.partition(event)
    }

    fn reduce(&self, event: &Recorded<N::Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        self.0.notify(event, &mut Effects { ops, of: PhantomData })
    }

    fn on_failure(&self, event: &Recorded<N::Event>, failure: &Failure, attempt: u32) -> OnFailure {
        self.0.on_failure(event, failure, attempt)
    }
}

impl<N: Notifier> Deliver for Notifying<N> {
    type Effect = N::Effect;

    async fn deliver(&self, due: Due<N::Effect>) -> Result<(), DeliverError> {
        self.0.deliver(due).await
    }

    fn settings(&self) -> DeliverySettings {
        self.0.settings()
    }
}

/// Where a reducer begins at its first start ever. Later ones go on from what is stored, and a
/// rebuild begins with the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// With the first event of the log.
    #[default]
    Start,
    /// With the first event after this cursor.
    After(Cursor),
    /// With the first event that is appended after the start. The log must be readable for it: the
    /// start waits until it is.
    End,
}
