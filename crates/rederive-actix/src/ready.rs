//! [`Ready`]: the promise to say whether a reducer could be opened.

use std::sync::{Arc, Mutex, PoisonError};

use rederive_core::OpenError;
use tokio::sync::oneshot;

/// Owes an answer to whoever registered a reducer. Clones share the promise: when the dispatcher
/// that was to keep it dies, its successor does.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<Option<Reply>>>);

type Reply = oneshot::Sender<Result<(), OpenError>>;

impl Ready {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<(), OpenError>>) {
        let (reply, opened) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(reply)))), opened)
    }

    /// Answers; false when that was done before, or when nobody waits for it.
    pub(crate) fn answer(&self, opened: Result<(), OpenError>) -> bool {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        reply.is_some_and(|reply| reply.send(opened).is_ok())
    }
}
