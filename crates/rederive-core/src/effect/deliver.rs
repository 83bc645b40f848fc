//! [`Deliver`]: the user's code that carries effects out.

use std::{future::Future, pin::Pin, time::Duration};

use serde::de::DeserializeOwned;

use super::{DeliveryFailure, EffectKey, Job};
use crate::{Cursor, PartitionId};

/// Carries out the effects of a reducer: sends the mail, makes the request.
///
/// An effect is delivered **at least once**: it is delivered again when the process ends between a
/// delivery and the note of it, and when an answer was lost. [`Due::key`] is the same each time, so
/// whoever receives it can tell. The effects of one partition are delivered in the order of their
/// events, one after the other; those of different partitions at the same time.
///
/// Deliveries of a reducer share a thread that is theirs alone. The future is dropped when it takes
/// longer than [`DeliverySettings::timeout`].
///
/// Code that **blocks** delays no reducer, no `Await` and no deliveries of other reducers; but while it
/// blocks, no other delivery of its own reducer goes on and no time-out ends it. To make several blocking
/// deliveries at once, hand each to a thread of the runtime's pool (`actix_rt::task::spawn_blocking`) and
/// await that. After a time-out such a thread goes on beside the next attempt: give the blocking code a
/// shorter time-out of its own.
///
/// ```
/// use rederive_core::{Deliver, DeliverError, Due};
///
/// struct Printer;
///
/// impl Deliver for Printer {
///     type Effect = String;
///
///     async fn deliver(&self, due: Due<String>) -> Result<(), DeliverError> {
///         println!("{}: {}", due.key, due.effect);
///         Ok(())
///     }
/// }
/// ```
pub trait Deliver: Send + Sync + 'static {
    /// What the reducer emits. It is stored as JSON; a type that changes must read what the outbox
    /// still holds, or it is parked.
    type Effect: DeserializeOwned;

    /// Delivers one effect.
    ///
    /// # Errors
    /// [`DeliverError`] says whether it is tried again. A panic counts as
    /// [`DeliverError::Retry`].
    fn deliver(&self, due: Due<Self::Effect>) -> impl Future<Output = Result<(), DeliverError>>;

    /// How deliveries are made. Asked once, at the registration.
    fn settings(&self) -> DeliverySettings {
        DeliverySettings::default()
    }
}

/// An effect to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Due<T> {
    /// The idempotency key: the same whenever this effect is delivered, and that of no other effect.
    /// ASCII letters, digits and `-._~%/`; see [`EffectKey::text`].
    pub key: String,
    /// The partition.
    pub partition: PartitionId,
    /// The event that led to it.
    pub cursor: Cursor,
    /// Counts the attempts at this effect, from one, since this process began with it.
    pub attempt: u32,
    /// The effect.
    pub effect: T,
}

/// An effect was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// Not now: it is tried again after a pause, until it has been tried
    /// [`DeliverySettings::attempts`] times; then it is parked.
    #[error("{0}")]
    Retry(String),
    /// Never: it is parked at once.
    #[error("{0}")]
    Refuse(String),
}

impl DeliverError {
    /// It is tried again.
    pub fn retry(message: impl ToString) -> Self {
        Self::Retry(message.to_string())
    }

    /// It is parked.
    pub fn refuse(message: impl ToString) -> Self {
        Self::Refuse(message.to_string())
    }
}

/// How effects are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// How many partitions are delivered for at the same time. Default 16.
    pub concurrency: usize,
    /// How long one delivery may take. Default 30 s.
    pub timeout: Duration,
    /// How often an effect is tried before it is parked. Default 30: with the default pauses, that
    /// is after about three hours.
    pub attempts: u32,
    /// The pause of a partition after its first failure; it doubles with each further one.
    /// Default 1 s.
    pub min_backoff: Duration,
    /// The longest pause between attempts. Default 10 min.
    pub max_backoff: Duration,
    /// How long a stop waits for deliveries that are under way before it gives them up, so that they
    /// are made again at the next start. Default 5 s.
    pub grace: Duration,
    /// How often the outbox is looked at when nothing woke us. Default 10 s.
    pub poll_interval: Duration,
    /// How many effects are kept in memory; partitions that wait for another attempt count, with one
    /// each. Default 1000. When so many partitions are delayed at once, others wait for them.
    pub window: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            concurrency: 16,
            timeout: Duration::from_secs(30),
            attempts: 30,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(600),
            grace: Duration::from_secs(5),
            poll_interval: Duration::from_secs(10),
            window: 1000,
        }
    }
}

impl DeliverySettings {
    /// The pause after this many failed attempts in a row, counted from one.
    pub fn backoff(&self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.min_backoff.saturating_mul(factor).min(self.max_backoff)
    }

    /// The settings with every size at least one, so that none of them can stop the work.
    #[must_use]
    pub fn checked(self) -> Self {
        Self {
            concurrency: self.concurrency.max(1),
            attempts: self.attempts.max(1),
            window: self.window.max(1),
            poll_interval: self.poll_interval.max(Duration::from_millis(1)),
            ..self
        }
    }
}

/// A [`Deliver`] whose type of effects is not known: how the actors see it.
pub trait Deliverer: Send + Sync + 'static {
    /// As [`Deliver::settings`].
    fn settings(&self) -> DeliverySettings;

    /// Delivers what a job says, for this reducer.
    fn deliver<'d>(&'d self, reducer: &'d str, job: &'d Job) -> Delivering<'d>;
}

type Delivering<'d> = Pin<Box<dyn Future<Output = Result<(), (DeliveryFailure, String)>> + 'd>>;

impl<D: Deliver> Deliverer for D {
    fn settings(&self) -> DeliverySettings {
        Deliver::settings(self)
    }

    fn deliver<'d>(&'d self, reducer: &'d str, job: &'d Job) -> Delivering<'d> {
        Box::pin(async move {
            let EffectKey { partition, cursor, .. } = &job.key;
            let effect = serde_json::from_str(&job.effect).map_err(|error| {
                let message = format!("the stored effect is of another type: {error}");
                (DeliveryFailure::Unreadable, message)
            })?;
            let due = Due {
                key: job.key.text(reducer),
                partition: partition.clone(),
                cursor: cursor.clone(),
                attempt: job.attempt,
                effect,
            };
            Deliver::deliver(self, due).await.map_err(|error| match error {
                DeliverError::Retry(message) => (DeliveryFailure::Failed, message),
                DeliverError::Refuse(message) => (DeliveryFailure::Refused, message),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_attempts_take_about_three_hours() {
        let settings = DeliverySettings::default();
        let pauses = (1..settings.attempts).map(|attempt| settings.backoff(attempt));
        let hours = pauses.sum::<Duration>().as_secs_f64() / 3600.0;
        assert!((2.5..3.6).contains(&hours), "{hours}");
    }
}
