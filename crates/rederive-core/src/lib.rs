//! The rules of Rederive, without I/O, runtime or clock.
//!
//! An [`EventLog`] is read in [`Slice`]s. A [`Reducer`] says which [`Partitions`] an event belongs
//! to and turns it into [`Op`]s; [`reduce()`] does so for a batch, keeping the good prefix when an
//! event fails. [`PartitionState`] decides what a partition does next, [`PartitionCommit`]s of many
//! partitions form a [`Group`], and a [`Settlement`] brings a group into a [`Store`] in as few
//! transactions as it takes. [`Watermark`] knows up to where everything is settled, and [`Waiters`]
//! whom that releases.
//!
//! The modules are listed in that order.

pub mod cursor;
pub mod event;
pub mod event_types;
pub mod undecodable;
pub mod event_log;
pub mod tentative;
pub mod holder;
pub mod append_once;
pub mod events;
pub mod log_cursor;
pub mod fn_log;
pub mod partition;
pub mod reducer;
pub mod value;
mod canonical;
pub mod op;
pub mod owned;
pub mod effect;
pub mod error;
pub mod policy;
pub mod reduce;
pub mod engine;
pub mod fold;
pub mod explain;
pub mod partition_state;
pub mod commit;
pub mod settlement;
pub mod lease;
pub mod store;
pub mod watermark;
pub mod waiters;
pub mod observer;
pub mod memory;

pub use append_once::{AppendOnce, AppendOnceError};
pub use commit::{Group, PartitionCommit, Repair};
pub use cursor::{Cursor, CursorKind, InvalidCursor};
pub use effect::{
    Begin, Deliver, DeliverError, DeliveryFailure, DeliverySettings, Due, EffectKey, EffectMarks,
    EffectRecord, Effects, EffectsError, Notifier, Notifying, OutboxCounts, Parked, Service,
    Serving,
};
pub use engine::{Engine, PartitionEngine, Stateless, StoredRow};
pub use error::{Failure, FailureKind, Halt, ReduceError, Skip, SkipRecord, SkippedBy};
pub use event::{Recorded, Timestamp};
pub use event_log::{Entry, EventLog, LogError, ReadError, Slice, Wake, Wakers};
pub use event_types::EventTypes;
pub use events::Events;
pub use explain::{Explanation, explain, explain_engine};
pub use fn_log::{FnLog, LogRow};
pub use fold::{Fold, FoldEffects, Folded, JsonState, StateError, StateForm, StateRecord, States};
pub use holder::{Holder, Holds};
pub use lease::{Claim, Lease, TakeFrom};
pub use log_cursor::{CursorPair, LogCursor};
pub use memory::{MemoryLog, MemoryStore};
pub use observer::{Blocked, Notice, Observer};
pub use op::{
    Change, ChangeError, ColumnKind, CustomOp, Json, Key, Op, Ops, Row, RowFn, RowOp, Table,
    WhereOp,
};
pub use owned::OwnedTable;
pub use partition::{PartitionId, Partitions};
pub use partition_state::{Backoff, Delivery, Next, PartitionState, Settles};
pub use policy::OnFailure;
pub use reduce::{Reduction, Several, Step, Steps, reduce};
pub use reducer::Reducer;
pub use settlement::{Progress, Rejection, Settled, Settlement};
/// The text in a [`Value`].
pub use smol_str::SmolStr;
pub use store::{
    CommitError, OpenError, Opened, Opening, Outbox, PartitionRecord, PartitionWrite, ReducerWrite,
    Revision, Store, StoreError, StoreIdentity, StoredReducer, Writer,
};
pub use tentative::{Confirm, Tentative};
pub use undecodable::{OnUndecodable, Undecodable};
pub use value::Value;
pub use waiters::Waiters;
pub use watermark::Watermark;
