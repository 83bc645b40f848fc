//! [`TableFacts`]: what the planner has to know about a table of the database.

use std::rc::Rc;

use rederive_core::Table;

/// What the planner has to know about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) policy: Policy,
    /// By column of [`Table::columns`]: whether the column may be `NULL`.
    pub(crate) nullable: Vec<bool>,
    /// The columns outside the key that a new row must name: not `NULL`, and without a default.
    pub(crate) required: Vec<usize>,
    /// The names of all columns outside the key that can be set, also of those that the program does
    /// not know.
    pub(crate) settable: Vec<String>,
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
