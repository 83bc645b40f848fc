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
//! Not drawn:
//! - whoever waits sends dispatchers `WaitFor` without a detour, and `Arm` to the supervisor, which tells
//!   those whose time is up (`waits.rs`);
//! - supervisor → dispatcher: `RepairPartition`, `RebuildPartition`, `StopRebuild`, `SetPaused`;
//! - dispatcher → event log: `Survey` (for a status), `Measure` (for a rebuild), and back `Measured`;
//! - dispatcher → persistence: `Load`, `Release`, `Ask` (also from the supervisor), and back `Loaded`, `Seen`,
//!   `SkipsFound`, `PauseNoted`;
//! - the leases' thread → dispatcher: `LeaseLost`;
//! - dispatcher → partition dispatcher: `StateLoaded`, `Recover`, `Reset`, `Resume`, and back `Retrying`;
//! - dispatcher → courier: `WakeCourier` (also from the supervisor, through the dispatcher), `StopCourier`,
//!   and back `CourierDone`;
//! - all → supervisor: `ActorEnded`, `ActorStopped`.
//!
//! | actor | owns |
//! |---|---|
//! | [`Supervisor`] | the registrations, the addresses of all other actors but the partitions' |
//! | `EventLogActor`, one per log | the queue of reads, the newest slices, the reader thread |
//! | `Dispatcher`, one per reducer | the read position, the low watermark, the window, the partition dispatchers, the commits that wait for the next group |
//! | `Courier`, one per reducer whose effects are delivered, on a thread of its own | the delivery queue, the deliveries under way |
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
