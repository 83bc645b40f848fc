//! [`Catalog`]: the facts of the user's tables, read from the database and kept until they change.

use std::{collections::HashMap, rc::Rc};

use diesel::{QueryResult, result::Error};
use rederive_core::{Op, ReducerWrite, Table};

use super::{
    sql::{Bind, Session},
    table_state::{TableState, states},
    tables::{Column, columns, is_ours, mismatch, name_of, named},
};
use crate::plan::{Facts, Policy, TableFacts, Takes};

/// The facts known so far.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    tables: HashMap<&'static str, Known>,
}

#[derive(Debug)]
struct Known {
    table: &'static Table,
    /// Says whether anything has changed that facts depend on.
    state: TableState,
    facts: TableFacts,
    /// Whether foreign keys lead from or to the table.
    is_connected: bool,
    /// Whether ops on it run in the order given: its foreign keys have asked for that before.
    in_order: bool,
}

/// The facts that are known already, and no others.
pub(crate) struct AsKnown<'s>(pub(crate) &'s Catalog);

/// Nothing is known of a table.
pub(crate) struct Unknown;

/// Reads facts that are not known yet through a connection.
pub(crate) struct Introspect<'s, 'c> {
    pub(crate) catalog: &'s mut Catalog,
    pub(crate) session: &'s mut Session<'c>,
    /// Whether ops on tables with foreign keys run in the order given.
    pub(crate) in_order: bool,
}

impl Catalog {
    /// Forgets what has changed of the tables that the writes touch. Called inside the transaction.
    pub(crate) fn refresh(
        &mut self,
        session: &mut Session<'_>,
        writes: &[ReducerWrite<'_>],
    ) -> QueryResult<()> {
        let touched = self.touched(writes);
        if touched.is_empty() {
            return Ok(());
        }
        let states = states(session, &touched)?;
        for (table, state) in touched.iter().zip(states) {
            if self.tables.get(table.name).is_some_and(|known| known.state != state) {
                self.tables.remove(table.name);
            }
        }
        Ok(())
    }

    /// The tables that the writes touch, as far as they are known.
    fn touched(&self, writes: &[ReducerWrite<'_>]) -> Vec<&'static Table> {
        if self.tables.is_empty() {
            return Vec::new();
        }
        let ops = writes.iter().flat_map(|write| &write.partitions).flat_map(|row| row.ops);
        let mut touched: Vec<&'static Table> = Vec::new();
        let mut last: Option<&'static Table> = None;
        for op in ops {
            let table = match op {
                Op::Row(op) => op.table,
                Op::Where(op) => op.table,
                Op::Custom(_) => continue,
            };
            // Most ops are on the table of the one before.
            if last.is_some_and(|last| std::ptr::eq(last, table)) {
                continue;
            }
            last = Some(table);
            let is_known = touched.iter().any(|known| std::ptr::eq(*known, table));
            if !is_known && self.tables.contains_key(table.name) {
                touched.push(table);
            }
        }
        touched
    }

    /// The state of a table when its facts were read.
    pub(crate) fn state_of(&self, table: &Table) -> Option<TableState> {
        self.tables.get(table.name).map(|known| known.state)
    }

    /// Has ops run in the order given on all tables known so far with foreign keys, from now on; false
    /// when there are none for which that is new.
    pub(crate) fn keep_order(&mut self) -> bool {
        let mut any = false;
        for known in self.tables.values_mut().filter(|known| known.is_connected) {
            any |= !known.in_order;
            known.in_order = true;
        }
        any
    }
}

impl Facts for Introspect<'_, '_> {
    type Error = Error;

    fn of(&mut self, table: &'static Table) -> QueryResult<Rc<TableFacts>> {
        if is_ours(table) {
            return Ok(Rc::new(of_ours(table)));
        }
        let is_known = self.catalog.tables.get(table.name).is_some_and(|it| it.table == table);
        if !is_known {
            let known = read(self.session, table)?;
            self.catalog.tables.insert(table.name, known);
        }
        let known = self.catalog.tables.get(table.name).ok_or(Error::NotFound)?;
        Ok(known.facts(self.in_order))
    }
}

impl Facts for AsKnown<'_> {
    type Error = Unknown;

    fn of(&mut self, table: &'static Table) -> Result<Rc<TableFacts>, Unknown> {
        let known = self.0.tables.get(table.name).filter(|known| known.table == table);
        known.map(|known| known.facts(false)).ok_or(Unknown)
    }
}

impl Known {
    /// `in_order` is whether ops on tables with foreign keys run in the order given.
    fn facts(&self, in_order: bool) -> Rc<TableFacts> {
        let mut facts = self.facts.clone();
        if self.is_connected && (self.in_order || in_order) {
            facts.policy = Policy::Order;
        }
        Rc::new(facts)
    }
}

/// The facts of a table of Rederive's own.
fn of_ours(table: &'static Table) -> TableFacts {
    let free = |index: &usize| !table.key.contains(index);
    let is_parked = |index: usize| table.columns[index].0.starts_with("parked_");
    let all = 0..table.columns.len();
    TableFacts {
        policy: Policy::Merge,
        row_by_row: false,
        rank: 0,
        nullable: all.clone().map(is_parked).collect(),
        takes: vec![Takes::All; table.columns.len()],
        types: Vec::new(),
        required: all.clone().filter(free).filter(|index| !is_parked(*index)).collect(),
        settable: all.filter(free).map(|index| table.columns[index].0.to_owned()).collect(),
    }
}

const TRAITS: &str = "SELECT
        EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid
            AND k.contype = 'c')
        OR EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid
            AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)),
        c.relkind NOT IN ('r', 'p') OR c.relhasrules OR c.relrowsecurity
        OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE NOT g.tgisinternal
            AND g.tgenabled <> 'D' AND (g.tgrelid = c.oid OR g.tgrelid IN
                (SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid)))
        OR EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid
            AND NOT i.indisprimary AND (i.indisunique OR i.indisexclusion))
        OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'f'
            AND (k.conrelid = c.oid OR k.confrelid = c.oid)
            AND (k.confupdtype <> 'a' OR k.confdeltype <> 'a')),
        EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'f'
            AND (k.conrelid = c.oid OR k.confrelid = c.oid)),
        (WITH RECURSIVE up (oid, depth) AS (
            SELECT c.oid, 0
            UNION SELECT k.confrelid, up.depth + 1 FROM up
            JOIN pg_catalog.pg_constraint AS k ON k.conrelid = up.oid AND k.contype = 'f'
                AND k.confrelid <> k.conrelid
            WHERE up.depth < 16)
        SELECT max(depth) FROM up)::int8
    FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass(\0)";

/// What the database has where the program expects a table.
pub(crate) enum Found {
    Nothing,
    /// A table that is not as expected: what is wrong, after its name.
    Other(String),
    AsExpected,
}

/// Compares a table with what the program believes it to be.
pub(crate) fn compare(session: &mut Session<'_>, table: &Table) -> QueryResult<Found> {
    let columns = columns(session, &name_of(table, session.schema))?;
    if columns.is_empty() {
        return Ok(Found::Nothing);
    }
    Ok(mismatch(&columns, table).map_or(Found::AsExpected, Found::Other))
}

fn read(session: &mut Session<'_>, table: &'static Table) -> QueryResult<Known> {
    let name = name_of(table, session.schema);
    // First what tells whether anything has changed, so that a change in between is seen later.
    let state = states(session, &[table])?.pop().unwrap_or_default();
    let columns = columns(session, &name)?;
    if columns.is_empty() {
        return Err(refusal(format!("no such table: {}", table.name)));
    }
    if let Some(mismatch) = mismatch(&columns, table) {
        return Err(refusal(format!("table {} {mismatch}", table.name)));
    }
    let Some(mut traits) = session.row(TRAITS, &[Bind::text(name.as_str())])? else {
        return Err(refusal(format!("no such table: {}", table.name)));
    };
    let (judges, entangles) = (traits.bool()?, traits.bool()?);
    let (is_connected, rank) = (traits.bool()?, traits.integer()?);
    let of_table = |index: usize| named(&columns, table.columns[index].0);
    // Values that are equal as keys of the table need not be so in the plan: 1 and 1.0.
    let keys_differ =
        table.key.iter().any(|index| of_table(*index).is_none_or(|key| !key.tells_apart()));
    let policy = if entangles || keys_differ {
        Policy::Order
    } else if judges || columns.iter().any(|column| column.generated || column.is_domain) {
        Policy::Layer
    } else {
        Policy::Merge
    };
    let by_column = (0..table.columns.len()).map(of_table);
    let facts = TableFacts {
        policy,
        row_by_row: policy == Policy::Order,
        rank,
        nullable: by_column.clone().map(|it| it.is_none_or(may_be_null)).collect(),
        takes: by_column.clone().map(|it| it.map_or(Takes::Unknown, takes)).collect(),
        types: by_column.map(|it| it.map_or_else(String::new, |it| it.declared.clone())).collect(),
        required: required(&columns, table),
        settable: settable(&columns),
    };
    Ok(Known { table, state, facts, is_connected, in_order: false })
}

fn may_be_null(column: &Column) -> bool {
    !column.not_null && !column.is_domain
}

fn takes(column: &Column) -> Takes {
    match column.most {
        _ if column.is_limited || column.parses() => Takes::Unknown,
        Some(most) => Takes::Text(most),
        None if column.is_text() => Takes::Text(usize::MAX),
        None => Takes::All,
    }
}

/// The columns outside the key that a new row must name. One that the program does not know can never
/// be named: `usize::MAX` stands for it.
fn required(columns: &[Column], table: &Table) -> Vec<usize> {
    // Any default that could be NULL counts as none.
    const SURE: [&str; 8] = [
        "true",
        "false",
        "now(",
        "nextval(",
        "CURRENT_",
        "clock_timestamp(",
        "gen_random_uuid(",
        "ARRAY[",
    ];
    let is_sure = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_digit() || "'-+".contains(first))
            || SURE.iter().any(|beginning| text.starts_with(beginning))
    };
    let must_be_named = |column: &&Column| {
        let has_default = column.default.as_deref().is_some_and(is_sure);
        let is_made = column.generated || !column.identity.is_empty() || has_default;
        column.not_null && column.key.is_none() && !is_made
    };
    let place = |column: &Column| table.column(&column.name).unwrap_or(usize::MAX);
    columns.iter().filter(must_be_named).map(place).collect()
}

fn settable(columns: &[Column]) -> Vec<String> {
    let free =
        |column: &&Column| column.key.is_none() && !column.generated && column.identity != "a";
    columns.iter().filter(free).map(|column| column.name.clone()).collect()
}

fn refusal(message: String) -> Error {
    Error::QueryBuilderError(message.into())
}
