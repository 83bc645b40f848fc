//! The types of events: what is stored of them, and reading some of them only.

use rederive_core::{Cursor, EventLog, EventTypes};
use rederive_diesel::SqliteEventLog;
use serde::{Deserialize, Serialize};

use crate::support::Scratch;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Opened { id: u64 },
    Moved(u64, u64),
    Closed,
}

fn opened(id: u64) -> Event {
    Event::Opened { id }
}

fn stored(scratch: &Scratch) -> Vec<String> {
    scratch.text("SELECT event_type AS line FROM rederive_events ORDER BY id")
}

#[test]
fn beside_each_event_stands_the_name_of_its_variant() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<Event>();
    log.append_blocking(vec![opened(1), Event::Moved(1, 2), Event::Closed]).unwrap();
    scratch.db.event_log::<u64>().append_blocking(vec![7]).unwrap();
    assert_eq!(stored(&scratch), ["Opened", "Moved", "Closed", "NULL"]);
    assert_eq!(log.event_type(&Event::Closed).as_deref(), Some("Closed"));
}

#[test]
fn only_what_is_wanted_is_read_and_the_slice_covers_the_rest() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<Event>();
    log.append_blocking((0..10).map(opened).collect()).unwrap();
    log.append_blocking(vec![Event::Closed]).unwrap();
    log.append_blocking((0..10).map(opened).collect()).unwrap();
    let closed = EventTypes::only(["Closed"]);
    let slice = log.fetch_types(&Cursor::Start, 5, &closed).unwrap();
    assert_eq!(slice.events.len(), 1);
    assert_eq!((slice.end, slice.at_head), (Cursor::from(21), true));
    // What is not wanted cannot be undecodable either.
    scratch.execute("UPDATE rederive_events SET data = 'no JSON' WHERE event_type = 'Opened'");
    let slice = log.fetch_types(&Cursor::Start, 1, &closed).unwrap();
    assert_eq!((slice.events.len(), slice.undecodable.len()), (1, 0));
    assert_eq!((slice.end, slice.at_head), (Cursor::from(11), false));
    assert_eq!(log.fetch(&Cursor::Start, 99).unwrap().undecodable.len(), 20);
}

#[test]
fn an_event_whose_type_is_not_stored_is_read_for_everybody() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<Event>();
    scratch.execute("INSERT INTO rederive_events (time, data) VALUES (0, '\"Closed\"')");
    let slice = log.fetch_types(&Cursor::Start, 5, &EventTypes::only(["Opened"])).unwrap();
    assert_eq!(slice.events[0].data, Event::Closed);
}

#[test]
fn a_search_for_what_is_hardly_there_goes_on_in_short_reads() {
    let scratch = Scratch::new("");
    let log = scratch.db.event_log::<Event>();
    scratch.execute(
        "INSERT INTO rederive_events (id, event_type, time, data)
         VALUES (1, 'Opened', 0, '{\"Opened\":{\"id\":1}}'), (500000, 'Closed', 0, '\"Closed\"')",
    );
    let closed = EventTypes::only(["Closed"]);
    let (mut at, mut reads, mut found) = (Cursor::Start, 0, 0);
    loop {
        let slice = log.fetch_types(&at, 100, &closed).unwrap();
        assert!(slice.end > at);
        (at, reads, found) = (slice.end, reads + 1, found + slice.events.len());
        if slice.at_head {
            break;
        }
    }
    assert_eq!((at, found), (Cursor::from(500_000), 1));
    assert!((2..20).contains(&reads), "{reads} reads");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Sold { number: u64 },
    Bought { number: u64 },
}

fn tagged(scratch: &Scratch) -> SqliteEventLog<Tagged> {
    scratch.db.event_log::<Tagged>().typed_by(|event| match event {
        Tagged::Sold { .. } => "sold",
        Tagged::Bought { .. } => "bought",
    })
}

#[test]
fn types_are_named_by_a_function_where_serde_writes_them_in_another_way() {
    let scratch = Scratch::new("");
    let log = tagged(&scratch);
    log.append_blocking(vec![Tagged::Sold { number: 1 }, Tagged::Bought { number: 2 }]).unwrap();
    assert_eq!(stored(&scratch), ["sold", "bought"]);
    let slice = log.fetch_types(&Cursor::Start, 9, &EventTypes::only(["bought"])).unwrap();
    assert_eq!(slice.events[0].data, Tagged::Bought { number: 2 });
    assert_eq!(slice.events.len(), 1);
}

#[test]
fn an_event_that_decodes_as_another_type_than_it_was_stored_as_is_undecodable() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Renamed {
        #[serde(alias = "Opened")]
        AccountOpened { id: u64 },
    }
    let scratch = Scratch::new("");
    scratch.db.event_log::<Event>().append_blocking(vec![opened(1)]).unwrap();
    tagged(&scratch).append_blocking(vec![Tagged::Sold { number: 1 }]).unwrap();
    let said = |slice: Vec<rederive_core::Undecodable>, index: usize| slice[index].message.clone();
    let slice = scratch.db.event_log::<Renamed>().fetch(&Cursor::Start, 9).unwrap();
    let rename = "Upcasts::rename(\"Opened\", \"AccountOpened\")";
    assert!(said(slice.undecodable, 0).contains(rename));
    let untyped = scratch.db.event_log::<Tagged>().fetch(&Cursor::Start, 9).unwrap();
    assert!(said(untyped.undecodable, 1).contains("typed_by"));
}
