//! The workshop for testing Rederive, and applications that embed it.
//!
//! - [`Probe`] is an observer that a test can wait on, so that no test sleeps.
//! - [`FaultyLog`] and [`FaultyStore`] wrap a log or store and fail where a test says, or at random.
//!   A [`Gate`] holds a thread at such a point until the test lets it go on.
//! - [`conformance`] holds every log and store to the promises of its trait.
//! - [`fold`] says what rows a reducer's events must lead to.
//! - [`Seed`] makes a random test repeatable: set `REDERIVE_SEED` to the number it printed.

pub mod conformance;
pub mod faulty_log;
pub mod faulty_store;
pub mod gate;
pub mod model;
pub mod probe;
pub mod seed;
mod script;

pub use faulty_log::{FaultyLog, LogFault, LogFaults};
pub use faulty_store::{CommitFault, FaultyStore, StoreChaos, StoreCounts, StoreFaults};
pub use gate::Gate;
pub use model::{Fold, fold};
pub use probe::{Missed, Probe, Watch};
pub use seed::{Rng, Seed, for_each_seed};
