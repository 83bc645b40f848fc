//! [`Given`]: an event as a test writes it down, before it has a place in a log.

use rederive_core::{Cursor, Recorded, Timestamp};

/// An event for a test. What a test does not care about is filled in: the cursor is one above that
/// of the event before (beginning with 1), the time one second after it (beginning with the year
/// 2026).
///
/// Events, references to events that can be cloned, and [`Recorded`] ones convert into it.
///
/// ```
/// use rederive_core::{Cursor, Timestamp};
/// use rederive_testkit::Given;
///
/// let plain: Given<&str> = "opened".into();
/// let exact = Given::event("closed").at(Cursor::from(7)).recorded(Timestamp::from_micros(0));
/// # let _ = (plain, exact);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<E> {
    data: E,
    cursor: Option<Cursor>,
    time: Option<Timestamp>,
}

impl<E> Given<E> {
    /// An event whose cursor and time are filled in.
    pub fn event(data: E) -> Self {
        Self { data, cursor: None, time: None }
    }

    /// The same at this cursor, which must be above that of the event before.
    #[must_use]
    pub fn at(self, cursor: impl Into<Cursor>) -> Self {
        Self { cursor: Some(cursor.into()), ..self }
    }

    /// The same, recorded at this time.
    #[must_use]
    pub fn recorded(self, time: Timestamp) -> Self {
        Self { time: Some(time), ..self }
    }
}

impl<E> From<E> for Given<E> {
    fn from(data: E) -> Self {
        Self::event(data)
    }
}

impl<E: Clone> From<&E> for Given<E> {
    fn from(data: &E) -> Self {
        Self::event(data.clone())
    }
}

impl<E> From<Recorded<E>> for Given<E> {
    fn from(Recorded { cursor, time, data }: Recorded<E>) -> Self {
        Self { data, cursor: Some(cursor), time: Some(time) }
    }
}

impl<E: Clone> From<&Recorded<E>> for Given<E> {
    fn from(event: &Recorded<E>) -> Self {
        event.clone().into()
    }
}

/// Gives events their places, each after the one before.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    last: Cursor,
    next_time: Timestamp,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { last: Cursor::Start, next_time: Timestamp::from_micros(1_767_225_600_000_000) }
    }
}

impl Recorder {
    /// # Panics
    /// When a cursor is not above the one before, or of another kind.
    #[track_caller]
    pub(crate) fn record<E>(
        &mut self,
        events: impl IntoIterator<Item: Into<Given<E>>>,
    ) -> Vec<Recorded<E>> {
        events.into_iter().map(|event| self.record_one(event.into())).collect()
    }

    #[track_caller]
    fn record_one<E>(&mut self, Given { data, cursor, time }: Given<E>) -> Recorded<E> {
        let cursor = cursor.unwrap_or_else(|| self.next_cursor());
        let kinds = (self.last.kind(), cursor.kind());
        assert!(
            cursor > self.last && (kinds.0.is_none() || kinds.0 == kinds.1),
            "an event at cursor {cursor} cannot come after one at cursor {}: cursors of one kind grow",
            self.last
        );
        let time = time.unwrap_or(self.next_time);
        self.next_time = Timestamp::from_micros(time.as_micros().saturating_add(1_000_000));
        self.last = cursor.clone();
        Recorded { cursor, time, data }
    }

    #[track_caller]
    fn next_cursor(&self) -> Cursor {
        match &self.last {
            Cursor::Start => Cursor::from(1),
            Cursor::Integer(last) => Cursor::from(last.saturating_add(1)),
            Cursor::Pair(first, last) => Cursor::from((*first, last.saturating_add(1))),
            Cursor::Text(last) => panic!(
                "what comes after cursor {last:?} cannot be guessed: name the cursors of all \
                 events, as in `Given::event(event).at(cursor)`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_does_not_name_is_filled_in() {
        let mut recorder = Recorder::default();
        let first = recorder.record::<&str>(["a", "b"]);
        let exact = Given::event("c").at(10).recorded(Timestamp::from_micros(5));
        let second = recorder.record::<&str>([exact, "d".into()]);
        let cursors: Vec<_> = first.iter().chain(&second).map(|event| &event.cursor).collect();
        assert_eq!(cursors, [1, 2, 10, 11].map(Cursor::from).each_ref());
        assert_eq!(first[1].time.to_string(), "2026-01-01T00:00:01.000000Z");
        assert_eq!(second[1].time, Timestamp::from_micros(1_000_005));
    }

    #[test]
    #[should_panic(expected = "cannot come after one at cursor 3")]
    fn a_cursor_that_does_not_grow_is_refused() {
        let events = [3, 3].map(|cursor| Given::event(()).at(cursor));
        Recorder::default().record::<()>(events);
    }

    #[test]
    #[should_panic(expected = "name the cursors of all events")]
    fn text_cursors_are_not_guessed() {
        Recorder::default().record::<&str>([Given::event("a").at("01J"), "b".into()]);
    }
}
