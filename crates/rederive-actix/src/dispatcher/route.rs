//! [`Routes`]: the partitions that have an actor, and what must be known of those that have none.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::{HashMap, HashMapExt};
use rederive_core::{Backoff, Cursor, Halt, PartitionId, PartitionRecord, Settles};
use smallvec::SmallVec;

use crate::rebuild::RebuildReport;

/// The partitions of a reducer, by id. `A` is the address of an actor.
///
/// Only the dispatcher holds the addresses and only it sends to them, so it knows when an actor has
/// nothing in flight: such an actor can be stopped without losing anything, and without asking it.
pub(super) struct Routes<A> {
    active: HashMap<PartitionId, Route<A>>,
    standing: HashMap<PartitionId, Standing>,
    /// Those that became idle, in that order, and when; each active partition at most once. One that
    /// has been busy since then is put back behind the others when its turn comes.
    idle: VecDeque<(PartitionId, Instant)>,
    generation: u64,
    halted: usize,
    prune_at: usize,
}

/// A partition that has an actor.
pub(super) struct Route<A> {
    pub(super) addr: A,
    pub(super) generation: u64,
    /// Where the partition stands for sure.
    pub(super) cursor: Cursor,
    /// What was delivered and is not settled, by slice; each slice at most once.
    pub(super) unsettled: Settles,
    /// Its events in the slice that is being dispatched.
    pub(super) batch: SmallVec<[u32; 4]>,
    /// The actor has died while a commit of it was under way; what becomes of that is awaited.
    pub(super) lost: bool,
    /// An event failed and is tried again later.
    pub(super) retrying: Option<Backoff>,
    /// It was halted and is repaired, and that is not stored yet.
    pub(super) recovering: bool,
    /// It is to be built anew, and that is not stored yet.
    pub(super) resetting: bool,
    idle_since: Instant,
    queued: bool,
}

/// A partition without an actor that the watermark does not describe: it is ahead of the watermark,
/// or halted.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) cursor: Cursor,
    pub(super) halt: Option<Arc<Halt>>,
}

impl<A> Routes<A> {
    pub(super) fn new(records: Vec<PartitionRecord>) -> Self {
        let standing: HashMap<_, _> = records
            .into_iter()
            .map(|record| {
                let halt = record.halt.map(Arc::new);
                (record.partition, Standing { cursor: record.cursor, halt })
            })
            .collect();
        let halted = standing.values().filter(|standing| standing.halt.is_some()).count();
        Self {
            active: HashMap::new(),
            prune_at: 2 * standing.len() + 64,
            standing,
            idle: VecDeque::new(),
            generation: 0,
            halted,
        }
    }

    /// How many partitions have an actor.
    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    /// How many partitions are halted.
    pub(super) fn halted(&self) -> usize {
        self.halted
    }

    /// The first partitions that are halted, and why.
    pub(super) fn halts(&self) -> Vec<(PartitionId, Arc<Halt>)> {
        let halts = self.standing.iter().filter_map(|(id, standing)| {
            standing.halt.as_ref().map(|halt| (id.clone(), Arc::clone(halt)))
        });
        let mut halts: Vec<_> = halts.collect();
        halts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        halts.truncate(RebuildReport::LISTED);
        halts
    }

    /// Some partition that is halted, if any is.
    pub(super) fn any_halt(&self) -> Option<&Arc<Halt>> {
        if self.halted == 0 {
            return None;
        }
        self.standing.values().find_map(|standing| standing.halt.as_ref())
    }

    pub(super) fn get(&self, partition: &PartitionId) -> Option<&Route<A>> {
        self.active.get(partition)
    }

    pub(super) fn get_mut(&mut self, partition: &PartitionId) -> Option<&mut Route<A>> {
        if self.active.is_empty() {
            return None;
        }
        self.active.get_mut(partition)
    }

    /// How many partitions wait to try an event again.
    pub(super) fn retrying(&self) -> usize {
        self.active.values().filter(|route| route.retrying.is_some()).count()
    }

    /// How many deliveries are held up by events that are tried again later.
    pub(super) fn held_up(&self) -> usize {
        let retrying = self.active.values().filter(|route| route.retrying.is_some());
        retrying.flat_map(|route| &route.unsettled).map(|(_, count)| count).sum()
    }

    /// The route of this generation of the partition's actor.
    pub(super) fn of_generation(
        &mut self,
        partition: &PartitionId,
        generation: u64,
    ) -> Option<&mut Route<A>> {
        self.active.get_mut(partition).filter(|route| route.generation == generation)
    }

    pub(super) fn standing(&self, partition: &PartitionId) -> Option<&Standing> {
        self.standing.get(partition)
    }

    /// Whether the event is not for a partition that has no actor: held by its halt, or done before.
    pub(super) fn has_passed(&self, partition: &PartitionId, event: &Cursor) -> bool {
        if self.standing.is_empty() {
            return false;
        }
        let standing = self.standing.get(partition);
        standing.is_some_and(|standing| standing.halt.is_some() || *event <= standing.cursor)
    }

    /// Why the partition is halted, if it is.
    pub(super) fn halt(&self, partition: &PartitionId) -> Option<&Arc<Halt>> {
        if self.halted == 0 {
            return None;
        }
        self.standing.get(partition).and_then(|standing| standing.halt.as_ref())
    }

    /// The partition has halted at this cursor, and that is stored.
    pub(super) fn set_halted(&mut self, partition: PartitionId, cursor: Cursor, halt: Arc<Halt>) {
        let old = self.standing.insert(partition, Standing { cursor, halt: Some(halt) });
        if old.is_none_or(|old| old.halt.is_none()) {
            self.halted += 1;
        }
    }

    /// Gives the partition an actor; `start` is told the actor's generation and the cursor it begins
    /// after.
    pub(super) fn activate(
        &mut self,
        partition: PartitionId,
        watermark: &Cursor,
        start: impl FnOnce(u64, Cursor) -> A,
    ) -> &mut Route<A> {
        let cursor = match self.standing.get(&partition) {
            // The watermark does not describe it.
            Some(standing) if standing.halt.is_some() => standing.cursor.clone(),
            Some(_) | None => {
                let ahead = self.standing.remove(&partition).map(|standing| standing.cursor);
                ahead.unwrap_or(Cursor::Start).max(watermark.clone())
            }
        };
        self.generation += 1;
        let route = Route {
            addr: start(self.generation, cursor.clone()),
            generation: self.generation,
            cursor,
            unsettled: Settles::new(),
            batch: SmallVec::new(),
            lost: false,
            retrying: None,
            recovering: false,
            resetting: false,
            idle_since: Instant::now(),
            queued: false,
        };
        self.active.entry(partition).insert_entry(route).into_mut()
    }

    /// Takes the actor that has repaired the partition as its actor: the partition is halted no more.
    pub(super) fn adopt(
        &mut self,
        partition: PartitionId,
        addr: A,
        generation: u64,
        cursor: Cursor,
    ) {
        if self.standing.remove(&partition).is_some_and(|standing| standing.halt.is_some()) {
            self.halted = self.halted.saturating_sub(1);
        }
        let route = Route {
            addr,
            generation,
            cursor,
            unsettled: Settles::new(),
            batch: SmallVec::new(),
            lost: false,
            retrying: None,
            recovering: true,
            resetting: false,
            idle_since: Instant::now(),
            queued: false,
        };
        self.active.insert(partition, route);
    }

    /// Takes the actor of an idle partition away; `None` if it has none or is busy.
    pub(super) fn take_idle(&mut self, partition: &PartitionId) -> Option<A> {
        let idle = |route: &Route<A>| route.unsettled.is_empty() && !route.lost && !route.resetting;
        if !self.active.get(partition).is_some_and(idle) {
            return None;
        }
        self.active.remove(partition).map(|route| route.addr)
    }

    /// The halted partitions whose repair was interrupted: they stand at or above the event that
    /// halted them.
    pub(super) fn half_repaired(&self) -> Vec<PartitionId> {
        let begun = |standing: &Standing| {
            standing.halt.as_ref().is_some_and(|halt| halt.cursor <= standing.cursor)
        };
        let partitions = self.standing.iter().filter(|(_, standing)| begun(standing));
        partitions.map(|(partition, _)| partition.clone()).collect()
    }

    /// The next generation, for an actor that replaces one that died.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Notes that the partition has nothing in flight now.
    pub(super) fn became_idle(&mut self, partition: &PartitionId, now: Instant) {
        if let Some(route) = self.active.get_mut(partition) {
            route.idle_since = now;
            if !route.queued {
                route.queued = true;
                self.idle.push_back((partition.clone(), now));
            }
        }
    }

    /// Takes away the actors that have been idle for `timeout`, and the idlest ones as long as there
    /// are more than `limit`.
    pub(super) fn passivate(
        &mut self,
        now: Instant,
        timeout: Duration,
        limit: usize,
        watermark: &Cursor,
    ) -> Vec<(PartitionId, A)> {
        let mut passivated = Vec::new();
        while let Some((partition, queued_at)) = self.idle.pop_front() {
            let Some(route) = self.active.get_mut(&partition) else { continue };
            if !route.is_idle() {
                // Busy: it is queued again when it becomes idle.
                route.queued = false;
                continue;
            }
            if route.idle_since > queued_at {
                self.idle.push_back((partition, route.idle_since));
                continue;
            }
            let expired = now.saturating_duration_since(route.idle_since) >= timeout;
            if !expired && self.active.len() <= limit {
                // Those behind it became idle later.
                self.idle.push_front((partition, queued_at));
                break;
            }
            if let Some(route) = self.active.remove(&partition) {
                self.remember(partition.clone(), route.cursor, watermark);
                passivated.push((partition, route.addr));
            }
        }
        passivated
    }

    /// Takes the actor of an idle partition away and remembers where the partition stands; `None` if
    /// it has none or is busy.
    pub(super) fn retire(&mut self, partition: &PartitionId, watermark: &Cursor) -> Option<A> {
        let route = self.active.get(partition)?;
        if !route.is_idle() {
            return None;
        }
        let (id, route) = self.active.remove_entry(partition)?;
        self.remember(id, route.cursor, watermark);
        Some(route.addr)
    }

    /// The same for all of them that are like this.
    pub(super) fn retire_all(&mut self, watermark: &Cursor, like: impl Fn(&A) -> bool) -> Vec<A> {
        let idle = |route: &mut Route<A>| like(&route.addr) && route.is_idle();
        let retired: Vec<_> = self.active.extract_if(|_, route| idle(route)).collect();
        let mut hosts = Vec::with_capacity(retired.len());
        for (id, route) in retired {
            self.remember(id, route.cursor, watermark);
            hosts.push(route.addr);
        }
        hosts
    }

    /// Where a partition stands that has no actor any more, if the watermark does not tell.
    pub(super) fn remember(&mut self, partition: PartitionId, cursor: Cursor, watermark: &Cursor) {
        if cursor > *watermark {
            let standing = Standing { cursor: cursor.clone(), halt: None };
            let standing = self.standing.entry(partition).or_insert(standing);
            if standing.halt.is_none() && cursor > standing.cursor {
                standing.cursor = cursor;
            }
        }
    }

    /// Forgets partitions without an actor that the watermark has caught up with: now and then, so
    /// that they never outnumber what is ahead of the watermark by much.
    pub(super) fn prune(&mut self, watermark: &Cursor) {
        if self.standing.len() >= self.prune_at {
            self.standing
                .retain(|_, standing| standing.halt.is_some() || standing.cursor > *watermark);
            self.prune_at = 2 * self.standing.len() + 64;
        }
    }

    /// Takes all actors away.
    pub(super) fn clear(&mut self) -> Vec<A> {
        self.idle.clear();
        self.active.drain().map(|(_, route)| route.addr).collect()
    }
}

impl<A> Route<A> {
    /// True when it has nothing in flight.
    fn is_idle(&self) -> bool {
        self.unsettled.is_empty()
            && self.batch.is_empty()
            && !self.lost
            && !self.recovering
            && !self.resetting
    }

    /// Notes that so many events of a slice are delivered, perhaps behind others of the same slice.
    pub(super) fn handed(&mut self, slice: u64, events: usize) {
        match self.unsettled.iter_mut().find(|(number, _)| *number == slice) {
            Some((_, count)) => *count += events,
            None => self.unsettled.push((slice, events)),
        }
    }

    /// Notes that these deliveries are settled; true when nothing is in flight any more.
    pub(super) fn settle(&mut self, settles: &Settles) -> bool {
        for (slice, count) in settles {
            if let Some(entry) = self.unsettled.iter_mut().find(|(number, _)| number == slice) {
                entry.1 = entry.1.saturating_sub(*count);
            }
        }
        self.unsettled.retain(|(_, count)| *count > 0);
        self.unsettled.is_empty()
    }
}
