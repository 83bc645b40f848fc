//! From what partitions reduced to what is committed and settled.

use std::{sync::Arc, time::Instant};

use actix::{AsyncContext, Context, Handler};
use rederive_core::{Next, Notice, PartitionCommit, PartitionId, Repair, Settled, Settles};

use super::{
    Dispatcher, Phase,
    gathered::Outcomes,
    group::{Stands, UnderWay},
};
use crate::{
    message::{Commit, Committed, Reduced, Retrying, ToPartition},
    waiter::Outcome,
};

/// Has all that is already queued handled first: so that a group holds it all.
struct Flush;

impl actix::Message for Flush {
    type Result = ();
}

impl<E: Send + Sync + 'static> Handler<Reduced> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, reduced: Reduced, ctx: &mut Context<Self>) {
        if self.reduced(reduced, ctx) {
            self.after_settling(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<Retrying> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, retrying: Retrying, ctx: &mut Context<Self>) {
        self.retrying(retrying, ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// What a partition has reduced. True when deliveries were settled by it.
    pub(super) fn reduced(&mut self, reduced: Reduced, ctx: &mut Context<Self>) -> bool {
        let Reduced { partition, generation, cursor, next } = reduced;
        let Some(route) = self.routes.of_generation(&partition, generation) else {
            self.held_reduced(&partition, generation, cursor, next, ctx);
            return false;
        };
        if route.lost {
            return false;
        }
        route.cursor = cursor;
        if !matches!(next, Next::Wait) {
            route.retrying = None;
        }
        match next {
            Next::Wait => false,
            Next::Settled(settles) => {
                self.settle(&partition, &settles);
                true
            }
            Next::Commit(commit, settles) => {
                self.commit(generation, commit, settles, ctx);
                false
            }
        }
    }

    pub(super) fn retrying(&mut self, retrying: Retrying, ctx: &mut Context<Self>) {
        let Retrying { partition, generation, backoff } = retrying;
        self.links.observers.tell(&Notice::Retrying {
            reducer: Arc::clone(&self.links.name),
            partition: partition.clone(),
            failure: backoff.failure.clone(),
            attempt: backoff.attempts,
            delay: backoff.delay,
        });
        if let Some(route) = self.routes.of_generation(&partition, generation) {
            route.retrying = Some(backoff);
        }
        self.stop_if_drained(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Flush> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) {
        self.flush_scheduled = false;
        self.flush(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Committed> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, Committed(settled): Committed, ctx: &mut Context<Self>) {
        let commits = self.grouping.answered();
        match settled {
            // Given up, which happens only when we are stopping.
            None => self.stop(ctx),
            Some(settled) if settled.lost && !settled.fenced => self.begin_anew(ctx),
            Some(settled) => {
                let fenced = settled.fenced;
                self.answer(commits, settled, ctx);
                self.courier.wake();
                if fenced {
                    self.fence(ctx);
                } else {
                    self.after_gathered(ctx);
                    self.residents.go_on();
                    if self.residents.is_idle() {
                        self.flush(ctx);
                    }
                    self.after_settling(ctx);
                }
            }
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Has this committed with the next group.
    pub(super) fn commit(
        &mut self,
        generation: u64,
        commit: PartitionCommit,
        settles: Settles,
        ctx: &mut Context<Self>,
    ) {
        self.grouping.push(generation, commit, settles);
        let more = self.residents.is_reducing() || self.gathered.is_reducing();
        if !self.flush_scheduled && !more && !self.grouping.is_under_way() {
            self.flush_scheduled = true;
            ctx.notify(Flush);
        }
    }

    /// Sends what is to be committed, unless more of it is about to come.
    pub(super) fn flush(&mut self, ctx: &Context<Self>) {
        if !self.residents.is_reducing() && !self.gathered.is_reducing() {
            self.send_group(false, ctx);
        }
    }

    fn send_group(&mut self, even_empty: bool, ctx: &Context<Self>) {
        let tentative = self.tentative.of_group();
        let gathered = match self.grouping.is_under_way() {
            true => None,
            false => self.send_gathered(ctx),
        };
        let stands = Stands {
            reducer: &self.links.name,
            revision: self.revision,
            stored: &self.stored,
            watermark: &self.flow.watermark,
            passing: &self.passing,
            tentative,
        };
        let group = self.grouping.next(&stands, gathered, self.links.sizes.group, even_empty);
        if let Some(group) = group {
            self.links.persistence.do_send(Commit { group, reply: ctx.address().recipient() });
        }
    }

    /// Has the low watermark stored if the stored one is behind and no commit will do it; true when
    /// that is under way.
    pub(super) fn store_watermark(&mut self, ctx: &Context<Self>) -> bool {
        let behind = self.grouping.is_idle() && *self.flow.watermark.cursor() > self.stored;
        if behind {
            self.send_group(true, ctx);
        }
        behind
    }

    /// Tells each partition what became of its commit.
    fn answer(&mut self, commits: Vec<UnderWay>, settled: Settled, ctx: &Context<Self>) {
        self.revision = settled.revision;
        self.stored = settled.stored;
        self.tell_passed();
        let only_watermark = settled.results.is_empty();
        let mut results = settled.results;
        let single = results.split_off(results.len().saturating_sub(commits.len()));
        let Outcomes { mut partitions, mut events } = self.gathered_answered(results, ctx);
        for (commit, result) in commits.into_iter().zip(single) {
            let Some(result) = result else { continue };
            if result.is_ok() {
                self.skipped(&commit);
            }
            let Some(route) = self.routes.of_generation(&commit.partition, commit.generation)
            else {
                if result.is_ok() {
                    partitions += 1;
                    events += commit.events;
                }
                self.held_answered(commit, result, ctx);
                continue;
            };
            let UnderWay { partition, cursor, halt, settles, .. } = commit;
            let lost = route.lost;
            match result {
                Ok(()) => {
                    partitions += 1;
                    events += commit.events;
                    route.cursor = cursor.clone();
                    if !lost {
                        let done = ToPartition::Answer(Ok(()));
                        self.residents.tell(&route.addr, route.generation, done);
                    }
                    if commit.repair == Repair::Done {
                        self.recovered(&partition);
                    }
                    if let (Repair::Reset, Some(halt)) = (commit.repair, &halt) {
                        self.has_been_reset(&partition, halt);
                    } else if let Some(halt) = halt {
                        self.halted(&partition, cursor, halt);
                    }
                    self.settle(&partition, &settles);
                }
                Err(rejection) => {
                    if let Some(committed) = &rejection.committed {
                        route.cursor = committed.clone();
                    }
                    let refusal =
                        (commit.repair == Repair::Reset).then(|| rejection.message.clone());
                    if !lost {
                        let rejected = ToPartition::Answer(Err(rejection));
                        self.residents.tell(&route.addr, route.generation, rejected);
                    }
                    if let Some(refusal) = refusal {
                        self.not_reset(&partition, refusal);
                    }
                }
            }
            if lost {
                self.replace(&partition, ctx);
            }
        }
        let (reducer, watermark) = (Arc::clone(&self.links.name), self.stored.clone());
        if partitions > 0 {
            let notice = Notice::Committed { reducer, partitions, events, watermark };
            self.links.observers.tell(&notice);
        } else if only_watermark && !settled.fenced {
            self.links.observers.tell(&Notice::WatermarkStored { reducer, watermark });
        }
    }

    /// A skip is stored.
    pub(super) fn note_skip(&mut self) {
        self.skips = true;
        if self.rebuilding.is_some() {
            self.links.rebuild.skipped();
        }
    }

    /// Notes the skip of a commit, which is its last step, once that is stored.
    fn skipped(&mut self, commit: &UnderWay) {
        if let Some(skip) = &commit.skip {
            self.note_skip();
            self.links.observers.tell(&Notice::Skipped {
                reducer: Arc::clone(&self.links.name),
                partition: Some(commit.partition.clone()),
                skip: Arc::clone(skip),
            });
        }
    }

    pub(super) fn halted(
        &mut self,
        partition: &PartitionId,
        cursor: rederive_core::Cursor,
        halt: Arc<rederive_core::Halt>,
    ) {
        self.routes.set_halted(partition.clone(), cursor, Arc::clone(&halt));
        self.links.observers.tell(&Notice::Halted {
            reducer: Arc::clone(&self.links.name),
            partition: partition.clone(),
            halt,
        });
    }

    /// Settles deliveries of a partition.
    pub(super) fn settle(&mut self, partition: &PartitionId, settles: &Settles) {
        self.flow.settle(settles);
        if let Some(route) = self.routes.get_mut(partition)
            && route.settle(settles)
        {
            if !self.bulk && route.addr.is_here() {
                // From now on it has an actor again.
                let watermark = self.flow.watermark.cursor();
                if let Some(host) = self.routes.retire(partition, watermark) {
                    self.residents.passivate(&host);
                    return;
                }
            }
            self.routes.became_idle(partition, Instant::now());
        }
    }

    /// Whether nothing that was read is left to be settled, and nothing is known to be read.
    pub(super) fn is_settled(&self) -> bool {
        let watermark = &self.flow.watermark;
        let is_read = self.flow.at_head && !self.flow.fetching;
        is_read && watermark.is_settled() && !self.passing.stands_before(watermark.cursor())
    }

    /// What follows once deliveries are settled: wake who waits for the watermark, read on, stop.
    pub(super) fn after_settling(&mut self, ctx: &mut Context<Self>) {
        self.routes.prune(self.flow.watermark.cursor());
        // What is skipped without a partition is settled once that is recorded.
        let is_recorded = !self.passing.stands_before(self.flow.watermark.cursor());
        if !is_recorded {
            self.store_watermark(ctx);
        }
        let watermark = if is_recorded { self.flow.watermark.cursor() } else { &self.stored };
        for (_, waiter) in self.settled.release(watermark) {
            match self.routes.any_halt() {
                Some(halt) => waiter.finish(Outcome::Halted(Arc::clone(halt))),
                None => waiter.done(),
            }
        }
        if self.is_settled()
            && !self.caught_up
            && !self.paused
            && matches!(self.phase, Phase::Running)
        {
            self.caught_up = true;
            let (reducer, watermark) = (Arc::clone(&self.links.name), watermark.clone());
            self.links.observers.tell(&Notice::CaughtUp { reducer, watermark });
            self.set_bulk(false);
        }
        self.rebuild_on(ctx);
        self.begin_repairs(ctx);
        self.read_on(ctx);
        self.reduce_gathered(ctx);
        self.stop_if_drained(ctx);
    }
}
