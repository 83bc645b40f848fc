//! What the load has shown.

use std::fmt;
use std::time::Duration;

use crate::client::{Times, Wrong};

/// The most complaints that are printed.
const SHOWN: usize = 10;

/// The results of all clients.
pub(crate) struct Report {
    pub(crate) elapsed: Duration,
    pub(crate) times: Times,
    pub(crate) wrong: Vec<Wrong>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Times { postings, reads } = &self.times;
        writeln!(f, "{:10}{:>10}{:>10}{:>12}{:>12}", "", "requests", "per s", "p50", "p99")?;
        let all = [&postings[..], &reads[..]].concat();
        for (name, times) in [("postings", &postings[..]), ("reads", reads), ("all", &all)] {
            let mut sorted = times.to_vec();
            sorted.sort_unstable();
            let count = sorted.len();
            #[allow(clippy::cast_precision_loss, reason = "a rate to look at")]
            let rate = count as f64 / self.elapsed.as_secs_f64();
            let (p50, p99) = (millis(percentile(&sorted, 50)), millis(percentile(&sorted, 99)));
            writeln!(f, "{name:10}{count:>10}{rate:>10.0}{p50:>12}{p99:>12}")?;
        }
        let is_violation = |wrong: &&Wrong| matches!(wrong, Wrong::Violation(_));
        let violations = self.wrong.iter().filter(is_violation).count();
        writeln!(f, "{} errors, {violations} violations", self.wrong.len() - violations)?;
        for wrong in self.wrong.iter().take(SHOWN) {
            match wrong {
                Wrong::Error(what) => writeln!(f, "  error: {what}")?,
                Wrong::Violation(what) => writeln!(f, "  violation: {what}")?,
            }
        }
        Ok(())
    }
}

/// The smallest time that is not exceeded by `percent` of the times.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
