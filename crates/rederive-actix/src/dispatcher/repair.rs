//! Repairing halted partitions: what they hold is read again and reduced, beside the reading of what
//! is new.
//!
//! A repair has an actor of its own, which the dispatcher keeps apart from the routes: to all others
//! the partition is halted, and what arrives for it is held. Its commits record it as halted at an
//! ever later cursor. When there is nothing left that was dispatched and held, the actor becomes the
//! partition's route, from one message to the next, and first of all has it recorded as halted no
//! more.

use std::{collections::HashMap, sync::Arc, time::Instant};

use actix::{AsyncContext, Context, Handler};
use rederive_core::{
    Blocked, Cursor, Delivery, Next, Notice, PartitionId, Rejection, Repair, Settles, Skip, Slice,
};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Dispatcher, Phase, group::UnderWay, undecodable::Fate};
use crate::{
    message::{Fetch, RepairPartition, ToPartition},
    partition_work::{Begin, now},
    repair::RepairError,
};

/// The number of a slice that the watermark does not track.
const UNTRACKED: u64 = u64::MAX;

pub(super) type Reply = oneshot::Sender<Result<(), RepairError>>;

/// The repairs that are wanted or under way. `A` is the address of an actor.
pub(super) struct Repairs<A> {
    /// To begin once the partition has no events in flight.
    wanted: Vec<Wanted>,
    going: HashMap<PartitionId, Going<A>>,
    /// Those who wait for partitions to be rebuilt that are not reset yet.
    pub(super) resetting: HashMap<PartitionId, Vec<Reply>>,
    /// Those who wait until it is stored that their partition is halted no more.
    recovering: HashMap<PartitionId, Vec<Reply>>,
}

/// A repair that has not begun.
struct Wanted {
    partition: PartitionId,
    /// Without the event that halted the partition, which must be this one.
    skip: Option<Cursor>,
    replies: Vec<Reply>,
}

/// A repair under way.
struct Going<A> {
    addr: A,
    generation: u64,
    /// Where the partition stands.
    cursor: Cursor,
    /// What was held up to here has been delivered.
    position: Cursor,
    /// How many events have been delivered and are not settled.
    unsettled: usize,
    /// The event that it is to pass by.
    skip: Option<Cursor>,
    replies: Vec<Reply>,
}

impl<A> Going<A> {
    /// Notes that these deliveries are settled; true when all are.
    fn settle(&mut self, settles: &Settles) -> bool {
        let settled: usize = settles.iter().map(|(_, events)| events).sum();
        self.unsettled = self.unsettled.saturating_sub(settled);
        self.unsettled == 0
    }
}

impl<A> Default for Repairs<A> {
    fn default() -> Self {
        Self {
            wanted: Vec::new(),
            going: HashMap::new(),
            resetting: HashMap::new(),
            recovering: HashMap::new(),
        }
    }
}

impl<A> Repairs<A> {
    /// Gives everything up; those who wait are told by their replies being dropped.
    pub(super) fn clear(&mut self) -> Vec<A> {
        self.wanted.clear();
        self.resetting.clear();
        self.recovering.clear();
        self.going.drain().map(|(_, going)| going.addr).collect()
    }

    /// Whether the partition is being repaired or has yet to be recorded as halted no more.
    pub(super) fn is_under_way(&self, partition: &PartitionId) -> bool {
        self.going.contains_key(partition) || self.recovering.contains_key(partition)
    }

    /// The partition is halted and to be repaired.
    pub(super) fn want(&mut self, partition: PartitionId, replies: Vec<Reply>) {
        self.wanted.push(Wanted { partition, skip: None, replies });
    }

    /// The address of this generation of a repair's actor.
    pub(super) fn addr(&self, partition: &PartitionId, generation: u64) -> Option<&A> {
        let going = self.going.get(partition).filter(|going| going.generation == generation);
        going.map(|going| &going.addr)
    }

    fn of_generation(&mut self, partition: &PartitionId, generation: u64) -> Option<&mut Going<A>> {
        self.going.get_mut(partition).filter(|going| going.generation == generation)
    }
}

pub(super) fn tell(replies: Vec<Reply>, result: &Result<(), RepairError>) {
    for reply in replies {
        // Whoever asked may have gone.
        let _ = reply.send(result.clone());
    }
}

impl<E: Send + Sync + 'static> Handler<RepairPartition> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, repair: RepairPartition, ctx: &mut Context<Self>) {
        let RepairPartition { partition, skip, reply } = repair;
        let busy = self.repairs.is_under_way(&partition);
        if !matches!(self.phase, Phase::Running | Phase::Blocked(_)) {
            tell(vec![reply], &Err(self.not_repaired()));
        } else if skip.is_some() && busy {
            tell(vec![reply], &Err(RepairError::UnderWay));
        } else if let Some(replies) = self.repairs.recovering.get_mut(&partition) {
            replies.push(reply);
        } else if let Some(going) = self.repairs.going.get_mut(&partition) {
            going.replies.push(reply);
        } else if self.routes.halt(&partition).is_none() {
            tell(vec![reply], &Err(RepairError::NotHalted));
        } else {
            self.repairs.wanted.push(Wanted { partition, skip, replies: vec![reply] });
            self.begin_repairs(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Why nothing can be repaired in a phase other than those of an owner at work.
    pub(super) fn not_repaired(&self) -> RepairError {
        let standing_by = |owner| RepairError::StandingBy { owner };
        self.standing_by().map_or(RepairError::Interrupted, standing_by)
    }

    /// Goes on with the repairs that a stop or a crash has interrupted.
    pub(super) fn resume_repairs(&mut self, ctx: &Context<Self>) {
        let partitions = self.routes.half_repaired();
        let wanted = |partition| Wanted { partition, skip: None, replies: Vec::new() };
        self.repairs.wanted.extend(partitions.into_iter().map(wanted));
        self.begin_repairs(ctx);
    }

    /// Begins the repairs that are wanted, where the partition's former actor has nothing in flight.
    pub(super) fn begin_repairs(&mut self, ctx: &Context<Self>) {
        if !matches!(self.phase, Phase::Running | Phase::Blocked(_)) {
            return;
        }
        for wanted in std::mem::take(&mut self.repairs.wanted) {
            let Wanted { partition, skip, replies } = wanted;
            if let Some(going) = self.repairs.going.get_mut(&partition) {
                match skip {
                    Some(_) => tell(replies, &Err(RepairError::UnderWay)),
                    None => going.replies.extend(replies),
                }
                continue;
            }
            if let Some(former) = self.routes.take_idle(&partition) {
                self.residents.passivate(&former);
            }
            if self.routes.get(&partition).is_some() {
                self.repairs.wanted.push(Wanted { partition, skip, replies });
                continue;
            }
            let standing = self.routes.standing(&partition).cloned();
            let Some((cursor, halt)) = standing.and_then(|it| Some((it.cursor, it.halt?))) else {
                tell(replies, &Err(RepairError::NotHalted));
                continue;
            };
            if skip.as_ref().is_some_and(|cursor| *cursor != halt.cursor) {
                tell(replies, &Err(RepairError::Elsewhere(halt)));
                continue;
            }
            let named = skip.as_ref().map(|_| Arc::new(Skip::of_halt(&halt, now())));
            let generation = self.routes.next_generation();
            let (id, begin) = (partition.clone(), Begin::Repair(halt, named));
            let work = self.links.begin(&mut self.loads, id, generation, cursor.clone(), begin);
            let addr = self.links.start(ctx, work);
            let position = cursor.clone();
            let going = Going { addr, generation, cursor, position, unsettled: 0, skip, replies };
            self.repairs.going.insert(partition.clone(), going);
            self.read_held(&partition, ctx);
        }
        self.load(ctx);
    }

    /// Reads on for a repair, or ends it when nothing is left that was dispatched and held.
    fn read_held(&mut self, partition: &PartitionId, ctx: &Context<Self>) {
        let Some(going) = self.repairs.going.get(partition) else { return };
        if matches!(self.phase, Phase::Stopping(_)) {
            // How far it came is stored.
            return;
        }
        if going.position < self.flow.position {
            self.links.log_actor.do_send(Fetch {
                after: going.position.clone(),
                types: Arc::clone(&self.links.types),
                repair: Some((partition.clone(), going.generation)),
                limit: self.links.sizes.slice,
                reply: ctx.address().recipient(),
            });
            return;
        }
        // From here on, what is dispatched is delivered to it, behind this message.
        if let Some(Going { addr, generation, cursor, replies, .. }) =
            self.repairs.going.remove(partition)
        {
            self.residents.tell(&addr, generation, ToPartition::Recover);
            self.routes.adopt(partition.clone(), addr, generation, cursor);
            self.repairs.recovering.insert(partition.clone(), replies);
        }
    }

    /// Delivers what a slice holds of the partition, up to where we have dispatched. One that was read for
    /// an actor that has died may begin behind where the next repair has begun.
    pub(super) fn deliver_held(
        &mut self,
        partition: &PartitionId,
        generation: u64,
        slice: &Arc<Slice<E>>,
        ctx: &Context<Self>,
    ) {
        let Some(going) = self.repairs.of_generation(partition, generation) else { return };
        let read_on = slice.end > going.position;
        let mut events: SmallVec<[u32; 4]> = SmallVec::new();
        let mut broken = None;
        // What was looked at before the event that cannot be passed.
        let mut end = &going.position;
        for entry in slice.entries(&going.position) {
            let cursor = entry.cursor();
            if *cursor > self.flow.position {
                break;
            }
            let is_named = going.skip.as_ref() == Some(cursor);
            match self.links.fate_of(&entry) {
                Fate::Blocked(Blocked::Undecodable(event)) if !is_named => {
                    broken = Some(event);
                    break;
                }
                fate if is_named || fate.is_to(partition) => {
                    events.push(u32::try_from(entry.index()).unwrap_or(u32::MAX));
                }
                _ => {}
            }
            end = cursor;
        }
        if let (Some(undecodable), true) = (&broken, events.is_empty()) {
            let error = Err(RepairError::Undecodable(undecodable.clone()));
            self.end_repair(partition, &error);
            return;
        }
        // A log that has nothing more has nothing that is held.
        let end = match broken {
            Some(_) => end,
            None if read_on => &slice.end,
            None => &self.flow.position,
        };
        going.position = end.min(&self.flow.position).clone();
        if events.is_empty() {
            self.read_held(partition, ctx);
        } else {
            let slice = Arc::clone(slice);
            going.unsettled += events.len();
            let held = ToPartition::Deliver(Delivery { slice, number: UNTRACKED, events });
            self.residents.tell(&going.addr, going.generation, held);
        }
    }

    /// What the actor of a repair has reduced.
    pub(super) fn held_reduced(
        &mut self,
        partition: &PartitionId,
        generation: u64,
        cursor: Cursor,
        next: Next,
        ctx: &mut Context<Self>,
    ) {
        let Some(going) = self.repairs.of_generation(partition, generation) else { return };
        going.cursor = cursor;
        match next {
            Next::Wait => {}
            Next::Settled(settles) => {
                if going.settle(&settles) {
                    self.read_held(partition, ctx);
                }
            }
            Next::Commit(commit, settles) => self.commit(generation, commit, settles, ctx),
        }
    }

    /// What became of a commit of a repair.
    pub(super) fn held_answered(
        &mut self,
        commit: UnderWay,
        result: Result<(), Rejection>,
        ctx: &Context<Self>,
    ) {
        let UnderWay { partition, generation, cursor, halt, repair, settles, .. } = commit;
        // Also if its actor has died meanwhile: that is where the next repair begins.
        if let (Ok(()), Some(halt)) = (&result, &halt) {
            if repair == Repair::Going {
                self.routes.set_halted(partition.clone(), cursor.clone(), Arc::clone(halt));
            } else {
                self.halted(&partition, cursor.clone(), Arc::clone(halt));
            }
        }
        let Some(going) = self.repairs.of_generation(&partition, generation) else { return };
        match (result, halt) {
            (Ok(()), Some(halt)) if repair == Repair::None => {
                self.end_repair(&partition, &Err(RepairError::Halted(halt)));
            }
            (Ok(()), _) => {
                going.cursor = cursor;
                self.residents.tell(&going.addr, generation, ToPartition::Answer(Ok(())));
                if going.settle(&settles) {
                    self.read_held(&partition, ctx);
                }
            }
            (Err(rejection), _) => {
                if let Some(committed) = &rejection.committed {
                    going.cursor = committed.clone();
                }
                let rejected = ToPartition::Answer(Err(rejection));
                self.residents.tell(&going.addr, generation, rejected);
            }
        }
    }

    fn end_repair(&mut self, partition: &PartitionId, result: &Result<(), RepairError>) {
        if let Some(going) = self.repairs.going.remove(partition) {
            self.residents.passivate(&going.addr);
            tell(going.replies, result);
        }
    }

    /// The actor of a repair has died. What it had committed is stored, and the partition is halted.
    pub(super) fn repair_ended(&mut self, partition: &PartitionId, generation: u64) {
        if self.repairs.of_generation(partition, generation).is_some() {
            self.end_repair(partition, &Err(RepairError::Interrupted));
        }
    }

    /// It is stored that the partition is halted no more.
    pub(super) fn recovered(&mut self, partition: &PartitionId) {
        if let Some(route) = self.routes.get_mut(partition) {
            route.recovering = false;
            if route.unsettled.is_empty() {
                self.routes.became_idle(partition, Instant::now());
            }
        }
        let halted = self.routes.halted();
        if matches!(self.phase, Phase::Blocked(Blocked::TooManyHalted { .. }))
            && halted < self.links.config.max_halted
        {
            // Whoever calls this reads on.
            self.phase = Phase::Running;
            self.flow.at_head = false;
        }
        let reducer = Arc::clone(&self.links.name);
        self.links.observers.tell(&Notice::Recovered { reducer, partition: partition.clone() });
        if let Some(replies) = self.repairs.recovering.remove(partition) {
            tell(replies, &Ok(()));
        }
    }
}
