//! [`Statement`]: the SQL that changes sets of rows, without a database.

use rederive_core::{Change, ColumnKind, Table, WhereOp};

use super::rows::{Bind, Rows, chunks, given, local_name, quoted};
use crate::plan::{Cell, Kind, Planned, Shape, TableFacts};

/// The text around the rows, and how many values each has.
#[derive(Debug)]
pub(super) struct Statement {
    head: String,
    tail: String,
    width: usize,
}

/// The statements for the rows of one table and shape.
pub(super) struct Statements {
    many: Statement,
    /// The same for a single row, where that is quicker.
    one: Option<Statement>,
    /// Inserts the rows that an update of the same values has not found.
    pub(super) missing: Option<Statement>,
    /// Whether each row needs a statement of its own.
    one_by_one: bool,
}

impl Statements {
    pub(super) fn new(table: &Table, shape: Shape, facts: &TableFacts) -> Self {
        // In a table whose rows affect each other, an update goes row by row: SQLite does not promise
        // in which order `UPDATE … FROM` comes to them, and a row may be read only when those before
        // it have been written.
        let one_by_one = facts.row_by_row && shape.kind != Kind::Insert;
        let (many, one) = match shape.kind {
            Kind::Insert | Kind::InsertNew | Kind::Upsert | Kind::Replace => {
                (Statement::insert(table, shape, facts), None)
            }
            Kind::Update | Kind::Merge => {
                (Statement::update(table, shape), Some(Statement::update_one(table, shape)))
            }
            Kind::Delete => (Statement::delete(table), Some(Statement::delete_one(table))),
            Kind::Compute => (Statement::read(table, shape), None),
        };
        let missing = (shape.kind == Kind::Merge).then(|| Statement::insert_missing(table, shape));
        Self { many, one, missing, one_by_one }
    }

    /// Cuts so many rows into ranges, one for each statement.
    pub(super) fn ranges(&self, rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        chunks(if self.one_by_one { 1 } else { usize::MAX }, rows, self.many.width)
    }

    /// The statement for so many rows, as [`ranges`](Self::ranges) has cut them.
    pub(super) fn of(&self, rows: usize) -> &Statement {
        self.one.as_ref().filter(|_| rows == 1).unwrap_or(&self.many)
    }
}

impl Statement {
    pub(super) fn rows<'a>(&'a self, binds: &'a [Bind<'a>]) -> Rows<'a> {
        Rows { head: &self.head, tail: &self.tail, width: self.width, binds }
    }

    fn insert(table: &Table, shape: Shape, facts: &TableFacts) -> Self {
        let keys = keys(table);
        let named = named(table, shape);
        let set = |columns: &mut dyn Iterator<Item = String>| {
            let sets: Vec<_> =
                columns.map(|column| format!("{column}=excluded.{column}")).collect();
            if sets.is_empty() {
                "NOTHING".to_owned()
            } else {
                format!("UPDATE SET {}", sets.join(","))
            }
        };
        let action = match shape.kind {
            Kind::InsertNew => Some("NOTHING".to_owned()),
            Kind::Upsert => Some(set(&mut named[keys.len()..].iter().cloned())),
            // Of a column that is not named, `excluded` has the default.
            Kind::Replace => Some(set(&mut facts.settable.iter().map(|column| quoted(column)))),
            _ => None,
        };
        Self {
            head: format!(
                "INSERT INTO {} ({}) VALUES ",
                quoted(local_name(table)),
                named.join(",")
            ),
            tail: action
                .map(|action| format!(" ON CONFLICT ({}) DO {action}", keys.join(",")))
                .unwrap_or_default(),
            width: named.len(),
        }
    }

    fn insert_missing(table: &Table, shape: Shape) -> Self {
        let name = quoted(local_name(table));
        let named = named(table, shape);
        let values: Vec<_> = (1..=named.len()).map(|nth| format!("v.column{nth}")).collect();
        let keys = keys(table).into_iter().zip(&values);
        let same: Vec<_> = keys.map(|(key, value)| format!("t.{key}={value}")).collect();
        Self {
            head: format!(
                "INSERT INTO {name} ({}) SELECT {} FROM (VALUES ",
                named.join(","),
                values.join(",")
            ),
            tail: format!(
                ") AS v WHERE NOT EXISTS (SELECT 1 FROM {name} AS t WHERE {})",
                same.join(" AND ")
            ),
            width: named.len(),
        }
    }

    fn update(table: &Table, shape: Shape) -> Self {
        let Modification { sets, conditions, width } =
            Modification::new(table, shape, |_, nth| format!("v.column{nth}"));
        Self {
            head: format!("UPDATE {} SET {sets} FROM (VALUES ", quoted(local_name(table))),
            tail: format!(") AS v WHERE {conditions}"),
            width,
        }
    }

    pub(super) fn update_one(table: &Table, shape: Shape) -> Self {
        let Modification { sets, conditions, width } = Modification::new(table, shape, given);
        let head = format!("UPDATE {} SET {sets} WHERE {conditions}", quoted(local_name(table)));
        Self::numbered(head, width)
    }

    fn delete(table: &Table) -> Self {
        let (name, keys) = (quoted(local_name(table)), keys(table));
        Self {
            head: format!("DELETE FROM {name} WHERE ({}) IN (VALUES ", keys.join(",")),
            tail: ")".to_owned(),
            width: keys.len(),
        }
    }

    fn delete_one(table: &Table) -> Self {
        let keys = keys(table);
        let values = table.key.iter().zip(1..).map(|(key, nth)| given(table.columns[*key].1, nth));
        let same: Vec<_> =
            keys.iter().zip(values).map(|(key, value)| format!("{key}={value}")).collect();
        let head =
            format!("DELETE FROM {} WHERE {}", quoted(local_name(table)), same.join(" AND "));
        Self::numbered(head, keys.len())
    }

    /// Selects the columns of rows, after the number that each row was given.
    fn read(table: &Table, shape: Shape) -> Self {
        let columns: String = shape
            .columns()
            .map(|(index, _)| format!(",t.{}", quoted(table.columns[index].0)))
            .collect();
        let keys = keys(table);
        let same: Vec<_> =
            keys.iter().zip(2..).map(|(key, nth)| format!("t.{key}=v.column{nth}")).collect();
        Self {
            head: format!("SELECT v.column1{columns} FROM (VALUES "),
            // SQLite joins in the order that CROSS JOIN gives: by the key of the table.
            tail: format!(
                ") AS v CROSS JOIN {} AS t ON {}",
                quoted(local_name(table)),
                same.join(" AND ")
            ),
            width: keys.len() + 1,
        }
    }

    /// A statement whose values are named `?1`, `?2`, ….
    fn numbered(text: String, width: usize) -> Self {
        Self { head: text + Rows::NUMBERED, tail: String::new(), width }
    }
}

/// What a change of rows selected by their values runs.
#[derive(Default)]
pub(super) struct Selection<'a> {
    /// Selects the key and the column of the rows, if their changes have to be computed.
    pub(super) read: Option<(Statement, Vec<Bind<'a>>)>,
    /// Selects the key of a row that cannot take the change.
    pub(super) refused: Option<(Statement, Vec<Bind<'a>>)>,
    /// Makes the change; `None` when it changes nothing.
    pub(super) change: Option<(Statement, Vec<Bind<'a>>)>,
}

impl<'a> Selection<'a> {
    pub(super) fn new(op: &'a WhereOp) -> Self {
        let WhereOp { table, filter, change } = op;
        let kind = |column: usize| table.columns[column].1;
        let column = |column: usize| quoted(table.columns[column].0);
        let name = quoted(local_name(table));
        let mut binds = Vec::new();
        let mut conditions = Vec::new();
        for (index, value) in filter {
            // The same JSON may be stored as different bytes.
            let (compared, as_kind) = match kind(*index) {
                ColumnKind::Jsonb => (format!("json({})", column(*index)), ColumnKind::Json),
                kind => (column(*index), kind),
            };
            binds.push(Bind::new(as_kind, value));
            conditions.push(format!("{compared} IS ?{}", binds.len()));
        }
        let selected = conditions.join(" AND ");
        let statement =
            |text: String, binds: Vec<Bind<'a>>| (Statement::numbered(text, binds.len()), binds);
        match change {
            Change::Delete => {
                let text = format!("DELETE FROM {name} WHERE {selected}");
                Self { change: Some(statement(text, binds)), ..Self::default() }
            }
            // What such a column becomes is computed here.
            Change::Increment(index, _) if kind(*index) == ColumnKind::Numeric => {
                let columns = table.key.iter().chain([index]).map(|index| column(*index));
                let columns = columns.collect::<Vec<_>>().join(",");
                let text = format!("SELECT {columns} FROM {name} WHERE {selected}");
                Self { read: Some(statement(text, binds)), ..Self::default() }
            }
            Change::Increment(index, by) => {
                let number = binds.len() + 1;
                bind_added(kind(*index), &Cell::added(kind(*index), by), &mut binds);
                let mut nth = number..;
                let mut next = || format!("?{}", nth.next().unwrap_or_default());
                let Addition { sum, condition } =
                    Addition::new(&column(*index), kind(*index).is_float(), &mut next);
                let keys = keys(table).join(",");
                let refused = format!(
                    "SELECT {keys} FROM {name} WHERE {selected} AND NOT ({condition}) LIMIT 1"
                );
                let text = format!("UPDATE {name} SET {}={sum} WHERE {selected}", column(*index));
                // The second does not ask for the ends of the range.
                let change = statement(text, binds[..number].to_vec());
                Self { refused: Some(statement(refused, binds)), change: Some(change), read: None }
            }
            Change::Update(row) => {
                let mut sets = Vec::new();
                for (index, value) in row {
                    binds.push(Bind::new(kind(*index), value));
                    sets.push(format!("{}={}", column(*index), given(kind(*index), binds.len())));
                }
                let text = format!("UPDATE {name} SET {} WHERE {selected}", sets.join(","));
                let change = (!sets.is_empty()).then(|| statement(text, binds));
                Self { change, ..Self::default() }
            }
            // `Op::check` lets no other change get here.
            _ => Self::default(),
        }
    }
}

fn keys(table: &Table) -> Vec<String> {
    table.key.iter().map(|index| quoted(table.columns[*index].0)).collect()
}

/// The columns of the key, then those that the shape names.
fn named(table: &Table, shape: Shape) -> Vec<String> {
    let columns = shape.columns().map(|(index, _)| quoted(table.columns[index].0));
    keys(table).into_iter().chain(columns).collect()
}

/// The sum of a column and a number, and whether it can be had: neither beyond the column's range nor
/// of something that is no number.
struct Addition {
    sum: String,
    condition: String,
}

impl Addition {
    /// `next` names the values of the cell, one after the other.
    fn new(column: &str, is_float: bool, next: &mut dyn FnMut() -> String) -> Self {
        let old = format!("coalesce({column},0)");
        let sum = format!("{old}+{}", next());
        let condition = if is_float {
            // Of two infinities, there may be no sum.
            format!("typeof({old}) IN ('integer','real') AND {sum} IS NOT NULL")
        } else {
            // Text and blobs compare above all numbers.
            format!("{old} BETWEEN {} AND {}", next(), next())
        };
        Self { sum, condition }
    }
}

/// What an update sets, and which rows it changes: one that does not exist or would overflow is not
/// among them, which the count of changed rows tells.
struct Modification {
    sets: String,
    conditions: String,
    width: usize,
}

impl Modification {
    /// `value` names the nth value of a row, counted from one.
    fn new(table: &Table, shape: Shape, value: impl Fn(ColumnKind, usize) -> String) -> Self {
        let name = quoted(local_name(table));
        let mut width = 0;
        let mut next = |kind| {
            width += 1;
            value(kind, width)
        };
        let mut conditions: Vec<String> = table
            .key
            .iter()
            .map(|index| {
                let (key, kind) = table.columns[*index];
                format!("{name}.{}={}", quoted(key), next(kind))
            })
            .collect();
        let mut sets = Vec::new();
        for (index, added) in shape.columns() {
            let (column, kind) = table.columns[index];
            let column = quoted(column);
            if added {
                let qualified = format!("{name}.{column}");
                let Addition { sum, condition } =
                    Addition::new(&qualified, kind.is_float(), &mut || next(kind));
                sets.push(format!("{column}={sum}"));
                conditions.push(condition);
            } else {
                sets.push(format!("{column}={}", next(kind)));
            }
        }
        if sets.is_empty()
            && let Some(key) = keys(table).first()
        {
            sets.push(format!("{key}={name}.{key}"));
        }
        Self { sets: sets.join(","), conditions: conditions.join(" AND "), width }
    }
}

/// Binds the key and the cells of a row.
pub(super) fn bind_row<'a>(row: &'a Planned<'_>, binds: &mut Vec<Bind<'a>>) {
    bind_key(row, binds);
    for (column, cell) in &row.cells {
        bind_cell(row.table.columns[*column].1, cell, binds);
    }
}

/// Binds the key of a row.
pub(super) fn bind_key<'a>(row: &'a Planned<'_>, binds: &mut Vec<Bind<'a>>) {
    let keys = row.table.key.iter().zip(row.key);
    binds.extend(keys.map(|(column, value)| Bind::new(row.table.columns[*column].1, value)));
}

fn bind_cell<'a>(kind: ColumnKind, cell: &'a Cell<'_>, binds: &mut Vec<Bind<'a>>) {
    match cell {
        Cell::Set(value) => binds.push(Bind::new(kind, value)),
        Cell::SetTo(value) => binds.push(Bind::new(kind, value)),
        Cell::Add { .. } | Cell::AddFloat(_) => bind_added(kind, cell, binds),
    }
}

fn bind_added(kind: ColumnKind, cell: &Cell<'_>, binds: &mut Vec<Bind<'_>>) {
    match cell {
        Cell::AddFloat(by) => binds.push(Bind::Float(*by)),
        Cell::Add { total, low, high } => {
            let (lowest, highest) = kind.range();
            binds.extend([
                Bind::Integer(*total),
                Bind::Integer(lowest.saturating_sub(*low)),
                Bind::Integer(highest.saturating_sub(*high)),
            ]);
        }
        Cell::Set(_) | Cell::SetTo(_) => {}
    }
}
