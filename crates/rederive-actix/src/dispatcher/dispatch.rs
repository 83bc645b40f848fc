//! From a slice to its partitions: routing and delivering.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use actix::{Actor, AsyncContext, Context, Handler};
use rederive_core::{
    Blocked, Cursor, Delivery, EventTypes, Notice, PartitionId, Partitions, Recorded, Slice,
    error::panic_message,
};

use super::{
    Dispatcher, Links, Phase, flow::Dispatched, host::Host, load::Loads, undecodable::Fate,
};
use crate::{
    message::{Fetched, ToPartition},
    partition_dispatcher::PartitionDispatcher,
    partition_work::{Begin, PartitionWork},
};

impl<E: Send + Sync + 'static> Handler<Fetched<E>> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, fetched: Fetched<E>, ctx: &mut Context<Self>) {
        // What is lost is not dispatched either.
        self.note_tentative(&fetched.slice);
        if self.has_lost(ctx) {
            return;
        }
        if let Some((partition, generation)) = fetched.repair {
            self.deliver_held(&partition, generation, &fetched.slice, ctx);
            return;
        }
        self.flow.fetching = false;
        if !matches!(self.phase, Phase::Running) || self.paused {
            return;
        }
        // News that came while the read was under way have set it to false already.
        self.flow.at_head &= fetched.at_head;
        let halted = self.routes.halted();
        if halted >= self.links.config.max_halted {
            self.block(Blocked::TooManyHalted { halted }, ctx);
            return;
        }
        self.set_bulk(fetched.slice.events.len() >= self.links.config.bulk);
        let blocked = self.dispatch(&fetched.slice, ctx);
        self.release_dispatched(&fetched.slice, ctx);
        if let Some(reason) = blocked {
            self.block(reason, ctx);
        }
        if self.routes.active() > self.links.config.max_active {
            self.passivate();
        }
        self.after_settling(ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Hands each partition its events of the slice. Returns why it could not go to the slice's end.
    fn dispatch(&mut self, slice: &Arc<Slice<E>>, ctx: &Context<Self>) -> Option<Blocked> {
        let mut blocked = None;
        let mut end = slice.end.clone();
        let mut touched: Vec<PartitionId> = Vec::new();
        let mut deliveries = 0;
        let (links, loads, residents, bulk) =
            (&self.links, &mut self.loads, &mut self.residents, self.bulk);
        // Without a state, what is reduced does not depend on who does it.
        let many = bulk || slice.events.len() >= links.config.gather;
        let gathers = !links.engine.is_stateful() && (many || !self.gathered.is_idle());
        let number = self.flow.next_number();
        let watermark = self.flow.watermark.cursor();
        let after = self.flow.position.clone();
        let (mut before, mut events) = (&after, 0);
        for entry in slice.entries(&after) {
            let partitions = match links.fate_of(&entry) {
                Fate::To(partitions) => partitions,
                Fate::Skipped(event) => {
                    self.passing.push(event);
                    Partitions::None
                }
                Fate::Blocked(reason) => {
                    end = before.clone();
                    blocked = Some(reason);
                    break;
                }
            };
            before = entry.cursor();
            events += 1;
            let index = u32::try_from(entry.index()).unwrap_or(u32::MAX);
            partitions.for_each_distinct(|partition| {
                if gathers
                    && many
                    && let Some(host) = self.routes.retire(&partition, watermark)
                {
                    residents.passivate(&host);
                    links.tell_passivated(&host, &partition);
                }
                if let Some(route) = self.routes.get_mut(&partition) {
                    if route.batch.is_empty() {
                        touched.push(partition);
                    }
                    route.batch.push(index);
                } else if gathers && (many || self.gathered.holds(&partition, None)) {
                    if self.routes.has_passed(&partition, entry.cursor()) {
                        return;
                    }
                    if self.rebuilding.is_some() {
                        links.rebuild.met(&partition);
                    }
                    self.gathered.push(partition, number, slice, index, links.sizes.group);
                } else if self.routes.halt(&partition).is_some() {
                    // Held: settled as far as the watermark is concerned.
                    return;
                } else {
                    touched.push(partition.clone());
                    if self.rebuilding.is_some() {
                        links.rebuild.met(&partition);
                    }
                    let id = partition.clone();
                    let start = |generation, cursor| {
                        let work = links.begin(loads, id, generation, cursor, Begin::Active);
                        if bulk { residents.add(ctx, work) } else { links.start(ctx, work) }
                    };
                    let route = self.routes.activate(partition, watermark, start);
                    route.batch.push(index);
                }
                deliveries += 1;
            });
        }
        if end > self.flow.position || deliveries > 0 {
            self.caught_up &= deliveries == 0;
            let dispatched = Dispatched { slice: Arc::clone(slice), after, events };
            let number = self.flow.track(dispatched, end, deliveries);
            for partition in touched {
                if let Some(route) = self.routes.get_mut(&partition) {
                    let events = std::mem::take(&mut route.batch);
                    route.handed(number, events.len());
                    let delivery = Delivery { slice: Arc::clone(slice), number, events };
                    let deliver = ToPartition::Deliver(delivery);
                    self.residents.tell(&route.addr, route.generation, deliver);
                }
            }
        }
        self.load(ctx);
        blocked
    }

    /// Those who waited for events that have just been dispatched wait at the partitions now.
    fn release_dispatched(&mut self, slice: &Slice<E>, ctx: &Context<Self>) {
        if self.future.is_empty() {
            return;
        }
        let position = self.flow.position.clone();
        for (cursor, waiter) in self.future.release(&position) {
            let left_out = slice.at(&cursor).is_none() && *self.links.types != EventTypes::All;
            if left_out || !slice.is_settled() {
                // It may have been left out, or may not come: the log knows.
                self.wait_for_event(cursor, waiter, ctx);
            } else {
                self.attach_at(waiter, Some(slice), &cursor, ctx);
            }
        }
    }

    /// Stops the actors of idle partitions.
    pub(super) fn passivate(&mut self) {
        let passivated = self.routes.passivate(
            Instant::now(),
            self.links.config.idle_timeout,
            self.links.config.max_active,
            self.flow.watermark.cursor(),
        );
        for (partition, addr) in passivated {
            self.residents.passivate(&addr);
            self.links.tell_passivated(&addr, &partition);
        }
    }
}

impl<E: Send + Sync + 'static> Links<E> {
    /// An actor is told to stop; what works within the dispatcher has never been called active.
    fn tell_passivated(&self, host: &Host<E>, partition: &PartitionId) {
        if !host.is_here() {
            let (reducer, partition) = (Arc::clone(&self.name), partition.clone());
            self.observers.tell(&Notice::Passivated { reducer, partition });
        }
    }

    /// The partitions of an event; none if it is of a type that does not concern the reducer, however
    /// it came to be read.
    ///
    /// # Errors
    /// What the panic said, if the reducer panicked.
    pub(super) fn partitions_of(&self, event: &Recorded<E>) -> Result<Partitions, String> {
        let partitions = || match &*self.types {
            EventTypes::Only(_)
                if !self.types.admits(self.log.event_type(&event.data).as_deref()) =>
            {
                Partitions::None
            }
            _ => self.engine.partition(&event.data),
        };
        catch_unwind(AssertUnwindSafe(partitions)).map_err(|panic| panic_message(&*panic))
    }

    /// Begins the work on a partition that stands at `cursor`.
    pub(super) fn begin(
        &self,
        loads: &mut Loads,
        partition: PartitionId,
        generation: u64,
        cursor: Cursor,
        begin: Begin,
    ) -> PartitionWork<E> {
        let fresh = loads.begins(&partition) || cursor == Cursor::Start;
        let engine = self.engine.start(&partition, &cursor, fresh);
        if let Some(row) = engine.wanted()
            && !matches!(begin, Begin::Halted(_))
        {
            loads.want(partition.clone(), generation, row);
        }
        PartitionWork::new(engine, partition, generation, cursor, begin, self.sizes.batch)
    }

    /// Starts the actor of a partition.
    pub(super) fn start(&self, ctx: &Context<Dispatcher<E>>, work: PartitionWork<E>) -> Host<E> {
        let (reducer, partition) = (Arc::clone(&self.name), work.partition().clone());
        self.observers.tell(&Notice::Activated { reducer, partition });
        Host::Actor(PartitionDispatcher::new(ctx.address(), work).start())
    }
}
