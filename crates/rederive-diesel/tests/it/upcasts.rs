//! Events that were stored in an old form.

use rederive_core::{Cursor, EventLog, EventTypes};
use rederive_diesel::{Expected, SqliteEventLog, Upcasts};
use serde::{Deserialize, Serialize};

use crate::support::Scratch;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Old {
    Opened { id: String },
    Deposited { id: String, amount: i64 },
    Closed,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    AccountOpened { id: String, owner: String },
    Deposited { id: String, amount: i64, currency: String },
    Closed { at: i64 },
}

fn history() -> Upcasts {
    Upcasts::new()
        .rename("Opened", "AccountOpened")
        .change("AccountOpened", |event, stored| {
            event["owner"] = stored.stream.unwrap_or("nobody").into();
            Ok(())
        })
        .change("Deposited", |event, _| {
            event["currency"] = "EUR".into();
            Ok(())
        })
        .change("Closed", |event, stored| {
            *event = serde_json::json!({ "at": stored.time.as_micros() });
            Ok(())
        })
}

fn id() -> String {
    "alice".to_owned()
}

fn old_and_new(scratch: &Scratch) -> (SqliteEventLog<Event>, i64) {
    let old = scratch.db.event_log::<Old>();
    let deposited = Old::Deposited { id: id(), amount: 5 };
    let opened = old.append_to_blocking("a", Expected::Any, vec![Old::Opened { id: id() }]);
    let time = opened.unwrap()[0].time;
    let rest = old.append_blocking(vec![deposited, Old::Closed]).unwrap();
    assert!(rest[1].time >= time);
    let log = scratch.db.event_log::<Event>().upcast(history());
    let deposited = Event::Deposited { id: id(), amount: 6, currency: "CHF".to_owned() };
    log.append_blocking(vec![deposited]).unwrap();
    (log, rest[1].time.as_micros())
}

#[test]
fn what_was_stored_in_an_old_form_is_read_as_an_event_of_today() {
    let scratch = Scratch::new("");
    let (log, at) = old_and_new(&scratch);
    let deposited = |amount, currency: &str| Event::Deposited {
        id: id(),
        amount,
        currency: currency.to_owned(),
    };
    let today = [
        Event::AccountOpened { id: id(), owner: "a".to_owned() },
        deposited(5, "EUR"),
        Event::Closed { at },
        deposited(6, "CHF"),
    ];
    let slice = log.fetch(&Cursor::Start, 9).unwrap();
    assert_eq!(slice.undecodable, []);
    assert_eq!(slice.events.iter().map(|event| &event.data).collect::<Vec<_>>(), today.each_ref());
    assert_eq!(log.find(&Cursor::from(3)).unwrap().unwrap().data, today[2]);
    assert_eq!(log.read_stream("a", 0, 9).unwrap()[0].data, today[0]);
    let versions = "SELECT event_type || event_version AS line FROM rederive_events ORDER BY id";
    assert_eq!(scratch.text(versions), ["Opened1", "Deposited1", "Closed1", "Deposited2"]);
}

#[test]
fn a_renamed_type_is_wanted_by_its_name_of_today() {
    let scratch = Scratch::new("");
    let (log, _) = old_and_new(&scratch);
    let read = |name| {
        let slice = log.fetch_types(&Cursor::Start, 9, &EventTypes::only([name])).unwrap();
        slice.events.into_iter().map(|event| event.cursor).collect::<Vec<_>>()
    };
    assert_eq!(read("AccountOpened"), [Cursor::from(1)]);
    assert_eq!(read("Deposited"), [Cursor::from(2), Cursor::from(4)]);
}

#[test]
fn without_the_history_old_events_are_undecodable_and_with_it_they_are_not() {
    let scratch = Scratch::new("");
    let (_, _) = old_and_new(&scratch);
    let slice = scratch.db.event_log::<Event>().fetch(&Cursor::Start, 9).unwrap();
    let broken: Vec<_> = slice.undecodable.iter().map(|event| event.cursor.clone()).collect();
    assert_eq!(broken, [1, 2, 3].map(Cursor::from));
    assert_eq!(slice.events.len(), 1);
}

#[test]
fn an_event_that_cannot_be_upcast_is_undecodable_under_its_name_of_today() {
    let scratch = Scratch::new("");
    let (log, _) = old_and_new(&scratch);
    scratch.execute("UPDATE rederive_events SET data = '{\"Opened\":[]}' WHERE id = 1");
    let slice = log.fetch(&Cursor::Start, 9).unwrap();
    let broken = &slice.undecodable[0];
    assert_eq!((slice.events.len(), broken.cursor.clone()), (3, Cursor::from(1)));
    assert!(broken.message.contains("upcasting \"AccountOpened\" from version 1"), "{broken}");
    assert_eq!(broken.event_type.as_deref(), Some("AccountOpened"));
    assert_eq!(broken.raw.as_deref(), Some("{\"Opened\":[]}"));
    assert_eq!(broken.stream.as_deref(), Some("a"));
}

#[test]
fn an_event_of_a_later_version_says_so_if_it_cannot_be_decoded() {
    let scratch = Scratch::new("");
    let (log, _) = old_and_new(&scratch);
    scratch.execute(
        "UPDATE rederive_events SET event_version = 7, data = '{\"Deposited\":{}}' WHERE id = 4",
    );
    let message = log.fetch(&Cursor::Start, 9).unwrap().undecodable[0].message.clone();
    assert!(message.ends_with(
        "; it was stored in version 7 of \"Deposited\", of which version 2 is known here"
    ));
}
