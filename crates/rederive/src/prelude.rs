//! What most files that use Rederive want: `use rederive::prelude::*`.

#[doc(no_inline)]
pub use crate::{
    Await, Cursor, EventLog, Fold, Handle, Observer, OnFailure, Ops, PartitionId, Partitions,
    Recorded, Rederive, ReduceError, Reducer, Store, View,
};
