#![doc = include_str!("../../../README.md")]

mod builder;
mod handle;
mod home;
pub mod prelude;

pub use builder::{Rederive, StartError};
pub use handle::Handle;
#[cfg(feature = "chaos")]
#[doc(inline)]
pub use rederive_actix::chaos;
#[doc(inline)]
pub use rederive_actix::{
    Activity, Await, AwaitError, Awaited, Config, Delay, LogObserver, Outcome, ReducerStatus,
    RegisterError, Registration, Reply, Retry, RetryError, Shutdown, Status, Supervisor,
};
#[doc(inline)]
pub use rederive_core as core;
#[doc(inline)]
pub use rederive_core::{
    Blocked, Change, ColumnKind, Cursor, CursorKind, CustomOp, EventLog, FailureKind, Fold, Folded,
    Halt, JsonState, Key, LogError, MemoryLog, MemoryStore, Notice, Observer, Op, Ops, PartitionId,
    Partitions, Recorded, ReduceError, Reducer, Row, StateError, StateForm, StateRecord, States,
    Store, StoreError, Table, Timestamp, Value,
};
#[doc(inline)]
pub use rederive_diesel as diesel;
