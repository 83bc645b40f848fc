//! A store by the book, whose transactions fail as scripted.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::store::{Revision, StoreError};

/// What befalls one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Transient,
    /// In doubt, and not done.
    Lost,
    /// In doubt, and done.
    Done,
    PanicBefore,
    PanicAfter,
    /// Another owner takes the reducer over just before the transaction.
    TakenOver(&'static str),
    /// In doubt and done; then another owner takes the reducer over.
    DoneThenTakenOver(&'static str),
    /// In doubt and not done; another owner takes the reducer over.
    LostThenTakenOver(&'static str),
}

impl Fault {
    /// Those after which the settlement goes on to the same end.
    pub(super) const PASSING: [Fault; 5] =
        [Fault::Transient, Fault::Lost, Fault::Done, Fault::PanicBefore, Fault::PanicAfter];
}

#[derive(Default)]
pub(super) struct Model {
    reducers: BTreeMap<String, Stored>,
    /// Events whose ops are rejected.
    poison: BTreeSet<u64>,
    /// Faults by the number of the transaction, counted from 0.
    pub(super) faults: BTreeMap<usize, Fault>,
    /// Which look-ups fail, by their number, and whether by a panic.
    pub(super) lookup_faults: BTreeMap<usize, bool>,
    /// Transactions begun, whatever became of them.
    pub(super) transactions: usize,
    pub(super) lookups: usize,
    /// The ops of each partition of each reducer, by event, if they are to be checked.
    pub(super) known: BTreeMap<(String, String), Vec<u64>>,
    /// What was wrong after some transaction.
    pub(super) violations: Vec<String>,
}

#[derive(Default)]
struct Stored {
    revision: Revision,
    watermark: Cursor,
    rows: BTreeMap<String, (Cursor, Option<Halt>)>,
    applied: BTreeMap<String, Vec<u64>>,
}

impl Model {
    /// A store that rejects the ops of these events.
    pub(super) fn poisoned(events: impl IntoIterator<Item = u64>) -> Self {
        Self { poison: events.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn cure(&mut self) {
        self.poison.clear();
    }

    /// Takes the reducer over: its revision and low watermark.
    pub(super) fn open(&mut self, reducer: &str) -> (Revision, Cursor) {
        let stored = self.reducers.entry(reducer.to_owned()).or_default();
        stored.revision.epoch += 1;
        (stored.revision, stored.watermark.clone())
    }

    pub(super) fn current(&self, reducer: &str) -> (Revision, Cursor) {
        (self.revision(reducer), self.watermark(reducer))
    }

    pub(super) fn revision(&self, reducer: &str) -> Revision {
        self.reducers[reducer].revision
    }

    pub(super) fn watermark(&self, reducer: &str) -> Cursor {
        self.reducers[reducer].watermark.clone()
    }

    /// The events whose ops were applied, once per op, in the order in which they were.
    pub(super) fn applied(&self, reducer: &str, partition: &str) -> Vec<u64> {
        self.reducers[reducer].applied.get(partition).cloned().unwrap_or_default()
    }

    /// The rows of partitions: (partition, cursor, whether it is halted).
    pub(super) fn rows(&self, reducer: &str) -> Vec<(&str, Cursor, bool)> {
        let rows = self.reducers[reducer].rows.iter();
        rows.map(|(id, (cursor, halt))| (&**id, cursor.clone(), halt.is_some())).collect()
    }

    /// Where an owner that opened the reducer now would go on with this partition, and whether it
    /// is halted there.
    pub(super) fn position(&self, reducer: &str, partition: &str) -> (Cursor, bool) {
        let stored = &self.reducers[reducer];
        match stored.rows.get(partition) {
            Some((cursor, Some(_))) => (cursor.clone(), true),
            Some((cursor, None)) => (cursor.max(&stored.watermark).clone(), false),
            None => (stored.watermark.clone(), false),
        }
    }

    /// Whoever opened the reducers after a crash now would neither skip nor repeat an op.
    fn check(&mut self) {
        for ((reducer, partition), ops) in &self.known {
            let (position, _) = self.position(reducer, partition);
            let settled = ops.iter().copied().filter(|event| Cursor::from(*event) <= position);
            let (settled, applied) =
                (settled.collect::<Vec<_>>(), self.applied(reducer, partition));
            if settled != applied {
                let at = format!("{partition} of {reducer} at {position}");
                self.violations.push(format!("{at}: {applied:?} applied, not {settled:?}"));
            }
        }
    }

    fn apply(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        for write in writes {
            let stored = &self.reducers[write.reducer];
            let behind = write.partitions.iter().any(|partition| {
                let row = stored.rows.get(partition.partition.as_str());
                row.zip(partition.guard).is_some_and(|((cursor, _), guard)| cursor >= guard)
            });
            if stored.revision != write.revision || behind {
                return Err(CommitError::Fenced { reducer: write.reducer.to_owned() });
            }
        }
        let all = writes.iter().flat_map(|write| &write.partitions);
        let mut events = all.flat_map(|partition| partition.ops).map(event_of);
        if let Some(event) = events.find(|event| self.poison.contains(event)) {
            let message = format!("event {event} is poisoned");
            return Err(CommitError::Rejected { kind: FailureKind::Rejected, message });
        }
        for write in writes {
            let stored = self.reducers.get_mut(write.reducer).expect("it was there above");
            if *write.watermark < stored.watermark {
                self.violations.push(format!("the watermark of {} goes back", write.reducer));
            }
            stored.revision = stored.revision.next();
            stored.watermark = write.watermark.clone();
            for partition in &write.partitions {
                let id = partition.partition.as_str().to_owned();
                let applied = stored.applied.entry(id.clone()).or_default();
                applied.extend(partition.ops.iter().map(event_of));
                if !partition.record && partition.halt.is_some() {
                    self.violations.push(format!("the halt of {id} is not recorded"));
                }
                if partition.record {
                    stored.rows.insert(id, (partition.cursor.clone(), partition.halt.cloned()));
                }
            }
        }
        self.check();
        Ok(())
    }
}

impl Writer for Model {
    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let fault = self.faults.get(&self.transactions).cloned();
        self.transactions += 1;
        let in_doubt = || Err(CommitError::InDoubt("no answer".to_owned()));
        match fault {
            None => self.apply(writes),
            Some(Fault::Transient) => Err(CommitError::Transient("not now".to_owned())),
            Some(Fault::Lost) => in_doubt(),
            Some(Fault::PanicBefore) => panic!("before"),
            Some(Fault::Done) => self.apply(writes).and_then(|()| in_doubt()),
            Some(Fault::PanicAfter) => self.apply(writes).map(|()| panic!("after")),
            Some(Fault::TakenOver(reducer)) => {
                self.open(reducer);
                self.apply(writes)
            }
            Some(Fault::DoneThenTakenOver(reducer)) => {
                self.apply(writes)?;
                self.open(reducer);
                in_doubt()
            }
            Some(Fault::LostThenTakenOver(reducer)) => {
                self.open(reducer);
                in_doubt()
            }
        }
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        let fault = self.lookup_faults.get(&self.lookups).copied();
        self.lookups += 1;
        match fault {
            None => Ok(self.reducers.get(reducer).map(|stored| stored.revision)),
            Some(false) => Err(StoreError::new("not now")),
            Some(true) => panic!("at a look-up"),
        }
    }
}

fn event_of(op: &Op) -> u64 {
    match op {
        Op::Row(RowOp { key, .. }) => match key[0] {
            Value::Integer(event) => event as u64,
            _ => unreachable!("keys are numbers"),
        },
        other => unreachable!("no reducer here emits {other}"),
    }
}
