//! Replacing a partition dispatcher that died.

use std::{collections::HashSet, sync::Arc};

use actix::{Context, Handler};
use rederive_core::{Delivery, Notice, PartitionId, Settles};

use super::Dispatcher;
use crate::{
    message::{PartitionEnded, ToPartition},
    partition_work::Begin,
};

impl<E: Send + Sync + 'static> Handler<PartitionEnded> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, ended: PartitionEnded, ctx: &mut Context<Self>) {
        let PartitionEnded { partition, generation } = ended;
        let under_way = self.grouping.forget(&partition, generation);
        let Some(route) = self.routes.of_generation(&partition, generation) else {
            self.repair_ended(&partition, generation);
            return;
        };
        if under_way {
            // Where the partition stands is known once its commit is answered.
            route.lost = true;
        } else {
            self.replace(&partition, ctx);
        }
        self.after_settling(ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Starts a new actor where the partition stands for sure, and delivers again what is not
    /// settled. Those who waited at the dead one have noticed and ask again.
    pub(super) fn replace(&mut self, partition: &PartitionId, ctx: &Context<Self>) {
        let generation = self.routes.next_generation();
        let halt = self.routes.halt(partition).cloned();
        let halted = halt.is_some();
        let begin = halt.map_or(Begin::Active, Begin::Halted);
        let Some(route) = self.routes.get_mut(partition) else { return };
        self.links.observers.tell(&Notice::Restarted {
            reducer: Some(Arc::clone(&self.links.name)),
            actor: "partition dispatcher",
        });
        let (id, cursor) = (partition.clone(), route.cursor.clone());
        let work = self.links.begin(&mut self.loads, id, generation, cursor, begin);
        route.addr = self.links.start(ctx, work);
        route.generation = generation;
        route.lost = false;
        route.retrying = None;
        if route.recovering {
            // Before anything else: until that is stored, a restart would take it for halted.
            self.residents.tell(&route.addr, generation, ToPartition::Recover);
        }
        if route.resetting {
            self.residents.tell(&route.addr, generation, ToPartition::Reset);
        }
        // What the store already has need not be delivered, and what a halted partition holds
        // neither: it is settled.
        let mut settled = Settles::new();
        for (number, unsettled) in route.unsettled.clone() {
            let Some(dispatched) = self.flow.dispatched(number) else { continue };
            let mut events = smallvec::SmallVec::new();
            for entry in dispatched.entries() {
                if halted || *entry.cursor() <= route.cursor {
                    continue;
                }
                if self.links.fate_of(&entry).is_to(partition) {
                    events.push(u32::try_from(entry.index()).unwrap_or(u32::MAX));
                }
            }
            let again = events.len().min(unsettled);
            if unsettled > again {
                settled.push((number, unsettled - again));
            }
            if again > 0 {
                let slice = Arc::clone(&dispatched.slice);
                let again = ToPartition::Deliver(Delivery { slice, number, events });
                self.residents.tell(&route.addr, generation, again);
            }
        }
        self.settle(partition, &settled);
        self.load(ctx);
    }

    /// The partitions of an event, each once; none if the reducer panics, as it did before.
    pub(super) fn distinct_partitions(
        &self,
        event: &rederive_core::Recorded<E>,
    ) -> Vec<PartitionId> {
        let mut distinct = Vec::new();
        if let Ok(partitions) = self.links.partitions_of(event) {
            partitions.for_each_distinct(|partition| distinct.push(partition));
        }
        debug_assert_eq!(distinct.iter().collect::<HashSet<_>>().len(), distinct.len());
        distinct
    }
}
