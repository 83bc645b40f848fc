//! [`TableFacts`]: what the planner has to know about a table of the database.

use std::rc::Rc;

use rederive_core::{Table, Value};

/// What the planner has to know about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) policy: Policy,
    /// Whether what becomes of a row may depend on what has become of the others of its set, so that
    /// they are written one by one.
    pub(crate) row_by_row: bool,
    /// The place of the table among those that foreign keys connect it with, parents first: within a
    /// layer, rows are written in this order and deleted in the opposite one.
    pub(crate) rank: i64,
    /// By column of [`Table::columns`]: whether the column may be `NULL`.
    pub(crate) nullable: Vec<bool>,
    /// By column: which values, of those that fit its kind, the column is certain to take.
    pub(crate) takes: Vec<Takes>,
    /// By column: the name of its type in SQL. Empty where values need no cast to it.
    pub(crate) types: Vec<String>,
    /// The columns outside the key that a new row must name: not `NULL`, and without a default.
    pub(crate) required: Vec<usize>,
    /// The names of all columns outside the key that can be set, also of those that the program does
    /// not know.
    pub(crate) settable: Vec<String>,
}

/// Which values a column is certain to take, without asking the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    All,
    /// Text without NUL, of at most so many characters.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite takes any text"))]
    Text(usize),
    /// Not before the database has said so.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite takes any value"))]
    Unknown,
}

impl Takes {
    pub(crate) fn surely(self, value: &Value) -> bool {
        match (self, value) {
            (Takes::All, _) | (_, Value::Null) => true,
            (Takes::Text(most), Value::Text(text)) => {
                !text.contains('\0') && (text.len() <= most || text.chars().count() <= most)
            }
            (Takes::Text(_) | Takes::Unknown, _) => false,
        }
    }
}

/// How freely the ops on a table may be rearranged without anybody noticing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Ops on one key may be merged, ops on different keys reordered.
    Merge,
    /// The table judges each state of a row (`CHECK`, generated columns, indexes on expressions), so
    /// a row must pass through each; ops on different keys may be reordered.
    Layer,
    /// Ops on different rows affect each other (triggers, unique columns beside the key, foreign
    /// keys with actions, keys that compare unlike their bytes): all in the order given.
    Order,
}

/// Where the planner learns about tables.
pub(crate) trait Facts {
    type Error;

    /// The facts of this table. An error ends the planning.
    fn of(&mut self, table: &'static Table) -> Result<Rc<TableFacts>, Self::Error>;
}
