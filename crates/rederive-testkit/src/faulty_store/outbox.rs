//! The outbox of a faulty store.

use rederive_core::{
    EffectKey, EffectMarks, EffectRecord, EffectsError, Outbox, OutboxCounts, PartitionId, Store,
    StoreError,
};

use super::FaultyStore;

impl<S: Store> Outbox for FaultyStore<S> {
    fn effects(
        &self,
        reducer: &str,
        epoch: u64,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, EffectsError> {
        self.faults.at_effects()?;
        self.inner.outbox().effects(reducer, epoch, after, limit)
    }

    fn mark(&self, reducer: &str, epoch: u64, marks: &EffectMarks) -> Result<(), EffectsError> {
        self.faults.at_mark()?;
        self.inner.outbox().mark(reducer, epoch, marks)?;
        self.faults.count(|counts| counts.marked += marks.delivered.len() + marks.parked.len());
        Ok(())
    }

    fn parked(
        &self,
        reducer: &str,
        after: Option<&EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, StoreError> {
        self.faults.at_other()?;
        self.inner.outbox().parked(reducer, after, limit)
    }

    fn redeliver(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        self.faults.at_other()?;
        self.inner.outbox().redeliver(reducer, key)
    }

    fn drop_effect(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        self.faults.at_other()?;
        self.inner.outbox().drop_effect(reducer, key)
    }

    fn counts(&self, reducer: &str, at_most: u64) -> Result<OutboxCounts, StoreError> {
        self.faults.at_other()?;
        self.inner.outbox().counts(reducer, at_most)
    }
}
