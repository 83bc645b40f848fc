//! Explanations: what they tell, and that they change nothing.

use diesel::{connection::SimpleConnection, prelude::*};
use rederive_core::{MemoryLog, Ops, Partitions, Recorded, ReduceError, Reducer};
use rederive_diesel::{DieselOps, PostgresOps, SqliteOps, TypedRows};
use serde::{Deserialize, Serialize};

use crate::support::{Db, Owner, PostgresScratch, Scratch, on_every_database};

on_every_database! {
    an_op_that_does_not_fit_the_schema_is_told,
    explaining_changes_nothing_and_what_was_explained_is_what_is_done,
}

diesel::table! {
    accounts (id) { id -> Text, owner -> Text, balance -> BigInt, labels -> Nullable<Text> }
}

#[derive(Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = accounts)]
struct Account {
    id: String,
    owner: String,
    balance: i64,
    labels: Option<String>,
}

#[derive(Clone, Copy)]
enum Event {
    Opened(&'static str),
    Deposited(&'static str, i64),
    Doubled(&'static str),
    Labelled(&'static str),
    Renamed(&'static str),
    Forgotten(&'static str),
    Swept(&'static str),
    Misplaced,
    Other,
}

/// Which database the SQL of its own is for.
struct Accounts {
    is_postgres: bool,
}

impl Reducer for Accounts {
    type Event = Event;

    fn name(&self) -> &str {
        "accounts"
    }

    fn partition(&self, event: &Event) -> Partitions {
        match *event {
            Event::Opened(id)
            | Event::Deposited(id, _)
            | Event::Doubled(id)
            | Event::Labelled(id)
            | Event::Renamed(id)
            | Event::Forgotten(id)
            | Event::Swept(id) => id.into(),
            Event::Misplaced => "nowhere".into(),
            Event::Other => Partitions::None,
        }
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        match event.data {
            Event::Opened(id) => {
                let row = Account { id: id.into(), owner: "it's".into(), balance: 0, labels: None };
                ops.insert(accounts::table, row)
            }
            Event::Deposited(_, amount) if amount < 0 => Err(ReduceError::new("too little")),
            Event::Deposited(id, amount) => ops.increment(accounts::balance, id, amount),
            Event::Doubled(id) => ops.modify(accounts::table, id, |account: &mut Account| {
                account.balance *= 2;
                Ok(())
            }),
            Event::Labelled(id) => ops.array_push_uniq(accounts::labels, id, "new"),
            Event::Renamed(id) => ops.merge(accounts::table, id, (accounts::owner, "N")),
            Event::Forgotten(id) => {
                ops.increment_where(accounts::balance, (accounts::id, id), -1_i64)?;
                ops.delete_where(accounts::table, (accounts::labels, None::<String>))
            }
            Event::Swept(_) => {
                let swept = diesel::delete(accounts::table.filter(accounts::balance.eq(9_i64)));
                let all = "DELETE FROM accounts";
                if self.is_postgres {
                    PostgresOps::statement(ops, swept)?;
                    PostgresOps::run(ops, "sweep", |conn| conn.batch_execute(all))
                } else {
                    SqliteOps::statement(ops, swept)?;
                    SqliteOps::run(ops, "sweep", |conn| conn.batch_execute(all))
                }
            }
            Event::Misplaced => {
                diesel::table! { nowhere (id) { id -> Text } }
                ops.delete(nowhere::table, "x")
            }
            Event::Other => Ok(()),
        }
    }
}

const SCHEMA: &str = "CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL,
    balance BIGINT NOT NULL, labels TEXT)";

fn explained<D: Db>(scratch: &D, events: &[Event]) -> String {
    let events = MemoryLog::new().append(events.iter().copied());
    scratch.explain(&Accounts { is_postgres: D::IS_POSTGRES }, &events).to_string()
}

#[test]
fn the_statements_of_all_events_are_those_of_one_transaction() {
    let scratch = Scratch::new(SCHEMA);
    let told = explained(
        &scratch,
        &[
            Event::Opened("a"),
            Event::Deposited("a", 5),
            Event::Opened("b"),
            Event::Other,
            Event::Deposited("b", -1),
            Event::Deposited("b", 1),
            Event::Deposited("c", 3),
            Event::Renamed("d"),
        ],
    );
    let expected = r#"event 1
  partition "a": insert accounts 'a': owner = 'it''s', balance = 0, labels = NULL
event 2
  partition "a": increment accounts 'a': balance by 5
event 3
  partition "b": insert accounts 'b': owner = 'it''s', balance = 0, labels = NULL
event 4
  ignored
event 5
  partition "b" halts: it could not be reduced: too little
event 6
  partition "b": held
event 7
  partition "c": increment accounts 'c': balance by 3
event 8
  partition "d": merge accounts 'd': owner = 'N'
INSERT INTO "accounts" ("id","owner","balance","labels") VALUES (?,?,?,?); -- 'a', 'it''s', 5, NULL
INSERT INTO "accounts" ("id","owner","balance","labels") VALUES (?,?,?,?); -- 'b', 'it''s', 0, NULL
UPDATE "accounts" SET "balance"=coalesce("accounts"."balance",0)+?2 WHERE "accounts"."id"=?1 AND coalesce("accounts"."balance",0) BETWEEN ?3 AND ?4; -- 'c', 3, -9223372036854775808, 9223372036854775804
UPDATE "accounts" SET "owner"=?2 WHERE "accounts"."id"=?1; -- 'd', 'N'
-- unless the statement before has changed all its rows:
INSERT INTO "accounts" ("id","owner") SELECT v.column1,v.column2 FROM (VALUES (?,?)) AS v WHERE NOT EXISTS (SELECT 1 FROM "accounts" AS t WHERE t."id"=v.column1); -- 'd', 'N'
"#;
    assert_eq!(told, expected);
}

#[test]
fn postgres_is_handed_one_array_per_column() {
    let scratch = PostgresScratch::new(SCHEMA);
    let events = [Event::Opened("a"), Event::Opened("b"), Event::Deposited("c", 3)];
    let told = explained(&scratch, &events);
    let (_, statements) = told.split_once("INSERT").unwrap();
    let expected = r#" INTO "accounts" ("id", "owner", "balance", "labels") OVERRIDING SYSTEM VALUE SELECT v.c1, v.c2, v.c3, v.c4 FROM unnest($1, $2, $3, $4) AS v (c1, c2, c3, c4); -- 'a', 'b', 'it''s', 'it''s', 0, 0, NULL, NULL
UPDATE "accounts" AS t SET "balance" = coalesce(t."balance", 0) + v.c2 FROM unnest($1, $2, $3, $4) AS v (c1, c2, c3, c4) WHERE t."id" = v.c1 AND coalesce(t."balance", 0) BETWEEN v.c3 AND v.c4; -- 'c', 3, -9223372036854775808, 9223372036854775804
"#;
    assert_eq!(statements, expected);
}

#[test]
fn what_is_computed_selected_or_run_is_told_as_far_as_it_is_known() {
    let scratch = Scratch::new(SCHEMA);
    let events =
        [Event::Doubled("a"), Event::Labelled("a"), Event::Forgotten("a"), Event::Swept("a")];
    let told = explained(&scratch, &events);
    let (_, statements) = told.split_once("SELECT").unwrap();
    let expected = r#" v.column1,t."owner",t."balance",t."labels" FROM (VALUES (?,?)) AS v CROSS JOIN "accounts" AS t ON t."id"=v.column2; -- 0, 'a'
-- an update of the rows of accounts as they are computed
-- the transaction is rejected if this finds a row:
SELECT "id" FROM "accounts" WHERE "id" IS ?1 AND NOT (coalesce("balance",0) BETWEEN ?3 AND ?4) LIMIT 1; -- 'a', -1, -9223372036854775807, 9223372036854775807
UPDATE "accounts" SET "balance"=coalesce("balance",0)+?2 WHERE "id" IS ?1; -- 'a', -1
DELETE FROM "accounts" WHERE "labels" IS ?1; -- NULL
DELETE FROM `accounts` WHERE (`accounts`.`balance` = ?) -- binds: [9];
-- the closure "sweep"
"#;
    assert_eq!(statements, expected);
}

fn an_op_that_does_not_fit_the_schema_is_told<D: Db>() {
    let scratch = D::new(SCHEMA);
    let told = explained(&scratch, &[Event::Opened("a"), Event::Misplaced]);
    assert!(told.ends_with("the store would reject it: no such table: nowhere\n"), "{told}");
}

fn explaining_changes_nothing_and_what_was_explained_is_what_is_done<D: Db>() {
    let scratch = D::new(SCHEMA);
    let events = [Event::Opened("a"), Event::Doubled("a"), Event::Swept("a")];
    let before = scratch.text("SELECT CAST(count(*) AS TEXT) AS line FROM rederive_reducers");
    explained(&scratch, &events);
    assert_eq!(scratch.text("SELECT id AS line FROM accounts"), Vec::<String>::new());
    assert_eq!(
        scratch.text("SELECT CAST(count(*) AS TEXT) AS line FROM rederive_reducers"),
        before
    );
    let events = MemoryLog::new().append([Event::Opened("a"), Event::Deposited("a", 5)]);
    let told = scratch.explain(&Accounts { is_postgres: D::IS_POSTGRES }, &events);
    let ops: Vec<_> = told.reduced.ops()[0].1.iter().map(|op| (*op).clone()).collect();
    Owner::of(&scratch.store()).apply(ops.clone()).unwrap();
    assert_eq!(scratch.text("SELECT id || balance AS line FROM accounts"), ["a5"]);
    let memory = rederive_core::MemoryStore::new();
    Owner::of(&memory).apply(ops).unwrap();
    let row: Option<Account> = memory.row_of(accounts::table, "a").unwrap();
    assert_eq!(row.map(|row| row.balance), Some(5));
}
