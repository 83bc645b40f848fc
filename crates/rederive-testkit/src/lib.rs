//! The workshop for testing Rederive, and applications that embed it.
//!
//! For those who write reducers:
//!
//! - [`given`] tells in a few lines what a reducer makes of events, without actors or a database;
//!   [`given_on`] does so on any store whose rows a test can read ([`readable()`]). [`Given`] is an event
//!   whose cursor or time the test cares about.
//! - [`properties`] holds a reducer to what must be true of every reducer, one line each.
//! - Both take a [`Subject`]: a reducer or a fold, as a value, behind an `Arc` or as a constant.
//!
//! For those who embed Rederive, and for its own tests:
//!
//! - [`Probe`] is an observer that a test can wait on, so that no test sleeps.
//! - [`FaultyLog`] and [`FaultyStore`] wrap a log or store and fail where a test says, or at random.
//!   A [`Gate`] holds a thread at such a point until the test lets it go on.
//! - [`conformance`] holds every log and store to the promises of its trait.
//! - [`fold`] says what rows a reducer's events must lead to.
//! - [`Seed`] makes a random test repeatable: set `REDERIVE_SEED` to the number it printed.
//! - [`block_on`] runs a future where there is no runtime.

mod block_on;
pub mod conformance;
pub mod diff;
pub mod event;
pub mod faulty_log;
pub mod faulty_store;
pub mod gate;
pub mod model;
pub mod probe;
pub mod properties;
pub mod readable;
pub mod scenario;
pub mod seed;
mod follower;
mod script;
mod state;
pub mod subject;

pub use block_on::block_on;
pub use event::Given;
pub use faulty_log::{AppendFault, FaultyLog, LogFault, LogFaults};
pub use faulty_store::{CommitFault, FaultyStore, StoreChaos, StoreCounts, StoreFaults};
pub use gate::Gate;
pub use model::{Fold, fold};
pub use probe::{Missed, Probe, Watch};
pub use readable::{Readable, ReadableStore, readable};
#[doc(no_inline)]
pub use rederive_core::Value;
pub use scenario::{Scenario, TableRef, given, given_nothing, given_on};
pub use seed::{Rng, Seed, for_each_seed};
pub use subject::Subject;
