//! [`Pause`]: keeping a reducer from reading on.

use actix::{Handler, Message, ResponseFuture};
use rederive_core::StoreError;
use tokio::sync::oneshot;

use crate::{message::SetPaused, supervisor::Supervisor};

/// Pauses a reducer, or has it go on.
///
/// A paused reducer reads no more of the log. What it has read is finished, halted partitions can be
/// repaired, and its state can be read. The store remembers it: a reducer that was paused stays so
/// after a restart, until it is told to go on. Those who wait for an event that it has not read are
/// told at once.
///
/// The answer comes once that is stored and holds. To pause a paused reducer does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The reducer.
    pub reducer: String,
    /// Whether it pauses or goes on.
    pub paused: bool,
}

impl Message for Pause {
    type Result = Result<(), PauseError>;
}

/// A reducer was not paused, or does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// No reducer of that name is registered. Nothing was done; correct the name.
    #[error("no reducer {name:?} is registered")]
    UnknownReducer {
        /// The name.
        name: String,
    },
    /// The store could not note it, or its answer was lost. The reducer does as before; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process owns the reducer, and this one stands by. Nothing was done; ask that one.
    #[error("the reducer is owned by {owner:?}, and this process stands by: ask that one")]
    StandingBy {
        /// The name of the owner.
        owner: String,
    },
    /// The reducer stopped, was taken over or died meanwhile. The store may have noted it; try
    /// again.
    #[error("the request was interrupted")]
    Interrupted,
}

impl Handler<Pause> for Supervisor {
    type Result = ResponseFuture<Result<(), PauseError>>;

    fn handle(&mut self, Pause { reducer, paused }: Pause, _: &mut Self::Context) -> Self::Result {
        let dispatcher = self.dispatcher_of(&reducer);
        Box::pin(async move {
            let Some(dispatcher) = dispatcher else {
                return Err(PauseError::UnknownReducer { name: reducer });
            };
            let (reply, done) = oneshot::channel();
            match dispatcher {
                Some(lines) => lines.pause.do_send(SetPaused { paused, reply }),
                // It has died and is being replaced.
                None => drop(reply),
            }
            done.await.unwrap_or(Err(PauseError::Interrupted))
        })
    }
}
