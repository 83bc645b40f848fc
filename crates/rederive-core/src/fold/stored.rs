//! [`States`]: reading states that are stored as JSON.

use serde::de::DeserializeOwned;

use super::json;
use crate::{Cursor, PartitionId, Store, StoreError};

/// A state as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord<S = String> {
    /// The partition.
    pub partition: PartitionId,
    /// The last event folded into it.
    pub cursor: Cursor,
    /// The state; JSON where its type is not known.
    pub state: S,
}

/// A state could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The store cannot be read now. Try again later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored JSON is not of the wanted type.
    #[error(
        "the state of partition {partition:?} of reducer {reducer:?} cannot be read: {message}"
    )]
    Unreadable {
        /// The reducer.
        reducer: String,
        /// The partition.
        partition: PartitionId,
        /// What serde said.
        message: String,
    },
}

/// Typed reading of the states that [`Folded::new`](super::Folded::new) stores; for every [`Store`].
///
/// All methods may block. They show what is committed: an awaited event is in it.
///
/// ```
/// use rederive_core::{MemoryStore, States};
///
/// #[derive(serde::Deserialize)]
/// struct Account {
///     balance: i64,
/// }
///
/// let store = MemoryStore::new();
/// let alice: Option<Account> = store.state("accounts", "alice")?;
/// assert!(alice.is_none());
///
/// // All of them, page by page.
/// let mut last = None;
/// loop {
///     let page = store.states_page::<Account>("accounts", last.as_ref(), 1000)?;
///     let Some(record) = page.last() else { break };
///     last = Some(record.partition.clone());
/// }
/// # Ok::<(), rederive_core::StateError>(())
/// ```
pub trait States: Store {
    /// The state of a partition; `None` when it has none.
    ///
    /// # Errors
    /// [`StateError`].
    fn state<S: DeserializeOwned>(
        &self,
        reducer: &str,
        partition: impl Into<PartitionId>,
    ) -> Result<Option<S>, StateError> {
        let partition = partition.into();
        let unreadable = |message: String| StateError::Unreadable {
            reducer: reducer.to_owned(),
            partition: partition.clone(),
            message,
        };
        let row = json::row(reducer, &partition);
        let Some(row) = self.load(&[row])?.pop().flatten() else { return Ok(None) };
        let state = json::read(&row).map_err(|error| unreadable(error.to_string()))?;
        Ok(Some(state.0))
    }

    /// The states of a reducer in the order of the partitions' ids: up to `limit` of those after
    /// `after`.
    ///
    /// # Errors
    /// [`StateError`], also when a single one cannot be read.
    fn states_page<S: DeserializeOwned>(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord<S>>, StateError> {
        let records = self.states(reducer, after, limit)?;
        let read =
            |StateRecord { partition, cursor, state }: StateRecord| match serde_json::from_str(
                &state,
            ) {
                Ok(state) => Ok(StateRecord { partition, cursor, state }),
                Err(error) => Err(StateError::Unreadable {
                    reducer: reducer.to_owned(),
                    partition,
                    message: error.to_string(),
                }),
            };
        records.into_iter().map(read).collect()
    }
}

impl<T: Store + ?Sized> States for T {}
