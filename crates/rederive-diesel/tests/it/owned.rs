//! Tables that a reducer declares, compared with those of the database.

use diesel::connection::SimpleConnection;
use rederive_core::{
    ColumnKind::{BigInt, Double, Text},
    CursorKind, OpenError, Opening, OwnedTable, Store, Table,
};
use rederive_diesel::SqliteDatabase;

static ROWS: Table = Table::new("rows", &[("id", Text), ("n", BigInt), ("share", Double)], &[0]);

const GOOD: &str = "CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n INTEGER, share REAL)";

fn database() -> (tempfile::TempDir, SqliteDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::open(folder.path().join("rows.db")).unwrap();
    (folder, db)
}

/// What an opening says of this table.
fn refusal(db: &SqliteDatabase, owned: OwnedTable) -> String {
    let tables = [owned];
    let opening = Opening { tables: &tables, ..Opening::new("r", 1, CursorKind::Integer) };
    let refused = db.store().open(&opening).unwrap_err();
    assert!(matches!(refused, OpenError::TableDiffers { .. }), "{refused}");
    assert_eq!(db.store().stored("r"), Ok(None), "a refused reducer left something");
    refused.to_string()
}

#[test]
fn a_table_that_is_not_as_declared_is_refused_with_table_and_column_named() {
    let cases = [
        ("", "does not exist: create it"),
        ("CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n INTEGER)", "no column named share"),
        ("CREATE TABLE rows (id TEXT, n INTEGER PRIMARY KEY, share REAL)", "primary key (n)"),
        (
            "CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, n TEXT, share REAL)",
            "column n of type TEXT, which cannot hold bigint",
        ),
        (
            "CREATE TABLE rows (id INTEGER PRIMARY KEY NOT NULL, n INTEGER, share REAL)",
            "column id of type INTEGER, which cannot hold text",
        ),
    ];
    for (statements, said) in cases {
        let (_folder, db) = database();
        db.write(|conn| conn.batch_execute(statements)).unwrap();
        let text = refusal(&db, OwnedTable::new(&ROWS));
        assert!(text.contains("\"rows\"") && text.contains(said), "{statements}: {text}");
    }
}

#[test]
fn statements_that_do_not_create_the_declared_table_are_refused() {
    for (statements, said) in [
        ("CREATE TABEL rows (id)", "cannot be created"),
        ("CREATE TABLE others (id TEXT PRIMARY KEY)", "is not created by"),
        ("CREATE TABLE rows (id TEXT PRIMARY KEY)", "do not fit its declaration"),
    ] {
        let (_folder, db) = database();
        let text = refusal(&db, OwnedTable::new(&ROWS).create(statements));
        assert!(text.contains(said), "{statements}: {text}");
    }
    let (_folder, db) = database();
    static OURS: Table = Table::new("rederive_events", &[("id", BigInt)], &[0]);
    assert!(refusal(&db, OwnedTable::new(&OURS)).contains("Rederive's own"));
}

#[test]
fn a_created_table_follows_its_declaration_at_a_rebuild_and_goes_with_it() {
    static LESS: Table = Table::new("rows", &[("id", Text)], &[0]);
    static OTHER: Table = Table::new("other", &[("id", Text)], &[0]);
    let (_folder, db) = database();
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
    let rows =
        |db: &SqliteDatabase| db.read(|conn| conn.batch_execute("SELECT count(*) FROM rows"));
    assert!(rows(&db).is_err(), "a table that is declared no longer was not dropped");
    assert_eq!(db.store().forget("r"), Ok(true));
    let other = db.read(|conn| conn.batch_execute("SELECT count(*) FROM other"));
    assert!(other.is_err(), "a forgotten reducer left its table behind");
}
