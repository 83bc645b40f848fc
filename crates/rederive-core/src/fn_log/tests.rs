//! What the functions return is checked, and each mistake is named.

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Line(i64, &'static str);

impl LogRow for Line {
    type Cursor = i64;
    type Event = String;

    fn cursor(&self) -> i64 {
        self.0
    }

    fn time(&self) -> Timestamp {
        assert_ne!(self.1, "timeless");
        Timestamp::from_micros(self.0)
    }

    fn event_type(&self) -> Option<Cow<'_, str>> {
        Some(self.1.into())
    }

    fn event(self) -> Result<String, String> {
        match self.1 {
            "bad" => Err("it is bad".into()),
            "worse" => panic!("it is worse"),
            good => Ok(good.into()),
        }
    }
}

/// A log whose `fetch` returns these rows whatever it is asked.
fn stubborn(rows: &[(i64, &'static str)]) -> FnLog<Line> {
    let rows: Vec<_> = rows.iter().map(|(id, text)| Line(*id, text)).collect();
    FnLog::new(move |_, _| Ok::<_, LogError>(rows.clone()), |_| Ok(0))
}

/// A log as it should be.
fn proper(rows: Vec<Line>) -> FnLog<Line> {
    let fetch = move |after, limit| {
        Ok::<_, LogError>(rows.iter().filter(|row| row.0 > after).take(limit).cloned().collect())
    };
    FnLog::new(fetch, |_| Ok(0))
}

fn error(log: &FnLog<Line>, after: &Cursor, limit: usize) -> String {
    match log.fetch(after, limit) {
        Err(error) => error.to_string(),
        Ok(slice) => panic!("it was accepted: {slice:?}"),
    }
}

#[test]
fn rows_at_or_before_the_place_to_read_from_are_refused() {
    let said =
        "the event log cannot be read: fetch returned row 4, but it was asked for rows after";
    for after in [4, 5] {
        let log = stubborn(&[(4, "a"), (6, "b")]);
        assert_eq!(error(&log, &Cursor::from(after), 10), format!("{said} {after}"));
    }
}

#[test]
fn rows_out_of_order_are_refused() {
    let said = |a, b| {
        format!(
            "the event log cannot be read: fetch returned row {b} behind row {a}; \
             it must return rows in ascending order of their cursors, each once"
        )
    };
    let log = stubborn(&[(1, "a"), (3, "b"), (2, "c")]);
    assert_eq!(error(&log, &Cursor::Start, 10), said(3, 2));
    let log = stubborn(&[(1, "a"), (1, "b")]);
    assert_eq!(error(&log, &Cursor::Start, 10), said(1, 1));
}

#[test]
fn more_rows_than_asked_for_are_refused() {
    let log = stubborn(&[(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(
        error(&log, &Cursor::Start, 2),
        "the event log cannot be read: fetch returned 3 rows, but at most 2 were asked for"
    );
    assert_eq!(log.fetch(&Cursor::Start, 3).map(|slice| slice.events.len()), Ok(3));
}

#[test]
fn a_row_below_zero_is_refused() {
    let log = stubborn(&[(-1, "a"), (1, "b")]);
    assert_eq!(
        error(&log, &Cursor::Start, 10),
        "the event log cannot be read: fetch returned row -1, but it was asked for rows after -1"
    );
}

#[test]
fn a_cursor_of_the_other_kind_is_refused() {
    let log = proper(vec![]);
    assert_eq!(
        error(&log, &Cursor::from("x"), 10),
        "the event log cannot be read: its cursors are of kind integer, but x is of kind text"
    );
}

#[test]
fn what_the_functions_say_is_the_error() {
    let log = FnLog::<Line>::new(|_, _| Err("no such table"), |_| Err("no such column"))
        .with_head(|| Err("locked"));
    assert_eq!(error(&log, &Cursor::Start, 1), "the event log cannot be read: no such table");
    assert_eq!(log.count(&Cursor::Start), Err(LogError::new("no such column")));
    assert_eq!(log.head(), Err(LogError::new("locked")));
}

#[test]
fn a_row_that_cannot_be_decoded_or_panics_is_undecodable_and_hides_no_other() {
    let rows = [(1, "a"), (2, "bad"), (3, "worse"), (4, "timeless"), (5, "b")];
    let log = proper(rows.map(|(id, text)| Line(id, text)).into());
    let slice = log.fetch(&Cursor::Start, 10).expect("it reads");
    let read: Vec<_> = slice.events.iter().map(|event| (&event.cursor, &*event.data)).collect();
    assert_eq!(read, [(&Cursor::from(1), "a"), (&Cursor::from(5), "b")]);
    let [bad, worse, timeless] = &slice.undecodable[..] else { panic!("{:?}", slice.undecodable) };
    assert_eq!((&bad.cursor, &*bad.message), (&Cursor::from(2), "it is bad"));
    assert_eq!(bad.time, Some(Timestamp::from_micros(2)));
    assert_eq!(bad.event_type.as_deref(), Some("bad"));
    assert_eq!(worse.message, "decoding it panicked: it is worse");
    assert!(timeless.message.starts_with("decoding it panicked: "), "{timeless}");
    assert!(
        matches!(log.find(&Cursor::from(3)), Err(ReadError::Undecodable(event)) if event == *worse)
    );
}

#[test]
fn the_head_is_found_behind_many_rows_and_follows_what_is_added() {
    let rows: Arc<Mutex<Vec<Line>>> = Arc::default();
    let shared = Arc::clone(&rows);
    let fetch = move |after, limit| {
        let rows = shared.lock().map_err(|error| error.to_string())?;
        Ok::<_, String>(rows.iter().filter(|row| row.0 > after).take(limit).cloned().collect())
    };
    let log = FnLog::new(fetch, |_| Ok(0));
    assert_eq!(log.head(), Ok(Cursor::Start));
    for upto in [PAGE as i64 - 1, PAGE as i64 * 2, PAGE as i64 * 2 + 1] {
        let mut rows = rows.lock().expect("unpoisoned");
        let from = rows.last().map_or(0, |row| row.0 + 1);
        rows.extend((from..=upto).map(|id| Line(id, "a")));
        drop(rows);
        assert_eq!(log.head(), Ok(Cursor::from(upto as u64)));
    }
}
