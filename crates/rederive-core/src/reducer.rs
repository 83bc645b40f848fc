//! [`Reducer`]: the user's code.

use crate::{
    EventTypes, Failure, OnFailure, OnUndecodable, Ops, OwnedTable, Partitions, Recorded,
    ReduceError, Undecodable,
};

/// Turns events into changes of derived state. Others call it a projection.
///
/// A reducer is pure: what it emits depends on the event (and on the partition it is reduced for),
/// never on the clock, on the database or on what it saw before. Then a rebuild leads to the same
/// state, and an event may safely be reduced again after a crash.
///
/// It runs on an actor's thread that other partitions share: keep it short and never block in it.
///
/// ```
/// use rederive_core::{
///     Change, ColumnKind, Ops, Partitions, Recorded, ReduceError, Reducer, Table,
/// };
///
/// static ACCOUNTS: Table =
///     Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[0]);
///
/// enum AccountEvent {
///     Opened { id: String },
///     Deposited { id: String, amount: i64 },
/// }
///
/// struct Accounts;
///
/// impl Reducer for Accounts {
///     type Event = AccountEvent;
///
///     fn name(&self) -> &str {
///         "accounts"
///     }
///
///     fn partition(&self, event: &AccountEvent) -> Partitions {
///         match event {
///             AccountEvent::Opened { id } | AccountEvent::Deposited { id, .. } => id.into(),
///         }
///     }
///
///     fn reduce(&self, event: &Recorded<AccountEvent>, ops: &mut Ops) -> Result<(), ReduceError> {
///         match &event.data {
///             AccountEvent::Opened { id } => {
///                 ops.change(&ACCOUNTS, [id.into()], Change::Insert(vec![(1, 0.into())]))
///             }
///             AccountEvent::Deposited { id, amount } => {
///                 ops.change(&ACCOUNTS, [id.into()], Change::Increment(1, (*amount).into()))
///             }
///         }
///     }
/// }
/// ```
pub trait Reducer: Send + Sync + 'static {
    /// The type of the log's events.
    type Event: Send + Sync + 'static;

    /// The name under which progress is stored: unique among the reducers of a store, and never
    /// changed. With more than 200 bytes, some stores refuse it at the start.
    fn name(&self) -> &str;

    /// Raise it when the derived state has to be built anew because [`partition`](Self::partition),
    /// [`reduce`](Self::reduce) or [`tables`](Self::tables) changed. A reducer whose stored version
    /// differs is refused at start, or rebuilt where that is wanted.
    fn version(&self) -> u32 {
        1
    }

    /// The tables whose rows this reducer derives: checked at start, created when they are missing
    /// and the declaration says how, emptied by a rebuild. No two reducers of a store may declare the
    /// same one. Without tables, a reducer cannot be rebuilt; with some, name all that it writes to,
    /// as a rebuild leaves every other as it is.
    fn tables(&self) -> Vec<OwnedTable> {
        Vec::new()
    }

    /// The types of events that concern this reducer. Asked once, at the registration.
    ///
    /// All others are ignored, whatever [`partition`](Self::partition) would say of them. A log that
    /// stores the type of an event beside it neither reads nor decodes them for this reducer, so
    /// that they cost next to nothing and cannot be undecodable. The names are those of
    /// [`EventLog::event_type`](crate::EventLog::event_type); a log that knows no types serves every
    /// event.
    fn event_types(&self) -> EventTypes {
        EventTypes::All
    }

    /// Decides what becomes of an event that cannot be decoded, from what is known of it. A panic
    /// here counts as [`OnUndecodable::Block`]. Like [`partition`](Self::partition), it gives the same
    /// answer for the same event each time.
    ///
    /// ```
    /// # use rederive_core::{OnUndecodable, Undecodable};
    /// # struct Accounts;
    /// # impl Accounts {
    /// // Within `impl Reducer for Accounts`, whose log has a stream for each account, and others:
    /// fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
    ///     match event.stream.as_deref().map(|stream| stream.strip_prefix("account-")) {
    ///         Some(Some(account)) => OnUndecodable::Halt(account.into()),
    ///         Some(None) => OnUndecodable::Ignore,
    ///         None => OnUndecodable::Block,
    ///     }
    /// }
    /// # }
    /// ```
    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        let _ = event;
        OnUndecodable::Block
    }

    /// The partitions that the event belongs to.
    ///
    /// Two events whose order matters must share a partition, and a row must be changed by one
    /// partition only. A panic here stops the whole reducer, as it cannot be known whose event it
    /// was.
    fn partition(&self, event: &Self::Event) -> Partitions;

    /// Emits the changes that follow from the event for the partition
    /// [`ops.partition()`](Ops::partition).
    ///
    /// # Errors
    /// The ops of an event that fails are dropped, and [`on_failure`](Self::on_failure) decides what
    /// becomes of it: by default, its partition halts just before it. A panic is caught and does the
    /// same.
    fn reduce(&self, event: &Recorded<Self::Event>, ops: &mut Ops) -> Result<(), ReduceError>;

    /// Decides what becomes of an event that could not be reduced, or whose ops the store rejected.
    /// A transient fault of the store is no failure and is not asked about.
    ///
    /// `attempt` counts the attempts at this event in this partition, from one; those made before an
    /// operator's retry count as well. A panic here halts the partition.
    ///
    /// ```
    /// # use rederive_core::{Failure, FailureKind, OnFailure, Recorded};
    /// # struct Event;
    /// # struct Prices;
    /// # impl Prices {
    /// // Within `impl Reducer for Prices`:
    /// fn on_failure(&self, _: &Recorded<Event>, failure: &Failure, attempt: u32) -> OnFailure {
    ///     match failure.kind {
    ///         FailureKind::Rejected => OnFailure::Halt,
    ///         _ => OnFailure::retry(attempt, 3).unwrap_or(OnFailure::Skip),
    ///     }
    /// }
    /// # }
    /// ```
    fn on_failure(
        &self,
        event: &Recorded<Self::Event>,
        failure: &Failure,
        attempt: u32,
    ) -> OnFailure {
        let _ = (event, failure, attempt);
        OnFailure::Halt
    }
}
