//! [`EndGuard`]: tells somebody that an actor has ended, however it ended.

use actix::{Message, Recipient};

/// Sends its message when it is dropped with the actor that holds it. actix has no monitors: a
/// panic in a handler drops the actor without a word.
pub(crate) struct EndGuard<M>(Option<(Recipient<M>, M)>)
where
    M: Message<Result = ()> + Send + 'static;

impl<M: Message<Result = ()> + Send + 'static> EndGuard<M> {
    pub(crate) fn new(tell: Recipient<M>, message: M) -> Self {
        Self(Some((tell, message)))
    }

    /// Says this instead.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut M)) {
        if let Some((_, message)) = &mut self.0 {
            change(message);
        }
    }

    /// The actor ends as it should: say nothing.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl<M: Message<Result = ()> + Send + 'static> Drop for EndGuard<M> {
    fn drop(&mut self) {
        if let Some((tell, message)) = self.0.take() {
            // Lost only when the one to be told is gone as well.
            tell.do_send(message);
        }
    }
}
