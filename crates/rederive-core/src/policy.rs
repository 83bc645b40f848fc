//! [`OnFailure`]: what a reducer wants done about an event that failed.

use std::time::Duration;

/// What becomes of an event that could not be reduced or committed; answered by
/// [`Reducer::on_failure`](crate::Reducer::on_failure).
///
/// Whichever it is, the events before it are committed, and other partitions go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The partition halts just before the event. It goes on when it is told to: by `retry` once the
    /// cause is corrected, or by `skip`.
    #[default]
    Halt,
    /// The event is tried again after this pause. Its partition waits, and takes part in the window
    /// of events in flight while it does. How often it was tried is forgotten when the process ends.
    Retry(Duration),
    /// The partition passes the event by as if it had not been in the log, and that is recorded:
    /// who waits for it is told, and it is listed with what was wrong. It cannot be made up for
    /// other than by a rebuild.
    Skip,
}

impl OnFailure {
    /// The pause after the first failed attempt of [`retry`](Self::retry).
    pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
    /// The longest pause of [`retry`](Self::retry).
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

    /// Another attempt, as long as no more than `retries` followed the first one: after 100 ms, then
    /// after twice as long each time, up to 10 s. `None` when it has been tried often enough.
    ///
    /// ```
    /// use rederive_core::OnFailure;
    /// use std::time::Duration;
    ///
    /// // In `Reducer::on_failure`, which is told the attempt that failed:
    /// let decide = |attempt| OnFailure::retry(attempt, 3).unwrap_or(OnFailure::Skip);
    /// assert_eq!(decide(1), OnFailure::Retry(Duration::from_millis(100)));
    /// assert_eq!(decide(3), OnFailure::Retry(Duration::from_millis(400)));
    /// assert_eq!(decide(4), OnFailure::Skip);
    /// ```
    pub fn retry(attempt: u32, retries: u32) -> Option<Self> {
        if attempt > retries {
            return None;
        }
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = Self::FIRST_PAUSE.saturating_mul(factor).min(Self::LONGEST_PAUSE);
        Some(OnFailure::Retry(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_the_longest_however_often_it_is_tried() {
        let pause = |attempt| OnFailure::retry(attempt, u32::MAX);
        assert_eq!(pause(7), Some(OnFailure::Retry(Duration::from_millis(6400))));
        assert_eq!(pause(8), Some(OnFailure::Retry(OnFailure::LONGEST_PAUSE)));
        assert_eq!(pause(u32::MAX), Some(OnFailure::Retry(OnFailure::LONGEST_PAUSE)));
    }

    #[test]
    fn without_retries_the_first_failure_is_the_last() {
        assert_eq!(OnFailure::retry(1, 0), None);
    }
}
