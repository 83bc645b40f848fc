//! [`Observer`] and [`Notice`]: what observers are told.

use std::{sync::Arc, time::Duration};

use crate::{
    Cursor, EffectKey, Failure, Halt, Parked, PartitionId, Skip, Undecodable, effect::Delayed,
};

/// Is told what happens. Notices are for people, metrics and tests; nothing depends on them.
///
/// [`notice`](Self::notice) is called on the actors' threads: be quick. A panic in it is caught and
/// logged.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn notice(&self, notice: &Notice);
}

impl<F: Fn(&Notice) + Send + Sync + 'static> Observer for F {
    fn notice(&self, notice: &Notice) {
        self(notice);
    }
}

/// Something that happened. Each variant says when it is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A reducer was opened and begins to follow the log, once per start and after each restart of
    /// its dispatcher.
    Started {
        /// The reducer.
        reducer: Arc<str>,
        /// The low watermark it resumes from.
        watermark: Cursor,
    },
    /// A reducer has settled every event that the log held when it was last read. Told when that
    /// becomes true, not again while it stays true.
    CaughtUp {
        /// The reducer.
        reducer: Arc<str>,
        /// The low watermark.
        watermark: Cursor,
    },
    /// Commits of a reducer are in the store. Not told for a transaction that stores only a
    /// watermark.
    Committed {
        /// The reducer.
        reducer: Arc<str>,
        /// How many partitions were committed.
        partitions: usize,
        /// How many of their events changed something.
        events: usize,
        /// The low watermark that is stored.
        watermark: Cursor,
    },
    /// A transaction that stores only a low watermark is done.
    WatermarkStored {
        /// The reducer.
        reducer: Arc<str>,
        /// The low watermark.
        watermark: Cursor,
    },
    /// A partition halted, and that is stored.
    Halted {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// Why.
        halt: Arc<Halt>,
    },
    /// An event failed and is tried again after `delay`, as its reducer's policy says. Told at each
    /// failed attempt but the last.
    Retrying {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition.
        partition: PartitionId,
        /// What failed.
        failure: Failure,
        /// How often the event has been tried.
        attempt: u32,
        /// The pause before the next attempt.
        delay: Duration,
    },
    /// An event was skipped, and that is stored.
    Skipped {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition; `None` when it is not known whose event it was.
        partition: Option<PartitionId>,
        /// Why.
        skip: Arc<Skip>,
    },
    /// A reducer was paused, and that is stored: it reads no more. Also told when a reducer that was
    /// paused before is started.
    Paused {
        /// The reducer.
        reducer: Arc<str>,
    },
    /// A reducer that was paused goes on, and that is stored.
    Resumed {
        /// The reducer.
        reducer: Arc<str>,
    },
    /// A halted partition has caught up with its events again, and that is stored.
    Recovered {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition.
        partition: PartitionId,
    },
    /// A partition dispatcher was started: for the first event of a partition that has none, for a
    /// repair, and in place of one that died.
    Activated {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition.
        partition: PartitionId,
    },
    /// An idle partition dispatcher was stopped: it was idle for long enough, or there were too many.
    /// Not told when its reducer stops, nor when it has died.
    Passivated {
        /// The reducer.
        reducer: Arc<str>,
        /// The partition.
        partition: PartitionId,
    },
    /// The store could not commit and is tried again after `delay`. Told at each attempt.
    CommitDelayed {
        /// The reducers whose commits wait.
        reducers: Vec<Arc<str>>,
        /// How many attempts failed in a row.
        attempt: u32,
        /// The pause before the next one.
        delay: Duration,
        /// What the store said.
        error: String,
    },
    /// The store commits again after [`CommitDelayed`](Self::CommitDelayed).
    CommitResumed {
        /// How many attempts had failed in a row.
        attempts: u32,
    },
    /// The states of partitions could not be read from the store, which is tried again after
    /// `delay`. Their events wait. Told at each attempt.
    LoadDelayed {
        /// The reducer.
        reducer: Arc<str>,
        /// How many attempts failed in a row.
        attempt: u32,
        /// The pause before the next one.
        delay: Duration,
        /// What the store said.
        error: String,
    },
    /// States can be read again after [`LoadDelayed`](Self::LoadDelayed).
    LoadResumed {
        /// The reducer.
        reducer: Arc<str>,
        /// How many attempts had failed in a row.
        attempts: u32,
    },
    /// An effect was delivered. That is noted in the outbox soon after; it is delivered again when
    /// the process ends before.
    Delivered {
        /// The reducer.
        reducer: Arc<str>,
        /// The effect.
        key: EffectKey,
        /// How often it was tried.
        attempt: u32,
    },
    /// An effect could not be delivered and is tried again after a pause; later ones of its
    /// partition wait. Told at each failed attempt but the last.
    DeliveryDelayed {
        /// The reducer.
        reducer: Arc<str>,
        /// The effect.
        key: EffectKey,
        /// Why, and until when.
        delayed: Delayed,
    },
    /// An effect is given up. That is noted in the outbox soon after. It holds up the later ones of
    /// its partition until an operator has it delivered again or drops it.
    Parked {
        /// The reducer.
        reducer: Arc<str>,
        /// The effect.
        key: EffectKey,
        /// Why.
        parked: Parked,
    },
    /// The outbox could not be read or written and is tried again after `delay`. Told at each
    /// attempt.
    OutboxDelayed {
        /// The reducer.
        reducer: Arc<str>,
        /// How many attempts failed in a row.
        attempt: u32,
        /// The pause before the next one.
        delay: Duration,
        /// What the store said.
        error: String,
    },
    /// The log could not be read and is tried again after `delay`. Told at each attempt, once for all
    /// reducers of the log. Not told when only a status asked the log in vain, and nothing is told
    /// when it can be read again: reducers catch up.
    ReadDelayed {
        /// How many attempts failed in a row.
        attempt: u32,
        /// The pause before the next one.
        delay: Duration,
        /// What the log said.
        error: String,
    },
    /// A reducer stands before an event that it cannot pass.
    Blocked {
        /// The reducer.
        reducer: Arc<str>,
        /// Why.
        reason: Blocked,
    },
    /// An actor ended unexpectedly and is started anew from what is stored.
    Restarted {
        /// The reducer, if the actor belonged to one.
        reducer: Option<Arc<str>>,
        /// Which actor.
        actor: &'static str,
    },
    /// A reducer begins to build its derived state anew, or goes on with that after a restart.
    RebuildStarted {
        /// The reducer.
        reducer: Arc<str>,
        /// The rebuild is over once the low watermark has come here.
        target: Cursor,
        /// Whether it was begun before.
        resumed: bool,
    },
    /// How far a rebuild is: told now and then.
    RebuildProgress {
        /// The reducer.
        reducer: Arc<str>,
        /// How many events are settled, of those that were left when this process began with it.
        done: u64,
        /// How many those are, about; `None` when that is not known yet.
        total: Option<u64>,
        /// How long it has taken so far.
        elapsed: Duration,
    },
    /// A rebuild is over, and that is stored.
    Rebuilt {
        /// The reducer.
        reducer: Arc<str>,
        /// How many events were settled.
        events: u64,
        /// How many partitions are halted.
        halted: usize,
        /// How long it took.
        took: Duration,
    },
    /// Another owner has taken the reducer over; it stops here. Told once, when a commit or a renewal
    /// of the lease finds out, or when a dispatcher that takes a dead one's place does. Where the
    /// settings have it stand by, [`StandingBy`](Self::StandingBy) follows; else nothing does before
    /// the supervisor stops.
    Fenced {
        /// The reducer.
        reducer: Arc<str>,
    },
    /// Another owner has the reducer, which waits here until it can take it over. Told when that
    /// begins, and when there is another owner.
    StandingBy {
        /// The reducer.
        reducer: Arc<str>,
        /// The name of its owner.
        owner: Arc<str>,
    },
    /// A reducer that stood by is owned from now on; [`Started`](Self::Started) follows.
    TakenOver {
        /// The reducer.
        reducer: Arc<str>,
        /// The name of the owner that it was waited for.
        owner: Arc<str>,
    },
    /// The leases of reducers could not be renewed, which is tried again after `delay`. Told at each
    /// attempt. They are owned as long as nobody takes them over.
    RenewalDelayed {
        /// The reducers.
        reducers: Vec<Arc<str>>,
        /// How many attempts failed in a row.
        attempt: u32,
        /// The pause before the next one.
        delay: Duration,
        /// What the store said.
        error: String,
    },
    /// A reducer has stopped: everything it had begun is committed or was given up.
    Stopped {
        /// The reducer.
        reducer: Arc<str>,
        /// The low watermark that is stored.
        watermark: Cursor,
    },
}

/// Why a whole reducer cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Blocked {
    /// An event cannot be decoded; it is tried again from time to time.
    #[error("{0}; correct the event type or its stored form")]
    Undecodable(Undecodable),
    /// [`Reducer::partition`](crate::Reducer::partition) panicked, so that it is unknown whose event
    /// it is.
    #[error(
        "the reducer panicked when asked for the partitions of the event at cursor {cursor}: \
         {message}; correct it and restart"
    )]
    PartitionPanicked {
        /// The event.
        cursor: Cursor,
        /// What the panic said.
        message: String,
    },
    /// The rebuild of its derived state was cancelled.
    #[error(
        "its rebuild was cancelled: it goes on after a restart, or rebuild it from the beginning"
    )]
    RebuildCancelled,
    /// Too many partitions are halted for it to be their own fault.
    #[error(
        "{halted} partitions are halted, which is the limit: correct the cause and repair them, or \
         raise the limit"
    )]
    TooManyHalted {
        /// How many.
        halted: usize,
    },
}

impl Blocked {
    /// The event that cannot be passed, if it is one.
    pub fn cursor(&self) -> Option<&Cursor> {
        match self {
            Blocked::Undecodable(Undecodable { cursor, .. })
            | Blocked::PartitionPanicked { cursor, .. } => Some(cursor),
            Blocked::TooManyHalted { .. } | Blocked::RebuildCancelled => None,
        }
    }
}
