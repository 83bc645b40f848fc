//! [`Fold`]: the user's code that keeps a state per partition.

mod effects;
mod engine;
mod form;
mod json;
mod stored;

pub use effects::FoldEffects;
pub use engine::Folded;
pub use form::{FoundState, StateForm};
pub use json::{JsonState, STATES};
pub use stored::{StateError, StateRecord, States};

use crate::{
    EventTypes, Failure, OnFailure, OnUndecodable, PartitionId, Partitions, Recorded, ReduceError,
    Undecodable,
};

/// Folds the events of each partition into a state, as in `state = fold(state, event)`.
///
/// The state is kept while its partition is active, and stored once per commit, however many events
/// that took. So a fold is quicker than a [`Reducer`](crate::Reducer) where many events meet few
/// partitions, and can decide by what it saw before; but it cannot change rows of its own.
///
/// All that holds for reducers holds for folds: exactly once and in order per partition; the good
/// prefix is kept when an event fails; a fold is pure, and quick, as it runs on an actor's thread.
///
/// How the state is stored is said where the fold is registered: see [`Folded`]. What is stored must
/// read back as what it was.
///
/// ```
/// use rederive_core::{Fold, PartitionId, Partitions, Recorded, ReduceError};
/// use serde::{Deserialize, Serialize};
///
/// enum AccountEvent {
///     Deposited { id: String, amount: i64 },
///     Withdrawn { id: String, amount: i64 },
///     Closed { id: String },
/// }
///
/// #[derive(Clone, Default, Serialize, Deserialize)]
/// struct Account {
///     balance: i64,
///     closed: bool,
/// }
///
/// struct Accounts;
///
/// impl Fold for Accounts {
///     type Event = AccountEvent;
///     type State = Account;
///
///     fn name(&self) -> &str {
///         "accounts"
///     }
///
///     fn partition(&self, event: &AccountEvent) -> Partitions {
///         match event {
///             AccountEvent::Deposited { id, .. }
///             | AccountEvent::Withdrawn { id, .. }
///             | AccountEvent::Closed { id } => id.into(),
///         }
///     }
///
///     fn fold(
///         &self,
///         account: &mut Account,
///         event: &Recorded<AccountEvent>,
///         _: &PartitionId,
///     ) -> Result<(), ReduceError> {
///         match &event.data {
///             AccountEvent::Deposited { amount, .. } => account.balance += amount,
///             AccountEvent::Withdrawn { amount, .. } if *amount > account.balance => {
///                 return Err(ReduceError::new("overdrawn")); // halts this account
///             }
///             AccountEvent::Withdrawn { amount, .. } => account.balance -= amount,
///             AccountEvent::Closed { .. } => account.closed = true,
///         }
///         Ok(())
///     }
///
///     fn is_removed(&self, account: &Account) -> bool {
///         account.closed // nothing is stored of it any more
///     }
/// }
///
/// let mut account = Account::default();
/// let event = Recorded {
///     cursor: 1.into(),
///     time: Default::default(),
///     data: AccountEvent::Deposited { id: "alice".into(), amount: 5 },
/// };
/// Accounts.fold(&mut account, &event, &"alice".into())?;
/// assert_eq!(account.balance, 5);
/// # Ok::<(), ReduceError>(())
/// ```
pub trait Fold: Send + Sync + 'static {
    /// The type of the log's events.
    type Event: Send + Sync + 'static;

    /// What is kept for each partition; it begins as the default.
    ///
    /// It is cloned once per commit: let large parts that seldom change be shared by an `Arc`.
    type State: Default + Clone + Send + Sync + 'static;

    /// The name under which progress and states are stored: unique among the reducers of a store,
    /// and never changed.
    fn name(&self) -> &str;

    /// Raise it when the states have to be built anew because [`partition`](Self::partition),
    /// [`fold`](Self::fold) or the form of the state changed. A fold whose stored version differs is
    /// refused at start.
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

    /// As [`Reducer::on_failure`](crate::Reducer::on_failure). Not asked when the stored state cannot
    /// be used, which is no event's fault: that halts.
    fn on_failure(
        &self,
        event: &Recorded<Self::Event>,
        failure: &Failure,
        attempt: u32,
    ) -> OnFailure {
        let _ = (event, failure, attempt);
        OnFailure::Halt
    }

    /// The partitions that the event belongs to. A panic here stops the whole reducer, as it cannot
    /// be known whose event it was.
    fn partition(&self, event: &Self::Event) -> Partitions;

    /// Changes the partition's state as the event wants it.
    ///
    /// An event that belongs to several partitions is folded once for each.
    ///
    /// # Errors
    /// An error halts the partition just before this event; the state is the one before it, whatever
    /// was changed meanwhile. A panic is caught and does the same.
    fn fold(
        &self,
        state: &mut Self::State,
        event: &Recorded<Self::Event>,
        partition: &PartitionId,
    ) -> Result<(), ReduceError>;

    /// Emits what is to be done outside the store because of this event, such as a mail to be sent,
    /// from the state that the event has led to. Called after [`fold`](Self::fold), with the same
    /// event; the default emits nothing.
    ///
    /// Effects are as those of [`Ops::effect`](crate::Ops::effect): written in the transaction that
    /// stores the state, and delivered afterwards by what the fold was registered with. A fold whose
    /// states live in a view in memory is not asked, as it begins anew with each process.
    ///
    /// # Errors
    /// As for [`fold`](Self::fold).
    fn effects(
        &self,
        state: &Self::State,
        event: &Recorded<Self::Event>,
        effects: &mut FoldEffects<'_>,
    ) -> Result<(), ReduceError> {
        let _ = (state, event, effects);
        Ok(())
    }

    /// Whether nothing is to be stored of the state any more. Asked after each event; if so, the
    /// partition's next event finds the default.
    fn is_removed(&self, _state: &Self::State) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
