//! [`DerivedState`]: what a reducer has made of its events, to be compared.

use std::collections::BTreeMap;

use rederive_core::{Cursor, FailureKind, PartitionId, Table, Value};

use crate::{ReadableStore, diff::diff_rows, follower::Emitted, scenario::TableRef};

/// The tables that a reducer is known to write to.
#[derive(Clone, Default)]
pub(crate) struct Tables(BTreeMap<&'static str, &'static Table>);

impl Tables {
    pub(crate) fn of<S: ReadableStore>(store: &S) -> Self {
        Self(store.further_tables().into_iter().map(|table| (table.name, table)).collect())
    }

    pub(crate) fn add(&mut self, emitted: &Emitted) {
        self.0.extend(&emitted.tables);
    }

    pub(crate) fn resolve(&self, table: &TableRef) -> Option<&'static Table> {
        match table {
            TableRef::Table(table) => Some(table),
            TableRef::Named(name) => self.0.get(name).copied(),
        }
    }

    pub(crate) fn no_such_table(&self) -> String {
        let names: Vec<_> = self.0.keys().copied().collect();
        format!("the reducer has not written to that table; it has to: {}", names.join(", "))
    }
}

/// The rows of all tables, and the halted partitions.
pub(crate) struct DerivedState {
    rows: BTreeMap<&'static str, Vec<Vec<Value>>>,
    tables: Tables,
    halted: BTreeMap<PartitionId, (Cursor, FailureKind)>,
}

impl DerivedState {
    pub(crate) fn read<S: ReadableStore>(reducer: &str, store: &S, tables: &Tables) -> Self {
        let halted = match store.halted(reducer, None, usize::MAX) {
            Ok(halted) => halted,
            Err(error) => panic!("{error}"),
        };
        let halted = halted.into_iter().filter_map(|row| {
            let halt = row.halt?;
            Some((row.partition, (halt.cursor, halt.kind)))
        });
        let rows = tables.0.values().map(|table| (table.name, store.rows(table)));
        Self { rows: rows.collect(), tables: tables.clone(), halted: halted.collect() }
    }

    /// How this differs from what was expected, table by table.
    pub(crate) fn diff(&self, expected: &Self) -> Option<String> {
        let none = Vec::new();
        let rows = self.tables.0.values().filter_map(|table| {
            let wanted = expected.rows.get(table.name).unwrap_or(&none);
            diff_rows(table, wanted, self.rows.get(table.name).unwrap_or(&none))
        });
        let mut differences: Vec<String> = rows.collect();
        if self.halted != expected.halted {
            differences.push(format!(
                "halted partitions: {:?} are expected, but there are {:?}",
                expected.halted, self.halted
            ));
        }
        (!differences.is_empty()).then(|| differences.join("\n"))
    }
}

/// # Panics
/// When the reducer has emitted ops that the store does not know: everything would halt, here and
/// there alike, and nothing would have been tested.
#[track_caller]
pub(crate) fn refuse_custom_ops<S: ReadableStore>(emitted: &Emitted, store: &S) {
    if let Some(custom) = &emitted.custom {
        assert!(
            store.runs_custom_ops(),
            "the reducer emits {custom}, which a store in memory cannot run: test it on a store \
             that can, by the function of the same name that ends in `_on`"
        );
    }
}
