//! What most files that use Rederive want: `use rederive::prelude::*`.

#[doc(no_inline)]
pub use crate::{
    Await, Cursor, EventLog, Handle, Observer, Ops, Partitions, Recorded, Rederive, ReduceError,
    Reducer, Store,
};
