//! Tables that a reducer declares, compared with those of the database.

use rederive_core::{
    ColumnKind::{BigInt, Double, Text},
    CursorKind, OpenError, Opening, OwnedTable, Store, Table,
};

use crate::support::{Db, on_every_database};

on_every_database! {
    a_table_that_is_not_as_declared_is_refused_with_table_and_column_named,
    statements_that_do_not_create_the_declared_table_are_refused,
    a_created_table_follows_its_declaration_at_a_rebuild_and_goes_with_it,
}

static ROWS: Table = Table::new("rows", &[("id", Text), ("n", BigInt), ("share", Double)], &[0]);

const GOOD: &str =
    "CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n BIGINT, share DOUBLE PRECISION)";

/// What an opening says of this table.
fn refusal(db: &impl Db, owned: OwnedTable) -> String {
    let tables = [owned];
    let opening = Opening { tables: &tables, ..Opening::new("r", 1, CursorKind::Integer) };
    let refused = db.store().open(&opening).unwrap_err();
    assert!(matches!(refused, OpenError::TableDiffers { .. }), "{refused}");
    assert_eq!(db.store().stored("r"), Ok(None), "a refused reducer left something");
    refused.to_string()
}

fn a_table_that_is_not_as_declared_is_refused_with_table_and_column_named<D: Db>() {
    let cases = [
        ("", "does not exist: create it"),
        ("CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n BIGINT)", "no column named share"),
        (
            "CREATE TABLE rows (id TEXT, n BIGINT PRIMARY KEY, share DOUBLE PRECISION)",
            "primary key (n)",
        ),
        (
            "CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n TEXT, share DOUBLE PRECISION)",
            "column n of type TEXT, which cannot hold bigint",
        ),
        (
            "CREATE TABLE rows (id INTEGER PRIMARY KEY NOT NULL, n BIGINT, share DOUBLE PRECISION)",
            "column id of type INTEGER, which cannot hold text",
        ),
    ];
    for (statements, said) in cases {
        let db = D::new("");
        db.execute(&format!("SELECT 1; {statements}"));
        let text = refusal(&db, OwnedTable::new(&ROWS));
        let (text, said) = (text.to_lowercase(), said.to_lowercase());
        assert!(text.contains("\"rows\"") && text.contains(&said), "{statements}: {text}");
    }
}

fn statements_that_do_not_create_the_declared_table_are_refused<D: Db>() {
    for (statements, said) in [
        ("CREATE TABEL rows (id)", "cannot be created"),
        ("CREATE TABLE others (id TEXT PRIMARY KEY)", "is not created by"),
        ("CREATE TABLE rows (id TEXT PRIMARY KEY)", "do not fit its declaration"),
    ] {
        let db = D::new("");
        let text = refusal(&db, OwnedTable::new(&ROWS).create(statements));
        assert!(text.contains(said), "{statements}: {text}");
    }
    let db = D::new("");
    static OURS: Table = Table::new("rederive_events", &[("id", BigInt)], &[0]);
    assert!(refusal(&db, OwnedTable::new(&OURS)).contains("Rederive's own"));
}

fn a_created_table_follows_its_declaration_at_a_rebuild_and_goes_with_it<D: Db>() {
    static LESS: Table = Table::new("rows", &[("id", Text)], &[0]);
    static OTHER: Table = Table::new("other", &[("id", Text)], &[0]);
    let db = D::new("");
    let first = [OwnedTable::new(&LESS).create("CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL)")];
    let opening = Opening::new("r", 1, CursorKind::Integer);
    db.store().open(&Opening { tables: &first, ..opening.clone() }).unwrap();
    let second = [OwnedTable::new(&ROWS).create(GOOD)];
    let changed = Opening { tables: &second, version: 2, ..opening.clone() };
    assert!(matches!(db.store().open(&changed), Err(OpenError::VersionDiffers { .. })));
    db.store().reset(&changed, &5.into()).unwrap();
    db.store().open(&changed).unwrap();
    let third =
        [OwnedTable::new(&OTHER).create("CREATE TABLE other (id TEXT PRIMARY KEY NOT NULL)")];
    let moved = Opening { tables: &third, version: 3, ..opening };
    db.store().reset(&moved, &5.into()).unwrap();
    // It can be made again: it is not there.
    db.execute("CREATE TABLE rows (id TEXT)");
    assert_eq!(db.store().forget("r"), Ok(true));
    db.execute("CREATE TABLE other (id TEXT)");
}
