//! The actors of Rederive.
//!
//! ```text
//!                 Await, Registration, Status, Shutdown
//!                                 │
//!                          ┌──────▼──────┐  Stop, Abort, WaitFor, Report
//!                          │ Supervisor  ├───────────────────────────────┐
//!                          └──┬───────┬──┘                               │
//!                        Stop │       │ Stop, Hurry                      │
//!   Woken   ┌─────────────────▼┐     ┌▼─────────────┐  OpenDone,   ┌─────▼──────┐
//!  ────────►│  EventLogActor   │     │ Persistence  ├─────────────►│            │
//!  the log  │  (+ read thread) │     │ (+ commit    │  Committed   │            │
//!           └───▲──────────┬───┘     │    thread)   │◄─────────────┤ Dispatcher │
//!  Fetch, Find, │          │         └──────────────┘ Open, Commit │            │
//!  Head, Follow │          │ Fetched, Found, HeadIs, NewEvents     │            │
//!               │          └──────────────────────────────────────►│            │
//!               └──────────────────────────────────────────────────┤            │
//!                                                                  └──▲──────┬──┘
//!                                            Reduced, PartitionEnded  │      │ Deliver, Answer,
//!                                                     ┌───────────────┴──────▼─┐   Wait, Passivate
//!                                                     │  PartitionDispatcher   │
//!                                                     │  (one per partition)   │
//!                                                     └────────────────────────┘
//! ```
//!
//! Not drawn: `Load` (dispatcher → persistence), `Loaded` (back), `StateLoaded` (dispatcher → partition
//! dispatcher), `RepairPartition` and `SetPaused` (supervisor → dispatcher), `Ask` (dispatcher, supervisor → persistence),
//! `Survey` (dispatcher → event log, for a status),
//! `Seen` (persistence → dispatcher) and `Release` (back), `LeaseLost` (the leases' thread → dispatcher),
//! `Retrying` (partition dispatcher → dispatcher), `Recover` (dispatcher → partition dispatcher),
//! `ActorEnded` and `ActorStopped` (all → supervisor).
//!
//! | actor | owns |
//! |---|---|
//! | [`Supervisor`] | the registrations, the addresses of all other actors but the partitions' |
//! | `EventLogActor`, one per log | the queue of reads, the newest slices, the reader thread |
//! | `Dispatcher`, one per reducer | the read position, the low watermark, the window, the partition dispatchers, the commits that wait for the next group |
//! | `PartitionDispatcher`, one per active partition | the partition's cursor, its buffered events, those who wait for it |
//! | `Persistence`, one per store | the groups of the next transaction, the commit thread and its connection, the leases and the thread that renews them |
//!
//! Actors only route: what they decide is decided by plain structs, most of them in
//! [`rederive_core`]. [`message`](self) lists every message in the order in which an event causes
//! them.

mod config;
mod message;
mod supervisor;
mod registration;
mod threads;
mod ready;
mod ownership;
mod instance;
mod lease;
mod take_over;
mod stand_by;
mod event_log;
mod dispatcher;
mod partition_dispatcher;
mod partition_work;
mod persistence;
mod waiter;
mod waits;
mod awaiting;
mod view;
mod status;
mod repair;
mod pause;
mod rebuild;
mod rebuild_partition;
mod listing;
mod outbox;
mod courier;
mod event_stream;
mod health;
mod observe;
mod log_observer;
mod ended;
mod worker;
#[cfg(feature = "chaos")]
pub mod chaos;

pub use awaiting::{Await, AwaitError, Awaited, Reply};
pub use config::{Config, OnOwned, OnVersionChange, Sizes};
pub use event_stream::{EventStream, Stopper};
pub use listing::{ListError, ListHalted, ListSkips};
pub use log_observer::LogObserver;
pub use outbox::{CountEffects, DropEffect, ListParked, Redeliver};
pub use pause::{Pause, PauseError};
pub use rebuild::{CancelRebuild, Rebuild, RebuildError, RebuildNeeded, RebuildReport};
pub use rebuild_partition::RebuildPartition;
pub use registration::Registration;
pub use repair::{RepairError, RetriedAll, Retry, RetryAll, SkipEvent};
pub use status::{Activity, Delay, Lag, RebuildStatus, ReducerStatus};
pub use supervisor::{RegisterError, Shutdown, Status, Supervisor};
pub use view::{Changes, View, ViewChange};
pub use waiter::Outcome;
pub use waits::Waits;
