//! How far the work is: a bar per stage on a terminal, a line every few seconds elsewhere.
//! Written to stderr, so that stdout carries the report alone.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{
    HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState,
    ProgressStyle,
};

/// The time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(3);

/// All stages; their bars stand below each other.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    pub(crate) fn on_stderr() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { bars }
    }

    /// Begins a stage: `label` says what is done, `unit` to what.
    pub(crate) fn stage(&self, label: &'static str, unit: &'static str, total: u64) -> Stage {
        let begun = Instant::now();
        let show = match &self.bars {
            Some(bars) => Show::Bar(bars.add(bar(label, unit, total))),
            None => Show::Lines { next: begun + EVERY },
        };
        Stage { label, unit, total, done: 0, begun, show }
    }
}

/// One stage under way.
pub(crate) struct Stage {
    label: &'static str,
    unit: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    show: Show,
}

enum Show {
    Bar(ProgressBar),
    Lines { next: Instant },
}

impl Stage {
    /// `done` of the total are done.
    pub(crate) fn reach(&mut self, done: u64) {
        self.done = done;
        let now = Instant::now();
        match &mut self.show {
            Show::Bar(bar) => bar.set_position(done),
            Show::Lines { next } if now >= *next => {
                *next = now + EVERY;
                self.line();
            }
            Show::Lines { .. } => {}
        }
    }

    /// The stage is over.
    pub(crate) fn finish(self) {
        match &self.show {
            Show::Bar(bar) => bar.abandon(),
            Show::Lines { .. } => self.line(),
        }
    }

    fn line(&self) {
        let line = line(self.label, self.unit, self.done, self.total, self.begun.elapsed());
        // Progress that cannot be written is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn bar(label: &'static str, unit: &'static str, total: u64) -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    };
    let template = "{prefix:>10} [{bar:30}] {human_pos} of {human_len} {msg}, {rate}, {eta} left";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .progress_chars("=> ");
    let bar = ProgressBar::new(total).with_style(style).with_prefix(label).with_message(unit);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// `reading: 1,200 of 9,000 commits, 400/s, 20 seconds left`
fn line(label: &str, unit: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let count = format!("{label}: {} of {} {unit}", HumanCount(done), HumanCount(total));
    if done >= total {
        return format!("{count} in {seconds:.1} s, {}/s", HumanCount(rate as u64));
    }
    if rate < f64::MIN_POSITIVE {
        return count;
    }
    let left = Duration::try_from_secs_f64((total - done) as f64 / rate).unwrap_or(Duration::MAX);
    format!("{count}, {}/s, {} left", HumanCount(rate as u64), HumanDuration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, done: u64) -> String {
        line("reading", "commits", done, 9000, Duration::from_secs(seconds))
    }

    #[test]
    fn a_line_tells_count_rate_and_time_left() {
        assert_eq!(after(3, 1200), "reading: 1,200 of 9,000 commits, 400/s, 20 seconds left");
    }

    #[test]
    fn before_anything_is_done_no_rate_is_invented() {
        assert_eq!(after(3, 0), "reading: 0 of 9,000 commits");
        assert_eq!(after(0, 1), "reading: 1 of 9,000 commits");
    }

    #[test]
    fn the_last_line_tells_how_long_it_took() {
        assert_eq!(after(4, 9000), "reading: 9,000 of 9,000 commits in 4.0 s, 2,250/s");
    }
}
