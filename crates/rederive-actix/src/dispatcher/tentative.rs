//! Events that were dispatched before they were in the log for good.
//!
//! What follows from them is committed in the transaction that appends them, or after it. If that fails,
//! what is in memory here tells of events that never were: another dispatcher resumes from the store.

use actix::{ActorContext, Context};
use rederive_core::{Slice, Tentative};

use super::{Dispatcher, Phase};

/// The newest events of which it is not known yet whether they come into the log.
///
/// One place is enough: a log hands out others only when it has decided about these.
#[derive(Default)]
pub(super) struct Open(Option<Tentative>);

impl Open {
    /// What is committed from now on follows from these.
    fn note(&mut self, events: Option<&Tentative>) {
        // What was dispatched and is lost stays so, whatever is appended in its place.
        if let Some(events) = events.filter(|events| events.outcome() != Some(true))
            && !self.is_lost()
        {
            self.0 = Some(events.clone());
        }
    }

    /// What a group has to be committed with, or after.
    pub(super) fn of_group(&mut self) -> Option<Tentative> {
        self.0.take_if(|events| events.outcome() == Some(true));
        self.0.clone()
    }

    fn is_lost(&self) -> bool {
        self.0.as_ref().is_some_and(Tentative::is_lost)
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Takes note of what is about to be dispatched.
    pub(super) fn note_tentative(&mut self, slice: &Slice<E>) {
        self.tentative.note(slice.tentative.as_ref());
    }

    /// Ends when events that were dispatched have not come into the log; true then.
    pub(super) fn has_lost(&mut self, ctx: &mut Context<Self>) -> bool {
        // Whoever is fenced has nothing to resume, and must not take the reducer back.
        let lost = self.tentative.is_lost() && !matches!(self.phase, Phase::Fenced);
        if lost {
            self.begin_anew(ctx);
        }
        lost
    }

    /// Ends, for another one to resume from what is stored. Whoever waits notices and asks that one.
    pub(super) fn begin_anew(&mut self, ctx: &mut Context<Self>) {
        log::info!(
            target: "rederive",
            "{}: events that were being appended have not come into the log; resuming without them",
            self.links.name
        );
        if matches!(self.phase, Phase::Stopping(_)) {
            self.stop(ctx);
        } else {
            self.guard.change(|ended| ended.lost = true);
            ctx.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_the_newest_events_until_they_have_come() {
        let mut open = Open::default();
        assert!(open.of_group().is_none());
        let (first, confirm) = Tentative::new(|| ());
        open.note(Some(&first));
        assert!(open.of_group().is_some_and(|events| events.is_same(&first)));
        // What is read from the log is no news of them.
        open.note(None);
        assert!(open.of_group().is_some());
        confirm.come();
        assert!(open.of_group().is_none() && !open.is_lost());
        open.note(Some(&first));
        assert!(open.of_group().is_none(), "they are there");
    }

    #[test]
    fn what_is_lost_is_not_forgotten_over_what_comes_after_it() {
        let mut open = Open::default();
        let (lost, confirm) = Tentative::new(|| ());
        open.note(Some(&lost));
        drop(confirm);
        let (next, confirm) = Tentative::new(|| ());
        open.note(Some(&next));
        confirm.come();
        assert!(open.is_lost());
        assert!(open.of_group().is_some_and(|events| events.is_same(&lost)));
    }
}
