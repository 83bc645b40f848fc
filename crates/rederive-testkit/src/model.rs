//! [`fold`]: what a reducer's events must lead to, by the plainest means there are.

use std::collections::BTreeMap;

use rederive_core::{
    CommitError, Cursor, CursorKind, FailureKind, MemoryStore, Op, Opening, PartitionId,
    PartitionWrite, Recorded, Reducer, ReducerWrite, Store, Table, Value, Writer, reduce,
};

/// Where a fold of a log ends: compare it with what is in a store.
#[derive(Default)]
pub struct Fold {
    store: MemoryStore,
    halted: BTreeMap<PartitionId, (Cursor, FailureKind)>,
    applied: BTreeMap<PartitionId, Vec<Cursor>>,
}

/// Reduces the events of a log one after the other and applies the ops of each at once, to rows in
/// memory: no batches, no groups, no concurrency. A partition that fails is left alone from there.
///
/// ```
/// use rederive_core::{Change, ColumnKind, MemoryLog, Ops, Partitions, Recorded, ReduceError,
///     Reducer, Table, EventLog, Cursor};
/// use rederive_testkit::fold;
///
/// static SEEN: Table = Table::new("seen", &[("word", ColumnKind::Text)], &[0]);
/// struct Words;
///
/// impl Reducer for Words {
///     type Event = &'static str;
///     fn name(&self) -> &str {
///         "words"
///     }
///     fn partition(&self, word: &&'static str) -> Partitions {
///         (*word).into()
///     }
///     fn reduce(&self, word: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
///         ops.change(&SEEN, [word.data.into()], Change::InsertNew(vec![]))
///     }
/// }
///
/// let log = MemoryLog::new();
/// log.append(["b", "a", "b"]);
/// let fold = fold(&Words, &log.fetch(&Cursor::Start, usize::MAX)?.events);
/// assert_eq!(fold.rows(&SEEN), [["a".into()], ["b".into()]]);
/// # Ok::<(), rederive_core::LogError>(())
/// ```
pub fn fold<'e, E: Send + Sync + 'static>(
    reducer: &dyn Reducer<Event = E>,
    events: impl IntoIterator<Item = &'e Recorded<E>>,
) -> Fold {
    Fold::rejecting(reducer, events, |_, _| false)
}

impl Fold {
    /// As [`fold`], but a store would reject the ops of some events.
    pub fn rejecting<'e, E: Send + Sync + 'static>(
        reducer: &dyn Reducer<Event = E>,
        events: impl IntoIterator<Item = &'e Recorded<E>>,
        rejects: impl Fn(&PartitionId, &Recorded<E>) -> bool,
    ) -> Self {
        let mut fold = Self::default();
        for event in events {
            reducer.partition(&event.data).for_each_distinct(|partition| {
                if fold.halted.contains_key(&partition) {
                    return;
                }
                let reduction = reduce(reducer, &partition, [event]);
                let kind = if let Some(failure) = reduction.failure {
                    Some(failure.kind)
                } else if reduction.ops.is_empty() {
                    None
                } else if rejects(&partition, event) {
                    Some(FailureKind::Rejected)
                } else {
                    fold.apply(&partition, event, &reduction.ops)
                };
                if let Some(kind) = kind {
                    fold.halted.insert(partition, (event.cursor.clone(), kind));
                }
            });
        }
        fold
    }

    /// The rows that the table must have, in the order of their keys.
    pub fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.store.rows(table)
    }

    /// The partitions that must be halted: at which event, and why.
    pub fn halted(&self) -> &BTreeMap<PartitionId, (Cursor, FailureKind)> {
        &self.halted
    }

    /// The events of each partition that changed something, in order.
    pub fn applied(&self) -> &BTreeMap<PartitionId, Vec<Cursor>> {
        &self.applied
    }

    /// Applies the ops of one event; why it cannot be done, if so.
    fn apply<E>(
        &mut self,
        partition: &PartitionId,
        event: &Recorded<E>,
        ops: &[Op],
    ) -> Option<FailureKind> {
        const NAME: &str = "fold";
        let kind = event.cursor.kind().unwrap_or(CursorKind::Integer);
        let revision = match self.store.open(&Opening::new(NAME, 1, kind)) {
            Ok(opened) => opened.revision,
            Err(error) => panic!("{error}"),
        };
        let cursor = &event.cursor;
        let write = PartitionWrite {
            partition,
            ops,
            cursor,
            guard: None,
            halt: None,
            skips: Vec::new(),
            record: false,
            reset: false,
        };
        let watermark = &event.cursor;
        let write = ReducerWrite {
            reducer: NAME,
            revision,
            watermark,
            partitions: vec![write],
            skips: vec![],
        };
        match self.store.commit(&[write]) {
            Ok(()) => {
                self.applied.entry(partition.clone()).or_default().push(event.cursor.clone());
                None
            }
            Err(CommitError::Rejected { kind, .. }) => Some(kind),
            Err(error) => panic!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests;
