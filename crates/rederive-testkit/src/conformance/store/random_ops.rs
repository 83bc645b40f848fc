//! Ops at random.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{Change, Cursor, Json, ReduceError, RowFn, Table, Value};

use super::{
    StoreUnderTest,
    owner::{Part, column, op, op_where, part},
};
use crate::Rng;

/// Ops on rows that only this partition changes.
pub(super) fn random_part<T: StoreUnderTest>(
    test: &T,
    run: &str,
    partition: usize,
    step: u64,
    rng: &mut Rng,
) -> Part {
    // Few steps may be rejected, as those end nowhere.
    let is_bold = rng.chance(0.1);
    let mut ops = Vec::new();
    // Its rows can be told by this name.
    let name = format!("{run} {partition}");
    for _ in 0..rng.range(0..8) {
        let id = format!("{name} {}", rng.range(0..3));
        let (table, key) = match rng.range(0..6) {
            0 => (test.tags(), vec![Value::from(id)]),
            1 | 2 => (test.places(), vec![Value::from(rng.range(0..2) as i64), id.into()]),
            _ => (test.things(), vec![Value::from(id)]),
        };
        if table == test.things() && rng.chance(0.2) {
            ops.push(op_where(table, random_filter(table, &name, rng), selected(table, rng)));
            continue;
        }
        let change = random_change(test, table, &name, rng);
        let needs = match change {
            Change::Insert(_) => Some(Change::Delete),
            Change::Update(_) | Change::Increment(..) | Change::Modify(_) => {
                Some(Change::InsertNew(vec![]))
            }
            Change::ArrayPushUniq(column, _) | Change::ArrayDelete(column, _) => {
                Some(Change::Upsert(vec![(column, r#"[ "x" , 1 ]"#.into())]))
            }
            _ => None,
        };
        let needs = needs.filter(|_| !is_bold);
        ops.extend(needs.into_iter().chain([change]).map(|change| op(table, key.clone(), change)));
    }
    part(partition as u64, Cursor::from(step)).unrecorded().ops(ops)
}

/// Values that only rows of this name have.
fn random_filter(table: &'static Table, name: &str, rng: &mut Rng) -> Vec<(usize, Value)> {
    let mut filter = match rng.range(0..3) {
        0 => vec![(column(table, "id"), format!("{name} {}", rng.range(0..3)).into())],
        _ => vec![(column(table, "name"), name.into())],
    };
    if rng.chance(0.3) {
        let small = if rng.chance(0.5) { Value::Null } else { (rng.range(0..3) as i64).into() };
        filter.push((column(table, "small"), small));
    }
    filter
}

/// What may become of rows that are selected.
fn selected(table: &'static Table, rng: &mut Rng) -> Change {
    match rng.range(0..4) {
        0 => Change::Delete,
        1 => Change::Update(vec![(column(table, "small"), (rng.range(0..3) as i64).into())]),
        2 => Change::Update(vec![(column(table, "data"), Value::Null)]),
        _ => Change::Increment(column(table, "middle"), (rng.range(0..200) as i64 - 100).into()),
    }
}

fn random_change<T: StoreUnderTest>(
    test: &T,
    table: &'static Table,
    name: &str,
    rng: &mut Rng,
) -> Change {
    let counts: &[&str] = match table.columns.len() {
        1 => &[],
        3 => &["n"],
        _ => &["small", "middle", "big"],
    };
    let is_thing = table == test.things();
    let mut row = Vec::new();
    for count in counts {
        if rng.chance(0.5) {
            let value =
                if rng.chance(0.2) { Value::Null } else { Value::from(rng.range(0..5) as i64) };
            row.push((column(table, count), value));
        }
    }
    if is_thing && rng.chance(0.5) {
        let text = match rng.range(0..4) {
            0 => Value::Null,
            1 => Value::from(name),
            2 => Value::from(r#"[ "x" , 1 ]"#),
            _ => Value::from("[]"),
        };
        row.push((column(table, "name"), text));
    }
    let json = |rng: &mut Rng| match rng.range(0..4) {
        0 => Json::of("x"),
        1 => Json::of(&true),
        2 => Json::of(&(rng.range(0..2) as i64)),
        _ => Json::of(&[0.5]),
    };
    match rng.range(0..11) {
        0 => Change::Insert(row),
        1 => Change::InsertNew(row),
        2 => Change::Update(row),
        3 => Change::Delete,
        4 | 5 if !counts.is_empty() => {
            let by = rng.range(0..200) as i64 - 100;
            let count: &str = rng.pick::<&str>(counts);
            Change::Increment(column(table, count), by.into())
        }
        6 => Change::Merge(row),
        7 => Change::Replace(row),
        8 if !counts.is_empty() => {
            let count: &str = rng.pick::<&str>(counts);
            modification(column(table, count), rng)
        }
        9 if is_thing => {
            Change::ArrayPushUniq(column(table, "name"), json(rng).expect("it has a JSON"))
        }
        10 if is_thing => {
            Change::ArrayDelete(column(table, "name"), json(rng).expect("it has a JSON"))
        }
        _ => Change::Upsert(row),
    }
}

/// Doubles a small number, forgets a large one.
fn modification(column: usize, rng: &mut Rng) -> Change {
    let most = rng.range(10..1000) as i64;
    Change::Modify(RowFn::new(move |row| {
        row[column] = match row[column] {
            Value::Null => Value::from(1),
            Value::Integer(number) if number.abs() < most => Value::from(number * 2),
            Value::Integer(_) => Value::Null,
            ref other => return Err(ReduceError::new(format!("{other} is no count"))),
        };
        Ok(())
    }))
}
