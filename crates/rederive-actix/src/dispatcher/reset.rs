//! Rebuilding single partitions: what is stored of one is deleted, and it is repaired from the start of
//! the log.
//!
//! The partition's own actor does the first half, between two of its commits: as with any other halt,
//! what it was handed counts as held only once it is stored that it is halted. From then on it is a
//! repair that was interrupted before its first event, also for whoever opens the reducer next.

use std::{sync::Arc, time::Instant};

use actix::{Context, Handler};
use rederive_core::{Cursor, Halt, PartitionId};

use super::{
    Dispatcher, Phase,
    repair::{Reply, tell},
};
use crate::{
    message::{RebuildPartition, ToPartition},
    partition_work::Begin,
    repair::RepairError,
};

impl<E: Send + Sync + 'static> Handler<RebuildPartition> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, rebuild: RebuildPartition, ctx: &mut Context<Self>) {
        // Before it may have to wait: whoever is refused learns so at once.
        if let Err(error) = self.may_be_rebuilt(&rebuild.partition) {
            tell(vec![rebuild.reply], &Err(error));
        } else if let Some(rebuild) = self.part_for_reset(rebuild, ctx) {
            self.reset_partition(rebuild.partition, rebuild.reply, ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    fn may_be_rebuilt(&self, partition: &PartitionId) -> Result<(), RepairError> {
        if !matches!(self.phase, Phase::Running | Phase::Blocked(_)) {
            return Err(self.not_repaired());
        }
        if self.links.tables.is_empty() && !self.links.engine.keeps_states() {
            return Err(RepairError::NoTables);
        }
        let unknown = self.links.tables.iter().find(|table| table.partition_column().is_none());
        if let Some(owned) = unknown {
            return Err(RepairError::RowsUnknown { table: owned.table().name.to_owned() });
        }
        if self.rebuilding.is_some() {
            return Err(RepairError::Rebuilding);
        }
        let resetting = self.repairs.resetting.contains_key(partition);
        if resetting || self.repairs.is_under_way(partition) {
            return Err(RepairError::UnderWay);
        }
        Ok(())
    }

    /// Has the partition's actor, which is started if there is none, delete what is stored of it.
    fn reset_partition(&mut self, partition: PartitionId, reply: Reply, ctx: &Context<Self>) {
        self.repairs.resetting.insert(partition.clone(), vec![reply]);
        if self.routes.get(&partition).is_none() {
            let begin = self.routes.halt(&partition).cloned().map_or(Begin::Active, Begin::Halted);
            let (links, loads, id) = (&self.links, &mut self.loads, partition.clone());
            let start = |generation, cursor| {
                links.start(ctx, links.begin(loads, id, generation, cursor, begin))
            };
            let watermark = self.flow.watermark.cursor();
            self.routes.activate(partition.clone(), watermark, start);
            self.load(ctx);
        }
        if let Some(route) = self.routes.get_mut(&partition) {
            route.resetting = true;
            if !route.lost {
                self.residents.tell(&route.addr, route.generation, ToPartition::Reset);
            }
        }
    }

    /// It is stored that the partition begins anew: whoever calls this begins repairs.
    pub(super) fn has_been_reset(&mut self, partition: &PartitionId, halt: &Arc<Halt>) {
        if let Some(route) = self.routes.get_mut(partition) {
            route.resetting = false;
        }
        self.routes.set_halted(partition.clone(), Cursor::Start, Arc::clone(halt));
        let replies = self.repairs.resetting.remove(partition).unwrap_or_default();
        self.repairs.want(partition.clone(), replies);
    }

    /// The store refused to delete what it holds of the partition, which goes on as before.
    pub(super) fn not_reset(&mut self, partition: &PartitionId, message: String) {
        if let Some(route) = self.routes.get_mut(partition) {
            route.resetting = false;
            if route.unsettled.is_empty() {
                self.routes.became_idle(partition, Instant::now());
            }
        }
        let replies = self.repairs.resetting.remove(partition).unwrap_or_default();
        tell(replies, &Err(RepairError::Refused { message }));
    }
}
