//! [`MemoryStore`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smol_str::SmolStr;

use super::{
    lease::{Clock, Held},
    rows::{Rows, Undo},
};
use crate::{
    ChangeError, CommitError, Cursor, Key, Lease, OpenError, Opened, Opening, Outbox, OwnedTable,
    PartitionId, PartitionRecord, ReducerWrite, Skip, SkipRecord, StateRecord, Store, StoreError,
    StoreIdentity, StoredReducer, StoredRow, Table, Value, Writer, effect::Silence, fold::STATES,
    store::Revision,
};

/// A store in memory. Clones share the rows.
///
/// It keeps to all rules of [`Store`], so a reducer tested on it behaves the same on a database,
/// except that a constraint of the database's own cannot reject a commit. It knows no
/// [`CustomOp`](crate::CustomOp).
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    reducers: HashMap<String, ReducerState>,
    pub(super) rows: Rows,
    clock: Clock,
}

#[derive(Default)]
struct ReducerState {
    version: u32,
    watermark: Cursor,
    revision: Revision,
    partitions: BTreeMap<PartitionId, PartitionRecord>,
    skips: BTreeMap<(Cursor, Option<PartitionId>), Skip>,
    paused: bool,
    /// Until the watermark has come here, the state is being rebuilt.
    rebuilding: Option<Cursor>,
    /// The tables that it declared when it was opened last.
    tables: Vec<OwnedTable>,
    silence: Silence,
    lease: Option<Held>,
}

impl ReducerState {
    fn lease(&self, now: Duration) -> Option<Lease> {
        self.lease.as_ref().map(|held| held.lease(now))
    }

    fn opened(&self) -> Opened {
        Opened {
            watermark: self.watermark.clone(),
            revision: self.revision,
            partitions: self.partitions.values().cloned().collect(),
            skips: !self.skips.is_empty(),
            paused: self.paused,
            rebuilding: self.rebuilding.clone(),
            lease: self.lease.as_ref().map_or(Duration::ZERO, |lease| lease.length),
        }
    }
}

impl State {
    /// The declared tables fit together, and no other reducer has one of them.
    fn check_tables(&self, opening: &Opening<'_>) -> Result<(), OpenError> {
        OwnedTable::check_all(opening.reducer, opening.tables)?;
        for (owner, state) in self.reducers.iter().filter(|(name, _)| *name != opening.reducer) {
            let has = |name: &str| state.tables.iter().any(|other| other.table().name == name);
            if let Some(taken) = opening.tables.iter().find(|owned| has(owned.table().name)) {
                return Err(OpenError::TableTaken {
                    reducer: opening.reducer.to_owned(),
                    table: taken.table().name.to_owned(),
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the store's clock forward, by which leases run out: so that a test need not wait.
    pub fn advance(&self, time: Duration) {
        self.lock().clock.advance(time);
    }

    /// The row with this key: one value per column of the table.
    pub fn row(
        &self,
        table: &'static Table,
        key: impl IntoIterator<Item = Value>,
    ) -> Option<Vec<Value>> {
        self.lock().rows.get(table, &key.into_iter().collect::<Key>()).cloned()
    }

    /// All rows of the table, in the order of their keys.
    pub fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.lock().rows.all(table).cloned().collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the user's that happens under the lock is caught before it gets here, and commits
        // undo what they cannot finish.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The reducer, if this is its epoch.
    fn owned_mut(&mut self, reducer: &str, epoch: u64) -> Option<&mut ReducerState> {
        self.reducers.get_mut(reducer).filter(|reducer| reducer.revision.epoch == epoch)
    }

    pub(super) fn epoch(&self, reducer: &str) -> Option<u64> {
        self.reducers.get(reducer).map(|reducer| reducer.revision.epoch)
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.0)
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        let &Opening { reducer: name, version, kind, ref start, tables, ref claim } = opening;
        let mut state = self.lock();
        let checked = state.check_tables(opening);
        let now = state.clock.now();
        if let (None, Err(error)) = (state.reducers.get(name), &checked) {
            return Err(error.clone());
        }
        let reducer = state.reducers.entry(name.to_owned()).or_insert_with(|| ReducerState {
            version,
            watermark: start.clone(),
            ..ReducerState::default()
        });
        if reducer.version != version {
            return Err(OpenError::VersionDiffers {
                reducer: name.to_owned(),
                stored: reducer.version,
                current: version,
            });
        }
        let rows = reducer.partitions.values().map(|row| &row.cursor);
        let is_other = |cursor: &&Cursor| cursor.kind().is_some_and(|stored| stored != kind);
        if let Some(other) = std::iter::once(&reducer.watermark).chain(rows).find(is_other) {
            return Err(OpenError::CursorKindDiffers {
                reducer: name.to_owned(),
                stored: other.clone(),
                current: kind,
            });
        }
        claim.check(name, reducer.lease(now).as_ref())?;
        checked?;
        reducer.revision.epoch += 1;
        reducer.lease = Held::of(claim, now);
        reducer.tables = tables.to_vec();
        let watermark = reducer.watermark.clone();
        reducer.partitions.retain(|_, row| row.halt.is_some() || row.cursor > watermark);
        Ok(reducer.opened())
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        let mut state = self.lock();
        let now = state.clock.now();
        if let Some(reducer) = state.reducers.get(opening.reducer) {
            opening.claim.check(opening.reducer, reducer.lease(now).as_ref())?;
        }
        state.check_tables(opening)?;
        let State { reducers, rows, .. } = &mut *state;
        let reducer = reducers.entry(opening.reducer.to_owned()).or_default();
        let created = reducer.tables.iter().filter(|owned| owned.statements().is_some());
        for owned in created.chain(opening.tables) {
            rows.clear(owned.table().name);
        }
        rows.clear_states(opening.reducer);
        let Revision { epoch, number } = reducer.revision;
        let records: Vec<_> = reducer.partitions.values().cloned().collect();
        let silence = reducer.silence.after_reset(&reducer.watermark, &records, opening.kind);
        *reducer = ReducerState {
            version: opening.version,
            watermark: opening.start.clone(),
            revision: Revision { epoch: epoch + 1, number },
            partitions: BTreeMap::new(),
            skips: BTreeMap::new(),
            paused: reducer.paused,
            rebuilding: Some(target.clone()).filter(|target| *target > opening.start),
            tables: opening.tables.to_vec(),
            silence,
            lease: Held::of(&opening.claim, now),
        };
        Ok(reducer.opened())
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        let mut state = self.lock();
        let now = state.clock.now();
        let renew = |&(reducer, epoch): &(&str, u64)| {
            let Some(reducer) = state.owned_mut(reducer, epoch) else { return false };
            if let Some(lease) = &mut reducer.lease {
                lease.renew(now);
            }
            true
        };
        Ok(owned.iter().map(renew).collect())
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(reducer) = state.owned_mut(reducer, epoch) else { return Ok(false) };
        reducer.lease = None;
        Ok(true)
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        let state = self.lock();
        let now = state.clock.now();
        Ok(state.reducers.get(reducer).map(|reducer| {
            let (watermark, rebuilding) = (reducer.watermark.clone(), reducer.rebuilding.clone());
            let mut stored = StoredReducer::new(reducer.version, watermark, rebuilding);
            stored.skips = !reducer.skips.is_empty();
            stored.lease = reducer.lease(now);
            stored
        }))
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        let State { reducers, rows, .. } = &mut *self.lock();
        rows.clear_states(reducer);
        rows.clear_effects(reducer);
        let Some(reducer) = reducers.remove(reducer) else { return Ok(false) };
        for owned in reducer.tables.iter().filter(|owned| owned.statements().is_some()) {
            rows.clear(owned.table().name);
        }
        Ok(true)
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        let state = self.lock();
        let Some(reducer) = state.reducers.get(reducer) else { return Ok(Vec::new()) };
        let halted = reducer.partitions.values().filter(|row| row.halt.is_some());
        let later = halted.filter(|row| after.is_none_or(|after| row.partition > *after));
        Ok(later.take(limit).cloned().collect())
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        let state = self.lock();
        let Some(reducer) = state.reducers.get(reducer) else { return Ok(Vec::new()) };
        let wanted: BTreeSet<_> = partitions.iter().collect();
        Ok(wanted.into_iter().filter_map(|id| reducer.partitions.get(id)).cloned().collect())
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        let state = self.lock();
        Ok(rows.iter().map(|row| state.rows.get(row.table, &row.key).cloned()).collect())
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        let state = self.lock();
        let of_reducer = state.rows.all(&STATES).filter_map(|row| match &row[..] {
            [Value::Text(of), Value::Text(id), Value::Text(cursor), Value::Text(state)]
                if of == reducer =>
            {
                Some((PartitionId::from(id), cursor, state))
            }
            _ => None,
        });
        let later = of_reducer.filter(|(id, ..)| after.is_none_or(|after| id > after)).take(limit);
        let record = |(partition, cursor, state): (_, &SmolStr, &SmolStr)| {
            let cursor = Cursor::decode(cursor).map_err(StoreError::new)?;
            Ok(StateRecord { partition, cursor, state: state.to_string() })
        };
        later.map(record).collect()
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        let after = after.map(|(cursor, partition)| (cursor.clone(), partition.cloned()));
        let bounds = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let state = self.lock();
        let Some(reducer) = state.reducers.get(reducer) else { return Ok(Vec::new()) };
        Ok(reducer.skips.range(bounds).take(limit).map(skip_record).collect())
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        let state = self.lock();
        let Some(reducer) = state.reducers.get(reducer) else { return Ok(Vec::new()) };
        let from = reducer.skips.range((cursor.clone(), None)..);
        Ok(from.take_while(|((of, _), _)| of == cursor).map(skip_record).collect())
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        if let Some(reducer) = self.lock().reducers.get_mut(reducer) {
            reducer.paused = paused;
        }
        Ok(())
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }
}

impl Writer for MemoryStore {
    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let State { reducers, rows, clock } = &mut *self.lock();
        let now = clock.now();
        for write in writes {
            let fenced = || CommitError::Fenced { reducer: write.reducer.to_owned() };
            let reducer = reducers.get(write.reducer).ok_or_else(fenced)?;
            if reducer.revision != write.revision {
                return Err(fenced());
            }
            for partition in &write.partitions {
                let row = reducer.partitions.get(partition.partition).filter(|_| !partition.reset);
                if row.is_some_and(|row| partition.guard.is_some_and(|guard| row.cursor >= *guard))
                {
                    return Err(fenced());
                }
            }
        }
        let mut undo = Undo::default();
        let mut silences: HashMap<&str, Silence> = HashMap::new();
        for write in writes {
            let Some(reducer) = reducers.get(write.reducer) else { continue };
            let resets = write.partitions.iter().filter(|partition| partition.reset);
            let silence = resets.fold(reducer.silence.clone(), |silence, write| {
                let record = reducer.partitions.get(write.partition);
                silence.after_reset_of(write.partition, &reducer.watermark, record)
            });
            silences.insert(write.reducer, silence);
        }
        for write in writes {
            let Some(reducer) = reducers.get(write.reducer) else { continue };
            for partition in write.partitions.iter().filter(|partition| partition.reset) {
                rows.clear_state(write.reducer, partition.partition.as_str(), &mut undo);
                for owned in &reducer.tables {
                    let column = owned.partition_column().and_then(|it| owned.table().column(it));
                    if let Some(column) = column {
                        let id = partition.partition.as_str();
                        rows.clear_partition(owned.table(), column, id, &mut undo);
                    }
                }
            }
        }
        let partitions = writes
            .iter()
            .flat_map(|write| write.partitions.iter().map(move |part| (write.reducer, part)));
        let ops = partitions
            .flat_map(|(reducer, part)| part.ops.iter().map(move |op| (reducer, part, op)))
            .filter(|(reducer, part, op)| {
                !silences.get(reducer).is_some_and(|it| it.covers(part.partition, op))
            });
        for (.., op) in ops {
            if let Err(ChangeError { kind, message }) = rows.apply(op, &mut undo) {
                rows.undo(undo);
                return Err(CommitError::Rejected { kind, message });
            }
        }
        for write in writes {
            let Some(reducer) = reducers.get_mut(write.reducer) else { continue };
            reducer.revision = reducer.revision.next();
            if let Some(lease) = &mut reducer.lease {
                lease.renew(now);
            }
            reducer.silence = silences.remove(write.reducer).unwrap_or_default();
            reducer.watermark = write.watermark.clone();
            if reducer.rebuilding.as_ref().is_some_and(|target| *target <= reducer.watermark) {
                reducer.rebuilding = None;
            }
            for skip in &write.skips {
                reducer.skips.insert((skip.cursor.clone(), None), Skip::clone(skip));
            }
            for partition in &write.partitions {
                if partition.reset {
                    let of_other = |of: &Option<_>| of.as_ref() != Some(partition.partition);
                    reducer.skips.retain(|(_, of), _| of_other(of));
                }
                for skip in &partition.skips {
                    let key = (skip.cursor.clone(), Some(partition.partition.clone()));
                    reducer.skips.insert(key, Skip::clone(skip));
                }
            }
            for partition in write.partitions.iter().filter(|partition| partition.record) {
                let record = PartitionRecord {
                    partition: partition.partition.clone(),
                    cursor: partition.cursor.clone(),
                    halt: partition.halt.cloned(),
                };
                reducer.partitions.insert(record.partition.clone(), record);
            }
        }
        Ok(())
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        Ok(self.lock().reducers.get(reducer).map(|reducer| reducer.revision))
    }
}

fn skip_record(((_, partition), skip): (&(Cursor, Option<PartitionId>), &Skip)) -> SkipRecord {
    SkipRecord { partition: partition.clone(), skip: skip.clone() }
}

#[cfg(test)]
mod tests;
