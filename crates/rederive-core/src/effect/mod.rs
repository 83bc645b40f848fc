//! Effects: what a reducer wants done outside the store, such as a mail to be sent.
//!
//! A reducer emits effects by [`Ops::effect`](crate::Ops::effect). They are written to the
//! [`OUTBOX`] in the transaction that commits the event's other ops, so that there is exactly one of
//! each, and delivered afterwards by a [`Deliver`], at least once and in order per partition. What
//! could not be delivered is tried again, and parked when it is given up.
//!
//! Effects whose reducer was registered without a [`Deliver`] stay in the outbox until it has one.

mod deliver;
mod notifier;
mod outbox;
mod queue;
mod service;
mod silence;

pub use deliver::{Deliver, DeliverError, Deliverer, DeliverySettings, Due};
pub use notifier::{Begin, Effects, Notifier, Notifying};
pub use outbox::{
    DeliveryFailure, EffectKey, EffectMarks, EffectRecord, EffectsError, OUTBOX, OutboxCounts,
    Parked,
};
pub use queue::{Delayed, DeliveryQueue, Job, Outcome, Read};
pub use service::{Service, Serving};
pub use silence::{Silence, has_effects};
