//! For your tests: feature `testing`.
//!
//! [`given()`] tells what a reducer makes of events, and [`properties`] hold it to what must be true
//! of every reducer; neither needs actors or a database. [`Supervised`] has your reducers run by the
//! real supervisor, over a log and a store in memory. All of `rederive-testkit` is here as well.
//!
//! ```toml
//! [dev-dependencies]
//! rederive = { version = "…", features = ["testing"] }
//! ```

mod supervised;

#[doc(inline)]
pub use rederive_testkit::*;

pub use supervised::{Supervised, Supervision};
