//! [`Silence`]: the effects that are not emitted again when derived state is built anew.

use std::collections::BTreeMap;

use super::OUTBOX;
use crate::{Cursor, CursorKind, Op, PartitionId, PartitionRecord};

/// Up to where effects were emitted before a reset: those of events up to there are left out of
/// later commits.
///
/// It is what the progress of each partition was at the reset, so that nothing is emitted twice and
/// nothing that was never emitted is lost: a partition ahead of the watermark is silent up to where
/// it stood, and so is one that was halted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// For every partition but these.
    pub through: Cursor,
    /// Those that stood elsewhere.
    pub partitions: BTreeMap<PartitionId, Cursor>,
}

impl Silence {
    /// Up to where this partition is silent.
    pub fn of(&self, partition: &PartitionId) -> &Cursor {
        self.partitions.get(partition).unwrap_or(&self.through)
    }

    /// The silence after a reset of a reducer that stood there; its log's cursors are of `kind` from
    /// now on.
    #[must_use]
    pub fn after_reset(
        &self,
        watermark: &Cursor,
        records: &[PartitionRecord],
        kind: CursorKind,
    ) -> Self {
        let of_kind = |cursor: &Cursor| match cursor.kind() {
            Some(other) if other != kind => Cursor::Start,
            _ => cursor.clone(),
        };
        let through = of_kind((&self.through).max(watermark));
        let known = self.partitions.keys().map(|partition| (partition, watermark.clone()));
        let stood = records.iter().map(|record| (&record.partition, stand(record, watermark)));
        let mut partitions = BTreeMap::new();
        // A record says more than the watermark, and comes later.
        for (partition, stood) in known.chain(stood) {
            let until = of_kind(self.of(partition).max(&stood));
            partitions.insert(partition.clone(), until);
        }
        partitions.retain(|_, until| *until != through);
        Self { through, partitions }
    }

    /// The silence after a reset of this partition alone, whose record was this one.
    #[must_use]
    pub fn after_reset_of(
        mut self,
        partition: &PartitionId,
        watermark: &Cursor,
        record: Option<&PartitionRecord>,
    ) -> Self {
        let stood = record.map_or_else(|| watermark.clone(), |record| stand(record, watermark));
        let until = self.of(partition).clone().max(stood);
        self.partitions.insert(partition.clone(), until);
        self
    }

    /// Whether an op of this partition writes an effect that is not to be emitted again.
    pub fn covers(&self, partition: &PartitionId, op: &Op) -> bool {
        match op {
            Op::Row(op) if op.table == &OUTBOX => match op.key.get(2) {
                // Stored forms compare as cursors do.
                Some(crate::Value::Text(cursor)) => *cursor <= self.of(partition).encode(),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Up to where the partition's events were reduced.
fn stand(record: &PartitionRecord, watermark: &Cursor) -> Cursor {
    match record.halt {
        // The watermark passes what a halted partition holds.
        Some(_) => record.cursor.clone(),
        None => record.cursor.clone().max(watermark.clone()),
    }
}

/// Whether any of the ops writes an effect.
pub fn has_effects(ops: &[Op]) -> bool {
    ops.iter().any(|op| matches!(op, Op::Row(op) if op.table == &OUTBOX))
}
