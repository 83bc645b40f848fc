//! How far long work is: feature `progress-bar`.
//!
//! [`Progress`] shows a bar per stage on a terminal, with rate, elapsed time and time left, and writes a
//! line every few seconds where there is none. As an observer, it shows the rebuilds of all reducers by
//! itself; other stages are shown by [`stage`](Progress::stage).
//!
//! ```no_run
//! use rederive::{progress::Progress, MemoryLog, MemoryStore, prelude::*};
//! # struct Accounts;
//! # impl Reducer for Accounts {
//! #     type Event = String;
//! #     fn name(&self) -> &str { "accounts" }
//! #     fn partition(&self, _: &String) -> Partitions { Partitions::None }
//! #     fn reduce(&self, _: &Recorded<String>, _: &mut Ops) -> Result<(), ReduceError> { Ok(()) }
//! # }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let (log, store) = (MemoryLog::new(), MemoryStore::new());
//! let rederive = Rederive::new(log).register(Accounts, store).observe(Progress::on_stderr());
//! let results = rederive.rebuild(["accounts"]).await?;
//! # Ok(()) }
//! ```

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{
    HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState,
    ProgressStyle,
};
use rederive_core::{Notice, Observer};

/// The time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(3);

/// Shows how far each stage is; their bars stand below each other.
pub struct Progress {
    target: Target,
    /// The rebuilds under way.
    rebuilds: Mutex<HashMap<Arc<str>, Stage>>,
}

#[derive(Clone)]
enum Target {
    Bars(MultiProgress),
    Lines(Arc<Mutex<Box<dyn Write + Send>>>),
}

impl Progress {
    /// On stderr, so that stdout is left to what a program reports: bars if it is a terminal, lines
    /// otherwise.
    pub fn on_stderr() -> Self {
        if !io::stderr().is_terminal() {
            return Self::lines(io::stderr());
        }
        Self::of(Target::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(
            10,
        ))))
    }

    /// Lines, wherever they go: one every three seconds, and one at the end of each stage. Progress
    /// that cannot be written is dropped.
    pub fn lines(to: impl Write + Send + 'static) -> Self {
        Self::of(Target::Lines(Arc::new(Mutex::new(Box::new(to)))))
    }

    fn of(target: Target) -> Self {
        Self { target, rebuilds: Mutex::default() }
    }

    /// Begins a stage: `label` says what is done, `unit` to what, `total` to how many of them.
    pub fn stage(&self, label: &str, unit: &str, total: u64) -> Stage {
        self.begin(label, unit, Some(total))
    }

    fn begin(&self, label: &str, unit: &str, total: Option<u64>) -> Stage {
        let begun = Instant::now();
        let show = match &self.target {
            Target::Bars(bars) => Show::Bar(bars.add(bar(label, unit, total))),
            Target::Lines(to) => Show::Lines { to: Arc::clone(to), next: begun + EVERY },
        };
        let (label, unit) = (label.to_owned(), unit.to_owned());
        Stage { label, unit, total, done: 0, begun, show }
    }
}

/// Shows rebuilds.
impl Observer for Progress {
    fn notice(&self, notice: &Notice) {
        let mut rebuilds = self.rebuilds.lock().unwrap_or_else(PoisonError::into_inner);
        match notice {
            Notice::RebuildStarted { reducer, .. } => {
                let stage = self.begin(reducer, "events", None);
                rebuilds.insert(Arc::clone(reducer), stage);
            }
            Notice::RebuildProgress { reducer, done, total, .. } => {
                if let Some(stage) = rebuilds.get_mut(reducer) {
                    stage.set_total(*total);
                    stage.reach(*done);
                }
            }
            Notice::Rebuilt { reducer, events, .. } => {
                if let Some(mut stage) = rebuilds.remove(reducer) {
                    stage.set_total(Some(*events));
                    stage.done = *events;
                    stage.finish();
                }
            }
            // It was interrupted where it stands.
            Notice::Stopped { reducer, .. } | Notice::Fenced { reducer } => {
                if let Some(stage) = rebuilds.remove(reducer) {
                    stage.finish();
                }
            }
            _ => {}
        }
    }
}

/// One stage under way.
pub struct Stage {
    label: String,
    unit: String,
    total: Option<u64>,
    done: u64,
    begun: Instant,
    show: Show,
}

enum Show {
    Bar(ProgressBar),
    Lines { to: Arc<Mutex<Box<dyn Write + Send>>>, next: Instant },
}

impl Stage {
    /// So many are done.
    pub fn reach(&mut self, done: u64) {
        self.done = done;
        let now = Instant::now();
        match &mut self.show {
            Show::Bar(bar) => bar.set_position(done),
            Show::Lines { next, .. } if now >= *next => {
                *next = now + EVERY;
                self.line();
            }
            Show::Lines { .. } => {}
        }
    }

    /// The stage is over, or goes no further.
    pub fn finish(self) {
        match &self.show {
            Show::Bar(bar) => {
                bar.set_position(self.done);
                bar.abandon();
            }
            Show::Lines { .. } => self.line(),
        }
    }

    fn set_total(&mut self, total: Option<u64>) {
        if let (Show::Bar(bar), Some(total)) = (&self.show, total) {
            bar.set_length(total);
        }
        self.total = total;
    }

    fn line(&self) {
        let Show::Lines { to, .. } = &self.show else { return };
        let line = line(&self.label, &self.unit, self.done, self.total, self.begun.elapsed());
        let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
        // Progress that cannot be written is no reason to stop.
        let _ = writeln!(to, "{line}");
    }
}

fn bar(label: &str, unit: &str, total: Option<u64>) -> ProgressBar {
    const TEMPLATE: &str = "{prefix:>10} [{bar:30}] {human_pos} of {human_len} {msg}, {rate}, \
                            {elapsed} so far, {eta} left";
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    };
    let style = ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .progress_chars("=> ");
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let bar = bar.with_style(style).with_prefix(label.to_owned()).with_message(unit.to_owned());
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// `reading: 1,200 of 9,000 commits, 400/s, 20 seconds left`
fn line(label: &str, unit: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let per_second = HumanCount(rate as u64);
    let Some(total) = total else {
        return format!("{label}: {} {unit}, {per_second}/s", HumanCount(done));
    };
    let count = format!("{label}: {} of {} {unit}", HumanCount(done), HumanCount(total));
    if done >= total {
        return format!("{count} in {seconds:.1} s, {per_second}/s");
    }
    if rate < f64::MIN_POSITIVE {
        return count;
    }
    let left = Duration::try_from_secs_f64((total - done) as f64 / rate).unwrap_or(Duration::MAX);
    format!("{count}, {per_second}/s, {} left", HumanDuration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, done: u64) -> String {
        line("reading", "commits", done, Some(9000), Duration::from_secs(seconds))
    }

    #[test]
    fn a_line_tells_count_rate_and_time_left() {
        assert_eq!(after(3, 1200), "reading: 1,200 of 9,000 commits, 400/s, 20 seconds left");
        let unknown = line("reading", "commits", 1200, None, Duration::from_secs(3));
        assert_eq!(unknown, "reading: 1,200 commits, 400/s");
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

    #[test]
    fn the_bar_has_a_template_that_is_one() {
        let bar = bar("reading", "commits", Some(3));
        bar.set_draw_target(ProgressDrawTarget::hidden());
        bar.set_position(2);
        assert_eq!((bar.position(), bar.length()), (2, Some(3)));
    }
}
