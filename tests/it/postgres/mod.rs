//! Faults of a real PostgreSQL server, each of which has one of its own: nothing is lost, nothing is
//! done twice, no partition halts, the status tells, and all goes on without a restart.
//!
//! [`bank`] is the server with all that stands around it, [`load`] those who append meanwhile.

mod bank;
mod breaking;
mod filling;
mod load;
mod locking;
mod reading_only;
mod restarting;
mod writers;
