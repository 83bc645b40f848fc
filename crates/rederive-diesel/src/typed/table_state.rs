//! [`TableState`]: the states of a fold as rows of a table.

use std::{fmt, marker::PhantomData, sync::Arc};

use rederive_core::{
    Change, ColumnKind, Cursor, Key, Op, OwnedTable, PartitionId, ReduceError, RowOp, StateForm,
    StoredRow, Table, Value, fold::FoundState,
};

use super::{KeyOf, OpTable, TableRow, key, read, row, table};

/// Keeps the states of a fold as rows of a table of yours, one per partition, to be queried as any
/// other: give it to [`Folded::with`](rederive_core::Folded::with).
///
/// The row's key is the partition's id: text as it is, a number in decimal digits, or a UUID in lower
/// case with hyphens. A table with
/// several key columns, or with other ids, says by [`keyed`](Self::keyed) which row a partition has.
/// The state has to hold that key itself, so the first event of a partition sets it. Nothing but the
/// fold may change the rows; columns that the state does not name are left alone.
///
/// ```
/// use diesel::prelude::*;
/// use rederive_core::{Fold, Folded, PartitionId, Partitions, Recorded, ReduceError};
/// use rederive_diesel::TableState;
/// use serde::{Deserialize, Serialize};
///
/// diesel::table! {
///     accounts (id) { id -> Text, balance -> BigInt }
/// }
///
/// #[derive(Clone, Default, Insertable, Queryable, Selectable, Serialize, Deserialize)]
/// #[diesel(table_name = accounts)]
/// struct Account {
///     id: String,
///     balance: i64,
/// }
///
/// struct Accounts;
///
/// impl Fold for Accounts {
///     type Event = (String, i64);
///     type State = Account;
///
///     fn name(&self) -> &str {
///         "accounts"
///     }
///
///     fn partition(&self, (id, _): &(String, i64)) -> Partitions {
///         id.into()
///     }
///
///     fn fold(
///         &self,
///         account: &mut Account,
///         event: &Recorded<(String, i64)>,
///         id: &PartitionId,
///     ) -> Result<(), ReduceError> {
///         account.id = id.to_string();
///         account.balance += event.data.1;
///         Ok(())
///     }
/// }
///
/// // To be registered by `Rederive::register_fold(…, db.store())`.
/// let accounts = Folded::with(Accounts, TableState::new(accounts::table));
/// # let _ = accounts;
/// ```
pub struct TableState<T> {
    key: Box<KeyOfPartition>,
    /// Whether the only key column holds the partition's id.
    by_id: bool,
    of: PhantomData<fn() -> T>,
}

type KeyOfPartition =
    dyn Fn(&'static Table, &PartitionId) -> Result<Key, ReduceError> + Send + Sync;

impl<T: OpTable> TableState<T> {
    /// The rows of this table, whose only key column holds the partition's id.
    pub fn new(_table: T) -> Self {
        Self { key: Box::new(id), by_id: true, of: PhantomData }
    }

    /// The rows of this table, by the key that the partition's row has.
    pub fn keyed<K: KeyOf<T, MK>, MK>(
        _table: T,
        key_of: impl Fn(&PartitionId) -> Result<K, ReduceError> + Send + Sync + 'static,
    ) -> Self {
        let key = move |table: &'static Table, partition: &PartitionId| {
            key::values::<T, K, MK>(&key_of(partition)?, table)
        };
        Self { key: Box::new(key), by_id: false, of: PhantomData }
    }

    fn owned(&self, table: &'static Table) -> OwnedTable {
        match table.key {
            [column] if self.by_id => {
                OwnedTable::new(table).partitioned_by(table.columns[*column].0)
            }
            _ => OwnedTable::new(table),
        }
    }

    fn find(&self, partition: &PartitionId) -> Result<StoredRow, ReduceError> {
        let table = table::of::<T>()?;
        Ok(StoredRow { table, key: (self.key)(table, partition)? })
    }
}

impl<T> fmt::Debug for TableState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableState")
    }
}

/// The partition's id as the value of the only key column.
fn id(table: &'static Table, partition: &PartitionId) -> Result<Key, ReduceError> {
    let text = partition.as_str();
    let refused = |why: String| Err(ReduceError::new(format!("table {}: {why}", table.name)));
    let [column] = table.key else {
        return refused("a key of several columns needs `TableState::keyed`".to_owned());
    };
    let (name, kind) = table.columns[*column];
    let value = match kind {
        ColumnKind::Text => Value::from(text),
        ColumnKind::Uuid => {
            let value = Value::from(text);
            if !kind.takes(&value) {
                return refused(format!(
                    "partition {partition:?} is no {name}: a UUID as an id is written in lower case \
                     with hyphens"
                ));
            }
            value
        }
        ColumnKind::SmallInt | ColumnKind::Integer | ColumnKind::BigInt => match text.parse() {
            Ok(number) => Value::Integer(number),
            Err(error) => {
                return refused(format!("partition {partition:?} is no {name}: {error}"));
            }
        },
        _ => return refused(format!("its key {name} needs `TableState::keyed`")),
    };
    Ok(Key::from_iter([value]))
}

impl<T, S> StateForm<S> for TableState<T>
where
    T: OpTable,
    S: TableRow<T> + Send + Sync + 'static,
{
    fn tables(&self) -> Vec<OwnedTable> {
        // What is wrong with the table is said when a state is first looked for.
        table::of::<T>().map(|table| self.owned(table)).into_iter().collect()
    }

    fn find(&self, partition: &PartitionId) -> Result<FoundState<S>, ReduceError> {
        self.find(partition).map(FoundState::Row)
    }

    fn read(&self, row: Vec<Value>) -> Result<(S, Option<Cursor>), ReduceError> {
        Ok((read::row(table::of::<T>()?, &row)?, None))
    }

    fn store(
        &self,
        partition: &PartitionId,
        _: &Cursor,
        state: Option<&Arc<S>>,
    ) -> Result<Op, ReduceError> {
        let StoredRow { table, key } = self.find(partition)?;
        let change = match state {
            None => Change::Delete,
            Some(state) => {
                let (_, own, row) = row::split::<T, S>(&**state)?;
                if own != key {
                    let text = |key: &Key| {
                        key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    };
                    return Err(ReduceError::new(format!(
                        "the state of partition {partition:?} belongs into the row of table {} \
                         with key {}, but has key {}: let the fold set it",
                        table.name,
                        text(&key),
                        text(&own)
                    )));
                }
                Change::Upsert(row)
            }
        };
        Ok(Op::Row(RowOp { table, key, change }))
    }
}
