#![doc = include_str!("../../../README.md")]

/// Compiles the code of the guide.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

/// Compiles the code of the document on PostgreSQL.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../../../docs/postgres.md")]
struct Postgres;

mod builder;
mod handle;
mod home;
pub mod prelude;
#[cfg(feature = "progress-bar")]
pub mod progress;
#[cfg(feature = "testing")]
pub mod testing;

pub use builder::{Rederive, StartError};
pub use handle::Handle;
#[cfg(feature = "chaos")]
#[doc(inline)]
pub use rederive_actix::chaos;
#[doc(inline)]
pub use rederive_actix::{
    Activity, Await, AwaitError, Awaited, CancelRebuild, Changes, Config, CountEffects, Delay,
    DropEffect, EventStream, Lag, ListError, ListHalted, ListParked, ListSkips, LogObserver,
    OnOwned, OnVersionChange, Outcome, Pause, PauseError, Rebuild, RebuildError, RebuildNeeded,
    RebuildPartition, RebuildReport, RebuildStatus, Redeliver, ReducerStatus, RegisterError,
    Registration, RepairError, Reply, RetriedAll, Retry, RetryAll, Shutdown, Sizes, SkipEvent,
    Status, Stopper, Supervisor, View, ViewChange,
};
#[doc(inline)]
pub use rederive_core as core;
#[doc(inline)]
pub use rederive_core::{
    AppendOnce, AppendOnceError, Begin, Blocked, Change, ColumnKind, Cursor, CursorKind, CustomOp,
    Deliver, DeliverError, DeliveryFailure, DeliverySettings, Due, EffectKey, EffectRecord,
    Effects, EventLog, EventTypes, Failure, FailureKind, FnLog, Fold, FoldEffects, Folded, Halt,
    Json, JsonState, Key, LogCursor, LogError, LogRow, MemoryLog, MemoryStore, Notice, Notifier,
    Observer, OnFailure, OnUndecodable, Op, Ops, OutboxCounts, OwnedTable, Parked, PartitionId,
    PartitionRecord, Partitions, Recorded, ReduceError, Reducer, Row, RowFn, RowOp, Service,
    Serving, Skip, SkipRecord, SkippedBy, StateError, StateForm, StateRecord, States, Store,
    StoreError, Table, Timestamp, Undecodable, Value, WhereOp,
};
#[doc(inline)]
pub use rederive_diesel as diesel;
