use serde_json::json;

use super::*;

fn stored(event_type: &str, version: u32) -> StoredEvent<'_> {
    StoredEvent {
        cursor: Cursor::from(1),
        time: Timestamp::default(),
        stream: None,
        event_type: Some(event_type),
        version,
    }
}

fn add(field: &'static str) -> impl Fn(&mut Value, &StoredEvent<'_>) -> Result<(), UpcastError> {
    move |event, _| {
        event[field] = true.into();
        Ok(())
    }
}

#[test]
fn each_change_is_applied_to_what_was_stored_before_it_and_in_order() {
    let history = Upcasts::new().change("A", add("x")).change("A", add("y"));
    let upcast = |version| history.apply(&stored("A", version), json!({"A": {}}), true);
    assert_eq!(upcast(1), Ok(json!({"A": {"x": true, "y": true}})));
    assert_eq!(upcast(2), Ok(json!({"A": {"y": true}})));
    assert!(!history.concern("A", 3) && !history.concern("B", 1));
    assert_eq!((history.version_of("A"), history.version_of("B")), (3, 1));
}

#[test]
fn a_renamed_type_takes_part_in_the_changes_that_came_later_and_in_no_earlier_ones() {
    let history = Upcasts::new()
        .change("New", add("before"))
        .change("Old", add("old"))
        .rename("Old", "New")
        .change("New", add("after"));
    let upcast = |version| history.apply(&stored("Old", version), json!({"Old": {}}), true);
    assert_eq!(upcast(1), Ok(json!({"New": {"old": true, "after": true}})));
    assert_eq!(upcast(2), Ok(json!({"New": {"after": true}})));
    assert_eq!(history.name_today("Old", 1), "New");
    // The old name is free again.
    assert_eq!((history.version_of("Old"), history.name_today("Old", 3)), (3, "Old"));
}

#[test]
fn names_that_were_exchanged_lead_to_each_other_and_not_in_a_circle() {
    let history = Upcasts::new().rename("A", "C").rename("B", "A").rename("C", "B");
    assert_eq!(history.name_today("A", 1), "B");
    assert_eq!(history.name_today("B", 1), "A");
    let names = |today: &str| history.stored_names(&BTreeSet::from([today.into()]));
    assert_eq!(names("A"), ["A", "B"]);
    assert_eq!(names("B"), ["A", "B", "C"]);
}

#[test]
fn a_variant_without_data_may_gain_some_and_lose_them_again() {
    let fill = |event: &mut Value, _: &StoredEvent<'_>| {
        *event = json!({"why": "unknown"});
        Ok(())
    };
    let history = Upcasts::new().change("Closed", fill);
    let gained = history.apply(&stored("Closed", 1), json!("Closed"), true);
    assert_eq!(gained, Ok(json!({"Closed": {"why": "unknown"}})));
    let history = Upcasts::new().rename("Closed", "Ended");
    let renamed = history.apply(&stored("Closed", 1), json!("Closed"), true);
    assert_eq!(renamed, Ok(json!("Ended")));
    let renamed = history.apply(&stored("Closed", 1), json!({"Closed": null}), true);
    assert_eq!(renamed, Ok(json!({"Ended": null})));
}

#[test]
fn a_change_that_fails_or_panics_says_so_with_the_type_and_the_version() {
    let fails = |_: &mut Value, _: &StoredEvent<'_>| Err(UpcastError::new("no amount"));
    let history = Upcasts::new().change("A", fails);
    let failed = history.apply(&stored("A", 1), json!({"A": {}}), true);
    assert_eq!(failed, Err("upcasting \"A\" from version 1: no amount".to_owned()));
    // Indexing text by a name panics.
    let history = Upcasts::new().change("A", add("x"));
    let panicked = history.apply(&stored("A", 1), json!({"A": "text"}), true);
    assert!(panicked.as_ref().is_err_and(|error| error.contains("a panic")), "{panicked:?}");
    let other = history.apply(&stored("A", 1), json!({"B": {}}), true);
    assert_eq!(other, Err("it is stored as \"A\" and holds another".to_owned()));
}

#[test]
fn with_names_of_the_users_own_all_that_is_stored_is_changed() {
    let history = Upcasts::new().change("a", add("x"));
    let upcast = history.apply(&stored("a", 1), json!({"kind": "a"}), false);
    assert_eq!(upcast, Ok(json!({"kind": "a", "x": true})));
}
