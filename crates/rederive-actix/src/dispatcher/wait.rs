//! Those who wait: for an event, wherever it is on its way, or for the head of the log.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use rederive_core::{Cursor, Entry, PartitionId, Recorded, SkipRecord, Slice};

use super::{Dispatcher, Phase};
use crate::{
    message::{Ask, Find, Found, Head, HeadIs, SkipsFound, Until, WaitFor},
    waiter::{Outcome, Waiter},
};

/// Those who wait until we are caught up with the head as it was when they asked. One question to
/// the log serves all who ask before it is sent.
#[derive(Default)]
pub(super) struct Heads {
    asked: Vec<Waiter>,
    next: Vec<Waiter>,
}

impl Heads {
    pub(super) fn take(&mut self) -> Vec<Waiter> {
        self.asked.drain(..).chain(self.next.drain(..)).collect()
    }
}

impl<E: Send + Sync + 'static> Handler<WaitFor> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, WaitFor { until, waiter }: WaitFor, ctx: &mut Context<Self>) {
        // Whoever waits asks again when this one is replaced.
        if self.has_lost(ctx) {
            return;
        }
        match (until, &self.phase) {
            (_, Phase::Fenced) => waiter.finish(Outcome::Fenced),
            (_, Phase::Stopping(_)) => waiter.finish(Outcome::Stopped),
            (Until::Event(cursor), Phase::StandingBy(_)) => self.watch_for(cursor, waiter, ctx),
            (Until::Event(cursor), _) => self.wait_for_event(cursor, waiter, ctx),
            (Until::Head, _) => {
                self.heads.next.push(waiter);
                self.ask_for_head(ctx);
            }
        }
    }
}

impl<E: Send + Sync + 'static> Handler<Found<E>> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, found: Found<E>, ctx: &mut Context<Self>) {
        if self.has_lost(ctx) {
            return;
        }
        let Found { cursor, standing_by, slice } = found;
        if standing_by != matches!(self.phase, Phase::StandingBy(_)) {
            // It has taken over meanwhile, and asks again once it has dispatched the event.
            return;
        }
        // Waiters for an earlier cursor, whose answer is still to come, are put back.
        for (wanted, waiter) in self.finding.release(&cursor) {
            if wanted != cursor {
                self.finding.add(wanted, waiter, Waiter::is_gone);
                continue;
            }
            if standing_by {
                self.watched_found(waiter, slice.as_deref(), wanted, ctx);
                continue;
            }
            self.attach_at(waiter, slice.as_deref(), &cursor, ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<SkipsFound> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, answer: SkipsFound, ctx: &mut Context<Self>) {
        let SkipsFound { cursor, partitions, waiter, found } = answer;
        match found {
            Ok(skips) => {
                let mine = |record: &SkipRecord| {
                    record.partition.as_ref().is_none_or(|partition| partitions.contains(partition))
                };
                match skips.into_iter().find(mine) {
                    Some(record) => waiter.finish(Outcome::Skipped(Arc::new(record.skip))),
                    // Not passed by, but passed all the same: when it did not concern the reducer.
                    None if partitions.is_empty() => waiter.finish(Outcome::Ignored),
                    None => self.attach_to(&partitions, &cursor, &waiter),
                }
            }
            Err(_) if waiter.is_gone() => {}
            Err(_) => {
                ctx.run_later(self.links.config.min_backoff, |this, ctx| {
                    this.look_up_skips(cursor, partitions, waiter, ctx);
                });
            }
        }
    }
}

impl<E: Send + Sync + 'static> Handler<HeadIs> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, HeadIs(head): HeadIs, ctx: &mut Context<Self>) {
        if self.has_lost(ctx) {
            return;
        }
        if self.begins.is_none() {
            self.begins = Some(head);
            if matches!(self.phase, Phase::Opening) {
                self.open(ctx);
            }
            return;
        }
        for waiter in std::mem::take(&mut self.heads.asked) {
            match &self.phase {
                Phase::Blocked(reason) if head > self.flow.position => {
                    waiter.finish(Outcome::Blocked(reason.clone()));
                }
                _ if self.paused && head > self.flow.position => waiter.finish(Outcome::Paused),
                _ => self.settled.add(head.clone(), waiter, Waiter::is_gone),
            }
        }
        self.ask_for_head(ctx);
        if matches!(self.phase, Phase::StandingBy(_)) {
            self.watched_head(head, ctx);
            return;
        }
        if head > self.flow.position {
            self.flow.at_head = false;
        }
        self.after_settling(ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    fn ask_for_head(&mut self, ctx: &Context<Self>) {
        if self.heads.asked.is_empty() && !self.heads.next.is_empty() {
            self.heads.asked = std::mem::take(&mut self.heads.next);
            self.links.log_actor.do_send(Head(ctx.address().recipient()));
        }
    }

    pub(super) fn wait_for_event(&mut self, cursor: Cursor, waiter: Waiter, ctx: &Context<Self>) {
        if cursor.kind() != Some(self.links.log.cursor_kind()) {
            waiter.finish(Outcome::Missing);
        } else if cursor > self.flow.position {
            match &self.phase {
                Phase::Blocked(reason) if reason.cursor().is_none_or(|at| *at <= cursor) => {
                    waiter.finish(Outcome::Blocked(reason.clone()));
                }
                _ if self.paused => waiter.finish(Outcome::Paused),
                _ => self.future.add(cursor, waiter, Waiter::is_gone),
            }
        } else if let Some(slice) = self.flow.find(&cursor).filter(|slice| slice.is_settled()) {
            self.attach_at(waiter, Some(&slice), &cursor, ctx);
        } else {
            // The log answers once it is known whether the event comes.
            self.finding.add(cursor.clone(), waiter, Waiter::is_gone);
            let reply = ctx.address().recipient();
            self.links.log_actor.do_send(Find { cursor, standing_by: false, reply });
        }
    }

    /// Has the waiter wait for what stands at a cursor that has been dispatched.
    pub(super) fn attach_at(
        &mut self,
        waiter: Waiter,
        slice: Option<&Slice<E>>,
        cursor: &Cursor,
        ctx: &Context<Self>,
    ) {
        match slice.and_then(|slice| slice.at(cursor)) {
            Some(Entry::Event(_, event)) => self.attach(waiter, event, ctx),
            Some(Entry::Undecodable(_, event)) => self.attach_to_undecodable(waiter, event, ctx),
            None => waiter.finish(Outcome::Missing),
        }
    }

    /// Has the waiter wait at all partitions of an event that has been dispatched.
    pub(super) fn attach(&mut self, waiter: Waiter, event: &Recorded<E>, ctx: &Context<Self>) {
        let partitions = self.distinct_partitions(event);
        if partitions.is_empty() {
            waiter.finish(Outcome::Ignored);
        } else if self.skips {
            self.look_up_skips(event.cursor.clone(), partitions, waiter, ctx);
        } else {
            self.attach_to(&partitions, &event.cursor, &waiter);
        }
    }

    /// Asks the store whether one of the partitions has skipped the event. The answer comes before
    /// that of any commit which it does not know of: a skip in such a commit is told by its
    /// partition.
    pub(super) fn look_up_skips(
        &self,
        cursor: Cursor,
        partitions: Vec<PartitionId>,
        waiter: Waiter,
        ctx: &Context<Self>,
    ) {
        let (reducer, me) = (Arc::clone(&self.links.name), ctx.address());
        self.links.persistence.do_send(Ask(Box::new(move |store| {
            let found = store.skips_of(&reducer, &cursor);
            me.do_send(SkipsFound { cursor, partitions, waiter, found });
        })));
    }

    fn attach_to(&mut self, partitions: &[PartitionId], cursor: &Cursor, waiter: &Waiter) {
        waiter.expect(partitions.len());
        for partition in partitions {
            self.wait_at(partition, cursor, waiter.clone());
        }
    }

    /// Looks at those who began to wait before we knew where to resume from.
    pub(super) fn resume_waits(&mut self, ctx: &Context<Self>) {
        let position = self.flow.position.clone();
        for (cursor, waiter) in self.future.release(&position) {
            self.wait_for_event(cursor, waiter, ctx);
        }
    }
}
