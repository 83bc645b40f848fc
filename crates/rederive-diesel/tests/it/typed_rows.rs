//! Structs that are written and read: the same on every database and in memory.

use diesel::prelude::*;
use rederive_core::{MemoryStore, Op, Ops, ReduceError};
use rederive_diesel::{DieselOps, TypedRows};
use serde::{Deserialize, Serialize};

use crate::support::{Db, Owner, on_every_database, queries, rejection};

on_every_database! {
    one_struct_is_inserted_modified_and_read,
    every_op_with_a_key_of_two_columns_or_without_other_columns_works,
    rows_are_selected_by_values_of_every_type,
    elements_of_every_type_are_stored_in_an_array,
    columns_that_are_not_named_get_their_defaults_by_replace_and_keep_their_values_by_merge,
    what_a_merge_or_replace_cannot_make_is_rejected_with_its_row_named,
}

diesel::table! {
    accounts (id) {
        id -> Text,
        owner -> Text,
        balance -> BigInt,
        #[sql_name = "type"]
        kind -> Nullable<Integer>,
        rate -> Double,
        active -> Bool,
        photo -> Nullable<Binary>,
        labels -> Nullable<Text>,
        level -> SmallInt,
    }
}

diesel::table! {
    memberships (club, member) {
        since -> BigInt,
        member -> Text,
        club -> Integer,
    }
}

diesel::table! {
    tags (tag) { tag -> Text }
}

fn schema<D: Db>() -> &'static str {
    if D::IS_POSTGRES {
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, owner TEXT NOT NULL, balance bigint NOT NULL,
        \"type\" INTEGER, rate double precision NOT NULL DEFAULT 0.5, active boolean NOT NULL, photo bytea,
        labels TEXT DEFAULT '[\"new\"]', level smallint NOT NULL DEFAULT 1, unknown TEXT DEFAULT 'u');
    CREATE TABLE memberships (since bigint NOT NULL, member TEXT, club INTEGER,
        PRIMARY KEY (club, member));
    CREATE TABLE tags (tag TEXT PRIMARY KEY);"
    } else {
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL,
        \"type\" INTEGER, rate REAL NOT NULL DEFAULT 0.5, active INTEGER NOT NULL, photo BLOB,
        labels TEXT DEFAULT '[\"new\"]', level INTEGER NOT NULL DEFAULT 1, unknown TEXT DEFAULT 'u')
        STRICT;
    CREATE TABLE memberships (since INTEGER NOT NULL, member TEXT, club INTEGER,
        PRIMARY KEY (club, member));
    CREATE TABLE tags (tag TEXT PRIMARY KEY);"
    }
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = accounts)]
struct Account {
    id: String,
    owner: String,
    balance: i64,
    #[serde(rename = "type")]
    kind: Option<i32>,
    rate: f64,
    active: bool,
    photo: Option<Vec<u8>>,
    labels: Option<String>,
    level: i16,
}

/// Some of the columns.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = accounts)]
struct Funds {
    balance: i64,
    rate: f64,
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = memberships)]
struct Membership {
    since: i64,
    member: String,
    club: i32,
}

#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = tags)]
struct Tag {
    tag: String,
}

fn alice() -> Account {
    Account {
        id: "alice".to_owned(),
        owner: "Alice".to_owned(),
        balance: 5,
        kind: None,
        rate: 0.25,
        active: true,
        photo: Some(vec![0, 255]),
        labels: None,
        level: 3,
    }
}

fn emitted(emit: impl FnOnce(&mut Ops) -> Result<(), ReduceError>) -> Vec<Op> {
    let mut ops = Ops::new("p".into());
    emit(&mut ops).unwrap();
    ops.into_vec()
}

queries!(Rows {
    fn all(conn) -> (Vec<Account>, Vec<Membership>, Vec<String>) {
        Ok((
            accounts::table.order(accounts::id).select(Account::as_select()).load(conn)?,
            memberships::table
                .order((memberships::club, memberships::member))
                .select(Membership::as_select())
                .load(conn)?,
            tags::table.order(tags::tag).select(tags::tag).load(conn)?,
        ))
    }
});

/// What the database and the memory hold after these ops, which must be the same.
fn after<D: Rows>(ops: &[Op]) -> (Vec<Account>, Vec<Membership>, Vec<String>) {
    let scratch = D::new(schema::<D>());
    Owner::of(&scratch.store()).apply(ops.to_vec()).unwrap();
    let stored = scratch.all();
    let memory = in_memory(ops);
    let tags: Vec<Tag> = memory.rows_of(tags::table).unwrap();
    let held = (
        memory.rows_of(accounts::table).unwrap(),
        memory.rows_of(memberships::table).unwrap(),
        tags.into_iter().map(|row| row.tag).collect(),
    );
    assert_eq!(held, stored);
    stored
}

fn in_memory(ops: &[Op]) -> MemoryStore {
    let store = MemoryStore::new();
    Owner::of(&store).apply(ops.to_vec()).unwrap();
    store
}

fn one_struct_is_inserted_modified_and_read<D: Rows>() {
    let ops = emitted(|ops| {
        ops.insert(accounts::table, alice())?;
        ops.insert(accounts::table, Account { id: "bob".into(), kind: Some(1), ..alice() })?;
        ops.modify(accounts::table, "alice", |account: &mut Account| {
            account.balance *= 3;
            account.kind = Some(7);
            account.photo = None;
            account.active = !account.active;
            account.level -= 1;
            Ok(())
        })?;
        ops.modify(accounts::table, "bob", |funds: &mut Funds| {
            funds.rate *= 2.0;
            funds.balance += 1;
            Ok(())
        })
    });
    let (accounts, _, _) = after::<D>(&ops);
    let first =
        Account { balance: 15, kind: Some(7), photo: None, active: false, level: 2, ..alice() };
    let second = Account { id: "bob".into(), kind: Some(1), rate: 0.5, balance: 6, ..alice() };
    assert_eq!(accounts, [first, second]);
}

#[test]
fn rows_in_memory_are_read_by_key_and_as_some_of_their_columns() {
    let memory = in_memory(&emitted(|ops| {
        ops.insert(accounts::table, alice())?;
        ops.insert(memberships::table, Membership { since: 7, member: "a".into(), club: 1 })
    }));
    let row: Option<Account> = memory.row_of(accounts::table, "alice").unwrap();
    assert_eq!(row, Some(alice()));
    let funds: Vec<Funds> = memory.rows_of(accounts::table).unwrap();
    assert_eq!(funds, [Funds { balance: 5, rate: 0.25 }]);
    let row: Option<Membership> = memory.row_of(memberships::table, (1, "a")).unwrap();
    assert_eq!(row.map(|row| row.since), Some(7));
    let none: Option<Membership> = memory.row_of(memberships::table, (2, "a")).unwrap();
    assert_eq!(none, None);
}

#[test]
fn a_row_that_is_not_what_the_struct_expects_is_told_by_table_and_column() {
    let memory =
        in_memory(&emitted(|ops| ops.merge(accounts::table, "alice", (accounts::owner, "Alice"))));
    let read: Result<Vec<Account>, _> = memory.rows_of(accounts::table);
    let message = read.unwrap_err().to_string();
    assert!(message.contains("table accounts") && message.contains("column balance"), "{message}");
}

fn every_op_with_a_key_of_two_columns_or_without_other_columns_works<D: Rows>() {
    let member = |since, member: &str, club| Membership { since, member: member.into(), club };
    let tag = |tag: &str| Tag { tag: tag.into() };
    let ops = emitted(|ops| {
        ops.insert(memberships::table, member(1, "a", 1))?;
        ops.replace(memberships::table, member(2, "a", 1))?;
        ops.replace(memberships::table, member(3, "a", 2))?;
        ops.merge(memberships::table, (1, "b"), (memberships::since, 4_i64))?;
        ops.merge(memberships::table, (1, "b"), (memberships::since, 5_i64))?;
        ops.modify(memberships::table, (1, "b"), |row: &mut Membership| {
            row.since *= 2;
            Ok(())
        })?;
        ops.increment_where(memberships::since, (memberships::club, 1), 100_i64)?;
        ops.delete_where(memberships::table, ((memberships::club, 2), (memberships::member, "a")))?;
        ops.insert(tags::table, tag("a"))?;
        ops.insert_new(tags::table, tag("a"))?;
        ops.upsert(tags::table, tag("b"))?;
        ops.replace(tags::table, tag("c"))?;
        ops.replace(tags::table, tag("a"))?;
        ops.merge(tags::table, "d", ())?;
        ops.merge(tags::table, "a", ())?;
        ops.modify(tags::table, "d", |row: &mut Tag| {
            if row.tag == "d" { Ok(()) } else { Err(ReduceError::new(&row.tag)) }
        })?;
        ops.delete_where(tags::table, (tags::tag, "b"))
    });
    let (_, members, tags) = after::<D>(&ops);
    assert_eq!(members, [member(102, "a", 1), member(110, "b", 1)]);
    assert_eq!(tags, ["a", "c", "d"]);
}

fn rows_are_selected_by_values_of_every_type<D: Rows>() {
    let ops = emitted(|ops| {
        for id in ["a", "b", "c", "d"] {
            ops.insert(accounts::table, Account { id: id.into(), ..alice() })?;
        }
        ops.update(accounts::table, "b", (accounts::kind, Some(2)))?;
        ops.update_where(accounts::table, (accounts::kind, None::<i32>), (accounts::owner, "N"))?;
        ops.update_where(
            accounts::table,
            (
                (accounts::active, true),
                (accounts::rate, 0.25),
                (accounts::photo, Some(vec![0_u8, 255])),
            ),
            ((accounts::level, 9_i16), (accounts::photo, None::<Vec<u8>>)),
        )?;
        ops.delete_where(accounts::table, ((accounts::id, "c"), (accounts::level, 9_i16)))?;
        ops.delete_where(accounts::table, (accounts::owner, "nobody".to_owned()))?;
        ops.increment_where(accounts::rate, (accounts::kind, 2), 0.5)
    });
    let (accounts, _, _) = after::<D>(&ops);
    let told: Vec<_> =
        accounts.iter().map(|row| (&*row.id, &*row.owner, row.level, row.rate)).collect();
    assert_eq!(told, [("a", "N", 9, 0.25), ("b", "Alice", 9, 0.75), ("d", "N", 9, 0.25)]);
    assert!(accounts.iter().all(|row| row.photo.is_none()));
}

fn elements_of_every_type_are_stored_in_an_array<D: Rows>() {
    #[derive(Serialize)]
    struct Visit<'a> {
        place: &'a str,
        day: u32,
    }
    let visit = || Visit { place: "Rome", day: 3 };
    let ops = emitted(|ops| {
        ops.insert(accounts::table, alice())?;
        ops.array_push_uniq(accounts::labels, "alice", "vip")?;
        ops.array_push_uniq(accounts::labels, "alice", 7)?;
        ops.array_push_uniq(accounts::labels, "alice", visit())?;
        ops.array_push_uniq(accounts::labels, "alice", visit())?;
        ops.array_push_uniq(accounts::labels, "alice", false)?;
        ops.array_push_uniq(accounts::labels, "alice", None::<u8>)?;
        ops.array_delete(accounts::labels, "alice", 7_u64)
    });
    let (accounts, _, _) = after::<D>(&ops);
    let expected = r#"["vip",{"day":3,"place":"Rome"},false,null]"#;
    assert_eq!(accounts[0].labels.as_deref(), Some(expected));
}

#[derive(Insertable, Serialize)]
#[diesel(table_name = accounts)]
struct NewAccount<'a> {
    id: &'a str,
    owner: &'a str,
    balance: i64,
    active: bool,
}

fn columns_that_are_not_named_get_their_defaults_by_replace_and_keep_their_values_by_merge<
    D: Rows,
>() {
    let scratch = D::new(schema::<D>());
    let mut owner = Owner::of(&scratch.store());
    let new = NewAccount { id: "a", owner: "N", balance: 0, active: true };
    owner
        .apply(emitted(|ops| {
            for id in ["a", "b"] {
                ops.insert(accounts::table, Account { id: id.into(), ..alice() })?;
            }
            Ok(())
        }))
        .unwrap();
    scratch.execute("UPDATE accounts SET unknown = 'x'");
    owner
        .apply(emitted(|ops| {
            ops.replace(accounts::table, new)?;
            // The columns that must not be NULL need not be named for a row that exists.
            ops.merge(accounts::table, "b", (accounts::owner, "N"))
        }))
        .unwrap();
    let photo =
        if D::IS_POSTGRES { "coalesce(upper(encode(photo, 'hex')), '')" } else { "hex(photo)" };
    let line = format!(
        "SELECT id || owner || balance || rate || {photo} || coalesce(labels, '-')
             || level || unknown AS line FROM accounts ORDER BY id"
    );
    assert_eq!(scratch.text(&line), [r#"aN00.5["new"]1u"#, "bN50.2500FF-3x"]);
}

fn what_a_merge_or_replace_cannot_make_is_rejected_with_its_row_named<D: Rows>() {
    let is_named = |message: &str, key: &str| {
        let place = format!("(table accounts, key '{key}')");
        assert!(message.contains("balance") && message.ends_with(&place), "{message}");
        assert!(message.to_ascii_lowercase().replace('-', " ").contains("not null"), "{message}");
    };
    let scratch = D::new(schema::<D>());
    let mut owner = Owner::of(&scratch.store());
    let merge = |ops: &mut Ops, id: &str| ops.merge(accounts::table, id, (accounts::owner, "N"));
    owner.apply(emitted(|ops| ops.insert(accounts::table, alice()))).unwrap();
    let refused = owner.apply(emitted(|ops| {
        merge(ops, "alice")?;
        merge(ops, "absent")?;
        merge(ops, "another")
    }));
    is_named(&rejection(refused), "absent");
    #[derive(Insertable, Serialize)]
    #[diesel(table_name = accounts)]
    struct Owned<'a> {
        id: &'a str,
        owner: &'a str,
    }
    let refused =
        owner.apply(emitted(|ops| ops.replace(accounts::table, Owned { id: "alice", owner: "N" })));
    is_named(&rejection(refused), "alice");
    let refused = owner.apply(emitted(|ops| {
        ops.modify(accounts::table, "alice", |account: &mut Account| {
            account.id = "bob".into();
            Ok(())
        })
    }));
    let message = rejection(refused);
    assert!(message.contains("it changes column id of the key"), "{message}");
    assert_eq!(scratch.text("SELECT owner AS line FROM accounts"), ["Alice"]);
}

#[test]
fn a_reducer_is_told_at_once_what_no_json_can_be_made_of() {
    let mut ops = Ops::new("p".into());
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let refused = ops.array_push_uniq(accounts::labels, "alice", &map);
    assert!(refused.is_err());
    assert!(ops.as_slice().is_empty());
}

/// The counterparts of what the documentation of `DieselOps` shows not to compile: so it is the types
/// that it fails for.
#[test]
fn what_does_not_compile_does_with_the_right_types() {
    diesel::table! { notes (id) { id -> Text, text -> Text, owner -> Nullable<Text>, n -> BigInt } }
    #[derive(Insertable, Queryable, Selectable, Serialize, Deserialize)]
    #[diesel(table_name = notes)]
    struct Note {
        id: String,
        text: String,
    }
    let ops = emitted(|ops| {
        ops.increment(notes::n, "a", 5_i64)?;
        ops.delete(notes::table, "a")?;
        ops.update(notes::table, "a", (notes::text, "x"))?;
        ops.delete_where(notes::table, (notes::owner, "a"))?;
        ops.update_where(notes::table, (notes::owner, None::<String>), (notes::n, 0_i64))?;
        ops.merge(notes::table, "a", (notes::n, 1_i64))?;
        ops.increment_where(notes::n, (notes::owner, "a"), 1_i64)?;
        ops.array_push_uniq(notes::text, "a", 1)?;
        ops.modify(notes::table, "a", |note: &mut Note| {
            note.text.clear();
            Ok(())
        })
    });
    assert_eq!(ops.len(), 9);
}
