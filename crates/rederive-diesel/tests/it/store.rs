//! What the store does beyond the promises of its trait: with constraints, user code, other owners.

use diesel::prelude::*;
use rederive_core::{
    Change, ColumnKind, CommitError, Cursor, CursorKind, Failure, FailureKind, Halt, Op, OpenError,
    Opening, Ops, PartitionId, ReduceError, RowFn, RowOp, Store, Table, Timestamp, Value, WhereOp,
};

use crate::support::{Db, Owner, Scratch, on_every_database, rejection};

on_every_database! {
    what_a_rejected_op_stood_beside_is_rolled_back_with_it,
    every_state_that_a_row_passes_through_must_be_one_that_the_table_takes,
    of_many_rows_in_one_statement_the_guilty_one_is_named,
    a_foreign_key_may_be_satisfied_later_in_the_same_transaction,
    a_table_that_does_not_exist_or_is_another_is_named,
    a_table_that_gets_a_check_constraint_is_planned_anew,
    statements_and_closures_run_in_order_with_the_other_ops,
    a_closure_that_fails_or_panics_takes_its_transaction_with_it_and_nothing_else,
    a_closure_that_tampers_with_the_transaction_is_found_out,
    an_op_of_another_store_is_rejected_by_name,
    the_former_owner_is_fenced_and_the_new_one_goes_on,
    a_halt_is_kept_with_all_it_says_and_found_page_by_page,
    progress_survives_the_end_of_the_process_and_rows_below_the_watermark_go,
    cursors_compare_as_numbers_also_when_they_are_large,
}

static ACCOUNTS: Table =
    Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[0]);
static POSTINGS: Table =
    Table::new("postings", &[("id", ColumnKind::BigInt), ("account", ColumnKind::Text)], &[0]);

const SCHEMA: &str = "
    CREATE TABLE accounts (id TEXT PRIMARY KEY NOT NULL, balance BIGINT NOT NULL CHECK (balance >= 0));
    CREATE TABLE postings (id BIGINT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id));";

fn open(id: &str, balance: i64) -> Op {
    row(&ACCOUNTS, id.into(), Change::Insert(vec![(1, balance.into())]))
}

fn add(id: &str, amount: i64) -> Op {
    row(&ACCOUNTS, id.into(), Change::Increment(1, amount.into()))
}

fn row(table: &'static Table, key: Value, change: Change) -> Op {
    Op::Row(RowOp { table, key: [key].into_iter().collect(), change })
}

fn custom(make: impl FnOnce(&mut Ops) -> Result<(), ReduceError>) -> Op {
    let mut ops = Ops::new(PartitionId::from("p"));
    make(&mut ops).unwrap();
    ops.into_vec().remove(0)
}

fn closure<D: Db>(
    name: &str,
    work: impl Fn(&mut D::Conn) -> QueryResult<()> + Send + Sync + 'static,
) -> Op {
    custom(|ops| {
        D::run(ops, name, work);
        Ok(())
    })
}

/// What SQLite says, or else PostgreSQL.
fn words<D: Db>(sqlite: &'static str, postgres: &'static str) -> &'static str {
    if D::IS_POSTGRES { postgres } else { sqlite }
}

fn accounts(scratch: &impl Db) -> Vec<String> {
    scratch.text("SELECT id || ' ' || balance AS line FROM accounts ORDER BY id")
}

fn progress(scratch: &impl Db) -> Vec<String> {
    scratch.text("SELECT id || ' ' || cursor AS line FROM rederive_partitions ORDER BY id")
}

fn what_a_rejected_op_stood_beside_is_rolled_back_with_it<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    owner.commit(&[("a", vec![open("a", 1)])]).unwrap();
    let cases = [
        (add("b", 1), "table accounts has no row with key 'b'"),
        (
            add("a", -5),
            words::<D>(
                "CHECK constraint failed: balance >= 0 (table accounts, key 'a')",
                "new row for relation \"accounts\" violates check constraint \
                 \"accounts_balance_check\": Failing row contains (a, -4). (table accounts, key 'a')",
            ),
        ),
        (
            open("a", 5),
            words::<D>(
                "UNIQUE constraint failed: accounts.id (table accounts, key 'a')",
                "duplicate key value violates unique constraint \"accounts_pkey\": Key (id)=(a) \
                 already exists. (table accounts, key 'a')",
            ),
        ),
        (
            row(&ACCOUNTS, "a".into(), Change::Update(vec![(1, Value::Null)])),
            words::<D>(
                "NOT NULL constraint failed: accounts.balance (table accounts, key 'a')",
                "null value in column \"balance\" of relation \"accounts\" violates not-null \
                 constraint: Failing row contains (a, null). (table accounts, key 'a')",
            ),
        ),
        (
            row(&POSTINGS, 1.into(), Change::Insert(vec![(1, "nobody".into())])),
            words::<D>(
                "FOREIGN KEY constraint failed: table accounts has no row for account = 'nobody' \
                 (table postings, key 1)",
                "insert or update on table \"postings\" violates foreign key constraint \
                 \"postings_account_fkey\": Key (account)=(nobody) is not present in table \
                 \"accounts\". (table postings, key 1)",
            ),
        ),
    ];
    for (op, message) in cases {
        let guilty = ("guilty", vec![op]);
        let other = ("other", vec![open("c", 1), add("c", 1)]);
        rejection(owner.commit(&[other, guilty.clone()]));
        assert_eq!(rejection(owner.commit(&[guilty])), message);
        assert_eq!(accounts(&scratch), ["a 1"]);
        assert_eq!(progress(&scratch), ["a i00000000000000000001"]);
    }
    owner.commit(&[("other", vec![open("c", 1), add("c", 1)])]).unwrap();
    assert_eq!(accounts(&scratch), ["a 1", "c 2"]);
}

#[test]
fn a_missing_row_is_named_whichever_op_left_it_missing() {
    static ENTRIES: Table = Table::new(
        "entries",
        &[
            ("posting", ColumnKind::BigInt),
            ("nth", ColumnKind::BigInt),
            ("of_posting", ColumnKind::BigInt),
            ("of_nth", ColumnKind::BigInt),
        ],
        &[0, 1],
    );
    let scratch = Scratch::new(&format!(
        "{SCHEMA}
        CREATE TABLE entries (posting INTEGER NOT NULL, nth INTEGER NOT NULL, of_posting INTEGER,
            of_nth INTEGER, PRIMARY KEY (posting, nth),
            FOREIGN KEY (of_posting, of_nth) REFERENCES entries) WITHOUT ROWID;
        CREATE TABLE notes (account TEXT REFERENCES accounts);"
    ));
    let mut owner = Owner::of(&scratch.store());
    let posting = |id: i64, account: &str| {
        row(&POSTINGS, id.into(), Change::Insert(vec![(1, account.into())]))
    };
    let entry = |nth: i64, of: Option<(i64, i64)>| {
        let change = Change::Insert(vec![
            (2, of.map(|(posting, _)| posting).into()),
            (3, of.map(|(_, nth)| nth).into()),
        ]);
        let key = [1.into(), nth.into()].into_iter().collect();
        Op::Row(RowOp { table: &ENTRIES, key, change })
    };
    owner.apply(vec![open("a", 1), open("b", 1), posting(1, "a"), entry(1, None)]).unwrap();
    scratch.execute("INSERT INTO notes VALUES ('b')");
    let delete = |id: &str| row(&ACCOUNTS, id.into(), Change::Delete);
    let update = row(&POSTINGS, 1.into(), Change::Update(vec![(1, "c".into())]));
    let selected = Op::Where(WhereOp {
        table: &ACCOUNTS,
        filter: vec![(0, "a".into())],
        change: Change::Delete,
    });
    let run = closure::<Scratch>("close", |conn| Scratch::batch(conn, "DELETE FROM accounts"));
    let cases = [
        (update, "table accounts has no row for account = 'c' (table postings, key 1)"),
        (delete("a"), "table accounts has no row for account = 'a' (table postings, key 1)"),
        (delete("b"), "table accounts has no row for account = 'b' (table notes, key 1)"),
        (selected, "table accounts has no row for account = 'a' (table postings, key 1)"),
        (run, "table accounts has no row for account = 'b' (table notes, key 1)"),
        (
            entry(2, Some((1, 3))),
            "table entries has no row for of_posting = 1, of_nth = 3 (table entries, key 1, 2)",
        ),
    ];
    for (op, message) in cases {
        let said = rejection(owner.apply(vec![entry(9, Some((1, 1))), op]));
        assert_eq!(said, format!("FOREIGN KEY constraint failed: {message}"));
        assert_eq!(accounts(&scratch), ["a 1", "b 1"]);
    }
    owner.apply(vec![entry(3, Some((1, 2))), entry(2, Some((1, 3)))]).unwrap();
}

fn every_state_that_a_row_passes_through_must_be_one_that_the_table_takes<D: Db>() {
    let scratch = D::new("CREATE TABLE accounts (id TEXT PRIMARY KEY, balance BIGINT NOT NULL)");
    let mut owner = Owner::of(&scratch.store());
    owner.apply(vec![open("a", 1)]).unwrap();
    let put = |balance: Value| {
        let function = RowFn::new(move |row| {
            row[1] = balance.clone();
            Ok(())
        });
        row(&ACCOUNTS, "a".into(), Change::Modify(function))
    };
    let said = rejection(owner.apply(vec![put(5.into()), put(Value::Null), put(7.into())]));
    assert_eq!(said, "NOT NULL constraint failed: accounts.balance (table accounts, key 'a')");
    let make = |change: fn(Vec<(usize, Value)>) -> Change, balance: Option<i64>| {
        let values = balance.map(|balance| (1, Value::from(balance))).into_iter().collect();
        row(&ACCOUNTS, "b".into(), change(values))
    };
    let refused = words::<D>(
        "NOT NULL constraint failed: accounts.balance (table accounts, key 'b')",
        "null value in column \"balance\" of relation \"accounts\" violates not-null constraint: \
         Failing row contains (b, null). (table accounts, key 'b')",
    );
    for incomplete in [Change::Insert, Change::InsertNew, Change::Upsert, Change::Merge] {
        let said =
            rejection(owner.apply(vec![make(incomplete, None), make(Change::Replace, Some(1))]));
        assert_eq!(said, refused);
    }
    assert_eq!(accounts(&scratch), ["a 1"]);
    owner.apply(vec![put(5.into()), put(7.into()), make(Change::Merge, Some(2))]).unwrap();
    assert_eq!(accounts(&scratch), ["a 7", "b 2"]);
}

fn of_many_rows_in_one_statement_the_guilty_one_is_named<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let many = |guilty: Op| {
        let others = (0..100).map(|number| open(&format!("account {number}"), 1));
        others.chain([guilty]).collect::<Vec<_>>()
    };
    let said = rejection(owner.apply(many(open("bad", -1))));
    assert!(said.ends_with("(table accounts, key 'bad')"), "{said}");
    owner.apply(many(open("good", 1))).unwrap();
    let withdraw: Vec<Op> = (0..100).map(|number| add(&format!("account {number}"), -1)).collect();
    let said = rejection(owner.apply([withdraw, vec![add("good", -2)]].concat()));
    assert!(said.ends_with("(table accounts, key 'good')"), "{said}");
}

#[test]
fn a_statement_that_ends_the_transaction_itself_leaves_nothing_behind() {
    let scratch = Scratch::new(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL ON CONFLICT ROLLBACK)",
    );
    let mut owner = Owner::of(&scratch.store());
    let null = row(&ACCOUNTS, "x".into(), Change::Insert(vec![(1, Value::Null)]));
    let mut ops: Vec<Op> = (0..63).map(|number| open(&number.to_string(), 1)).collect();
    // All in one statement, and the guilty row last.
    ops.push(null);
    let said = rejection(owner.apply(ops));
    assert!(said.contains("NOT NULL constraint failed"), "{said}");
    assert_eq!(accounts(&scratch), Vec::<String>::new());
    owner.apply(vec![open("a", 1)]).unwrap();
    assert_eq!(accounts(&scratch), ["a 1"]);
}

fn a_foreign_key_may_be_satisfied_later_in_the_same_transaction<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let posting = row(&POSTINGS, 1.into(), Change::Insert(vec![(1, "a".into())]));
    owner.apply(vec![posting, open("a", 1)]).unwrap();
    assert_eq!(accounts(&scratch), ["a 1"]);
}

fn a_table_that_does_not_exist_or_is_another_is_named<D: Db>() {
    static MISSING: Table = Table::new("missing", &[("id", ColumnKind::Text)], &[0]);
    static OTHER: Table =
        Table::new("accounts", &[("id", ColumnKind::Text), ("owner", ColumnKind::Text)], &[0]);
    static KEYED: Table =
        Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[1]);
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let mut refusal = |op| rejection(owner.apply(vec![op]));
    let delete = |table, key: Value| row(table, key, Change::Delete);
    assert_eq!(refusal(delete(&MISSING, "a".into())), "no such table: missing");
    assert_eq!(refusal(delete(&OTHER, "a".into())), "table accounts has no column named owner");
    assert_eq!(
        refusal(delete(&KEYED, 1.into())),
        "table accounts has the primary key (id) in the database, but (balance) in the program"
    );
    // It may come to exist: nothing was learnt by heart.
    scratch.execute("CREATE TABLE missing (id TEXT PRIMARY KEY)");
    owner.apply(vec![delete(&MISSING, "a".into())]).unwrap();
}

fn a_table_that_gets_a_check_constraint_is_planned_anew<D: Db>() {
    let scratch = D::new("CREATE TABLE accounts (id TEXT PRIMARY KEY, balance BIGINT)");
    let mut owner = Owner::of(&scratch.store());
    let there_and_back = || vec![add("a", -5), add("a", 5)];
    owner.apply(vec![open("a", 1)]).unwrap();
    owner.apply(there_and_back()).unwrap();
    scratch.execute(
        "DROP TABLE accounts; CREATE TABLE accounts (id TEXT PRIMARY KEY, balance BIGINT \
         CHECK (balance >= 0))",
    );
    owner.apply(vec![open("a", 1)]).unwrap();
    assert!(rejection(owner.apply(there_and_back())).to_lowercase().contains("check constraint"));
}

fn statements_and_closures_run_in_order_with_the_other_ops<D: Db>() {
    diesel::table! { accounts (id) { id -> Text, balance -> BigInt } }
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let doubled =
        || diesel::update(accounts::table).set(accounts::balance.eq(accounts::balance * 2));
    let double = custom(|ops| match D::IS_POSTGRES {
        true => rederive_diesel::PostgresOps::statement(ops, doubled()),
        false => rederive_diesel::SqliteOps::statement(ops, doubled()),
    });
    let close =
        closure::<D>("close", |conn| D::batch(conn, "DELETE FROM accounts WHERE balance = 4"));
    let ops = vec![open("a", 1), double.clone(), add("a", 1), open("b", 2), double, close];
    owner.apply(ops.clone()).unwrap();
    assert_eq!(accounts(&scratch), ["a 6"]);
}

fn a_closure_that_fails_or_panics_takes_its_transaction_with_it_and_nothing_else<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let fails = closure::<D>("fails", |conn| D::batch(conn, "SELECT * FROM nowhere"));
    assert_eq!(
        rejection(owner.apply(vec![open("a", 1), fails])),
        words::<D>("no such table: nowhere", "relation \"nowhere\" does not exist")
    );

    let panics = closure::<D>("panics", |_| panic!("of a bug"));
    let result = owner.apply(vec![open("a", 1), panics]);
    assert_eq!(
        result,
        Err(CommitError::Rejected { kind: FailureKind::Panic, message: "of a bug".into() })
    );
    assert_eq!(accounts(&scratch), Vec::<String>::new());
    owner.apply(vec![open("a", 1)]).unwrap();
    assert_eq!(accounts(&scratch), ["a 1"]);
}

fn a_closure_that_tampers_with_the_transaction_is_found_out<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let hides = closure::<D>("hides", |conn| {
        let insert = words::<D>(
            "INSERT OR ROLLBACK INTO accounts VALUES ('x', 1), ('x', 1)",
            "INSERT INTO accounts VALUES ('x', 1), ('x', 1)",
        );
        let _ = D::batch(conn, insert);
        Ok(())
    });
    let leaks = closure::<D>("leaks", D::begin);
    for tampering in [hides, leaks] {
        let result = owner.apply(vec![open("a", 1), tampering, open("b", 1)]);
        assert!(rejection(result).contains("began or ended a transaction"));
        assert_eq!(accounts(&scratch), Vec::<String>::new());
        owner.apply(vec![open("c", 1)]).unwrap();
        scratch.execute("DELETE FROM accounts");
    }
}

fn an_op_of_another_store_is_rejected_by_name<D: Db>() {
    #[derive(Debug)]
    struct Mail;
    impl rederive_core::CustomOp for Mail {}
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    let refused = owner.apply(vec![Op::Custom(std::sync::Arc::new(Mail))]);
    assert_eq!(
        rejection(refused),
        words::<D>("the SQLite store cannot run Mail", "the PostgreSQL store cannot run Mail")
    );
}

fn the_former_owner_is_fenced_and_the_new_one_goes_on<D: Db>() {
    let scratch = D::new(SCHEMA);
    let store = scratch.store();
    let mut former = Owner::of(&store);
    former.commit(&[("a", vec![open("a", 1)])]).unwrap();
    let mut owner = Owner::of(&store);
    let fenced = Err(CommitError::Fenced { reducer: "test".to_owned() });
    assert_eq!(former.commit(&[("b", vec![open("b", 1)])]), fenced);
    assert_eq!(accounts(&scratch), ["a 1"]);
    // The same cursor again would apply an event twice.
    assert_eq!(owner.progress("a", 1, Some(1), None, 0), fenced);
    owner.commit(&[("b", vec![open("b", 1)])]).unwrap();
    assert_eq!(accounts(&scratch), ["a 1", "b 1"]);
}

fn a_halt_is_kept_with_all_it_says_and_found_page_by_page<D: Db>() {
    let scratch = D::new(SCHEMA);
    let store = scratch.store();
    let mut owner = Owner::of(&store);
    let failure = Failure {
        cursor: Cursor::from(9),
        kind: FailureKind::Panic,
        message: "it's \0 broken".to_owned(),
    };
    let halt = Halt::new(failure, 3, Timestamp::from_micros(-5));
    for id in ["c", "a", "b"] {
        owner.progress(id, 5, None, Some(&halt), 7).unwrap();
    }
    owner.progress("d", 8, Some(8), None, 7).unwrap();
    let halted = |after: Option<&str>, limit| {
        let after = after.map(PartitionId::from);
        let page = store.halted("test", after.as_ref(), limit).unwrap();
        assert!(page.iter().all(|row| row.halt.as_ref() == Some(&halt)));
        page.iter().map(|row| row.partition.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(halted(None, 2), ["a", "b"]);
    assert_eq!(halted(Some("b"), 2), ["c"]);
    let scratch = scratch.reopened();
    let opened = scratch.store().open(&Opening::new("test", 1, CursorKind::Integer)).unwrap();
    assert_eq!(opened.watermark, Cursor::from(7));
    let ids: Vec<_> = opened.partitions.iter().map(|row| row.partition.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
}

fn progress_survives_the_end_of_the_process_and_rows_below_the_watermark_go<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    owner.progress("low", 3, Some(3), None, 2).unwrap();
    owner.progress("high", 20, Some(20), None, 10).unwrap();
    let number = owner.revision.number;
    drop(owner);
    let scratch = scratch.reopened();
    let store = scratch.store();
    let opened = store.open(&Opening::new("test", 1, CursorKind::Integer)).unwrap();
    assert_eq!(opened.watermark, Cursor::from(10));
    assert_eq!((opened.revision.epoch, opened.revision.number), (2, number));
    assert_eq!(opened.partitions.len(), 1);
    assert_eq!(opened.partitions[0].cursor, Cursor::from(20));
    let refused = store.open(&Opening::new("test", 2, CursorKind::Integer));
    assert!(matches!(refused, Err(OpenError::VersionDiffers { stored: 1, current: 2, .. })));
    let refused = store.open(&Opening::new("test", 1, CursorKind::Text));
    assert!(matches!(refused, Err(OpenError::CursorKindDiffers { .. })));
    assert_eq!(
        store.writer().unwrap().revision("test").unwrap(),
        Some(opened.revision),
        "refusals change nothing"
    );
    assert_eq!(store.writer().unwrap().revision("nobody").unwrap(), None);
}

fn cursors_compare_as_numbers_also_when_they_are_large<D: Db>() {
    let scratch = D::new(SCHEMA);
    let mut owner = Owner::of(&scratch.store());
    owner.progress("p", 9, Some(9), None, 0).unwrap();
    owner.progress("p", 10, Some(10), None, 0).unwrap();
    owner.progress("p", u64::MAX, Some(u64::MAX), None, 0).unwrap();
    let fenced = owner.progress("p", u64::MAX, Some(u64::MAX), None, 0);
    assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "{fenced:?}");
}
