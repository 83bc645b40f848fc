//! [`Config`]: the settings, each with its default and the reason for it.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

/// Settings of a supervisor. The defaults suit a service, also one that has much to catch up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many events one read of the log asks for. Default 1000: large enough to share the cost
    /// of a query, small enough that the first commit starts soon.
    pub slice: usize,
    /// How many events a reducer may have read and not yet settled; it bounds the memory that events
    /// take. Default 10,000.
    pub window: usize,
    /// How many events of one partition go into one commit, about. Default 1000: it bounds how long
    /// one partition keeps the others of its thread waiting.
    pub batch: usize,
    /// How many events one transaction takes, about. Default 10,000: it bounds how long a
    /// transaction lasts.
    pub group: usize,
    /// The four sizes above while a reducer is being rebuilt or is in [bulk](Self::bulk): larger, as
    /// nobody waits for the first commit. Default 50,000, 110,000, 10,000 and 120,000: a transaction
    /// takes all that was read, so that each row is written once for many events, and while it runs
    /// there is room for a slice that is reduced and for one that is read.
    pub rebuild: Sizes,
    /// How many events a read must have found for a reducer to go over to bulk: it takes the sizes of
    /// a [rebuild](Self::rebuild), and partitions that begin are run without an actor each, until a
    /// read finds fewer events or it has caught up. Default 1000.
    pub bulk: usize,
    /// How many events a read must have found for those of partitions that have nothing in flight to be
    /// reduced together, without an actor for each; only for reducers that keep no state. Default 16:
    /// for so many, actors cost more than all else. `usize::MAX` leaves that to [bulk](Self::bulk).
    pub gather: usize,
    /// How often observers are told how far a rebuild is, at most. Default 1 s.
    pub progress_interval: Duration,
    /// What becomes of a reducer whose derived state was built by another version. Default
    /// [`OnVersionChange::Refuse`].
    pub on_version_change: OnVersionChange,
    /// How many threads reducers are spread over, at most; the supervisor's own is one of them, and
    /// there are no more than reducers. Default: as many as the machine has processors. Reducers of
    /// one thread take turns: what one of them takes long for, the others wait for.
    pub dispatch_threads: usize,
    /// How long a partition dispatcher stays after its last event. Default 30 s.
    pub idle_timeout: Duration,
    /// How many partition dispatchers a reducer keeps; beyond that the idlest are stopped early.
    /// Those that have events in flight are never stopped. Default 20,000, about 30 MB.
    pub max_active: usize,
    /// How many halted partitions a reducer bears before it stops as a whole: so many failures are
    /// not the partitions' fault. It also bounds the memory that knowing them takes.
    /// Default 10,000.
    pub max_halted: usize,
    /// How often the log is asked for news when nothing woke us: the safety net for events that
    /// another process appended. Default 500 ms.
    pub poll_interval: Duration,
    /// How long a low watermark may be ahead of the stored one while nothing is committed.
    /// Default 1 s.
    pub watermark_interval: Duration,
    /// The pause after a first transient fault; it doubles with each further one. Default 50 ms.
    pub min_backoff: Duration,
    /// The longest pause between attempts. Default 10 s.
    pub max_backoff: Duration,
    /// How long an [`Await`](crate::Await) without a time of its own waits. Default 30 s.
    pub await_timeout: Duration,
    /// How long this process keeps a reducer from others after it was last heard of: the time that a
    /// stand-by waits when the owner is killed. It is renewed each third of this time, by a thread of
    /// its own, and by every commit. Default 10 s; at least 10 ms.
    ///
    /// Nobody waits for the lease of an owner that is seen to have died: on Linux, a process of the
    /// same machine, user and container that has not been given a name as its
    /// [`instance`](Self::instance).
    pub lease: Duration,
    /// What becomes of a reducer that another process owns. Default [`OnOwned::StandBy`].
    pub on_owned: OnOwned,
    /// How often a stand-by looks whether the reducer is free, and whether what is awaited is stored;
    /// more often for a moment when somebody has begun to wait.
    /// Default 500 ms: so long it takes, at most, until a stand-by goes on after the owner's clean
    /// stop.
    pub stand_by_interval: Duration,
    /// The name of this process, by which others know the owner of a reducer. Default `None`: the
    /// host, the process and a random number.
    ///
    /// A process that is given the same name at each start takes its reducers back at once after a
    /// crash, wherever it is started, instead of waiting for the end of its own lease. The danger: of two processes of one
    /// name, the later one takes the reducers away from the earlier one, which then stands by. Nothing
    /// is spoilt by that, but work is lost. So only give a name that no two processes can have at a
    /// time, like that of a pod of a stateful set.
    pub instance: Option<String>,
}

/// How much is read, reduced and committed at once; see the fields of [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// As [`Config::slice`].
    pub slice: usize,
    /// As [`Config::window`].
    pub window: usize,
    /// As [`Config::batch`].
    pub batch: usize,
    /// As [`Config::group`].
    pub group: usize,
}

/// What becomes of a reducer that another process (or another supervisor of this one) owns, by a
/// lease that is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOwned {
    /// It waits until the owner has stopped or died, and goes on then by itself.
    /// [`Await`](crate::Await) works meanwhile. Also when it is taken over from here.
    #[default]
    StandBy,
    /// It is not started: its registration fails.
    Refuse,
    /// It is taken over at once, and the other process stops it. For tools, and where two processes
    /// cannot be.
    TakeOver,
}

/// What becomes of a reducer whose derived state was built by another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnVersionChange {
    /// It is not started: its registration fails.
    #[default]
    Refuse,
    /// It is started and [rebuilt](crate::Rebuild).
    Rebuild,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slice: 1000,
            window: 10_000,
            batch: 1000,
            group: 10_000,
            rebuild: Sizes { slice: 50_000, window: 110_000, batch: 10_000, group: 120_000 },
            bulk: 1000,
            gather: 16,
            progress_interval: Duration::from_secs(1),
            on_version_change: OnVersionChange::default(),
            dispatch_threads: available_parallelism().map_or(1, NonZero::get),
            idle_timeout: Duration::from_secs(30),
            max_active: 20_000,
            max_halted: 10_000,
            poll_interval: Duration::from_millis(500),
            watermark_interval: Duration::from_secs(1),
            min_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(10),
            await_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(10),
            on_owned: OnOwned::default(),
            stand_by_interval: Duration::from_millis(500),
            instance: None,
        }
    }
}

impl Config {
    /// The pause after this many failed attempts in a row, counted from one.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.min_backoff.saturating_mul(factor).min(self.max_backoff)
    }

    /// How much is done at once by a reducer that is being rebuilt, or by one that is live.
    pub(crate) fn sizes(&self, rebuilding: bool) -> Sizes {
        let &Self { slice, window, batch, group, rebuild, .. } = self;
        if rebuilding { rebuild } else { Sizes { slice, window, batch, group } }
    }

    /// The settings with every size at least one, so that none of them can stop the work.
    pub(crate) fn checked(self) -> Self {
        let Sizes { slice, window, batch, group } = self.rebuild;
        Self {
            rebuild: Sizes {
                slice: slice.max(1),
                window: window.max(1),
                batch: batch.max(1),
                group: group.max(1),
            },
            slice: self.slice.max(1),
            window: self.window.max(1),
            batch: self.batch.max(1),
            group: self.group.max(1),
            dispatch_threads: self.dispatch_threads.max(1),
            max_active: self.max_active.max(1),
            max_halted: self.max_halted.max(1),
            poll_interval: self.poll_interval.max(Duration::from_millis(1)),
            watermark_interval: self.watermark_interval.max(Duration::from_millis(1)),
            instance: self.instance.filter(|name| !name.is_empty()),
            lease: self.lease.max(Duration::from_millis(10)),
            stand_by_interval: self.stand_by_interval.max(Duration::from_millis(1)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let config = Config::default();
        let pauses: Vec<_> = (1..=10).map(|attempt| config.backoff(attempt).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(config.backoff(u32::MAX), config.max_backoff);
    }
}
