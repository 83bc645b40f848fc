//! [`Planner`]: from ops to [`Step`]s.

use std::{rc::Rc, sync::Arc};

use foldhash::{HashMap, HashMapExt};
use rederive_core::{Change, CustomOp, Key, Op, PartitionId, RowOp, Table, WhereOp};
use smallvec::SmallVec;

use super::{Facts, Kind, Planned, Policy, TableFacts};

/// What a set of rows has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// The columns that are named, or that have to be read for a computation, one bit each.
    columns: u128,
    /// Those of them that are added to.
    added: u128,
}

/// Rows of one table and one shape, no two with the same key.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) table: &'static Table,
    pub(crate) shape: Shape,
    pub(crate) facts: Rc<TableFacts>,
    /// Indices into [`Plan::rows`].
    pub(crate) rows: Vec<usize>,
}

/// One step of a plan.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Rows(Set),
    Where(&'a WhereOp),
    Custom(&'a Arc<dyn CustomOp>),
}

impl Step<'_> {
    /// What it comes after within its layer: rows are written to parents first, and deleted from
    /// children first after that.
    fn rank(&self) -> (bool, i64) {
        match self {
            Step::Rows(Set { shape, facts, .. }) if shape.kind == Kind::Delete => {
                (true, -facts.rank)
            }
            Step::Rows(set) => (false, set.facts.rank),
            Step::Where(_) | Step::Custom(_) => (false, 0),
        }
    }
}

/// The steps of a transaction, to be run in order.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) rows: Vec<Planned<'a>>,
    pub(crate) steps: Vec<Step<'a>>,
}

/// An op cannot be planned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlanError<E> {
    /// The op does not fit its table; a message that names both.
    Misfit(String),
    /// The facts of a table could not be had.
    Facts(E),
}

/// A table and a key in it.
type Id<'a> = (usize, &'a Key);

/// A row of the plan, and its layer.
type Newest = (usize, u32);

/// Turns the ops of a transaction into a [`Plan`].
pub(crate) struct Planner<'a, F> {
    facts: F,
    tables: Vec<Known>,
    /// By table and key: the newest row of the plan, and its layer.
    newest: HashMap<Id<'a>, Newest>,
    /// What was looked up last: ops on one row often follow each other.
    recent: Option<(Id<'a>, Newest)>,
    rows: Vec<Planned<'a>>,
    /// By row: its layer and its table.
    places: Vec<(u32, usize)>,
    others: Vec<(u32, Step<'a>)>,
}

struct Known {
    table: &'static Table,
    facts: Rc<TableFacts>,
}

/// Where one partition stands.
#[derive(Default)]
struct Partition {
    /// The lowest layer that its next op may have.
    base: u32,
    /// The lowest layer above all its ops.
    top: u32,
    /// The layer and set that its last op on a table with [`Policy::Order`] went to, if that was its
    /// last op.
    run: Option<(u32, usize, Shape)>,
    /// The layer of its last op, if that was a custom op.
    custom: Option<u32>,
    /// Where it stands in single tables.
    tables: SmallVec<[OnTable; 2]>,
}

/// Where one partition stands in one table.
struct OnTable {
    table: usize,
    /// The lowest layer that its next op on the table may have.
    base: u32,
    /// The lowest layer above all its ops on the table.
    top: u32,
}

impl Partition {
    fn on(&mut self, table: usize) -> &mut OnTable {
        let at = match self.tables.iter().position(|on| on.table == table) {
            Some(at) => at,
            None => {
                self.tables.push(OnTable { table, base: 0, top: 0 });
                self.tables.len() - 1
            }
        };
        &mut self.tables[at]
    }

    /// The lowest layer that its next op on the table may have.
    fn base_on(&mut self, table: usize) -> u32 {
        self.on(table).base.max(self.base)
    }

    /// Notes an op on the table in this layer.
    fn note(&mut self, table: usize, layer: u32) {
        let on = self.on(table);
        on.top = on.top.max(layer + 1);
        self.top = self.top.max(layer + 1);
    }
}

impl<'a, F: Facts> Planner<'a, F> {
    pub(crate) fn new(facts: F) -> Self {
        Self {
            facts,
            tables: Vec::new(),
            newest: HashMap::new(),
            recent: None,
            rows: Vec::new(),
            places: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Makes room for so many rows more.
    #[cfg(feature = "sqlite")]
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.newest.reserve(rows);
        self.rows.reserve(rows);
        self.places.reserve(rows);
    }

    /// Plans all ops of one partition.
    pub(crate) fn add(
        &mut self,
        partition: &PartitionId,
        ops: impl IntoIterator<Item = &'a Op>,
    ) -> Result<(), PlanError<F::Error>> {
        let mut at = Partition::default();
        for op in ops {
            op.check()
                .map_err(|error| PlanError::Misfit(format!("{error} (partition {partition:?})")))?;
            match op {
                Op::Custom(op) => {
                    // Those in a row share a layer, in which they stay in order.
                    let layer = at.custom.unwrap_or(at.top.max(at.base));
                    self.others.push((layer, Step::Custom(op)));
                    let (base, top) = (layer + 1, layer + 1);
                    at = Partition { base, top, custom: Some(layer), ..Partition::default() };
                }
                Op::Row(op) => {
                    let table = self.table(op.table)?;
                    at.custom = None;
                    self.row(&mut at, table, op);
                }
                Op::Where(op) => {
                    let table = self.table(op.table)?;
                    at.custom = None;
                    self.select(&mut at, table, op);
                }
            }
        }
        Ok(())
    }

    /// Gathers the rows of each layer, table and shape.
    pub(crate) fn finish(self) -> Plan<'a> {
        let mut sets: Vec<(u32, Set)> = Vec::new();
        let mut set_of: HashMap<(u32, usize, Shape), usize> = HashMap::new();
        // Most rows are like the one before.
        let mut recent = None;
        for (index, (row, (layer, table))) in self.rows.iter().zip(self.places).enumerate() {
            let id = (layer, table, Shape::of(row));
            let at = match recent {
                Some((of, at)) if of == id => at,
                _ => *set_of.entry(id).or_insert_with(|| {
                    let Known { table, facts } = &self.tables[table];
                    let facts = Rc::clone(facts);
                    let set = Set { table, shape: id.2, facts, rows: Vec::new() };
                    sets.push((layer, set));
                    sets.len() - 1
                }),
            };
            sets[at].1.rows.push(index);
            recent = Some((id, at));
        }
        let sets = sets.into_iter().map(|(layer, set)| (layer, Step::Rows(set)));
        let mut steps: Vec<_> = sets.chain(self.others).collect();
        steps.sort_by_key(|(layer, step)| (*layer, step.rank()));
        Plan { rows: self.rows, steps: steps.into_iter().map(|(_, step)| step).collect() }
    }

    fn table(&mut self, table: &'static Table) -> Result<usize, PlanError<F::Error>> {
        if let Some(index) = self.tables.iter().position(|known| std::ptr::eq(known.table, table)) {
            return Ok(index);
        }
        // Not the same `static`, but perhaps the same table.
        if let Some(index) = self.tables.iter().position(|known| known.table.name == table.name) {
            return if self.tables[index].table == table {
                Ok(index)
            } else {
                Err(PlanError::Misfit(format!(
                    "two different descriptions of table {} are in use: {table:?} and {:?}",
                    table.name, self.tables[index].table
                )))
            };
        }
        if table.columns.len() > 128 {
            return Err(PlanError::Misfit(format!("table {} has over 128 columns", table.name)));
        }
        let facts = self.facts.of(table).map_err(PlanError::Facts)?;
        self.tables.push(Known { table, facts });
        Ok(self.tables.len() - 1)
    }

    fn row(&mut self, at: &mut Partition, table: usize, op: &'a RowOp) {
        let known = &self.tables[table];
        let id = (table, &op.key);
        let newest = match self.recent {
            Some((of, newest)) if of == id => Some(newest),
            _ => self.newest.get(&id).copied(),
        };
        let base = at.base_on(table);
        if let Some((row, layer)) = newest
            && layer >= base
            && self.rows[row].absorb(&op.change, &known.facts)
        {
            at.run = None;
            at.note(table, layer);
            self.recent = Some((id, (row, layer)));
            return;
        }
        let planned = Planned::new(known.table, &op.key, &op.change, &known.facts);
        let shape = Shape::of(&planned);
        let lowest = newest.map_or(0, |(_, layer)| layer + 1);
        let layer = if known.facts.policy == Policy::Order {
            let layer = match at.run {
                Some((layer, of, like)) if (of, like) == (table, shape) && layer >= lowest => layer,
                _ => at.top.max(base).max(lowest),
            };
            at.base = layer + 1;
            at.run = Some((layer, table, shape));
            layer
        } else {
            at.run = None;
            base.max(lowest)
        };
        at.note(table, layer);
        let row = self.rows.len();
        self.rows.push(planned);
        self.newest.insert(id, (row, layer));
        self.recent = Some((id, (row, layer)));
        self.places.push((layer, table));
    }

    /// Which rows are selected is known to nobody but the database: all earlier ops of the partition
    /// on the table come before it, all later ones after it.
    fn select(&mut self, at: &mut Partition, table: usize, op: &'a WhereOp) {
        let base = at.base_on(table);
        let layer = if self.tables[table].facts.policy == Policy::Order {
            let layer = at.top.max(base);
            at.base = layer + 1;
            layer
        } else {
            at.on(table).top.max(base)
        };
        at.run = None;
        at.note(table, layer);
        at.on(table).base = layer + 1;
        self.others.push((layer, Step::Where(op)));
    }
}

impl Shape {
    pub(crate) fn of(row: &Planned<'_>) -> Self {
        let mut shape = Shape { kind: row.kind, columns: 0, added: 0 };
        for (column, cell) in &row.cells {
            shape.columns |= 1 << column;
            if cell.is_add() {
                shape.added |= 1 << column;
            }
        }
        for change in &row.changes {
            shape.columns |= read_by(change, row.table);
        }
        shape
    }

    /// The columns that are named, ascending, and whether they are added to.
    pub(crate) fn columns(self) -> impl Iterator<Item = (usize, bool)> {
        (0..128)
            .filter(move |column| self.columns & (1 << column) != 0)
            .map(move |column| (column, self.added & (1 << column) != 0))
    }
}

/// The columns outside the key that a computation reads or sets, one bit each.
fn read_by(change: &Change, table: &Table) -> u128 {
    match change {
        Change::Insert(row)
        | Change::InsertNew(row)
        | Change::Upsert(row)
        | Change::Merge(row)
        | Change::Replace(row)
        | Change::Update(row) => row.iter().fold(0, |bits, (column, _)| bits | 1 << column),
        Change::Increment(column, _)
        | Change::ArrayPushUniq(column, _)
        | Change::ArrayDelete(column, _) => 1 << column,
        Change::Modify(_) => {
            let free = (0..table.columns.len()).filter(|column| !table.key.contains(column));
            free.fold(0, |bits, column| bits | 1 << column)
        }
        Change::Delete => 0,
    }
}
