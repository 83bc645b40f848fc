//! The tables of a [`MemoryStore`](super::MemoryStore).

use std::collections::{BTreeMap, HashMap};

use crate::{Change, ChangeError, Key, Op, Row, Table, Value, effect::OUTBOX, fold::STATES};

/// Rows by table and key.
#[derive(Default)]
pub(super) struct Rows(HashMap<&'static str, BTreeMap<Key, Vec<Value>>>);

/// What a row was before each change, in the order of the changes.
#[derive(Default)]
pub(super) struct Undo(Vec<(&'static Table, Key, Option<Vec<Value>>)>);

impl Rows {
    pub(super) fn get(&self, table: &'static Table, key: &Key) -> Option<&Vec<Value>> {
        self.0.get(table.name)?.get(key)
    }

    pub(super) fn all(&self, table: &'static Table) -> impl Iterator<Item = &Vec<Value>> {
        self.0.get(table.name).into_iter().flat_map(BTreeMap::values)
    }

    /// Removes all rows of the table.
    pub(super) fn clear(&mut self, table: &str) {
        self.0.remove(table);
    }

    /// Removes the stored states of a fold.
    pub(super) fn clear_states(&mut self, reducer: &str) {
        if let Some(rows) = self.0.get_mut(STATES.name) {
            rows.retain(|_, row| !matches!(&row[0], Value::Text(of) if **of == *reducer));
        }
    }

    /// Removes the effects of a reducer.
    pub(super) fn clear_effects(&mut self, reducer: &str) {
        if let Some(rows) = self.0.get_mut(OUTBOX.name) {
            rows.retain(|_, row| !matches!(&row[0], Value::Text(of) if **of == *reducer));
        }
    }

    /// Removes the stored state of one partition, and notes how to undo it.
    pub(super) fn clear_state(&mut self, reducer: &str, partition: &str, undo: &mut Undo) {
        let key: Key = [reducer.into(), partition.into()].into_iter().collect();
        if let Some(old) = self.0.get_mut(STATES.name).and_then(|rows| rows.remove(&key)) {
            undo.0.push((&STATES, key, Some(old)));
        }
    }

    /// Removes the rows whose column holds this id of a partition, and notes how to undo it.
    pub(super) fn clear_partition(
        &mut self,
        table: &'static Table,
        column: usize,
        partition: &str,
        undo: &mut Undo,
    ) {
        let Some(rows) = self.0.get_mut(table.name) else { return };
        let is_of = |row: &Vec<Value>| match &row[column] {
            Value::Text(id) => **id == *partition,
            Value::Integer(id) => id.to_string() == partition,
            _ => false,
        };
        let keys = rows.iter().filter(|(_, row)| is_of(row)).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            let old = rows.remove(&key);
            undo.0.push((table, key, old));
        }
    }

    /// The rows with keys from this one on, with their keys.
    pub(super) fn from(
        &self,
        table: &'static Table,
        key: Key,
    ) -> impl Iterator<Item = (&Key, &Vec<Value>)> {
        self.0.get(table.name).into_iter().flat_map(move |rows| rows.range(key.clone()..))
    }

    pub(super) fn get_mut(&mut self, table: &'static Table, key: &Key) -> Option<&mut Vec<Value>> {
        self.0.get_mut(table.name)?.get_mut(key)
    }

    pub(super) fn remove(&mut self, table: &'static Table, key: &Key) {
        if let Some(rows) = self.0.get_mut(table.name) {
            rows.remove(key);
        }
    }

    /// Applies one op and notes how to undo it. An error may leave some of it done and noted.
    pub(super) fn apply(&mut self, op: &Op, undo: &mut Undo) -> Result<(), ChangeError> {
        op.check().map_err(ChangeError::rejected)?;
        match op {
            Op::Row(op) => self.change(op.table, &op.key, &op.change, undo),
            Op::Where(op) => {
                for key in self.keys_where(op.table, &op.filter) {
                    self.change(op.table, &key, &op.change, undo)?;
                }
                Ok(())
            }
            Op::Custom(op) => {
                Err(ChangeError::rejected(format!("the memory store cannot run {op:?}")))
            }
        }
    }

    fn change(
        &mut self,
        table: &'static Table,
        key: &Key,
        change: &Change,
        undo: &mut Undo,
    ) -> Result<(), ChangeError> {
        let new = change.apply(table, key, self.get(table, key).map(Vec::as_slice))?;
        let rows = self.0.entry(table.name).or_default();
        let old = match new {
            Some(row) => rows.insert(key.clone(), row),
            None => rows.remove(key),
        };
        undo.0.push((table, key.clone(), old));
        Ok(())
    }

    fn keys_where(&self, table: &'static Table, filter: &Row) -> Vec<Key> {
        let rows = self.0.get(table.name).into_iter().flatten();
        let wanted: Row = filter
            .iter()
            .map(|(column, value)| (*column, value.clone().read_as(table.columns[*column].1)))
            .collect();
        let selected = rows.filter(|(_, row)| {
            wanted.iter().all(|(column, value)| row[*column].is_same_in_sql(value))
        });
        selected.map(|(key, _)| key.clone()).collect()
    }

    /// Takes back all changes noted.
    pub(super) fn undo(&mut self, undo: Undo) {
        for (table, key, old) in undo.0.into_iter().rev() {
            let rows = self.0.entry(table.name).or_default();
            match old {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
}
