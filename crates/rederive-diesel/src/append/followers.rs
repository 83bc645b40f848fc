//! [`Followers`]: tells those who follow a log what is appended to it.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rederive_core::Wakers;

use super::{Appended, Group, Request, Tail};
use crate::AppendError;

/// The followers of a log, while one group of appends is written.
pub(crate) struct Followers<'a> {
    tail: &'a Tail,
    wakers: &'a Wakers,
    /// They have been handed events that are not committed yet.
    told: Cell<bool>,
}

impl<'a> Followers<'a> {
    pub(super) fn new(tail: &'a Tail, wakers: &'a Wakers) -> Self {
        Self { tail, wakers, told: Cell::new(false) }
    }

    /// By which the events of a group can be handed out that is about to be committed; `None` when
    /// there are none, or too many.
    #[cfg(feature = "sqlite")]
    pub(crate) fn ahead(
        &self,
        group: &[Request],
        replies: &[Result<Appended, AppendError>],
        events: &rederive_core::Tentative,
    ) -> Option<impl FnOnce() + use<'_, 'a>> {
        let group = Group::of(group, replies, Some(events.clone()))?;
        Some(move || {
            self.told.set(true);
            self.tail.keep(Some(group));
            self.wake();
        })
    }

    /// What was handed out has not come into the log.
    pub(crate) fn take_back(&self) {
        if self.told.take() {
            self.tail.keep(None);
            self.wake();
        }
    }

    /// A group is committed: hands out its events, unless that has been done.
    pub(super) fn tell(&self, group: &[Request], replies: &[Result<Appended, AppendError>]) {
        if self.told.get() {
            return;
        }
        self.tail.keep(Group::of(group, replies, None));
        if replies.iter().any(Result::is_ok) {
            self.wake();
        }
    }

    /// There is something new.
    pub(crate) fn wake(&self) {
        // Subscribers are code of others, and this thread has to go on.
        let _ = catch_unwind(AssertUnwindSafe(|| self.wakers.wake()));
    }
}
