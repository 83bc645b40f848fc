//! Makes a commit by one statement, which is a transaction by itself: most are small and touch a table or
//! two of which all is known.
//!
//! The server locks the tables that a statement writes to before it looks at anything. So that they are
//! still as they are known to be is seen in the same statement, and holds until it is done.

use std::collections::HashSet;

use diesel::result::Error;
use rederive_core::{ReducerWrite, effect::has_effects};

use super::{
    advance::{MANY, Statement},
    connections::{Failed, Line},
    ids,
    introspect::{AsKnown, Catalog},
    sql::{Bind, Schema},
    statement::{Statements, Target, bind_rows},
    table_state::is_in,
    tables::name_of,
};
use crate::plan::{Kind, Planner, Step};

/// As each combination of steps has a statement of its own that the server keeps, there are not many.
const MOST_STEPS: usize = 2;

/// Makes the commit. `None` if it takes more than one statement: nothing has been tried then. The inner
/// error has left nothing behind, and does not say whose fault it is.
pub(super) fn commit(
    line: &mut Line,
    schema: &Schema,
    catalog: &Catalog,
    writes: &[ReducerWrite<'_>],
) -> Option<Result<(), Failed<Error>>> {
    let [write] = writes else { return None };
    let is_plain = write.skips.is_empty()
        && write.partitions.iter().all(|partition| {
            !partition.reset
                && partition.skips.is_empty()
                && ids::is_its_own_key(partition.partition)
                && !has_effects(partition.ops)
        });
    let ops = write.partitions.iter().map(|partition| partition.ops.len());
    if !is_plain || write.partitions.len().max(ops.sum()) >= MANY {
        return None;
    }
    let mut planner = Planner::new(AsKnown(catalog));
    for partition in &write.partitions {
        planner.add(partition.partition, partition.ops).ok()?;
    }
    let plan = planner.finish();
    if plan.steps.len() > MOST_STEPS {
        return None;
    }
    let mut statement = Statement::advancing(schema, write)?;
    let mut seen = HashSet::new();
    let mut tables = Vec::new();
    for (nth, step) in plan.steps.iter().enumerate() {
        let Step::Rows(set) = step else { return None };
        let mut rows: Vec<_> = set.rows.iter().map(|index| &plan.rows[*index]).collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(b.key));
        // The parts of a statement do not see what the others have done.
        let is_first = rows.iter().all(|row| seen.insert((set.table.name, row.key)));
        if !is_first || set.facts.row_by_row || set.shape.kind == Kind::Compute {
            return None;
        }
        let name = name_of(set.table, schema);
        let target = Target { table: set.table, name: &name, facts: &set.facts };
        let Statements { first, missing, .. } = Statements::new(target, set.shape);
        let binds = bind_rows(set.table, set.shape, &rows).ok()?;
        let count = format!("(SELECT count(*) FROM changed_{nth})");
        let all = Bind::limit(rows.len());
        statement.add(&format!("changed_{nth}"), &format!("{first} RETURNING 1"), binds.clone());
        if let Some(missing) = missing {
            statement.add(&format!("missing_{nth}"), &format!("{missing} RETURNING 1"), binds);
            let inserted = format!("(SELECT count(*) FROM missing_{nth})");
            statement.require(format!("{count} + {inserted} = \0"), [all]);
        } else if set.shape.kind == Kind::Update {
            statement.require(format!("{count} = \0"), [all]);
        }
        if !tables.contains(&set.table.name) {
            tables.push(set.table.name);
            let (condition, binds) = is_in(name, catalog.state_of(set.table)?);
            statement.require(condition, binds);
        }
    }
    Some(line.statement(|conn| statement.insist(conn)))
}
