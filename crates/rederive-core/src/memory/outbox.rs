//! The outbox of a [`MemoryStore`].

use super::{MemoryStore, store::State};
use crate::{
    EffectKey, EffectMarks, EffectRecord, EffectsError, Key, Outbox, OutboxCounts, PartitionId,
    StoreError, Value, effect::OUTBOX,
};

/// The first of the columns that say why an effect is parked.
const PARKED: usize = 5;

impl State {
    fn check(&self, reducer: &str, epoch: u64) -> Result<(), EffectsError> {
        if self.epoch(reducer) == Some(epoch) { Ok(()) } else { Err(EffectsError::Fenced) }
    }

    /// The rows of a reducer, in the order of their keys.
    fn effects_of<'s>(&'s self, reducer: &'s str) -> impl Iterator<Item = &'s Vec<Value>> {
        let first: Key = [Value::from(reducer)].into_iter().collect();
        let rows = self.rows.from(&OUTBOX, first).map(|(_, row)| row);
        rows.take_while(move |row| matches!(&row[0], Value::Text(of) if of == reducer))
    }

    /// The row of an effect, if it is parked.
    fn parked_mut(&mut self, reducer: &str, key: &EffectKey) -> Option<&mut Vec<Value>> {
        let row = self.rows.get_mut(&OUTBOX, &key.row(reducer))?;
        (row[PARKED] != Value::Null).then_some(row)
    }
}

fn read(row: &[Value]) -> Result<EffectRecord, StoreError> {
    EffectRecord::read(row).map_err(StoreError::new)
}

impl Outbox for MemoryStore {
    fn effects(
        &self,
        reducer: &str,
        epoch: u64,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, EffectsError> {
        let state = self.lock();
        state.check(reducer, epoch)?;
        let is_later = |row: &&Vec<Value>| match (after, &row[1]) {
            (Some(after), Value::Text(id)) => id.as_str() > after.as_str(),
            _ => true,
        };
        let page = state.effects_of(reducer).filter(is_later).take(limit);
        Ok(page.map(|row| read(row)).collect::<Result<_, _>>()?)
    }

    fn mark(&self, reducer: &str, epoch: u64, marks: &EffectMarks) -> Result<(), EffectsError> {
        let mut state = self.lock();
        state.check(reducer, epoch)?;
        for key in &marks.delivered {
            state.rows.remove(&OUTBOX, &key.row(reducer));
        }
        for (key, parked) in &marks.parked {
            if let Some(row) = state.rows.get_mut(&OUTBOX, &key.row(reducer)) {
                row.truncate(PARKED);
                row.extend(parked.values());
            }
        }
        Ok(())
    }

    fn parked(
        &self,
        reducer: &str,
        after: Option<&EffectKey>,
        limit: usize,
    ) -> Result<Vec<EffectRecord>, StoreError> {
        let state = self.lock();
        let parked =
            state.effects_of(reducer).filter(|row| row[PARKED] != Value::Null).map(|row| read(row));
        let later = parked.filter(|record| match (record, after) {
            (Ok(record), Some(after)) => record.key > *after,
            _ => true,
        });
        later.take(limit).collect()
    }

    fn redeliver(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(row) = state.parked_mut(reducer, key) else { return Ok(false) };
        row[PARKED..].fill(Value::Null);
        Ok(true)
    }

    fn drop_effect(&self, reducer: &str, key: &EffectKey) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let is_parked = state.parked_mut(reducer, key).is_some();
        if is_parked {
            state.rows.remove(&OUTBOX, &key.row(reducer));
        }
        Ok(is_parked)
    }

    fn counts(&self, reducer: &str, at_most: u64) -> Result<OutboxCounts, StoreError> {
        let state = self.lock();
        let mut counts = OutboxCounts::default();
        for row in state.effects_of(reducer) {
            let of =
                if row[PARKED] == Value::Null { &mut counts.pending } else { &mut counts.parked };
            *of = (*of + 1).min(at_most);
        }
        Ok(counts)
    }
}
