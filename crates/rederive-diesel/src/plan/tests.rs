//! Plans as data; that they are right is tested on a database.

use std::{convert::Infallible, rc::Rc};

use rederive_core::{Change, ColumnKind, CustomOp, Op, RowOp, Table, Value};

use super::*;

static ACCOUNTS: Table = Table::new(
    "accounts",
    &[("id", ColumnKind::Text), ("owner", ColumnKind::Text), ("balance", ColumnKind::BigInt)],
    &[0],
);
static NOTES: Table =
    Table::new("notes", &[("id", ColumnKind::Text), ("text", ColumnKind::Text)], &[0]);

static COUNTS: Table =
    Table::new("counts", &[("id", ColumnKind::Text), ("count", ColumnKind::BigInt)], &[0]);

/// `owner` and `count` must not be `NULL`.
struct Known(Policy);

impl Facts for Known {
    type Error = Infallible;

    fn of(&mut self, table: &'static Table) -> Result<Rc<TableFacts>, Infallible> {
        let facts = TableFacts {
            policy: self.0,
            row_by_row: self.0 == Policy::Order,
            rank: 0,
            takes: vec![Takes::All; table.columns.len()],
            types: Vec::new(),
            nullable: table
                .columns
                .iter()
                .map(|(name, _)| !["owner", "count"].contains(name))
                .collect(),
            required: table
                .columns
                .iter()
                .position(|(name, _)| *name == "owner")
                .into_iter()
                .collect(),
            settable: Vec::new(),
        };
        Ok(Rc::new(facts))
    }
}

#[derive(Debug)]
struct Custom;
impl CustomOp for Custom {}

fn op(table: &'static Table, id: &str, change: Change) -> Op {
    Op::Row(RowOp { table, key: [id.into()].into_iter().collect(), change })
}

fn insert(id: &str) -> Op {
    op(&ACCOUNTS, id, Change::Insert(vec![(1, "x".into()), (2, 0.into())]))
}

fn add(id: &str, by: i64) -> Op {
    op(&ACCOUNTS, id, Change::Increment(2, by.into()))
}

fn owner(id: &str, owner: impl Into<Value>) -> Op {
    op(&ACCOUNTS, id, Change::Update(vec![(1, owner.into())]))
}

fn delete(id: &str) -> Op {
    op(&ACCOUNTS, id, Change::Delete)
}

fn note(id: &str) -> Op {
    op(&NOTES, id, Change::Insert(vec![(1, "n".into())]))
}

/// The steps as text: the table and kind, then key and columns of each row.
fn plan(policy: Policy, partitions: &[Vec<Op>]) -> Vec<String> {
    let mut planner = Planner::new(Known(policy));
    for ops in partitions {
        planner.add(&"p".into(), ops).expect("planned");
    }
    let plan = planner.finish();
    let cell = |(column, cell): &(usize, Cell<'_>)| match cell {
        Cell::Set(value) => format!("{column}={value}"),
        Cell::SetTo(value) => format!("{column}={value}"),
        Cell::Add { total, low, high } => format!("{column}+{total}[{low},{high}]"),
        Cell::AddFloat(by) => format!("{column}+{by}"),
    };
    let row = |index: &usize| {
        let row = &plan.rows[*index];
        let cells = row.cells.iter().map(cell);
        let changes = row.changes.iter().map(|change| format!("{change:?}"));
        format!("{}({})", row.key[0], cells.chain(changes).collect::<Vec<_>>().join(" "))
    };
    let step = |step: &Step<'_>| match step {
        Step::Custom(op) => format!("{op:?}"),
        Step::Where(op) => op.to_string(),
        Step::Rows(set) => {
            let rows: Vec<_> = set.rows.iter().map(row).collect();
            format!("{:?} {}: {}", set.shape.kind, set.table.name, rows.join(", "))
        }
    };
    plan.steps.iter().map(step).collect()
}

#[test]
fn ops_of_many_partitions_become_one_set_for_each_table_and_kind() {
    let partitions =
        [vec![insert("a"), note("1")], vec![insert("b"), note("2")], vec![add("c", 1)]];
    assert_eq!(
        plan(Policy::Merge, &partitions),
        [
            "Insert accounts: 'a'(1='x' 2=0), 'b'(1='x' 2=0)",
            "Insert notes: '1'(1='n'), '2'(1='n')",
            "Update accounts: 'c'(2+1[0,1])",
        ]
    );
}

#[test]
fn what_happens_to_one_row_is_merged() {
    let ops = vec![insert("a"), add("a", 5), owner("a", "y"), add("a", -2)];
    assert_eq!(plan(Policy::Merge, &[ops]), ["Insert accounts: 'a'(1='y' 2=3)"]);
    let ops = vec![add("a", 5), owner("a", "y"), add("a", -7), add("a", 1), owner("a", "z")];
    assert_eq!(plan(Policy::Merge, &[ops]), ["Update accounts: 'a'(1='z' 2+-1[-2,5])"]);
    assert_eq!(plan(Policy::Merge, &[vec![delete("a"), delete("a")]]), ["Delete accounts: 'a'()"]);
}

#[test]
fn what_might_be_rejected_by_itself_is_not_merged() {
    // The owner must not be NULL, not even for a moment.
    let ops = vec![owner("a", Value::Null), owner("a", "y")];
    assert_eq!(
        plan(Policy::Merge, &[ops]),
        ["Update accounts: 'a'(1=NULL)", "Update accounts: 'a'(1='y')"]
    );
    let null = op(&COUNTS, "a", Change::Insert(vec![(1, Value::Null)]));
    let one = op(&COUNTS, "a", Change::Increment(1, 1.into()));
    assert_eq!(plan(Policy::Merge, &[vec![null, one]]).len(), 2);
    // An insert fails when the row is there, which a delete would hide.
    assert_eq!(plan(Policy::Merge, &[vec![insert("a"), delete("a"), insert("a")]]).len(), 3);
    // A sum that overflows has to fail in the database, at its turn.
    let ops = vec![insert("a"), add("a", i64::MAX), add("a", 1)];
    assert_eq!(
        plan(Policy::Merge, &[ops]),
        [
            format!("Insert accounts: 'a'(1='x' 2={})", i64::MAX),
            "Update accounts: 'a'(2+1[0,1])".to_owned()
        ]
    );
    // Where there may be no row, an increment may fail.
    let new = op(&ACCOUNTS, "a", Change::InsertNew(vec![(1, "x".into())]));
    assert_eq!(plan(Policy::Merge, &[vec![new, add("a", 1)]]).len(), 2);
}

#[test]
fn a_table_that_judges_each_state_gets_each_state() {
    let ops = vec![add("a", 5), add("b", 1), add("a", -5)];
    assert_eq!(
        plan(Policy::Layer, &[ops]),
        ["Update accounts: 'a'(2+5[0,5]), 'b'(2+1[0,1])", "Update accounts: 'a'(2+-5[-5,0])",]
    );
}

#[test]
fn where_rows_affect_each_other_the_order_is_kept() {
    let ops = vec![insert("a"), insert("b"), delete("a"), note("1"), insert("c")];
    assert_eq!(
        plan(Policy::Order, &[ops]),
        [
            "Insert accounts: 'a'(1='x' 2=0), 'b'(1='x' 2=0)",
            "Delete accounts: 'a'()",
            "Insert notes: '1'(1='n')",
            "Insert accounts: 'c'(1='x' 2=0)",
        ]
    );
}

#[test]
fn a_custom_op_keeps_its_place_in_its_partition_and_holds_up_no_other() {
    let custom = || Op::Custom(std::sync::Arc::new(Custom));
    let first = vec![insert("a"), custom(), add("a", 1), insert("b"), custom()];
    let second = vec![insert("c"), insert("d")];
    assert_eq!(
        plan(Policy::Merge, &[first, second]),
        [
            "Insert accounts: 'a'(1='x' 2=0), 'c'(1='x' 2=0), 'd'(1='x' 2=0)",
            "Custom",
            "Update accounts: 'a'(2+1[0,1])",
            "Insert accounts: 'b'(1='x' 2=0)",
            "Custom",
        ]
    );
}

#[test]
fn partitions_that_share_a_row_against_the_rules_lose_no_change_of_it() {
    let partitions = [vec![add("total", 1)], vec![add("total", 2)], vec![owner("total", "x")]];
    assert_eq!(plan(Policy::Merge, &partitions), ["Update accounts: 'total'(1='x' 2+3[0,3])"]);
}

#[test]
fn two_descriptions_of_one_table_are_refused() {
    static OTHER: Table = Table::new("accounts", &[("id", ColumnKind::BigInt)], &[0]);
    let ops = [
        insert("a"),
        Op::Row(RowOp {
            table: &OTHER,
            key: [1.into()].into_iter().collect(),
            change: Change::Delete,
        }),
    ];
    let mut planner = Planner::new(Known(Policy::Merge));
    let refused = planner.add(&"p".into(), &ops);
    assert!(matches!(refused, Err(PlanError::Misfit(_))), "{refused:?}");
}
