//! [`Rate`]: how many events are settled per second.

use std::time::{Duration, Instant};

/// Counts what is settled, second by second, over the last [`Rate::SPAN`].
pub(super) struct Rate {
    began: Instant,
    /// What was counted in each of the last seconds, by the second since the beginning.
    seconds: [u64; Self::SECONDS],
    /// The newest second that anything was noted of.
    newest: u64,
}

impl Rate {
    const SECONDS: usize = 10;
    /// The time over which the rate is told.
    const SPAN: Duration = Duration::from_secs(Self::SECONDS as u64);

    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, seconds: [0; Self::SECONDS], newest: 0 }
    }

    /// So many events were settled.
    pub(super) fn count(&mut self, events: usize, now: Instant) {
        self.forget(now);
        self.seconds[slot(self.newest)] += events as u64;
    }

    /// The events per second over the span, or since the beginning if that is less ago.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        // The present second is in it as far as it has passed, and so many before it in full.
        let since = now.saturating_duration_since(self.began);
        let before = Self::SPAN - Duration::from_secs(1);
        let passed = Duration::from_nanos(since.subsec_nanos().into());
        let span = since.min(before + passed).max(Duration::from_secs(1));
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let events = self.seconds.iter().sum::<u64>() as f64;
        events / span.as_secs_f64()
    }

    /// Moves on to the present second.
    fn forget(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.began).as_secs();
        let passed = second.saturating_sub(self.newest).min(Self::SECONDS as u64);
        for back in 0..passed {
            self.seconds[slot(second - back)] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is less than ten")]
fn slot(second: u64) -> usize {
    (second % Rate::SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut rate = Rate::new(began);
        for second in 0..30 {
            rate.count(100, at(second * 1000 + 500));
        }
        // Nine full seconds and one half that had all of its hundred.
        assert_eq!(rate.per_second(at(29_500)), 1000.0 / 9.5);
        assert_eq!(rate.per_second(at(30_000)), 100.0);
        // Nothing comes any more.
        assert_eq!(rate.per_second(at(34_000)), 500.0 / 9.0);
        assert_eq!(rate.per_second(at(39_000)), 0.0);
        assert_eq!(rate.per_second(at(500_000)), 0.0);
        rate.count(19, at(500_500));
        assert_eq!(rate.per_second(at(500_500)), 2.0);
    }

    #[test]
    fn soon_after_the_beginning_the_rate_is_that_since_then() {
        let began = Instant::now();
        let mut rate = Rate::new(began);
        assert_eq!(rate.per_second(began), 0.0);
        rate.count(10, began);
        // Not ten million per second.
        assert_eq!(rate.per_second(began + Duration::from_micros(1)), 10.0);
        assert_eq!(rate.per_second(began + Duration::from_secs(4)), 2.5);
    }
}
