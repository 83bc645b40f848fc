//! Folds whose states are rows of the user's tables, over stores in databases.

use std::sync::Arc;

use diesel::prelude::*;
use rederive_core::{Op, PartitionId, StateForm, Store, StoredRow, fold::FoundState};
use rederive_diesel::TableState;
use serde::{Deserialize, Serialize};

use crate::support::{Db, Owner, Scratch, on_every_database};

on_every_database! {
    a_state_is_stored_in_the_row_of_its_partition_and_read_back,
    a_partition_may_have_a_row_with_a_key_of_several_columns,
}

diesel::table! {
    members (id) { id -> BigInt, name -> Nullable<Text>, score -> Double, active -> Bool }
}

diesel::table! {
    places (x, y) { x -> BigInt, y -> Text, visits -> BigInt }
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = members)]
struct Member {
    id: i64,
    name: Option<String>,
    score: f64,
    active: bool,
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = places)]
struct Place {
    x: i64,
    y: String,
    visits: i64,
}

const TABLES: &str = "
    CREATE TABLE members (id BIGINT PRIMARY KEY, name TEXT, score DOUBLE PRECISION NOT NULL,
        active BOOLEAN NOT NULL, note TEXT DEFAULT 'kept');
    CREATE TABLE places (x BIGINT NOT NULL, y TEXT NOT NULL, visits BIGINT NOT NULL,
        PRIMARY KEY (x, y));";

fn row<S>(form: &impl StateForm<S>, partition: &str) -> StoredRow {
    match form.find(&partition.into()).expect("it has a row") {
        FoundState::Row(row) => row,
        FoundState::Here(_) => unreachable!("it is in a table"),
    }
}

/// The state of the partition as it is stored.
fn load<S>(form: &impl StateForm<S>, store: &impl Store, partition: &str) -> Option<S> {
    let row = store.load(&[row(form, partition)]).expect("it can be read").remove(0)?;
    Some(form.read(row).expect("it is a state").0)
}

fn op<S>(form: &impl StateForm<S>, partition: &str, state: Option<S>) -> Op {
    let (partition, state) = (PartitionId::from(partition), state.map(Arc::new));
    form.store(&partition, &1.into(), state.as_ref()).expect("it can be stored")
}

fn a_state_is_stored_in_the_row_of_its_partition_and_read_back<D: Db>() {
    let scratch = D::new(TABLES);
    let store = scratch.store();
    let mut owner = Owner::of(&store);
    let form = TableState::new(members::table);
    for (score, name) in [(0.5, None), (2.0, Some("Ada".to_owned()))] {
        let member = Member { id: 7, name, score, active: true };
        owner.commit(&[("7", vec![op(&form, "7", Some(member.clone()))])]).unwrap();
        assert_eq!(load(&form, &store, "7"), Some(member.clone()));
        let text = "SELECT id || ' ' || coalesce(name, '-') || ' ' || score AS line FROM members";
        let name = member.name.as_deref().unwrap_or("-");
        let stored = scratch.text(text).remove(0);
        let stored: Vec<&str> = stored.split(' ').collect();
        assert_eq!(stored[..2], ["7", name]);
        assert_eq!(stored[2].parse::<f64>().unwrap(), member.score);
    }
    assert_eq!(scratch.text("SELECT note AS line FROM members"), ["kept"]);
    assert_eq!(load::<Member>(&form, &store, "8"), None);
    owner.commit(&[("7", vec![op::<Member>(&form, "7", None)])]).unwrap();
    assert_eq!(load::<Member>(&form, &store, "7"), None);
}

fn a_partition_may_have_a_row_with_a_key_of_several_columns<D: Db>() {
    let scratch = D::new(TABLES);
    let store = scratch.store();
    let form = TableState::keyed(places::table, |partition: &PartitionId| {
        let (x, y) = partition.as_str().split_once('/').unwrap_or_default();
        Ok((x.parse::<i64>()?, y.to_owned()))
    });
    let place = Place { x: 3, y: "c/d".to_owned(), visits: 9 };
    let stored = op(&form, "3/c/d", Some(place.clone()));
    Owner::of(&store).commit(&[("3/c/d", vec![stored])]).unwrap();
    assert_eq!(load(&form, &store, "3/c/d"), Some(place));
    assert_eq!(load::<Place>(&form, &store, "3/c"), None);
    let refused = StateForm::<Place>::find(&form, &"x/y".into()).expect_err("it is no number");
    assert!(refused.to_string().contains("invalid digit"), "{refused}");
}

#[test]
fn a_state_that_does_not_belong_into_the_row_of_its_partition_is_refused() {
    let form = TableState::new(members::table);
    let member = Arc::new(Member { id: 8, name: None, score: 0.0, active: false });
    let refused = form.store(&"7".into(), &1.into(), Some(&member)).expect_err("another's key");
    assert!(refused.to_string().contains("with key 7, but has key 8"), "{refused}");
    let refused = StateForm::<Member>::find(&form, &"seven".into()).expect_err("it is no number");
    assert!(refused.to_string().contains("\"seven\" is no id"), "{refused}");
    let several = TableState::new(places::table);
    let refused = StateForm::<Place>::find(&several, &"7".into()).expect_err("two key columns");
    assert!(refused.to_string().contains("TableState::keyed"), "{refused}");
}

#[test]
fn a_row_that_is_no_state_is_an_error_that_names_the_column() {
    let scratch =
        Scratch::new("CREATE TABLE members (id INTEGER PRIMARY KEY, name, score, active)");
    scratch.execute("INSERT INTO members VALUES (7, NULL, 'high', 1)");
    let form = TableState::new(members::table);
    let wanted = row::<Member>(&form, "7");
    let values = scratch.store().load(&[wanted]).unwrap().remove(0).expect("there is a row");
    let refused = StateForm::<Member>::read(&form, values).expect_err("the score is text");
    assert!(refused.to_string().contains("score"), "{refused}");
}
