//! Random ops, planned and merged, lead to what they lead to one after the other.

use std::{cell::RefCell, rc::Rc, thread::LocalKey};

use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};
use rederive_core::{
    Change, ColumnKind, CommitError, Json, MemoryStore, Op, Ops, PartitionId, ReduceError, RowFn,
    RowOp, Table, Value, WhereOp,
};

use crate::support::{Db, Owner, PostgresScratch, Scratch};

const COLUMNS: &[(&str, ColumnKind)] = &[
    ("part", ColumnKind::Text),
    ("id", ColumnKind::BigInt),
    ("a", ColumnKind::BigInt),
    ("b", ColumnKind::SmallInt),
    ("c", ColumnKind::Double),
    ("d", ColumnKind::Text),
    ("e", ColumnKind::Numeric),
];

static PLAIN: Table = Table::new("plain", COLUMNS, &[0, 1]);
static STRICT: Table = Table::new("strict", COLUMNS, &[0, 1]);
static CHECKED: Table = Table::new("checked", COLUMNS, &[0, 1]);
static UNIQUE: Table = Table::new("uniq", COLUMNS, &[0, 1]);
static TRIGGERED: Table = Table::new("triggered", COLUMNS, &[0, 1]);
static CHILD: Table = Table::new("child", COLUMNS, &[0, 1]);
static AT_ONCE: Table = Table::new("at_once", COLUMNS, &[0, 1]);

const SCHEMA: &str = "
    CREATE TABLE plain (part TEXT, id INTEGER, a INTEGER, b INTEGER, c REAL, d TEXT, e TEXT,
        PRIMARY KEY (part, id));
    CREATE TABLE strict (part TEXT NOT NULL, id INTEGER NOT NULL, a INTEGER NOT NULL,
        b INTEGER NOT NULL DEFAULT 7, c REAL, d TEXT NOT NULL DEFAULT (lower('X')), e TEXT,
        PRIMARY KEY (part, id)) STRICT;
    CREATE TABLE checked (part TEXT, id INTEGER, a INTEGER CHECK (a < 3), b INTEGER, c REAL, d TEXT, e TEXT,
        PRIMARY KEY (part, id)) WITHOUT ROWID;
    CREATE TABLE uniq (part TEXT, id INTEGER, a INTEGER, b INTEGER UNIQUE, c REAL, d TEXT, e TEXT,
        PRIMARY KEY (part, id));
    CREATE TABLE triggered (part TEXT, id INTEGER, a INTEGER, b INTEGER, c REAL, d TEXT, e TEXT,
        PRIMARY KEY (part, id));
    CREATE TABLE journal (n INTEGER PRIMARY KEY, line TEXT);
    CREATE TRIGGER i AFTER INSERT ON triggered BEGIN
        INSERT INTO journal (line) VALUES ('+' || new.id || ':' || ifnull(new.a, '')); END;
    CREATE TRIGGER u AFTER UPDATE ON triggered BEGIN
        INSERT INTO journal (line) SELECT '=' || new.id || ':' || ifnull(new.a, '') || '/' ||
            count(*) || ':' || total(b) FROM plain; END;
    CREATE TRIGGER d AFTER DELETE ON triggered BEGIN
        INSERT INTO journal (line) VALUES ('-' || old.id); END;
    CREATE TABLE child (part TEXT, id INTEGER, a INTEGER, b INTEGER, c REAL, d TEXT, e TEXT,
        PRIMARY KEY (part, id),
        FOREIGN KEY (part, a) REFERENCES plain (part, id));";

const ON_POSTGRES: &str = "
    CREATE TABLE plain (part text, id bigint, a bigint, b smallint, c double precision, d text, e numeric,
        PRIMARY KEY (part, id));
    CREATE TABLE strict (part text, id bigint, a bigint NOT NULL, b smallint NOT NULL DEFAULT 7,
        c double precision, d text NOT NULL DEFAULT (lower('X')), e numeric, PRIMARY KEY (part, id));
    CREATE TABLE checked (part text, id bigint, a bigint CHECK (a < 3), b smallint,
        c double precision, d text, e numeric, PRIMARY KEY (part, id));
    CREATE TABLE uniq (part text, id bigint, a bigint, b smallint UNIQUE, c double precision, d text, e numeric,
        PRIMARY KEY (part, id));
    CREATE TABLE triggered (part text, id bigint, a bigint, b smallint, c double precision, d text, e numeric,
        PRIMARY KEY (part, id));
    CREATE TABLE journal (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO journal (line) SELECT CASE TG_OP
                WHEN 'INSERT' THEN '+' || new.id || ':' || coalesce(new.a::text, '')
                WHEN 'UPDATE' THEN '=' || new.id || ':' || coalesce(new.a::text, '') || '/' ||
                    (SELECT count(*) || ':' || coalesce(sum(b), 0) FROM plain)
                ELSE '-' || old.id END;
            RETURN NULL;
        END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON triggered
        FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE child (part text, id bigint, a bigint, b smallint, c double precision, d text, e numeric,
        PRIMARY KEY (part, id),
        FOREIGN KEY (part, a) REFERENCES plain (part, id) DEFERRABLE);
    CREATE TABLE at_once (part text, id bigint, a bigint, b smallint, c double precision, d text, e numeric,
        PRIMARY KEY (part, id),
        FOREIGN KEY (part, a) REFERENCES plain (part, id));";

/// One op.
#[derive(Clone, Debug)]
struct Spec {
    partition: usize,
    table: &'static Table,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A change of the row with this number.
    Change(i64, Change),
    /// A change of the row with this number by a function.
    Modify(i64, Twist),
    /// A change of the partition's rows with these values.
    Where(Vec<(usize, Value)>, Change),
}

/// What a function makes of a row.
#[derive(Clone, Copy, Debug)]
enum Twist {
    /// `a` becomes twice as much, or 1.
    DoubleA,
    /// `b` becomes what `a` is; that may be too much for it.
    CopyAToB,
    /// `a` is forgotten, which not every table takes.
    ForgetA,
    /// `d` tells what `c` is.
    TellC,
    /// Fails when `a` is above 2.
    DemandSmallA,
    Nothing,
}

impl Twist {
    fn function(self) -> RowFn {
        RowFn::new(move |row| {
            match (self, &row[2]) {
                (Twist::DoubleA, Value::Integer(a)) => row[2] = a.wrapping_mul(2).into(),
                (Twist::DoubleA, _) => row[2] = 1.into(),
                (Twist::CopyAToB, a) => row[3] = a.clone(),
                (Twist::ForgetA, _) => row[2] = Value::Null,
                (Twist::TellC, _) => row[5] = format!("c {}", row[4]).into(),
                (Twist::DemandSmallA, Value::Integer(a)) if *a > 2 => {
                    return Err(ReduceError::new(format!("{a} is too much")));
                }
                (Twist::DemandSmallA | Twist::Nothing, _) => {}
            }
            Ok(())
        })
    }
}

fn value(column: usize) -> BoxedStrategy<Value> {
    match column {
        2 => prop_oneof![
            4 => (-2_i64..5).prop_map(Value::from),
            1 => Just(Value::Null),
            1 => select(vec![i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1]).prop_map(Value::from),
        ]
        .boxed(),
        3 => prop_oneof![
            4 => (-2_i64..5).prop_map(Value::from),
            1 => Just(Value::Null),
            1 => select(vec![i64::from(i16::MAX), i64::from(i16::MIN)]).prop_map(Value::from),
        ]
        .boxed(),
        4 => prop_oneof![
            select(vec![0.1, 0.2, -1e300, 1e-300, 0.3]).prop_map(Value::from),
            (-2_i64..3).prop_map(|number| Value::from(number as f64)),
            Just(Value::Null),
        ]
        .boxed(),
        6 => prop_oneof![
            4 => select(vec!["0.1", "0.2", "-0.3", "12345678901234567890", "0"]).prop_map(Value::from),
            1 => Just(Value::Null),
        ]
        .boxed(),
        _ => prop_oneof![
            3 => select(vec![Value::from("x"), Value::from("y")]),
            3 => select(vec![Value::from("[]"), Value::from(r#"[ 1, "x" ]"#)]),
            1 => Just(Value::Null),
        ]
        .boxed(),
    }
}

fn row() -> impl Strategy<Value = Vec<(usize, Value)>> {
    vec((2_usize..7).prop_flat_map(|column| (Just(column), value(column))), 0..5)
}

/// A row with all columns: most inserts have them, and only they can be merged with much.
fn full_row() -> impl Strategy<Value = Vec<(usize, Value)>> {
    (value(2), value(3), value(4), value(5), value(6))
        .prop_map(|(a, b, c, d, e)| vec![(2, a), (3, b), (4, c), (5, d), (6, e)])
}

fn any_row() -> impl Strategy<Value = Vec<(usize, Value)>> {
    prop_oneof![2 => full_row(), 1 => row()]
}

fn change() -> impl Strategy<Value = Change> {
    let increment =
        select(vec![2_usize, 3, 4, 6]).prop_flat_map(|column| (Just(column), value(column)));
    prop_oneof![
        3 => any_row().prop_map(Change::Insert),
        2 => any_row().prop_map(Change::InsertNew),
        3 => any_row().prop_map(Change::Upsert),
        4 => row().prop_map(Change::Update),
        6 => increment
            .prop_filter("a number", |(_, by)| *by != Value::Null)
            .prop_map(|(column, by)| Change::Increment(column, by)),
        2 => Just(Change::Delete),
        2 => row().prop_map(Change::Merge),
        2 => any_row().prop_map(Change::Replace),
        3 => json().prop_map(|element| Change::ArrayPushUniq(5, element)),
        2 => json().prop_map(|element| Change::ArrayDelete(5, element)),
    ]
}

fn json() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::of("x").unwrap()),
        (0..3).prop_map(|number| Json::of(&number).unwrap()),
        Just(Json::of(&[true]).unwrap()),
    ]
}

fn twist() -> impl Strategy<Value = Twist> {
    use Twist::*;
    select(vec![DoubleA, CopyAToB, ForgetA, TellC, DemandSmallA, Nothing])
}

fn what() -> impl Strategy<Value = What> {
    let filter = vec((1_usize..7).prop_flat_map(|column| (Just(column), filtered(column))), 0..2);
    let increment =
        select(vec![2_usize, 3, 4, 6]).prop_flat_map(|column| (Just(column), value(column)));
    let selected = prop_oneof![
        2 => row().prop_map(Change::Update),
        3 => increment
            .prop_filter("a number", |(_, by)| *by != Value::Null)
            .prop_map(|(column, by)| Change::Increment(column, by)),
        1 => Just(Change::Delete),
    ];
    prop_oneof![
        12 => (0_i64..3, change()).prop_map(|(id, change)| What::Change(id, change)),
        3 => (0_i64..3, twist()).prop_map(|(id, twist)| What::Modify(id, twist)),
        3 => (filter, selected).prop_map(|(filter, change)| What::Where(filter, change)),
    ]
}

fn filtered(column: usize) -> BoxedStrategy<Value> {
    match column {
        1 => (0_i64..3).prop_map(Value::from).boxed(),
        column => value(column),
    }
}

fn specs(tables: &[&'static Table]) -> impl Strategy<Value = Vec<Vec<Spec>>> + use<> {
    let spec = (0_usize..3, select(tables.to_vec()), what())
        .prop_map(|(partition, table, what)| Spec { partition, table, what });
    vec(vec(spec, 1..6), 40..80)
}

const PARTS: [&str; 2] = ["x", "y"];

fn op(spec: &Spec) -> Op {
    let Spec { partition, table, what } = spec;
    let part = Value::from(PARTS[*partition]);
    let row = |id: i64, change| {
        let key = [part.clone(), id.into()].into_iter().collect();
        Op::Row(RowOp { table, key, change })
    };
    match what {
        What::Change(id, change) => row(*id, change.clone()),
        What::Modify(id, twist) => row(*id, Change::Modify(twist.function())),
        What::Where(filter, change) => {
            let filter = [(0, part)].into_iter().chain(filter.clone()).collect();
            Op::Where(WhereOp { table, filter, change: change.clone() })
        }
    }
}

/// The ops of a batch by partition: a row belongs to one partition.
fn by_partition(batch: &[Spec]) -> Vec<(&'static str, Vec<Op>)> {
    let of = |partition: usize| {
        batch.iter().filter(|spec| spec.partition == partition).map(op).collect::<Vec<_>>()
    };
    (0..2).map(|partition| (PARTS[partition], of(partition))).collect()
}

/// The same, with something between the ops that keeps them apart and in order.
fn one_by_one<D: Db>(batch: &[Spec]) -> Vec<(&'static str, Vec<Op>)> {
    let mut barrier = Ops::new(PartitionId::from(""));
    D::run(&mut barrier, "nothing", |_| Ok(()));
    let barrier = barrier.into_vec().remove(0);
    let apart = |(_, ops): (&str, Vec<Op>)| {
        ops.into_iter().flat_map(|op| [op, barrier.clone()]).collect::<Vec<_>>()
    };
    vec![("all", by_partition(batch).into_iter().flat_map(apart).collect())]
}

fn accepted(result: Result<(), CommitError>) -> bool {
    match result {
        Ok(()) => true,
        Err(CommitError::Rejected { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

/// What these tests want to know of a database.
trait Dumped: Db {
    const TABLES: &str;

    /// The rows of the table, as the memory store would write them.
    fn plain(&self) -> Vec<String>;
    /// How a value is written in SQL.
    fn quote() -> &'static str;
    /// The same for `e`, whose digits count and not how many there are.
    fn quoted_e() -> &'static str;
    fn all() -> &'static LocalKey<RefCell<Vec<Rc<Self>>>>;

    fn dump(&self, table: &str) -> Vec<String> {
        let (quote, e) = (Self::quote(), Self::quoted_e());
        self.text(&format!(
            "SELECT part || ' ' || id || ' ' || {quote}(a) || ' ' || {quote}(b) || ' ' || {quote}(c)
                || ' ' || {quote}(d) || ' ' || {e} AS line FROM {table} ORDER BY part, id"
        ))
    }
}

diesel::table! {
    plain (part, id) {
        part -> Text, id -> BigInt, a -> Nullable<BigInt>, b -> Nullable<SmallInt>,
        c -> Nullable<Double>, d -> Nullable<Text>,
    }
}

macro_rules! dumped {
    ($scratch:ident, $quote:literal, $e:literal, $tables:ident) => {
        impl Dumped for $scratch {
            const TABLES: &str = $tables;

            fn plain(&self) -> Vec<String> {
                use diesel::prelude::*;
                type Row = (String, i64, Option<i64>, Option<i16>, Option<f64>, Option<String>);
                let rows: Vec<Row> =
                    self.db.read(|conn| plain::table.order(plain::all_columns).load(conn)).unwrap();
                let show = |value: Value| match value {
                    Value::Float(number) => format!("{number:e}"),
                    other => other.to_string(),
                };
                let sql =
                    format!("SELECT {} AS line FROM plain ORDER BY part, id", Self::quoted_e());
                rows.into_iter()
                    .zip(self.text(&sql))
                    .map(|((part, id, a, b, c, d), e)| {
                        let rest = [a.into(), b.into(), c.into(), d.into()].map(show);
                        format!("{part} {id} {} {e}", rest.join(" "))
                    })
                    .collect()
            }

            fn quote() -> &'static str {
                $quote
            }

            fn quoted_e() -> &'static str {
                $e
            }

            fn all() -> &'static LocalKey<RefCell<Vec<Rc<Self>>>> {
                thread_local! {
                    /// Making a database takes longer than a case in it.
                    static ALL: RefCell<Vec<Rc<$scratch>>> = const { RefCell::new(Vec::new()) };
                }
                &ALL
            }
        }
    };
}
dumped!(Scratch, "quote", "quote(e)", SCHEMA);
dumped!(PostgresScratch, "quote_nullable", "quote_nullable(trim_scale(e))", ON_POSTGRES);

fn memory_dump(store: &MemoryStore) -> Vec<String> {
    let lines = store.rows(&PLAIN).into_iter().map(|row| {
        let text = |value: &Value| match value {
            Value::Text(text) => text.to_string(),
            other => other.to_string(),
        };
        format!(
            "{} {} {}",
            text(&row[0]),
            text(&row[1]),
            row[2..]
                .iter()
                .map(|value| {
                    match value {
                        Value::Float(number) => format!("{:e}", number),
                        other => other.to_string(),
                    }
                })
                .collect::<Vec<_>>()
                .join(" ")
        )
    });
    lines.collect()
}

/// A database with empty tables.
fn emptied<D: Dumped>() -> Rc<D> {
    D::all().with_borrow_mut(|scratches| {
        let free = scratches.iter().find(|scratch| Rc::strong_count(scratch) == 1);
        let scratch = free.cloned().unwrap_or_else(|| {
            scratches.push(Rc::new(D::new(D::TABLES)));
            Rc::clone(scratches.last().unwrap())
        });
        if D::IS_POSTGRES {
            scratch.execute("DELETE FROM at_once");
        }
        scratch.execute(
            "DELETE FROM child; DELETE FROM plain; DELETE FROM strict; DELETE FROM checked;
             DELETE FROM uniq; DELETE FROM triggered; DELETE FROM journal;
             DELETE FROM rederive_partitions;",
        );
        scratch
    })
}

/// Set `PROPTEST_CASES` for a longer search.
fn config<D: Db>() -> Config {
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    // A server takes its time.
    let few = if D::IS_POSTGRES { 5 } else { 20 };
    let cases = if is_set { Config::default().cases } else { few };
    Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() }
}

/// Compares a database with the memory store.
fn compare_with_memory<D: Dumped>(batches: &[Vec<Spec>]) -> Result<(), TestCaseError> {
    let scratch = emptied::<D>();
    let memory = MemoryStore::new();
    let mut in_database = Owner::of(&scratch.store());
    let mut in_memory = Owner::of(&memory);
    for batch in batches {
        let partitions = by_partition(batch);
        let there = accepted(in_database.commit(&partitions));
        let here = accepted(in_memory.commit(&partitions));
        prop_assert_eq!(there, here, "{:#?}", batch);
        prop_assert_eq!(scratch.plain(), memory_dump(&memory), "{:#?}", batch);
    }
    Ok(())
}

/// Compares planned with one by one on two databases of the same schema.
fn compare<D: Dumped>(batches: &[Vec<Spec>], tables: &[&str]) -> Result<(), TestCaseError> {
    let mut batches = batches.to_vec();
    if D::IS_POSTGRES && tables.contains(&"triggered") {
        // In which order selected rows are changed is PostgreSQL's own affair, and triggers see it.
        for batch in &mut batches {
            batch.retain(|spec| !matches!(spec.what, What::Where(..)));
        }
    }
    let (planned, reference) = (emptied::<D>(), emptied::<D>());
    let mut planning = Owner::of(&planned.store());
    let mut referring = Owner::of(&reference.store());
    for batch in &batches {
        let expected = referring.commit(&one_by_one::<D>(batch));
        let found = planning.commit(&by_partition(batch));
        let text = format!("{batch:#?}\nplanned: {found:?}\none by one: {expected:?}");
        let (found, expected) = (accepted(found), accepted(expected));
        // A foreign key that is checked at once may hold only in the plan's order.
        if tables.contains(&"at_once") && found && !expected {
            return Ok(());
        }
        prop_assert_eq!(found, expected, "{}", text);
        for table in tables {
            prop_assert_eq!(planned.dump(table), reference.dump(table), "{}", text);
        }
        let journal = "SELECT line FROM journal ORDER BY n";
        prop_assert_eq!(planned.text(journal), reference.text(journal), "{}", text);
    }
    Ok(())
}

/// All in one partition, for tables in which rows affect each other.
fn alone(batches: Vec<Vec<Spec>>) -> Vec<Vec<Spec>> {
    batches
        .into_iter()
        .map(|batch| batch.into_iter().map(|spec| Spec { partition: 0, ..spec }).collect())
        .collect()
}

macro_rules! on {
    ($module:ident, $database:ty) => {
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(config::<$database>())]

                #[test]
                fn on_a_plain_table_the_database_does_what_the_memory_store_does(
                    batches in specs(&[&PLAIN]),
                ) {
                    compare_with_memory::<$database>(&batches)?;
                }

                #[test]
                fn with_columns_that_are_not_null_planned_is_as_one_by_one(
                    batches in specs(&[&STRICT, &PLAIN]),
                ) {
                    compare::<$database>(&batches, &["strict", "plain"])?;
                }

                #[test]
                fn with_a_check_constraint_planned_is_as_one_by_one(
                    batches in specs(&[&CHECKED]),
                ) {
                    compare::<$database>(&batches, &["checked"])?;
                }

                #[test]
                fn with_another_unique_column_planned_is_as_one_by_one(
                    batches in specs(&[&UNIQUE, &PLAIN]),
                ) {
                    compare::<$database>(&alone(batches), &["uniq", "plain"])?;
                }

                #[test]
                fn with_triggers_planned_is_as_one_by_one(batches in specs(&[&TRIGGERED, &PLAIN])) {
                    compare::<$database>(&alone(batches), &["triggered", "plain"])?;
                }

                #[test]
                fn with_a_foreign_key_planned_is_as_one_by_one(batches in specs(&[&CHILD, &PLAIN])) {
                    compare::<$database>(&alone(batches), &["child", "plain"])?;
                }
            }
        }
    };
}
on!(on_sqlite, Scratch);
on!(on_postgres, PostgresScratch);

proptest! {
    #![proptest_config(config::<PostgresScratch>())]

    #[test]
    fn with_a_foreign_key_that_is_checked_at_once_all_is_accepted_that_is_one_by_one(
        batches in specs(&[&AT_ONCE, &PLAIN]),
    ) {
        compare::<PostgresScratch>(&alone(batches), &["at_once", "plain"])?;
    }
}
