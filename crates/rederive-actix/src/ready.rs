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

    /// Whether somebody waits for the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Answers, unless that was done before.
    pub(crate) fn answer(&self, opened: Result<(), OpenError>) {
        if let Some(reply) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = reply.send(opened);
        }
    }
}
