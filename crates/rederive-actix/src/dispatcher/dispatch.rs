//! From a slice to its partitions: routing and delivering.

use std::{sync::Arc, time::Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use rederive_core::{Blocked, Cursor, Delivery, Notice, PartitionId, Slice, Undecodable};

use super::{Dispatcher, Links, Phase, flow::Dispatched, index_of};
use crate::{
    message::{Deliver, Fetched, Passivate},
    partition_dispatcher::{Begin, PartitionDispatcher, partitions_of},
    waiter::Outcome,
};

impl<E: Send + Sync + 'static> Handler<Fetched<E>> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, fetched: Fetched<E>, ctx: &mut Context<Self>) {
        if let Some(partition) = fetched.repair {
            self.deliver_held(&partition, &fetched.slice, ctx);
            return;
        }
        self.flow.fetching = false;
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        // News that came while the read was under way have set it to false already.
        self.flow.at_head &= fetched.at_head;
        let halted = self.routes.halted();
        if halted >= self.links.config.max_halted {
            self.block(Blocked::TooManyHalted { halted }, ctx);
            return;
        }
        let blocked = self.dispatch(&fetched.slice, ctx);
        self.release_dispatched(&fetched.slice);
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
        let undecodable =
            |undecodable: &Undecodable| Blocked::Undecodable(Undecodable::clone(undecodable));
        let mut blocked = slice.undecodable.as_ref().map(undecodable);
        let (mut to, mut end) = (slice.events.len(), slice.end.clone());
        let mut touched: Vec<PartitionId> = Vec::new();
        let mut deliveries = 0;
        let (links, watermark) = (&self.links, self.flow.watermark.cursor());
        let from = slice.events.partition_point(|event| event.cursor <= self.flow.position);
        for (index, event) in slice.events.iter().enumerate().skip(from) {
            let partitions = match partitions_of(&*links.engine, event) {
                Ok(partitions) => partitions,
                Err(message) => {
                    to = index;
                    let before = index.checked_sub(1).map(|i| &slice.events[i].cursor);
                    end = before.unwrap_or(&self.flow.position).max(&self.flow.position).clone();
                    let cursor = event.cursor.clone();
                    blocked = Some(Blocked::PartitionPanicked { cursor, message });
                    break;
                }
            };
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            partitions.for_each_distinct(|partition| {
                if let Some(route) = self.routes.get_mut(&partition) {
                    if route.batch.is_empty() {
                        touched.push(partition);
                    }
                    route.batch.push(index);
                } else if self.routes.halt(&partition).is_some() {
                    // Held: settled as far as the watermark is concerned.
                    return;
                } else {
                    touched.push(partition.clone());
                    let id = partition.clone();
                    let start = |generation, cursor| {
                        links.start(ctx, id, generation, cursor, Begin::Active)
                    };
                    let route = self.routes.activate(partition, watermark, start);
                    route.batch.push(index);
                }
                deliveries += 1;
            });
        }
        if end > self.flow.position || deliveries > 0 {
            self.caught_up &= deliveries == 0;
            let dispatched = Dispatched { slice: Arc::clone(slice), events: from..to };
            let number = self.flow.track(dispatched, end, deliveries);
            for partition in touched {
                if let Some(route) = self.routes.get_mut(&partition) {
                    let events = std::mem::take(&mut route.batch);
                    route.unsettled.push((number, events.len()));
                    let delivery = Delivery { slice: Arc::clone(slice), number, events };
                    route.addr.do_send(Deliver(delivery));
                }
            }
        }
        blocked
    }

    /// Those who waited for events that have just been dispatched wait at the partitions now.
    fn release_dispatched(&mut self, slice: &Slice<E>) {
        if self.future.is_empty() {
            return;
        }
        let position = self.flow.position.clone();
        for (cursor, waiter) in self.future.release(&position) {
            match index_of(&slice.events, &cursor) {
                Some(index) => self.attach(waiter, &slice.events[index]),
                None => waiter.finish(Outcome::Missing),
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
            addr.do_send(Passivate);
            let reducer = Arc::clone(&self.links.name);
            self.links.observers.tell(&Notice::Passivated { reducer, partition });
        }
    }
}

impl<E: Send + Sync + 'static> Links<E> {
    /// Starts the actor of a partition that stands at `cursor`.
    pub(super) fn start(
        &self,
        ctx: &Context<Dispatcher<E>>,
        partition: PartitionId,
        generation: u64,
        cursor: Cursor,
        begin: Begin,
    ) -> Addr<PartitionDispatcher<E>> {
        let (reducer, id) = (Arc::clone(&self.name), partition.clone());
        let engine = self.engine.start(&partition, cursor == Cursor::Start);
        self.observers.tell(&Notice::Activated { reducer, partition: id });
        PartitionDispatcher::new(
            ctx.address(),
            engine,
            partition,
            generation,
            cursor,
            begin,
            self.config.batch,
        )
        .start()
    }
}
