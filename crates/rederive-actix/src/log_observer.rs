//! [`LogObserver`]: writes notices down.

use std::time::Duration;

use rederive_core::{Notice, Observer};

/// Writes notices as records of the [`log`] crate, target `rederive`, as text for people and as
/// key-value pairs for machines.
///
/// | level | notices |
/// |---|---|
/// | error | [`Halted`](Notice::Halted), [`Skipped`](Notice::Skipped), [`Blocked`](Notice::Blocked), [`Fenced`](Notice::Fenced), [`Parked`](Notice::Parked): somebody has to look |
/// | warn | [`Retrying`](Notice::Retrying), [`CommitDelayed`](Notice::CommitDelayed), [`LoadDelayed`](Notice::LoadDelayed), [`ReadDelayed`](Notice::ReadDelayed), [`Restarted`](Notice::Restarted), [`DeliveryDelayed`](Notice::DeliveryDelayed), [`OutboxDelayed`](Notice::OutboxDelayed): it may pass by itself |
/// | info | [`Started`](Notice::Started), [`Stopped`](Notice::Stopped), [`Paused`](Notice::Paused), [`Resumed`](Notice::Resumed), [`Recovered`](Notice::Recovered), [`CommitResumed`](Notice::CommitResumed), [`LoadResumed`](Notice::LoadResumed), [`RebuildStarted`](Notice::RebuildStarted), [`RebuildProgress`](Notice::RebuildProgress), [`Rebuilt`](Notice::Rebuilt) without halted partitions (with some: error) |
/// | debug | [`Committed`](Notice::Committed), [`CaughtUp`](Notice::CaughtUp), [`Delivered`](Notice::Delivered) |
/// | trace | [`WatermarkStored`](Notice::WatermarkStored), [`Activated`](Notice::Activated), [`Passivated`](Notice::Passivated), and what is not in this table |
///
/// The keys, where a notice has such: `notice` (its name, in snake case), `reducer` (or `reducers`,
/// with commas), `partition`, `cursor` (the event in question), `watermark`, `events`, `partitions`,
/// `kind` (of a failure: `reduce`, `panic`, `rejected`), `error`, `attempt`, `delay_ms`, `actor`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

const TARGET: &str = "rederive";

impl Observer for LogObserver {
    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Started { reducer, watermark } => log::info!(
                target: TARGET, notice = "started", reducer:%, watermark:%;
                "{reducer}: started after cursor {watermark}"
            ),
            Notice::CaughtUp { reducer, watermark } => log::debug!(
                target: TARGET, notice = "caught_up", reducer:%, watermark:%;
                "{reducer}: caught up at cursor {watermark}"
            ),
            Notice::Committed { reducer, partitions, events, watermark } => log::debug!(
                target: TARGET, notice = "committed", reducer:%, partitions, events, watermark:%;
                "{reducer}: committed {events} events of {partitions} partitions, \
                 low watermark {watermark}"
            ),
            Notice::WatermarkStored { reducer, watermark } => log::trace!(
                target: TARGET, notice = "watermark_stored", reducer:%, watermark:%;
                "{reducer}: stored low watermark {watermark}"
            ),
            Notice::Halted { reducer, partition, halt } => log::error!(
                target: TARGET, notice = "halted", reducer:%, partition:%, cursor:% = halt.cursor,
                kind = halt.kind.as_str(), error:% = halt.message, attempt = halt.attempts;
                "{reducer}: partition {partition} is halted: {halt}; \
                 its later events are held, other partitions go on"
            ),
            Notice::Retrying { reducer, partition, failure, attempt, delay } => log::warn!(
                target: TARGET, notice = "retrying", reducer:%, partition:%,
                cursor:% = failure.cursor, kind = failure.kind.as_str(), error:% = failure.message,
                attempt, delay_ms = millis(*delay);
                "{reducer}: partition {partition}: the event at cursor {} failed, attempt {attempt}, \
                 next in {delay:?}: {}",
                failure.cursor,
                failure.message
            ),
            Notice::Skipped { reducer, partition: Some(partition), skip } => log::error!(
                target: TARGET, notice = "skipped", reducer:%, partition:%, cursor:% = skip.cursor,
                error:% = skip.message;
                "{reducer}: partition {partition}: {skip}"
            ),
            Notice::Skipped { reducer, partition: None, skip } => log::error!(
                target: TARGET, notice = "skipped", reducer:%, cursor:% = skip.cursor,
                error:% = skip.message;
                "{reducer}: {skip}"
            ),
            Notice::RebuildStarted { reducer, target, resumed } => log::info!(
                target: TARGET, notice = "rebuild_started", reducer:%, cursor:% = target;
                "{reducer}: {}, up to cursor {target}",
                if *resumed { "goes on being rebuilt" } else { "is being rebuilt" }
            ),
            Notice::RebuildProgress { reducer, done, total, elapsed } => log::info!(
                target: TARGET, notice = "rebuild_progress", reducer:%, events = done;
                "{reducer}: {done}{} events rebuilt in {} s",
                total.map_or_else(String::new, |total| format!(" of about {total}")),
                elapsed.as_secs()
            ),
            Notice::Rebuilt { reducer, events, halted: 0, took } => log::info!(
                target: TARGET, notice = "rebuilt", reducer:%, events;
                "{reducer}: rebuilt from {events} events in {took:.1?}"
            ),
            Notice::Rebuilt { reducer, events, halted, took } => log::error!(
                target: TARGET, notice = "rebuilt", reducer:%, events, partitions = halted;
                "{reducer}: rebuilt from {events} events in {took:.1?}, but {halted} partitions are \
                 halted"
            ),
            Notice::Paused { reducer } => {
                log::info!(target: TARGET, notice = "paused", reducer:%; "{reducer}: paused");
            }
            Notice::Resumed { reducer } => {
                log::info!(target: TARGET, notice = "resumed", reducer:%; "{reducer}: goes on");
            }
            Notice::Recovered { reducer, partition } => log::info!(
                target: TARGET, notice = "recovered", reducer:%, partition:%;
                "{reducer}: partition {partition} is halted no more"
            ),
            Notice::Activated { reducer, partition } => log::trace!(
                target: TARGET, notice = "activated", reducer:%, partition:%;
                "{reducer}: partition {partition} is active"
            ),
            Notice::Passivated { reducer, partition } => log::trace!(
                target: TARGET, notice = "passivated", reducer:%, partition:%;
                "{reducer}: partition {partition} is passive"
            ),
            Notice::Delivered { reducer, key, attempt } => log::debug!(
                target: TARGET, notice = "delivered", reducer:%, partition:% = key.partition,
                cursor:% = key.cursor, attempt;
                "{reducer}: {key} is delivered"
            ),
            Notice::DeliveryDelayed { reducer, key, delayed } => log::warn!(
                target: TARGET, notice = "delivery_delayed", reducer:%,
                partition:% = key.partition, cursor:% = key.cursor, kind = delayed.kind.as_str(),
                error:% = delayed.message, attempt = delayed.attempts,
                delay_ms = millis(delayed.delay);
                "{reducer}: {key} {}, attempt {}, next in {:?}: {}",
                delayed.kind,
                delayed.attempts,
                delayed.delay,
                delayed.message
            ),
            Notice::Parked { reducer, key, parked } => log::error!(
                target: TARGET, notice = "parked", reducer:%, partition:% = key.partition,
                cursor:% = key.cursor, kind = parked.kind.as_str(), error:% = parked.message,
                attempt = parked.attempts;
                "{reducer}: {key} {parked}; it is parked and holds up its partition"
            ),
            Notice::OutboxDelayed { reducer, attempt, delay, error } => log::warn!(
                target: TARGET, notice = "outbox_delayed", reducer:%, attempt,
                delay_ms = millis(*delay), error:%;
                "{reducer}: the outbox cannot be used, attempt {attempt}, next in {delay:?}: {error}"
            ),
            Notice::LoadDelayed { reducer, attempt, delay, error } => log::warn!(
                target: TARGET, notice = "load_delayed", reducer:%, attempt,
                delay_ms = millis(*delay), error:%;
                "{reducer}: stored states cannot be read, attempt {attempt}, next in {delay:?}: \
                 {error}"
            ),
            Notice::LoadResumed { reducer, attempts } => log::info!(
                target: TARGET, notice = "load_resumed", reducer:%, attempt = attempts;
                "{reducer}: stored states are read again after {attempts} failed attempts"
            ),
            Notice::CommitDelayed { reducers, attempt, delay, error } => {
                let reducers = reducers.join(", ");
                log::warn!(
                    target: TARGET, notice = "commit_delayed", reducers:%, attempt,
                    delay_ms = millis(*delay), error:%;
                    "commits of {reducers} wait for the store, attempt {attempt}, \
                     next in {delay:?}: {error}"
                );
            }
            Notice::CommitResumed { attempts } => log::info!(
                target: TARGET, notice = "commit_resumed", attempt = attempts;
                "the store commits again after {attempts} failed attempts"
            ),
            Notice::ReadDelayed { attempt, delay, error } => log::warn!(
                target: TARGET, notice = "read_delayed", attempt, delay_ms = millis(*delay), error:%;
                "the event log cannot be read, attempt {attempt}, next in {delay:?}: {error}"
            ),
            Notice::Blocked { reducer, reason } => match reason.cursor() {
                Some(cursor) => log::error!(
                    target: TARGET, notice = "blocked", reducer:%, cursor:%, error:% = reason;
                    "{reducer}: blocked: {reason}"
                ),
                None => log::error!(
                    target: TARGET, notice = "blocked", reducer:%, error:% = reason;
                    "{reducer}: blocked: {reason}"
                ),
            },
            Notice::Restarted { reducer: Some(reducer), actor } => log::warn!(
                target: TARGET, notice = "restarted", reducer:%, actor;
                "{reducer}: the {actor} ended unexpectedly and resumes from what is stored"
            ),
            Notice::Restarted { reducer: None, actor } => log::warn!(
                target: TARGET, notice = "restarted", actor;
                "the {actor} ended unexpectedly; its reducers resume from what is stored"
            ),
            Notice::Fenced { reducer } => log::error!(
                target: TARGET, notice = "fenced", reducer:%;
                "{reducer}: another process has taken the reducer over; it stops here"
            ),
            Notice::StandingBy { reducer, owner } => log::info!(
                target: TARGET, notice = "standing_by", reducer:%, owner:%;
                "{reducer}: owned by {owner}; stands by to take it over"
            ),
            Notice::TakenOver { reducer, owner } => log::info!(
                target: TARGET, notice = "taken_over", reducer:%, owner:%;
                "{reducer}: taken over from {owner}"
            ),
            Notice::RenewalDelayed { reducers, attempt, delay, error } => {
                let reducers = reducers.join(", ");
                log::warn!(
                    target: TARGET, notice = "renewal_delayed", reducers:%, attempt,
                    delay_ms = millis(*delay), error:%;
                    "the leases of {reducers} cannot be renewed, attempt {attempt}, \
                     next in {delay:?}: {error}"
                );
            }
            Notice::Stopped { reducer, watermark } => log::info!(
                target: TARGET, notice = "stopped", reducer:%, watermark:%;
                "{reducer}: stopped at cursor {watermark}"
            ),
            other => log::trace!(target: TARGET, "{other:?}"),
        }
    }
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
