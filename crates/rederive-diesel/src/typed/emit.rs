//! [`DieselOps`] for [`Ops`]: from typed values to ops.

use diesel::{
    Column, Expression, Insertable,
    expression::{AsExpression, TypedExpressionType},
    sql_types::SqlType,
};
use rederive_core::{Change, Key, Op, Ops, ReduceError, Row, RowFn, RowOp, Table};
use serde::Serialize;

use super::{
    ArrayColumn, Changes, DieselOps, Filter, KeyOf, OpTable, TableRow, key, read, row, table, value,
};

fn collected<T, C, M>(changes: C, table: &'static Table) -> Result<Row, ReduceError>
where
    T: OpTable,
    C: Changes<T, M>,
{
    let mut row = Row::new();
    changes.collect(table, &mut row)?;
    Ok(row)
}

impl DieselOps for Ops {
    fn insert<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.push(row_op(table, key, Change::Insert(row)))
    }

    fn insert_new<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.push(row_op(table, key, Change::InsertNew(row)))
    }

    fn upsert<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.push(row_op(table, key, Change::Upsert(row)))
    }

    fn replace<T, R>(&mut self, _table: T, row: R) -> Result<(), ReduceError>
    where
        T: OpTable,
        R: Insertable<T> + Serialize,
    {
        let (table, key, row) = row::split::<T, R>(&row)?;
        self.push(row_op(table, key, Change::Replace(row)))
    }

    fn merge<T, K, C, MK, MC>(&mut self, _table: T, key: K, changes: C) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        C: Changes<T, MC>,
    {
        let table = table::of::<T>()?;
        let row = collected(changes, table)?;
        self.push(row_op(table, key::values::<T, K, MK>(&key, table)?, Change::Merge(row)))
    }

    fn update<T, K, C, MK, MC>(&mut self, _table: T, key: K, changes: C) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        C: Changes<T, MC>,
    {
        let table = table::of::<T>()?;
        let row = collected(changes, table)?;
        self.push(row_op(table, key::values::<T, K, MK>(&key, table)?, Change::Update(row)))
    }

    fn update_where<T, F, C, MF, MC>(
        &mut self,
        _table: T,
        filter: F,
        changes: C,
    ) -> Result<(), ReduceError>
    where
        T: OpTable,
        F: Filter<T, MF>,
        C: Changes<T, MC>,
    {
        let table = table::of::<T>()?;
        let filter = collected(filter, table)?;
        self.change_where(table, filter, Change::Update(collected(changes, table)?))
    }

    fn modify<T, K, R, F, MK>(&mut self, _table: T, key: K, function: F) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
        R: TableRow<T>,
        F: Fn(&mut R) -> Result<(), ReduceError> + Send + Sync + 'static,
    {
        let table = table::of::<T>()?;
        let function = RowFn::new(move |values| {
            let mut row: R = read::row(table, values)?;
            function(&mut row)?;
            row::into_values(table, &row, values)
        });
        self.push(row_op(table, key::values::<T, K, MK>(&key, table)?, Change::Modify(function)))
    }

    fn increment<C, K, D, MK>(&mut self, _column: C, key: K, by: D) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: SqlType + TypedExpressionType,
        K: KeyOf<C::Table, MK>,
        D: AsExpression<<C as Expression>::SqlType> + Serialize,
    {
        let table = table::of::<C::Table>()?;
        let column = table::column(table, C::NAME)?;
        let by = value::of(table, column, &by)?;
        let key = key::values::<C::Table, K, MK>(&key, table)?;
        self.push(row_op(table, key, Change::Increment(column, by)))
    }

    fn increment_where<C, F, D, MF>(
        &mut self,
        _column: C,
        filter: F,
        by: D,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: SqlType + TypedExpressionType,
        F: Filter<C::Table, MF>,
        D: AsExpression<<C as Expression>::SqlType> + Serialize,
    {
        let table = table::of::<C::Table>()?;
        let column = table::column(table, C::NAME)?;
        let by = value::of(table, column, &by)?;
        self.change_where(table, collected(filter, table)?, Change::Increment(column, by))
    }

    fn array_push_uniq<C, K, V, MK>(
        &mut self,
        _column: C,
        key: K,
        element: V,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: ArrayColumn<V>,
        K: KeyOf<C::Table, MK>,
        V: Serialize,
    {
        let table = table::of::<C::Table>()?;
        let column = table::column(table, C::NAME)?;
        let key = key::values::<C::Table, K, MK>(&key, table)?;
        self.push(row_op(
            table,
            key,
            Change::ArrayPushUniq(column, value::element(table, column, &element)?),
        ))
    }

    fn array_delete<C, K, V, MK>(
        &mut self,
        _column: C,
        key: K,
        element: V,
    ) -> Result<(), ReduceError>
    where
        C: Column,
        C::Table: OpTable,
        C::SqlType: ArrayColumn<V>,
        K: KeyOf<C::Table, MK>,
        V: Serialize,
    {
        let table = table::of::<C::Table>()?;
        let column = table::column(table, C::NAME)?;
        let key = key::values::<C::Table, K, MK>(&key, table)?;
        self.push(row_op(
            table,
            key,
            Change::ArrayDelete(column, value::element(table, column, &element)?),
        ))
    }

    fn delete<T, K, MK>(&mut self, _table: T, key: K) -> Result<(), ReduceError>
    where
        T: OpTable,
        K: KeyOf<T, MK>,
    {
        let table = table::of::<T>()?;
        self.push(row_op(table, key::values::<T, K, MK>(&key, table)?, Change::Delete))
    }

    fn delete_where<T, F, MF>(&mut self, _table: T, filter: F) -> Result<(), ReduceError>
    where
        T: OpTable,
        F: Filter<T, MF>,
    {
        let table = table::of::<T>()?;
        self.change_where(table, collected(filter, table)?, Change::Delete)
    }
}

fn row_op(table: &'static Table, key: Key, change: Change) -> Op {
    Op::Row(RowOp { table, key, change })
}
