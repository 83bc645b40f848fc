//! What a failed comparison prints: rows and ops side by side with what was expected.

use std::collections::{BTreeMap, BTreeSet};

use rederive_core::{Op, Table, Value};

/// Rows of a table, for comparisons: a value per column.
///
/// ```
/// use rederive_core::Value;
/// use rederive_testkit::rows;
///
/// let rows = rows![["alice", 5], ["bob", Value::Null]];
/// assert_eq!(rows[0], [Value::from("alice"), Value::from(5)]);
/// assert!(rows![].is_empty());
/// ```
#[macro_export]
macro_rules! rows {
    ($([$($value:expr),* $(,)?]),* $(,)?) => {{
        let rows: ::std::vec::Vec<::std::vec::Vec<$crate::Value>> =
            ::std::vec![$(::std::vec![$($crate::Value::from($value)),*]),*];
        rows
    }};
}

/// How the rows differ from those expected; `None` when they do not, in whatever order they are.
pub fn diff_rows(table: &Table, expected: &[Vec<Value>], actual: &[Vec<Value>]) -> Option<String> {
    let (expected_by_key, actual_by_key) = (by_key(table, expected), by_key(table, actual));
    if expected_by_key == actual_by_key {
        return None;
    }
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "table {} ({}): - is expected and not there, + is there and not expected",
        table.name,
        names.join(", ")
    );
    let none = Vec::new();
    let keys: BTreeSet<_> = expected_by_key.keys().chain(actual_by_key.keys()).collect();
    for key in keys {
        let wanted = expected_by_key.get(key).unwrap_or(&none);
        let found = actual_by_key.get(key).unwrap_or(&none);
        if wanted == found {
            wanted.iter().for_each(|row| text.push_str(&format!("\n    {}", values(row))));
            continue;
        }
        wanted.iter().for_each(|row| text.push_str(&format!("\n  - {}", values(row))));
        found.iter().for_each(|row| text.push_str(&format!("\n  + {}", values(row))));
        if let ([wanted], [found]) = (&wanted[..], &found[..]) {
            text.push_str(&format!("    ({})", columns_that_differ(&names, wanted, found)));
        }
    }
    Some(text)
}

/// Rows by their keys; a row that is too short to have the key stands under what it has of it.
fn by_key<'r>(table: &Table, rows: &'r [Vec<Value>]) -> BTreeMap<Vec<Value>, Vec<&'r Vec<Value>>> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let key: Vec<Value> = table.key.iter().filter_map(|at| row.get(*at).cloned()).collect();
        by_key.entry(key).or_default().push(row);
    }
    by_key.values_mut().for_each(|rows| rows.sort());
    by_key
}

fn columns_that_differ(names: &[&str], wanted: &[Value], found: &[Value]) -> String {
    if wanted.len() != found.len() {
        return format!(
            "{} values are expected, but the table has {} columns",
            wanted.len(),
            found.len()
        );
    }
    let pairs = names.iter().zip(wanted.iter().zip(found));
    let differ = pairs.filter(|(_, (wanted, found))| wanted != found);
    let told = differ.map(|(name, (wanted, found))| {
        let (as_wanted, as_found) = (wanted.to_string(), found.to_string());
        let kinds = if as_wanted == as_found { " (of another kind)" } else { "" };
        format!("{name}: {as_found} instead of {as_wanted}{kinds}")
    });
    told.collect::<Vec<_>>().join(", ")
}

fn values(row: &[Value]) -> String {
    row.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether two ops are the same; custom ops are when they print alike.
fn same_op(one: &Op, other: &Op) -> bool {
    match (one, other) {
        (Op::Row(one), Op::Row(other)) => one == other,
        (Op::Where(one), Op::Where(other)) => one == other,
        (Op::Custom(one), Op::Custom(other)) => format!("{one:?}") == format!("{other:?}"),
        _ => false,
    }
}

/// How the ops differ from those expected; `None` when they do not.
pub(crate) fn diff_ops(expected: &[Op], actual: &[Op]) -> Option<String> {
    let same = expected.len() == actual.len()
        && expected.iter().zip(actual).all(|(wanted, found)| same_op(wanted, found));
    if same {
        return None;
    }
    let mut text = "ops: - is expected and not emitted, + is emitted and not expected".to_owned();
    let shared = longest_common(expected, actual);
    let (mut wanted, mut found) = (expected.iter(), actual.iter());
    let ends = std::iter::once((expected.len(), actual.len()));
    let (mut at, mut to) = (0, 0);
    for (expected_at, actual_at) in shared.into_iter().chain(ends) {
        let (missing, surplus) = (expected_at - at, actual_at - to);
        for op in wanted.by_ref().take(missing) {
            text.push_str(&format!("\n  - {op}"));
        }
        for op in found.by_ref().take(surplus) {
            text.push_str(&format!("\n  + {op}"));
        }
        if let (Some(op), Some(_)) = (wanted.next(), found.next()) {
            text.push_str(&format!("\n    {op}"));
        }
        (at, to) = (expected_at + 1, actual_at + 1);
    }
    Some(text)
}

/// The positions of the longest list of ops that is part of both.
fn longest_common(one: &[Op], other: &[Op]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            lengths[i][j] = if same_op(&one[i], &other[j]) {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while i < one.len() && j < other.len() {
        if same_op(&one[i], &other[j]) {
            common.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use rederive_core::{Change, ColumnKind, Ops};

    use super::*;

    static ACCOUNTS: Table =
        Table::new("accounts", &[("id", ColumnKind::Text), ("balance", ColumnKind::BigInt)], &[0]);

    #[test]
    fn rows_are_compared_by_key_and_differences_are_named_by_column() {
        let actual = rows![["d", 4], ["a", 1], ["b", 2]];
        assert_eq!(diff_rows(&ACCOUNTS, &rows![["a", 1], ["b", 2], ["d", 4]], &actual), None);
        let told = diff_rows(&ACCOUNTS, &rows![["a", 1], ["b", 3], ["c", 9]], &actual);
        assert_eq!(
            told.expect("they differ"),
            "table accounts (id, balance): - is expected and not there, + is there and not expected
    'a', 1
  - 'b', 3
  + 'b', 2    (balance: 2 instead of 3)
  - 'c', 9
  + 'd', 4"
        );
        let told = diff_rows(&ACCOUNTS, &rows![["a", 1.0]], &rows![["a", 1]]);
        assert!(told.expect("they differ").contains("(balance: 1 instead of 1 (of another kind))"));
    }

    #[test]
    fn ops_are_compared_in_order() {
        let ops = |amounts: &[i64]| {
            let mut ops = Ops::new("a".into());
            for amount in amounts {
                let change = Change::Increment(1, (*amount).into());
                ops.change(&ACCOUNTS, ["a".into()], change).expect("it fits");
            }
            ops.into_vec()
        };
        assert_eq!(diff_ops(&ops(&[1, 2]), &ops(&[1, 2])), None);
        let told = diff_ops(&ops(&[1, 2, 4]), &ops(&[1, 3, 4, 5])).expect("they differ");
        let lines: Vec<_> = told.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "    increment accounts 'a': balance by 1",
                "  - increment accounts 'a': balance by 2",
                "  + increment accounts 'a': balance by 3",
                "    increment accounts 'a': balance by 4",
                "  + increment accounts 'a': balance by 5",
            ]
        );
    }
}
