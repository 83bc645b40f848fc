//! [`Probe`]: an observer that a test can wait on.

mod notified;

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use rederive_core::{Notice, Observer};

use notified::Notified;

/// Collects the notices it is told. Clones share them.
///
/// A test that wants a *later* notice than those it knows of takes a [`Watch`] before it causes it:
///
/// ```
/// use std::time::Duration;
/// use rederive_core::{Cursor, Notice, Observer};
/// use rederive_testkit::Probe;
///
/// let probe = Probe::new();
/// let caught_up = |notice: &Notice| matches!(notice, Notice::CaughtUp { .. });
/// let told = Notice::CaughtUp { reducer: "accounts".into(), watermark: Cursor::from(1) };
/// probe.notice(&told);
/// assert_eq!(probe.wait_for(caught_up, Duration::from_secs(5)), told);
///
/// let mut watch = probe.from_now();
/// let again = Notice::CaughtUp { reducer: "accounts".into(), watermark: Cursor::from(2) };
/// probe.notice(&again);
/// assert_eq!(watch.wait_for(caught_up, Duration::from_secs(5)), again);
/// ```
#[derive(Clone, Default)]
pub struct Probe(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    notices: Vec<Notice>,
    wakers: Vec<Waker>,
}

/// A place in what a [`Probe`] is told: each wait goes on after the notice that ended the last one.
#[derive(Clone)]
pub struct Watch {
    probe: Probe,
    /// How many notices were looked at.
    seen: usize,
}

/// No notice of the wanted kind came in time. Its text lists the last ones that came instead.
#[derive(Clone, Debug)]
pub struct Missed {
    waited: Duration,
    from: usize,
    notices: Vec<Notice>,
}

impl Probe {
    /// A probe that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All notices so far.
    pub fn all(&self) -> Vec<Notice> {
        self.lock().notices.clone()
    }

    /// How many notices so far match.
    pub fn count(&self, matches: impl Fn(&Notice) -> bool) -> usize {
        self.lock().notices.iter().filter(|notice| matches(notice)).count()
    }

    /// A watch over all notices, those already told included.
    pub fn from_start(&self) -> Watch {
        Watch { probe: self.clone(), seen: 0 }
    }

    /// A watch over the notices that are told from now on.
    pub fn from_now(&self) -> Watch {
        Watch { probe: self.clone(), seen: self.lock().notices.len() }
    }

    /// Blocks until a notice matches, and returns the first that does; it may have been told before.
    ///
    /// # Panics
    /// When none matches within that time, with the last notices that came instead.
    #[track_caller]
    pub fn wait_for(&self, matches: impl Fn(&Notice) -> bool, within: Duration) -> Notice {
        self.from_start().wait_for(matches, within)
    }

    /// As [`wait_for`](Self::wait_for), without blocking the thread; runs on any runtime.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub async fn notified(&self, matches: impl Fn(&Notice) -> bool, within: Duration) -> Notice {
        self.from_start().notified(matches, within).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Probe {
    fn notice(&self, notice: &Notice) {
        let wakers = {
            let mut state = self.lock();
            state.notices.push(notice.clone());
            std::mem::take(&mut state.wakers)
        };
        self.0.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Watch {
    /// Blocks until the next notice that matches.
    ///
    /// # Panics
    /// When none comes within that time, with the last notices that came instead.
    #[track_caller]
    pub fn wait_for(&mut self, matches: impl Fn(&Notice) -> bool, within: Duration) -> Notice {
        match self.try_wait_for(matches, within) {
            Ok(notice) => notice,
            Err(missed) => panic!("{missed}"),
        }
    }

    /// Blocks until the next notice that matches.
    ///
    /// # Errors
    /// [`Missed`] when none comes within that time; the watch stays where it was.
    pub fn try_wait_for(
        &mut self,
        matches: impl Fn(&Notice) -> bool,
        within: Duration,
    ) -> Result<Notice, Missed> {
        let deadline = Instant::now() + within;
        let probe = self.probe.clone();
        let mut looked_at = self.seen;
        let mut state = probe.lock();
        loop {
            if let Some(found) = find(&state.notices, &mut looked_at, &matches) {
                self.seen = looked_at;
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.missed(within, &state));
            }
            let wait = probe.0.told.wait_timeout(state, left);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// As [`wait_for`](Self::wait_for), without blocking the thread; runs on any runtime.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub async fn notified(
        &mut self,
        matches: impl Fn(&Notice) -> bool,
        within: Duration,
    ) -> Notice {
        match Notified::new(self, matches, within).await {
            Ok(notice) => notice,
            Err(missed) => panic!("{missed}"),
        }
    }

    fn missed(&self, waited: Duration, state: &State) -> Missed {
        Missed { waited, from: self.seen, notices: state.notices.clone() }
    }
}

/// The first match among what was not looked at; `looked_at` is moved past it, or to the end.
fn find(
    notices: &[Notice],
    looked_at: &mut usize,
    matches: impl Fn(&Notice) -> bool,
) -> Option<Notice> {
    let found = notices.iter().skip(*looked_at).position(matches);
    match found {
        Some(position) => {
            *looked_at += position + 1;
            notices.get(*looked_at - 1).cloned()
        }
        None => {
            *looked_at = notices.len();
            None
        }
    }
}

impl Missed {
    /// How many of the last notices are listed.
    const LISTED: usize = 20;
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.notices.len();
        write!(f, "the notice did not come within {:?}; ", self.waited)?;
        write!(f, "of {total} notices the wait began after the first {}.", self.from)?;
        let first = total.saturating_sub(Self::LISTED);
        for (number, notice) in self.notices.iter().enumerate().skip(first) {
            write!(f, "\n  {}: {notice:?}", number + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Missed {}

#[cfg(test)]
mod tests;
