//! [`KeyOf`]: keys that the compiler checks.

use diesel::{
    Expression, Table as DieselTable,
    expression::{AsExpression, TypedExpressionType},
    sql_types::SqlType,
};
use rederive_core::{Key, ReduceError, Table, Value};
use serde::Serialize;

use super::{OpTable, value};

type KeyTypes<T> = <<T as DieselTable>::PrimaryKey as Expression>::SqlType;

/// The key of a row of `T`: a value of the key column's type, or a tuple of such for a key of several
/// columns.
///
/// `M` only tells the two apart; the compiler finds it.
pub trait KeyOf<T: OpTable, M> {
    /// The values, in the order of the key's columns.
    #[doc(hidden)]
    fn collect(&self, table: &'static Table, key: &mut Key) -> Result<(), ReduceError>;
}

/// Marks a key of one column.
#[derive(Debug)]
pub enum One {}

/// Marks a key of several columns.
#[derive(Debug)]
pub enum Several {}

impl<T, K> KeyOf<T, One> for K
where
    T: OpTable,
    KeyTypes<T>: SqlType + TypedExpressionType,
    K: AsExpression<KeyTypes<T>> + Serialize,
{
    fn collect(&self, table: &'static Table, key: &mut Key) -> Result<(), ReduceError> {
        push(table, key, self)
    }
}

/// A tuple of SQL types that a tuple of values belongs to.
#[doc(hidden)]
pub trait KeyTuple<ST> {
    fn collect(&self, table: &'static Table, key: &mut Key) -> Result<(), ReduceError>;
}

impl<T, K> KeyOf<T, Several> for K
where
    T: OpTable,
    K: KeyTuple<KeyTypes<T>>,
{
    fn collect(&self, table: &'static Table, key: &mut Key) -> Result<(), ReduceError> {
        KeyTuple::collect(self, table, key)
    }
}

macro_rules! key_tuple {
    ($($type:ident $value:ident $index:tt),*) => {
        impl<$($type, $value),*> KeyTuple<($($type,)*)> for ($($value,)*)
        where
            $($type: SqlType + TypedExpressionType, $value: AsExpression<$type> + Serialize,)*
        {
            fn collect(&self, table: &'static Table, key: &mut Key) -> Result<(), ReduceError> {
                $(push(table, key, &self.$index)?;)*
                Ok(())
            }
        }
    };
}
key_tuple!(A1 B1 0, A2 B2 1);
key_tuple!(A1 B1 0, A2 B2 1, A3 B3 2);
key_tuple!(A1 B1 0, A2 B2 1, A3 B3 2, A4 B4 3);

fn push(table: &'static Table, key: &mut Key, value: &impl Serialize) -> Result<(), ReduceError> {
    let Some(column) = table.key.get(key.len()) else {
        let text = format!("the key of table {} has {} columns", table.name, table.key.len());
        return Err(ReduceError::new(text));
    };
    let value = value::of(table, *column, value)?;
    if value == Value::Null {
        return Err(value::null_in_key(table, *column));
    }
    key.push(value);
    Ok(())
}

pub(super) fn values<T: OpTable, K: KeyOf<T, M>, M>(
    key: &K,
    table: &'static Table,
) -> Result<Key, ReduceError> {
    let mut values = Key::new();
    key.collect(table, &mut values)?;
    Ok(values)
}
