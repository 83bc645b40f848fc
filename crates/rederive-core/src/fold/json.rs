//! [`JsonState`]: states as JSON in a table of Rederive's own.

use std::{marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{FoundState, StateForm};
use crate::{
    Change, ColumnKind, Cursor, Key, Op, PartitionId, ReduceError, RowOp, StoredRow, Table, Value,
};

/// The table in which a store keeps states as JSON.
pub static STATES: Table = Table::new(
    "rederive_states",
    &[
        ("reducer", ColumnKind::Text),
        ("id", ColumnKind::Text),
        ("cursor", ColumnKind::Text),
        ("state", ColumnKind::Text),
    ],
    &[0, 1],
);

/// Keeps states as JSON in [`STATES`], each with the cursor of the last event folded into it.
pub struct JsonState<S> {
    reducer: Arc<str>,
    of: PhantomData<fn() -> S>,
}

impl<S> JsonState<S> {
    /// The form of the states of this reducer.
    pub fn new(reducer: &str) -> Self {
        Self { reducer: reducer.into(), of: PhantomData }
    }
}

/// Where the state of this partition is stored.
pub(super) fn row(reducer: &str, partition: &PartitionId) -> StoredRow {
    let key: Key = [reducer, partition.as_str()].into_iter().map(Value::from).collect();
    StoredRow { table: &STATES, key }
}

/// The state in a row of [`STATES`], and the cursor of the last event folded into it.
pub(super) fn read<S: DeserializeOwned>(row: &[Value]) -> Result<(S, Cursor), ReduceError> {
    let [_, _, Value::Text(cursor), Value::Text(state)] = row else {
        return Err(ReduceError::new("the row is none of Rederive's"));
    };
    Ok((serde_json::from_str(state)?, Cursor::decode(cursor)?))
}

impl<S> StateForm<S> for JsonState<S>
where
    S: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn find(&self, partition: &PartitionId) -> Result<FoundState<S>, ReduceError> {
        Ok(FoundState::Row(row(&self.reducer, partition)))
    }

    fn read(&self, row: Vec<Value>) -> Result<(S, Option<Cursor>), ReduceError> {
        read(&row).map(|(state, cursor)| (state, Some(cursor)))
    }

    fn store(
        &self,
        partition: &PartitionId,
        cursor: &Cursor,
        state: Option<&Arc<S>>,
    ) -> Result<Op, ReduceError> {
        let change = match state {
            Some(state) => Change::Upsert(vec![
                (2, cursor.encode().into()),
                (3, serde_json::to_string(&**state)?.into()),
            ]),
            None => Change::Delete,
        };
        let StoredRow { table, key } = row(&self.reducer, partition);
        Ok(Op::Row(RowOp { table, key, change }))
    }
}
