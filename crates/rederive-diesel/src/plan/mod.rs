//! The plan of a transaction: the ops of many partitions as few sets of rows, without a database.
//!
//! [`Planner`] gives every op a *layer*. Layers run one after the other; within a layer no row is
//! touched twice, so all its changes of one [`Shape`] are one set for the executor. Ops on different
//! keys commute (partitions are independent, and foreign keys are checked at the end), so a layer
//! holds ops of any partition; ops on one key follow each other in layers, unless they can be
//! [merged](change) into one. What does not commute is kept in order by its table's [`Policy`]. A custom
//! op has a layer of its own in its partition, and a change of rows selected by their values has one
//! among its partition's ops on the table.

mod change;
mod facts;
mod planner;

pub(crate) use change::{Cell, Kind, Planned};
pub(crate) use facts::{Facts, Policy, TableFacts, Takes};
pub(crate) use planner::{Plan, PlanError, Planner, Set, Shape, Step};

#[cfg(test)]
mod tests;
