//! [`OwnedTable`]: a table whose rows are one reducer's alone.

use std::{borrow::Cow, collections::HashSet};

use crate::{ColumnKind, OpenError, Table};

/// A table whose rows are derived by one reducer and by nothing else, as
/// [`Reducer::tables`](crate::Reducer::tables) declares it.
///
/// A store checks at each start that the table is as declared, and a rebuild empties it. A table
/// that the reducer [creates](Self::create) itself is created when it is missing, and a rebuild drops
/// it and creates it anew; any other must be there, made by the application's own migrations, and is
/// never dropped.
///
/// ```
/// use rederive_core::{ColumnKind::{BigInt, Text}, OwnedTable, Table};
///
/// static ACCOUNTS: Table = Table::new("accounts", &[("id", Text), ("balance", BigInt)], &[0]);
///
/// let accounts = OwnedTable::new(&ACCOUNTS)
///     .create("CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL)")
///     .partitioned_by("id");
/// # assert_eq!(accounts.table().name, "accounts");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedTable {
    table: &'static Table,
    ddl: Option<Cow<'static, str>>,
    partition_column: Option<Cow<'static, str>>,
}

impl OwnedTable {
    /// A table that the application's own migrations create.
    pub fn new(table: &'static Table) -> Self {
        Self { table, ddl: None, partition_column: None }
    }

    /// The reducer creates the table by these statements: `CREATE TABLE`, and what belongs to it,
    /// such as indexes. A store in memory needs none.
    #[must_use]
    pub fn create(self, statements: impl Into<Cow<'static, str>>) -> Self {
        Self { ddl: Some(statements.into()), ..self }
    }

    /// This column, of text, integers or UUIDs, holds the id of the partition that each row belongs to.
    /// When all tables of a reducer have one, single partitions can be rebuilt.
    #[must_use]
    pub fn partitioned_by(self, column: impl Into<Cow<'static, str>>) -> Self {
        Self { partition_column: Some(column.into()), ..self }
    }

    /// The table.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// The statements that create it, if the reducer does so.
    pub fn statements(&self) -> Option<&str> {
        self.ddl.as_deref()
    }

    /// The column that holds the partition's id, if there is one.
    pub fn partition_column(&self) -> Option<&str> {
        self.partition_column.as_deref()
    }

    /// The tables a reducer declares fit together, as far as that can be told without a store.
    ///
    /// # Errors
    /// [`OpenError::TableDiffers`] when a table is declared twice or the column of its partitions is
    /// none or cannot hold an id.
    pub fn check_all(reducer: &str, tables: &[OwnedTable]) -> Result<(), OpenError> {
        let mut seen = HashSet::new();
        for owned in tables {
            let twice = !seen.insert(owned.table.name.to_lowercase());
            let twice = twice.then(|| "is declared twice; declare it once".to_owned());
            if let Some(problem) = twice.or_else(|| owned.bad_partition_column()) {
                let (reducer, table) = (reducer.to_owned(), owned.table.name.to_owned());
                return Err(OpenError::TableDiffers { reducer, table, problem });
            }
        }
        Ok(())
    }

    fn bad_partition_column(&self) -> Option<String> {
        let column = self.partition_column()?;
        let Some(index) = self.table.column(column) else {
            return Some(format!("has no column {column:?} to be partitioned by"));
        };
        match self.table.columns[index].1 {
            ColumnKind::Text | ColumnKind::Uuid => None,
            kind if kind.is_integer() => None,
            other => Some(format!(
                "cannot be partitioned by column {column:?} of kind {other:?}: ids are text, \
                 integers or UUIDs"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: Table =
        Table::new("rows", &[("id", ColumnKind::Text), ("share", ColumnKind::Double)], &[0]);

    fn problem(tables: &[OwnedTable]) -> String {
        let refused = OwnedTable::check_all("r", tables).expect_err("it is refused");
        let text = refused.to_string();
        assert!(text.contains("\"r\"") && text.contains("rows"), "{text}");
        text
    }

    #[test]
    fn what_cannot_be_the_column_of_partitions_is_refused_with_its_name() {
        let by = |column: &'static str| [OwnedTable::new(&ROWS).partitioned_by(column)];
        assert!(problem(&by("nothing")).contains("no column \"nothing\""));
        assert!(problem(&by("share")).contains("\"share\" of kind Double"));
        assert_eq!(OwnedTable::check_all("r", &by("id")), Ok(()));
    }

    #[test]
    fn a_table_declared_twice_is_refused() {
        let both = [OwnedTable::new(&ROWS), OwnedTable::new(&ROWS)];
        assert!(problem(&both).contains("twice"));
    }
}
