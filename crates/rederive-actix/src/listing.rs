//! [`ListHalted`] and [`ListSkips`]: what operators look at.

use actix::{Handler, Message, ResponseFuture};
use rederive_core::{Cursor, PartitionId, PartitionRecord, SkipRecord, Store, StoreError};
use tokio::sync::oneshot;

use crate::{message::Ask, supervisor::Supervisor};

/// Lists halted partitions of a reducer, as the store has them, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListHalted {
    /// The reducer.
    pub reducer: String,
    /// Only those after this one; `None` begins with the first.
    pub after: Option<PartitionId>,
    /// At most so many.
    pub limit: usize,
}

impl Message for ListHalted {
    type Result = Result<Vec<PartitionRecord>, ListError>;
}

/// Lists the skipped events of a reducer in the order of their cursors, then of their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSkips {
    /// The reducer.
    pub reducer: String,
    /// Only those after this event in this partition; `None` begins with the first.
    pub after: Option<(Cursor, Option<PartitionId>)>,
    /// At most so many.
    pub limit: usize,
}

impl Message for ListSkips {
    type Result = Result<Vec<SkipRecord>, ListError>;
}

/// A list could not be read; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// No reducer of that name is registered; correct the name.
    #[error("no reducer {name:?} is registered")]
    UnknownReducer {
        /// The name.
        name: String,
    },
    /// The store cannot be read now; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process owns the reducer, and this one stands by. Nothing was done; ask that one. Lists are
    /// read all the same; only what would change the reducer is refused.
    #[error("the reducer is owned by {owner:?}, and this process stands by: ask that one")]
    StandingBy {
        /// The name of the owner.
        owner: String,
    },
    /// The supervisor is stopping, or the store's actor died meanwhile and is replaced; try again.
    #[error("the request was interrupted")]
    Interrupted,
}

impl Supervisor {
    /// Reads something of a reducer's store, on the thread that uses it.
    pub(crate) fn list<T: Send + 'static>(
        &self,
        reducer: String,
        read: impl FnOnce(&dyn Store, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> ResponseFuture<Result<T, ListError>> {
        let persistence = self.persistence_of(&reducer);
        Box::pin(async move {
            let Some(persistence) = persistence else {
                return Err(ListError::UnknownReducer { name: reducer });
            };
            let (reply, answer) = oneshot::channel();
            if let Some(persistence) = persistence {
                persistence.do_send(Ask(Box::new(move |store| {
                    // Whoever asked may have gone.
                    let _ = reply.send(read(store, &reducer));
                })));
            }
            Ok(answer.await.map_err(|_| ListError::Interrupted)??)
        })
    }
}

impl Handler<ListHalted> for Supervisor {
    type Result = ResponseFuture<Result<Vec<PartitionRecord>, ListError>>;

    fn handle(&mut self, request: ListHalted, _: &mut Self::Context) -> Self::Result {
        let ListHalted { reducer, after, limit } = request;
        self.list(reducer, move |store, reducer| store.halted(reducer, after.as_ref(), limit))
    }
}

impl Handler<ListSkips> for Supervisor {
    type Result = ResponseFuture<Result<Vec<SkipRecord>, ListError>>;

    fn handle(&mut self, request: ListSkips, _: &mut Self::Context) -> Self::Result {
        let ListSkips { reducer, after, limit } = request;
        self.list(reducer, move |store, reducer| {
            let after = after.as_ref().map(|(cursor, partition)| (cursor, partition.as_ref()));
            store.skips(reducer, after, limit)
        })
    }
}
