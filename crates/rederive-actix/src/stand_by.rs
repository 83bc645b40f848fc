//! [`Sight`]: what a stand-by sees of a reducer that somebody else owns.

use std::{collections::HashMap, sync::Arc};

use rederive_core::{
    Cursor, Halt, PartitionId, PartitionRecord, SkipRecord, Store, StoreError, StoredReducer,
};

use crate::waiter::Outcome;

/// An event that is awaited, and the partitions that it belongs to; none for one that the reducer
/// passes by without knowing whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    pub(crate) cursor: Cursor,
    pub(crate) partitions: Arc<[PartitionId]>,
}

/// What the store says at one look, however many wait.
pub(crate) struct Sight {
    /// `None` when the reducer was forgotten.
    pub(crate) stored: Option<StoredReducer>,
    /// What became of each event that is awaited; `None` where nothing is known yet.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// One of the halts, if there is any; `None` when that was not asked for.
    pub(crate) halt: Option<Option<Arc<Halt>>>,
}

impl Sight {
    /// Looks: asks for halts only if somebody wants to know whether there are any.
    ///
    /// The watermark is read before the rows of partitions and these before the skips, so that what is
    /// committed in between makes no event look done that is not.
    pub(crate) fn take(
        store: &dyn Store,
        reducer: &str,
        awaited: &[Awaited],
        halts: bool,
    ) -> Result<Self, StoreError> {
        let Some(stored) = store.stored(reducer)? else {
            let outcomes = vec![None; awaited.len()];
            return Ok(Self { stored: None, outcomes, halt: halts.then_some(None) });
        };
        let mut partitions: Vec<PartitionId> =
            awaited.iter().flat_map(|event| event.partitions.iter().cloned()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let rows = match partitions.is_empty() {
            true => Vec::new(),
            false => store.records(reducer, &partitions)?,
        };
        let rows: HashMap<_, _> = rows.iter().map(|row| (&row.partition, row)).collect();
        let settled = |event: &Awaited| Settled::of(event, &stored.watermark, &rows);
        let settled: Vec<_> = awaited.iter().map(settled).collect();
        let any_done = settled.iter().any(|settled| !matches!(settled, Settled::Open));
        let skips =
            any_done && (stored.skips || store.stored(reducer)?.is_some_and(|stored| stored.skips));
        let mut outcomes = Vec::with_capacity(awaited.len());
        for (event, settled) in awaited.iter().zip(settled) {
            let skip = match settled {
                Settled::Partly | Settled::Wholly if skips => {
                    skip_of(event, store.skips_of(reducer, &event.cursor)?)
                }
                _ => None,
            };
            outcomes.push(match (skip, settled) {
                (Some(skip), _) => Some(skip),
                (None, Settled::Wholly) => Some(Outcome::Done),
                (None, Settled::Halted(halt)) => Some(Outcome::Halted(halt)),
                (None, Settled::Open | Settled::Partly) => None,
            });
        }
        let halt = match halts {
            true => Some(store.halted(reducer, None, 1)?.pop().and_then(|row| row.halt)),
            false => None,
        };
        let halt = halt.map(|halt| halt.map(Arc::new));
        Ok(Self { stored: Some(stored), outcomes, halt })
    }
}

/// How far an event is, of which skips are not looked at yet.
enum Settled {
    /// No partition has passed it.
    Open,
    /// Some have.
    Partly,
    /// All have.
    Wholly,
    /// One stands before it and is halted.
    Halted(Arc<Halt>),
}

impl Settled {
    fn of(
        event: &Awaited,
        watermark: &Cursor,
        rows: &HashMap<&PartitionId, &PartitionRecord>,
    ) -> Self {
        let mut passed = 0;
        for partition in &*event.partitions {
            match rows.get(partition) {
                Some(PartitionRecord { cursor, halt: Some(halt), .. })
                    if *cursor < event.cursor =>
                {
                    return Settled::Halted(Arc::new(halt.clone()));
                }
                Some(row) if row.halt.is_some() || row.cursor >= event.cursor => passed += 1,
                _ if *watermark >= event.cursor => passed += 1,
                _ => {}
            }
        }
        match passed {
            0 if event.partitions.is_empty() && *watermark >= event.cursor => Settled::Wholly,
            0 => Settled::Open,
            _ if passed < event.partitions.len() => Settled::Partly,
            _ => Settled::Wholly,
        }
    }
}

fn skip_of(event: &Awaited, skips: Vec<SkipRecord>) -> Option<Outcome> {
    let mine = |record: &SkipRecord| {
        record.partition.as_ref().is_none_or(|partition| event.partitions.contains(partition))
    };
    skips.into_iter().find(mine).map(|record| Outcome::Skipped(Arc::new(record.skip)))
}

#[cfg(test)]
mod tests;
