//! [`Table`]: what ops and stores know about a table.

use super::ColumnKind;

/// The name, columns and primary key of a table that ops change.
///
/// Stores tell tables apart by name; keep one `static` per table.
///
/// ```
/// use rederive_core::{ColumnKind::{BigInt, Text}, Table};
///
/// static ACCOUNTS: Table = Table::new("accounts", &[("id", Text), ("balance", BigInt)], &[0]);
/// assert_eq!(ACCOUNTS.column("balance"), Some(1));
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// The table's name; if it names a schema, with that and a dot before it.
    pub name: &'static str,
    /// The schema that the name begins with, if it does; see [`qualified`](Self::qualified).
    pub schema: Option<&'static str>,
    /// The columns' names and kinds.
    pub columns: &'static [(&'static str, ColumnKind)],
    /// The columns of the primary key, as indices into [`columns`](Self::columns).
    pub key: &'static [usize],
}

impl Table {
    /// A table; `key` holds indices into `columns`.
    pub const fn new(
        name: &'static str,
        columns: &'static [(&'static str, ColumnKind)],
        key: &'static [usize],
    ) -> Self {
        Self { name, schema: None, columns, key }
    }

    /// The same table, with what stands before the first dot of its name as its schema.
    ///
    /// ```
    /// use rederive_core::{ColumnKind::Text, Table};
    ///
    /// static ORDERS: Table = Table::new("sales.orders", &[("id", Text)], &[0]).qualified();
    /// assert_eq!((ORDERS.schema, ORDERS.local_name()), (Some("sales"), "orders"));
    /// ```
    ///
    /// # Panics
    /// When the name has no dot: in a `static`, that does not compile.
    #[must_use]
    pub const fn qualified(mut self) -> Self {
        let mut dot = 0;
        while self.name.as_bytes()[dot] != b'.' {
            dot += 1;
        }
        self.schema = Some(self.name.split_at(dot).0);
        self
    }

    /// The name without the schema.
    pub fn local_name(&self) -> &'static str {
        match self.schema {
            Some(schema) => self.name.get(schema.len() + 1..).unwrap_or(self.name),
            None => self.name,
        }
    }

    /// The index of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| *column == name)
    }
}
