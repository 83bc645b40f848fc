//! [`Statement`]: the SQL that changes sets of rows, without a database.

use rederive_core::{Change, ChangeError, ColumnKind, Key, Table, Value, WhereOp};

use super::{
    sql::{Bind, Sql, quoted},
    values::{array, cast, selected},
};
use crate::plan::{Cell, Kind, Planned, Shape, TableFacts};

/// The most rows that one statement takes.
const MOST_ROWS: usize = 20_000;

/// A table as statements need it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'t> {
    pub(crate) table: &'static Table,
    /// Its name in SQL.
    pub(crate) name: &'t str,
    pub(crate) facts: &'t TableFacts,
}

impl Target<'_> {
    fn column(&self, index: usize) -> String {
        quoted(self.table.columns[index].0)
    }

    /// A value of this column, cast to its type.
    fn cast(&self, value: &str, index: usize) -> String {
        let declared = self.facts.types.get(index).map_or("", String::as_str);
        cast(value, self.table.columns[index].1, declared)
    }

    fn keys(&self) -> Vec<String> {
        self.table.key.iter().map(|index| self.column(*index)).collect()
    }

    /// The condition that a row `t` has the key that the first values of `v` are.
    fn same_key(&self) -> String {
        let same = self.table.key.iter().zip(1..).map(|(index, nth)| {
            let value = self.cast(&format!("v.c{nth}"), *index);
            format!("t.{} = {value}", self.column(*index))
        });
        same.collect::<Vec<_>>().join(" AND ")
    }
}

/// The rows of values, `v`, as so many arrays.
fn unnested(width: usize, rest: &str) -> String {
    let slots = vec!["\0"; width].join(", ");
    let names: Vec<_> = (1..=width).map(|nth| format!("c{nth}")).collect();
    match rest {
        "" => format!("unnest({slots}) AS v ({})", names.join(", ")),
        rest => format!("unnest({slots}) {rest} AS v ({}, o)", names.join(", ")),
    }
}

/// The statements for the rows of one table and shape.
pub(super) struct Statements {
    pub(super) first: String,
    /// Inserts the rows that an update of the same values has not found.
    pub(super) missing: Option<String>,
    most: usize,
}

impl Statements {
    pub(super) fn new(target: Target<'_>, shape: Shape) -> Self {
        // In a table whose rows affect each other, an update goes row by row: nobody promises in which
        // order `UPDATE … FROM` comes to them, and a row may be read only when those before it have
        // been written.
        let one_by_one = target.facts.row_by_row && shape.kind != Kind::Insert;
        let first = match shape.kind {
            Kind::Insert | Kind::InsertNew | Kind::Upsert | Kind::Replace => insert(target, shape),
            Kind::Update | Kind::Merge => update(target, shape),
            Kind::Delete => delete(target),
            Kind::Compute => read(target, shape),
        };
        let missing = (shape.kind == Kind::Merge).then(|| insert_missing(target, shape));
        Self { first, missing, most: if one_by_one { 1 } else { MOST_ROWS } }
    }

    /// Cuts so many rows into ranges, one for each statement.
    pub(super) fn ranges(&self, rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let most = self.most;
        (0..rows).step_by(most).map(move |from| from..rows.min(from + most))
    }
}

/// The columns of the key, then those that the shape names.
fn named(target: Target<'_>, shape: Shape) -> Vec<usize> {
    target.table.key.iter().copied().chain(shape.columns().map(|(index, _)| index)).collect()
}

fn insert(target: Target<'_>, shape: Shape) -> String {
    let columns = named(target, shape);
    let set = |columns: &mut dyn Iterator<Item = String>| {
        let sets: Vec<_> = columns.map(|column| format!("{column} = excluded.{column}")).collect();
        if sets.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", sets.join(", "))
        }
    };
    let free = &columns[target.table.key.len()..];
    let action = match shape.kind {
        Kind::InsertNew => Some("NOTHING".to_owned()),
        Kind::Upsert => Some(set(&mut free.iter().map(|index| target.column(*index)))),
        // Of a column that is not named, `excluded` has the default.
        Kind::Replace => Some(set(&mut target.facts.settable.iter().map(|name| quoted(name)))),
        _ => None,
    };
    let conflict = action
        .map(|action| format!(" ON CONFLICT ({}) DO {action}", target.keys().join(", ")))
        .unwrap_or_default();
    format!("{}{conflict}", inserted(target, &columns))
}

fn inserted(target: Target<'_>, columns: &[usize]) -> String {
    let names: Vec<_> = columns.iter().map(|index| target.column(*index)).collect();
    let values = columns.iter().zip(1..);
    let values: Vec<_> =
        values.map(|(index, nth)| target.cast(&format!("v.c{nth}"), *index)).collect();
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}",
        target.name,
        names.join(", "),
        values.join(", "),
        unnested(columns.len(), "")
    )
}

fn insert_missing(target: Target<'_>, shape: Shape) -> String {
    format!(
        "{} WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {})",
        inserted(target, &named(target, shape)),
        target.name,
        target.same_key()
    )
}

/// What an update sets, and which rows it changes: one that does not exist or would overflow is not
/// among them, which the count of changed rows tells.
fn update(target: Target<'_>, shape: Shape) -> String {
    let mut width = target.table.key.len();
    let mut next = || {
        width += 1;
        format!("v.c{width}")
    };
    let mut conditions = vec![target.same_key()];
    let mut sets = Vec::new();
    for (index, added) in shape.columns() {
        let column = target.column(index);
        if added {
            let kind = target.table.columns[index].1;
            let Addition { sum, condition } =
                Addition::new(&format!("t.{column}"), kind, &mut next);
            sets.push(format!("{column} = {sum}"));
            conditions.push(condition);
        } else {
            sets.push(format!("{column} = {}", target.cast(&next(), index)));
        }
    }
    if sets.is_empty()
        && let Some(key) = target.keys().first()
    {
        sets.push(format!("{key} = t.{key}"));
    }
    format!(
        "UPDATE {} AS t SET {} FROM {} WHERE {}",
        target.name,
        sets.join(", "),
        unnested(width, ""),
        conditions.join(" AND ")
    )
}

fn delete(target: Target<'_>) -> String {
    let rows = unnested(target.table.key.len(), "");
    format!("DELETE FROM {} AS t USING {rows} WHERE {}", target.name, target.same_key())
}

/// Selects the columns of rows, after the number that each row was given, counted from one. They are
/// locked until the transaction ends.
fn read(target: Target<'_>, shape: Shape) -> String {
    let columns: Vec<_> = shape.columns().map(|(index, _)| index).collect();
    format!("{} FOR UPDATE OF t", find(target, &columns))
}

/// Selects these columns of the rows with the keys that are bound, after the number of each.
pub(super) fn find(target: Target<'_>, columns: &[usize]) -> String {
    let columns = columns.iter().map(|index| target.table.columns[*index]);
    let columns: String =
        columns.map(|(name, kind)| format!(", {}", selected("t", name, kind))).collect();
    format!(
        "SELECT v.o{columns} FROM {} JOIN {} AS t ON {}",
        unnested(target.table.key.len(), "WITH ORDINALITY"),
        target.name,
        target.same_key()
    )
}

/// The sum of a column and a number, and whether it can be had: neither beyond the column's range nor
/// of two infinities.
struct Addition {
    sum: String,
    condition: String,
}

impl Addition {
    /// `next` names the values of the cell, one after the other.
    fn new(column: &str, kind: ColumnKind, next: &mut dyn FnMut() -> String) -> Self {
        let old = format!("coalesce({column}, 0)");
        if !kind.is_float() {
            let sum = format!("{old} + {}", next());
            let condition = format!("{old} BETWEEN {} AND {}", next(), next());
            return Self { sum, condition };
        }
        // What is too large becomes infinite, instead of an error.
        let (old, by) = (format!("{old}::float8"), next());
        let most =
            if kind == ColumnKind::Float { "3.4028235e38" } else { "1.7976931348623157e308" };
        let sum = format!(
            "CASE WHEN {old} > 0 AND {by} > {most}::float8 - {old} THEN 'Infinity'
                WHEN {old} < 0 AND {by} < -{most}::float8 - {old} THEN '-Infinity'
                ELSE {old} + {by} END"
        );
        // Of two infinities, there may be no sum.
        let condition = format!(
            "NOT ({old} = 'Infinity' AND {by} = '-Infinity'
                OR {old} = '-Infinity' AND {by} = 'Infinity')"
        );
        Self { sum, condition }
    }
}

/// Binds the keys and the cells of rows of one shape: an array for each value that a row has.
pub(super) fn bind_rows<'a>(
    table: &'static Table,
    shape: Shape,
    rows: &[&'a Planned<'_>],
) -> Result<Vec<Bind<'a>>, ChangeError> {
    let mut binds = bind_keys(table, rows)?;
    for (column, added) in shape.columns() {
        if added {
            let cells = rows.iter().map(|row| cell(row, column));
            bind_added(table.columns[column].1, cells, &mut binds);
            continue;
        }
        let values = rows.iter().map(|row| match cell(row, column) {
            Some(Cell::Set(value)) => (*value, row.key),
            Some(Cell::SetTo(value)) => (value, row.key),
            _ => (&Value::Null, row.key),
        });
        binds.push(array(table, column, values)?);
    }
    Ok(binds)
}

/// Binds the keys of rows.
pub(super) fn bind_keys<'a>(
    table: &'static Table,
    rows: &[&'a Planned<'_>],
) -> Result<Vec<Bind<'a>>, ChangeError> {
    let keys = table.key.iter().enumerate();
    keys.map(|(at, column)| array(table, *column, rows.iter().map(|row| (&row.key[at], row.key))))
        .collect()
}

fn cell<'r, 'a>(row: &'r Planned<'a>, column: usize) -> Option<&'r Cell<'a>> {
    row.cells.iter().find(|(at, _)| *at == column).map(|(_, cell)| cell)
}

/// Of a float the number; of an integer the number, and the least and the most that the column may hold
/// to have room for it.
fn bind_added<'c, 'a: 'c>(
    kind: ColumnKind,
    cells: impl Iterator<Item = Option<&'c Cell<'a>>>,
    binds: &mut Vec<Bind<'_>>,
) {
    if kind.is_float() {
        let by = |cell: Option<&Cell<'a>>| {
            if let Some(Cell::AddFloat(by)) = cell { Some(*by) } else { None }
        };
        binds.push(Bind::Doubles(cells.map(by).collect()));
        return;
    }
    let (lowest, highest) = kind.range();
    let (mut totals, mut least, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let (total, low, high) = match cell {
            Some(Cell::Add { total, low, high }) => (*total, *low, *high),
            _ => (0, 0, 0),
        };
        totals.push(Some(total));
        least.push(Some(lowest.saturating_sub(low)));
        most.push(Some(highest.saturating_sub(high)));
    }
    binds.extend([Bind::BigInts(totals), Bind::BigInts(least), Bind::BigInts(most)]);
}

/// What a change of rows selected by their values runs.
pub(super) struct Selection<'a> {
    /// Selects the key of a row that cannot take the change.
    pub(super) refused: Option<(String, Vec<Bind<'a>>)>,
    /// Makes the change; `None` when it changes nothing.
    pub(super) change: Option<(String, Vec<Bind<'a>>)>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(target: Target<'_>, op: &'a WhereOp) -> Result<Self, ChangeError> {
        static NO_KEY: std::sync::LazyLock<Key> = std::sync::LazyLock::new(Key::new);
        let WhereOp { table, filter, change } = op;
        let mut binds = Vec::new();
        let mut conditions = Vec::new();
        let bind = |index: usize, value: &'a Value, binds: &mut Vec<Bind<'a>>| {
            binds.push(array(table, index, std::iter::once((value, &*NO_KEY)))?);
            Ok::<_, ChangeError>(target.cast(&format!("v.c{}", binds.len()), index))
        };
        for (index, value) in filter {
            let column = target.column(*index);
            conditions.push(match value {
                Value::Null => format!("t.{column} IS NULL"),
                value => format!("t.{column} = {}", bind(*index, value, &mut binds)?),
            });
        }
        let selected_by = conditions.join(" AND ");
        let name = target.name;
        // Without a value there is nothing to take values from.
        let from = |word: &str, width: usize| match width {
            0 => String::new(),
            width => format!(" {word} {}", unnested(width, "")),
        };
        match change {
            Change::Delete => {
                let from = from("USING", binds.len());
                let text = format!("DELETE FROM {name} AS t{from} WHERE {selected_by}");
                Ok(Self { refused: None, change: Some((text, binds)) })
            }
            // PostgreSQL's own sum is exact, and has no end that would have to be asked for.
            Change::Increment(index, by) if table.columns[*index].1 == ColumnKind::Numeric => {
                let by = bind(*index, by, &mut binds)?;
                let (column, rows) = (target.column(*index), unnested(binds.len(), ""));
                let text = format!(
                    "UPDATE {name} AS t SET {column} = coalesce(t.{column}, 0) + {by} FROM {rows}
                    WHERE {selected_by}"
                );
                Ok(Self { refused: None, change: Some((text, binds)) })
            }
            Change::Increment(index, by) => {
                let kind = table.columns[*index].1;
                let mut nth = binds.len();
                bind_added(kind, std::iter::once(Some(&Cell::added(kind, by))), &mut binds);
                let mut next = || {
                    nth += 1;
                    format!("v.c{nth}")
                };
                let column = target.column(*index);
                let Addition { sum, condition } =
                    Addition::new(&format!("t.{column}"), kind, &mut next);
                let keys = table.key.iter().map(|index| table.columns[*index]);
                let keys: Vec<_> = keys.map(|(name, kind)| selected("t", name, kind)).collect();
                let rows = unnested(binds.len(), "");
                let refused = format!(
                    "SELECT {} FROM {name} AS t, {rows} WHERE {selected_by} AND NOT ({condition})
                    LIMIT 1",
                    keys.join(", ")
                );
                let text = format!(
                    "UPDATE {name} AS t SET {column} = {sum} FROM {rows} WHERE {selected_by}"
                );
                Ok(Self { refused: Some((refused, binds.clone())), change: Some((text, binds)) })
            }
            Change::Update(row) => {
                let mut sets = Vec::new();
                for (at, (index, value)) in row.iter().enumerate() {
                    // The last value of a column counts.
                    if row[at + 1..].iter().any(|(later, _)| later == index) {
                        continue;
                    }
                    let value = bind(*index, value, &mut binds)?;
                    sets.push(format!("{} = {value}", target.column(*index)));
                }
                let from = from("FROM", binds.len());
                let sets_text = sets.join(", ");
                let text = format!("UPDATE {name} AS t SET {sets_text}{from} WHERE {selected_by}");
                let change = (!sets.is_empty()).then_some((text, binds));
                Ok(Self { refused: None, change })
            }
            // `Op::check` lets no other change get here.
            _ => Ok(Self { refused: None, change: None }),
        }
    }
}

/// The text with numbers in place of values, for people.
pub(super) fn numbered(text: &str) -> String {
    let mut parts = text.split(Sql::SLOT);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.zip(1..).fold(first, |text, (part, nth)| format!("{text}${nth}{part}"))
}
