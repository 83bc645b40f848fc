//! [`Changes`] and [`Filter`]: values of columns, checked by the compiler.

use diesel::{
    Column,
    expression::{AsExpression, TypedExpressionType},
    sql_types::SqlType,
};
use rederive_core::{ReduceError, Row, Table};
use serde::Serialize;

use super::{OpTable, table, value};

/// New values for columns of `T`: `(column, value)`, a tuple of such pairs, or `()` for none.
///
/// `M` only tells them apart; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name values of columns of `{T}`",
    label = "expected `(column, value)` or a tuple of such pairs",
    note = "each value must be of its column's SQL type, and `Serialize`"
)]
pub trait Changes<T: OpTable, M> {
    /// The columns and values.
    #[doc(hidden)]
    fn collect(self, table: &'static Table, row: &mut Row) -> Result<(), ReduceError>;
}

/// What columns of selected rows hold: `(column, value)`, or a tuple of such pairs, all of which must
/// be equal. `None` selects rows where the column is `NULL`.
///
/// `M` only tells the two apart; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name values of columns of `{T}`",
    label = "expected `(column, value)` or a tuple of such pairs",
    note = "each value must be of its column's SQL type, and `Serialize`"
)]
pub trait Filter<T: OpTable, M>: Changes<T, M> {}

/// Marks one pair.
#[derive(Debug)]
pub enum Pair {}

/// Marks a tuple of [`Changes`].
#[derive(Debug)]
pub struct Pairs<M>(std::marker::PhantomData<M>);

impl<T, C, V> Changes<T, Pair> for (C, V)
where
    T: OpTable,
    C: Column<Table = T>,
    C::SqlType: SqlType + TypedExpressionType,
    V: AsExpression<C::SqlType> + Serialize,
{
    fn collect(self, table: &'static Table, row: &mut Row) -> Result<(), ReduceError> {
        let column = table::column(table, C::NAME)?;
        row.push((column, value::of(table, column, &self.1)?));
        Ok(())
    }
}

impl<T, C, V> Filter<T, Pair> for (C, V)
where
    T: OpTable,
    (C, V): Changes<T, Pair>,
{
}

/// Of rows that are all key, there is nothing else to name.
impl<T: OpTable> Changes<T, Pairs<()>> for () {
    fn collect(self, _: &'static Table, _: &mut Row) -> Result<(), ReduceError> {
        Ok(())
    }
}

macro_rules! pairs {
    ($($type:ident $marker:ident $index:tt),*) => {
        impl<T, $($type, $marker),*> Changes<T, Pairs<($($marker,)*)>> for ($($type,)*)
        where
            T: OpTable,
            $($type: Changes<T, $marker>,)*
        {
            fn collect(self, table: &'static Table, row: &mut Row) -> Result<(), ReduceError> {
                $(self.$index.collect(table, row)?;)*
                Ok(())
            }
        }

        impl<T, $($type, $marker),*> Filter<T, Pairs<($($marker,)*)>> for ($($type,)*)
        where
            T: OpTable,
            $($type: Filter<T, $marker>,)*
        {
        }
    };
}
pairs!(A1 M1 0);
pairs!(A1 M1 0, A2 M2 1);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2, A4 M4 3);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2, A4 M4 3, A5 M5 4);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2, A4 M4 3, A5 M5 4, A6 M6 5);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2, A4 M4 3, A5 M5 4, A6 M6 5, A7 M7 6);
pairs!(A1 M1 0, A2 M2 1, A3 M3 2, A4 M4 3, A5 M5 4, A6 M6 5, A7 M7 6, A8 M8 7);
