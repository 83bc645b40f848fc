//! What is reduced together, from the dispatching of its events to the answer of the store: in bulk, and
//! what larger reads find ([`Config::gather`](crate::Config::gather)).
//!
//! While a group is under way, events are gathered. They are reduced as soon as it is answered, or
//! while it is still under way if no more is being read. What meets with trouble, an event that fails
//! or a commit that is rejected, goes the way of single partitions from there on: once the dispatcher
//! knows where the partition stands, it hands the partition its events again.

use std::{collections::VecDeque, sync::Arc};

use actix::{AsyncContext, Context, Handler};
use rederive_core::{
    Cursor, Delivery, PartitionCommit, PartitionId, Rejection, Settles, Slice, Waiters,
};

use super::{
    Dispatcher, Phase,
    gathering::{Gathering, InSlice},
    host::TURN,
};
use crate::{
    message::{RebuildPartition, ToPartition},
    partition_work::{Begin, answer_without_actor},
    waiter::Waiter,
};

/// The gatherings of a dispatcher, by how far they are. A partition in one of them has no actor, and
/// nothing of it is anywhere else.
pub(super) struct Gathered<E> {
    /// To be reduced: the last one still takes events.
    waiting: VecDeque<Gathering<E>>,
    /// Being reduced, or to be sent next.
    next: Option<Gathering<E>>,
    reducing: bool,
    /// Part of the group under way.
    under_way: Option<Gathering<E>>,
    /// Those who wait for events of partitions that are in here.
    waiters: Waiters<(PartitionId, Waiter)>,
    /// To be looked at again when the group is answered.
    resets: Vec<RebuildPartition>,
    scheduled: bool,
}

/// What became of the part of a group that was gathered.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) partitions: usize,
    pub(super) events: usize,
}

/// Has the next partitions reduced.
struct ReduceOn;

impl actix::Message for ReduceOn {
    type Result = ();
}

impl<E> Default for Gathered<E> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            next: None,
            reducing: false,
            under_way: None,
            waiters: Waiters::default(),
            resets: Vec::new(),
            scheduled: false,
        }
    }
}

impl<E: Send + Sync + 'static> Gathered<E> {
    fn all(&self) -> impl Iterator<Item = &Gathering<E>> {
        self.under_way.iter().chain(&self.next).chain(&self.waiting)
    }

    /// True when nothing is in here.
    pub(super) fn is_idle(&self) -> bool {
        self.all().next().is_none()
    }

    /// True while commits are about to come of what is being reduced.
    pub(super) fn is_reducing(&self) -> bool {
        self.reducing
    }

    /// How many partitions are in here; one that is in several gatherings counts in each.
    pub(super) fn partitions(&self) -> usize {
        self.all().map(Gathering::partitions).sum()
    }

    /// Whether an event of the partition is in here, at or before the cursor if one is given.
    pub(super) fn holds(&self, partition: &PartitionId, upto: Option<&Cursor>) -> bool {
        self.all().any(|gathering| gathering.holds(partition, upto))
    }

    /// Adds an event of the slice that is going to have this number.
    pub(super) fn push(
        &mut self,
        partition: PartitionId,
        number: u64,
        slice: &Arc<Slice<E>>,
        index: u32,
        limit: usize,
    ) {
        if self.waiting.back().is_none_or(|last| last.events() >= limit) {
            let next = self.all().last().map_or_else(Gathering::default, Gathering::like);
            self.waiting.push_back(next);
        }
        if let Some(last) = self.waiting.back_mut() {
            last.push(partition, number, slice, index);
        }
    }

    /// Takes out what is in here of the partition and is not under way.
    fn take_out(&mut self, partition: &PartitionId) -> Vec<InSlice<E>> {
        let behind = self.next.iter_mut().chain(&mut self.waiting);
        behind.flat_map(|gathering| gathering.take_out(partition)).collect()
    }
}

impl<E: Send + Sync + 'static> Handler<ReduceOn> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: ReduceOn, ctx: &mut Context<Self>) {
        self.gathered.scheduled = false;
        let batch = self.links.sizes.batch;
        let Some(next) = self.gathered.next.as_mut().filter(|_| self.gathered.reducing) else {
            if !matches!(self.phase, Phase::Fenced) {
                // What changed nothing was settled without a group.
                self.after_gathered(ctx);
                self.after_settling(ctx);
            }
            return;
        };
        if !next.reduce(&*self.links.engine, batch, TURN) {
            self.schedule_reducing(ctx);
            return;
        }
        self.gathered.reducing = false;
        self.flush(ctx);
        self.after_settling(ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Begins to reduce what was gathered, unless more should come before.
    pub(super) fn reduce_gathered(&mut self, ctx: &Context<Self>) {
        let gathered = &mut self.gathered;
        let more = gathered.waiting.len() <= 1 && (self.flow.fetching || self.flow.wants_more());
        if gathered.next.is_none() && !(more && self.grouping.is_under_way()) {
            gathered.next = gathered.waiting.pop_front();
            gathered.reducing = gathered.next.is_some();
            if gathered.reducing {
                self.schedule_reducing(ctx);
            }
        }
    }

    fn schedule_reducing(&mut self, ctx: &Context<Self>) {
        if !std::mem::replace(&mut self.gathered.scheduled, true) {
            ctx.address().do_send(ReduceOn);
        }
    }

    /// What was gathered and is to be part of the group that is about to be sent, and what that
    /// settles. No group is under way.
    pub(super) fn send_gathered(
        &mut self,
        ctx: &Context<Self>,
    ) -> Option<(Vec<PartitionCommit>, Settles)> {
        if self.gathered.reducing {
            return None;
        }
        let trouble = self.gathered.next.as_mut().map(Gathering::take_trouble).unwrap_or_default();
        for partition in trouble {
            self.part_with(&partition, Vec::new(), ctx);
        }
        let mut next = self.gathered.next.take()?;
        let (commits, settles) = (next.take_commits(), next.settles());
        if commits.is_empty() {
            self.flow.settle(&settles);
            // What follows from that, whoever has called this.
            self.schedule_reducing(ctx);
            return None;
        }
        self.gathered.under_way = Some(next);
        Some((commits, settles))
    }

    /// What became of the commits of what was gathered, in their order: settles it, and has partitions
    /// with a rejected commit go on by themselves.
    pub(super) fn gathered_answered(
        &mut self,
        results: Vec<Option<Result<(), Rejection>>>,
        ctx: &Context<Self>,
    ) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let Some(mut gathering) = self.gathered.under_way.take() else { return outcomes };
        let mut rejected = Vec::new();
        for ((partition, events, _), result) in gathering.committing().zip(results) {
            match result {
                // Somebody else owns the reducer.
                None => return outcomes,
                Some(Ok(())) => {
                    outcomes.partitions += 1;
                    outcomes.events += events;
                }
                Some(Err(rejection)) => rejected.push((partition.clone(), rejection)),
            }
        }
        let rejected: Vec<_> = rejected
            .into_iter()
            .map(|(partition, rejection)| {
                let events = gathering.take_out(&partition);
                (partition, rejection, events)
            })
            .collect();
        self.flow.settle(&gathering.settles());
        let watermark = self.flow.watermark.cursor();
        for (partition, _, cursor) in gathering.committing() {
            if cursor > watermark {
                self.routes.remember(partition.clone(), cursor.clone(), watermark);
            }
        }
        for (partition, rejection, events) in rejected {
            if let Some(committed) = rejection.committed {
                let watermark = self.flow.watermark.cursor();
                self.routes.remember(partition.clone(), committed, watermark);
            }
            self.part_with(&partition, events, ctx);
        }
        outcomes
    }

    /// Has the partition go on by itself: with these events, and those that were gathered behind them.
    /// No commit of it is under way.
    pub(super) fn part_with(
        &mut self,
        partition: &PartitionId,
        mut events: Vec<InSlice<E>>,
        ctx: &Context<Self>,
    ) {
        events.extend(self.gathered.take_out(partition));
        let (links, loads, residents, bulk) =
            (&self.links, &mut self.loads, &mut self.residents, self.bulk);
        let id = partition.clone();
        let start = |generation, cursor| {
            let work = links.begin(loads, id, generation, cursor, Begin::Active);
            if bulk { residents.add(ctx, work) } else { links.start(ctx, work) }
        };
        let watermark = self.flow.watermark.cursor();
        let route = self.routes.activate(partition.clone(), watermark, start);
        for (number, slice, events) in events {
            route.handed(number, events.len());
            let deliver = ToPartition::Deliver(Delivery { slice, number, events });
            self.residents.tell(&route.addr, route.generation, deliver);
        }
    }

    /// Has the waiter wait until the partition has passed the cursor, wherever the partition is.
    pub(super) fn wait_at(&mut self, partition: &PartitionId, cursor: &Cursor, waiter: Waiter) {
        if let Some(route) = self.routes.get(partition) {
            let wait = ToPartition::Wait { cursor: cursor.clone(), waiter };
            self.residents.tell(&route.addr, route.generation, wait);
        } else if self.gathered.holds(partition, Some(cursor)) {
            let waiter = (partition.clone(), waiter);
            self.gathered.waiters.add(cursor.clone(), waiter, |(_, waiter)| waiter.is_gone());
        } else {
            // Nothing is in flight: settled, or held by a halt.
            let standing = self.routes.standing(partition);
            let (stands_at, halt) = standing.map_or((&Cursor::Start, None), |standing| {
                (&standing.cursor, standing.halt.as_ref())
            });
            answer_without_actor(waiter, cursor, stands_at, halt);
        }
    }

    /// Looks at those who wait for what was gathered, and at what had to wait for an answer.
    pub(super) fn after_gathered(&mut self, ctx: &mut Context<Self>) {
        for (cursor, (partition, waiter)) in self.gathered.waiters.release_all() {
            self.wait_at(&partition, &cursor, waiter);
        }
        for reset in std::mem::take(&mut self.gathered.resets) {
            self.handle(reset, ctx);
        }
    }

    /// A partition that is to be rebuilt is to go on by itself: the request, unless it has to wait.
    pub(super) fn part_for_reset(
        &mut self,
        reset: RebuildPartition,
        ctx: &Context<Self>,
    ) -> Option<RebuildPartition> {
        let is_in = |gathering: &Gathering<E>| gathering.holds(&reset.partition, None);
        if self.gathered.under_way.as_ref().is_some_and(is_in) {
            self.gathered.resets.push(reset);
            return None;
        }
        if self.gathered.holds(&reset.partition, None) {
            self.part_with(&reset.partition, Vec::new(), ctx);
        }
        Some(reset)
    }
}
