//! [`ReducerStatus`]: how a reducer is doing.

use std::time::{Duration, Instant};

use actix::Message;
use rederive_core::{Blocked, Cursor, Holder, OutboxCounts, Timestamp};
use tokio::{sync::oneshot, time::timeout_at};

pub use crate::health::Delay;

/// How a reducer is doing at the moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReducerStatus {
    /// Its name.
    pub reducer: String,
    /// The version of its code.
    pub version: u32,
    /// What it is doing.
    pub activity: Activity,
    /// The name of the process that owns it ([`Config::instance`](crate::Config::instance)): this one
    /// or, while it stands by, another. `None` while that is not known, and when another owner has
    /// taken it over from here for good.
    pub owner: Option<String>,
    /// How long the owner's lease is valid without being renewed, as far as is known here; zero when
    /// it has run out, `None` where there is none.
    pub lease_remaining: Option<Duration>,
    /// Since when it stands by, if it does. Then the watermark is the one that is stored, the
    /// position the same, and of partitions nothing is known.
    pub standing_by_since: Option<Timestamp>,
    /// Every event up to here was handed to its partitions.
    pub position: Cursor,
    /// Every event up to here is settled: committed, ignored, or held by a halted partition.
    pub watermark: Cursor,
    /// The newest event of the log; `None` when the log did not say so in time.
    pub head: Option<Cursor>,
    /// How far the reducer is behind the log; `None` when the log did not say so in time, or when it
    /// is not known yet where the reducer stands.
    pub lag: Option<Lag>,
    /// How many events of the log were settled per second, over the last ten seconds or since the
    /// start if that is less ago. Events count once, whatever the number of their partitions and
    /// whether or not they concern the reducer, and when the slice that they were read with is
    /// settled as a whole: slices are [`Config::slice`](crate::Config::slice) events at most.
    pub rate: f64,
    /// Set while the reducer is being rebuilt.
    pub rebuild: Option<RebuildStatus>,
    /// How many deliveries (one per event and partition) are not settled.
    pub in_flight: usize,
    /// How many partitions have an actor.
    pub active_partitions: usize,
    /// How many partitions are halted.
    pub halted_partitions: usize,
    /// How many partitions wait to try an event again that failed.
    pub retrying_partitions: usize,
    /// How many effects are still to be delivered, and how many are parked, each counted up to
    /// [`MOST_EFFECTS`](Self::MOST_EFFECTS): no further, so that a long outbox costs no more to ask
    /// for than a short one. `None` when the reducer was registered without somebody who delivers,
    /// and when the store cannot be used or did not answer in time. Exact numbers, for whom they are
    /// worth the time: [`CountEffects`](crate::CountEffects).
    pub effects: Option<OutboxCounts>,
    /// The store cannot commit at the moment and is tried again.
    pub store_delay: Option<Delay>,
    /// The log cannot be read at the moment and is tried again.
    pub log_delay: Option<Delay>,
    /// The open transactions of others that hold the log back at the moment
    /// ([`EventLog::held_back`](rederive_core::EventLog::held_back)): events behind them are not
    /// served, or appends wait for them, until they have ended. Empty also when the log did not say
    /// so in time.
    pub held_back: Vec<Holder>,
}

impl ReducerStatus {
    /// How far [`effects`](Self::effects) are counted.
    pub const MOST_EFFECTS: u64 = 1000;
}

/// How far a reducer is behind its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// How many events the log holds after the low watermark, as
    /// [`EventLog::count`](rederive_core::EventLog::count) tells: a close guess. The watermark is
    /// conservative, so some of them may be settled already; and those that do not concern the
    /// reducer count as well.
    pub events: u64,
    /// How long ago the first event after the low watermark was recorded: zero when there is none,
    /// and when its time is in the future, as clocks differ. `None` when it cannot be decoded.
    pub age: Option<Duration>,
}

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildStatus {
    /// It is over once the low watermark has come here.
    pub target: Cursor,
    /// How many events are settled, of those that were left when this process began with it.
    pub done: u64,
    /// How many those are, about; `None` when that is not known yet.
    pub total: Option<u64>,
}

/// What a reducer is doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activity {
    /// It waits for the store to tell where to resume.
    Opening,
    /// Another process owns it; it waits to take it over.
    StandingBy,
    /// It builds its derived state anew.
    Rebuilding,
    /// It has events to settle.
    CatchingUp,
    /// It has settled all that the log held.
    CaughtUp,
    /// It is paused and reads nothing on.
    Paused,
    /// It stands before an event that it cannot pass.
    Blocked(Blocked),
    /// Another owner has taken it over.
    Fenced,
    /// It finishes what it has begun.
    Stopping,
}

/// supervisor → dispatcher: how are you doing?
pub(crate) struct Report;

impl Message for Report {
    type Result = Reported;
}

/// dispatcher → supervisor.
pub(crate) struct Reported {
    pub(crate) status: ReducerStatus,
    /// What the log has been asked for; `None` when it would not answer.
    pub(crate) survey: Option<oneshot::Receiver<Surveyed>>,
    /// What the store has been asked for; `None` when it would not answer.
    pub(crate) effects: Option<oneshot::Receiver<OutboxCounts>>,
}

/// What the log says of its end, as seen from a low watermark.
pub(crate) struct Surveyed {
    pub(crate) head: Cursor,
    pub(crate) events: u64,
    /// When the first event after the watermark was recorded; `Some(None)` when there is none.
    pub(crate) oldest: Option<Option<Timestamp>>,
    pub(crate) held_back: Vec<Holder>,
}

/// How long a status waits for a log and a store.
pub(crate) const SURVEY_TIME: Duration = Duration::from_secs(1);

impl Reported {
    /// Waits for the log and the store, but not for long: what they have not said by then is left
    /// open.
    pub(crate) async fn complete(
        self,
        deadline: Instant,
        now: impl FnOnce() -> Timestamp,
    ) -> ReducerStatus {
        let Self { mut status, survey, effects } = self;
        if let Some(survey) = survey
            && let Ok(Ok(surveyed)) = timeout_at(deadline.into(), survey).await
        {
            let now = now();
            status.lag = Some(Lag { events: surveyed.events, age: surveyed.age(now) });
            status.head = Some(surveyed.head);
            status.held_back = surveyed.held_back;
        }
        if let Some(effects) = effects {
            status.effects = timeout_at(deadline.into(), effects).await.ok().and_then(Result::ok);
        }
        status
    }
}

impl Surveyed {
    fn age(&self, now: Timestamp) -> Option<Duration> {
        let oldest = self.oldest?.unwrap_or(now);
        let micros = now.as_micros().saturating_sub(oldest.as_micros());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_oldest_unsettled_event() {
        let surveyed = |oldest| {
            let (head, held_back) = (Cursor::from(9), Vec::new());
            Surveyed { head, events: 3, oldest, held_back }
        };
        let now = Timestamp::from_micros(5_000_000);
        let age = |oldest| surveyed(oldest).age(now);
        assert_eq!(
            age(Some(Some(Timestamp::from_micros(1_500_000)))),
            Some(Duration::from_millis(3500))
        );
        assert_eq!(age(Some(None)), Some(Duration::ZERO));
        assert_eq!(age(Some(Some(Timestamp::from_micros(6_000_000)))), Some(Duration::ZERO));
        assert_eq!(age(None), None);
    }
}
