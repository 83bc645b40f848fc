//! Whether each row is changed by one partition only.

use std::collections::BTreeMap;

use rederive_core::{Cursor, Key, Op, PartitionId};

use super::record;
use crate::{Given, Subject, subject::Pass};

/// Each row is changed by events of one partition only.
///
/// Partitions are committed independently of each other: what two of them do to one row happens in
/// no particular order. Changes that any order leads to the same result for (increments alone) are
/// told as well, since the first change of another kind will be wrong. What custom ops and
/// changes of all rows with certain values change cannot be seen.
///
/// # Panics
/// When a row is changed by two partitions, with the row, both partitions and an event of each.
#[track_caller]
pub fn partitions_are_independent<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    let (engine, log) = (reducer.engine(), record(events));
    let mut owners: BTreeMap<(&'static str, Key), (PartitionId, Cursor)> = BTreeMap::new();
    let mut pass = Pass::new(&*engine);
    for event in &log.events {
        for (partition, reduction) in pass.reduce(event) {
            for op in &reduction.ops {
                let Op::Row(row) = op else { continue };
                let here = || (partition.clone(), event.cursor.clone());
                let owner = owners.entry((row.table.name, row.key.clone())).or_insert_with(here);
                if owner.0 == partition {
                    continue;
                }
                let key: Vec<String> = row.key.iter().map(ToString::to_string).collect();
                panic!(
                    "the partitions of reducer {:?} are not independent: the row {} of table {} is \
                     changed by partition {:?} (by the event at cursor {}) and by partition {:?} (by \
                     the event at cursor {})\nThe two are committed in no particular order. Have \
                     `Reducer::partition` answer one partition for all events that change this row, \
                     or give each partition a row of its own, with the partition in its key.",
                    engine.name(),
                    key.join(", "),
                    row.table.name,
                    owner.0,
                    owner.1,
                    partition,
                    event.cursor
                );
            }
        }
    }
}
