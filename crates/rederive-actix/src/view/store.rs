//! A view as a store, whose commits change states and progress together.

use std::{any::Any, fmt, sync::Arc};

use rederive_core::{
    Claim, CommitError, Cursor, CustomOp, FailureKind, MemoryStore, Op, OpenError, Opened, Opening,
    Outbox, PartitionId, PartitionRecord, PartitionWrite, ReduceError, ReducerWrite, Revision,
    SkipRecord, StateForm, StateRecord, Store, StoreError, StoreIdentity, StoredReducer, StoredRow,
    Value, Writer, fold::FoundState,
};

use super::{View, states::States};

/// The form of states that are kept in a view.
pub(super) struct InView<S>(pub(super) View<S>);

/// Sets the state of the partition that is committed, or removes it.
struct SetState<S>(Option<Arc<S>>);

impl<S> fmt::Debug for SetState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a state for a view in memory")
    }
}

impl<S: Send + Sync + 'static> CustomOp for SetState<S> {}

impl<S: Send + Sync + 'static> StateForm<S> for InView<S> {
    fn is_loaded(&self) -> bool {
        false
    }

    fn keeps_effects(&self) -> bool {
        false
    }

    fn find(&self, partition: &PartitionId) -> Result<FoundState<S>, ReduceError> {
        Ok(FoundState::Here(self.0.get(partition.as_str())))
    }

    fn read(&self, _: Vec<Value>) -> Result<(S, Option<Cursor>), ReduceError> {
        Err(ReduceError::new("states of a view are in no row"))
    }

    fn store(
        &self,
        _: &PartitionId,
        _: &Cursor,
        state: Option<&Arc<S>>,
    ) -> Result<Op, ReduceError> {
        Ok(Op::Custom(Arc::new(SetState(state.cloned()))))
    }
}

impl<S: Send + Sync + 'static> Store for View<S> {
    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.0)
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenError> {
        self.take_over(opening, |progress, opening, _| progress.open(opening))
    }

    fn reset(&self, opening: &Opening<'_>, target: &Cursor) -> Result<Opened, OpenError> {
        let mut gone = Vec::new();
        let opened = self.take_over(opening, |progress, opening, states| {
            let opened = progress.reset(opening, target)?;
            gone = states.clear();
            Ok(opened)
        });
        drop(gone);
        opened
    }

    fn renew(&self, owned: &[(&str, u64)]) -> Result<Vec<bool>, StoreError> {
        self.0.progress.renew(owned)
    }

    fn release(&self, reducer: &str, epoch: u64) -> Result<bool, StoreError> {
        self.0.progress.release(reducer, epoch)
    }

    fn stored(&self, reducer: &str) -> Result<Option<StoredReducer>, StoreError> {
        self.0.progress.stored(reducer)
    }

    fn forget(&self, reducer: &str) -> Result<bool, StoreError> {
        let mut states = self.0.write();
        let forgotten = self.0.progress.forget(reducer)?;
        let gone = if forgotten { states.clear() } else { Vec::new() };
        states.owner = states.owner.take().filter(|_| !forgotten);
        let last = states.last();
        drop(states);
        drop(gone);
        self.0.news.send_replace(last);
        Ok(forgotten)
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        Ok(Box::new(ViewWriter { view: self.clone(), progress: self.0.progress.writer()? }))
    }

    fn halted(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.0.progress.halted(reducer, after, limit)
    }

    fn records(
        &self,
        reducer: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<PartitionRecord>, StoreError> {
        self.0.progress.records(reducer, partitions)
    }

    fn load(&self, rows: &[StoredRow]) -> Result<Vec<Option<Vec<Value>>>, StoreError> {
        self.0.progress.load(rows)
    }

    fn states(
        &self,
        reducer: &str,
        after: Option<&PartitionId>,
        limit: usize,
    ) -> Result<Vec<StateRecord>, StoreError> {
        self.0.progress.states(reducer, after, limit)
    }

    fn skips(
        &self,
        reducer: &str,
        after: Option<(&Cursor, Option<&PartitionId>)>,
        limit: usize,
    ) -> Result<Vec<SkipRecord>, StoreError> {
        self.0.progress.skips(reducer, after, limit)
    }

    fn skips_of(&self, reducer: &str, cursor: &Cursor) -> Result<Vec<SkipRecord>, StoreError> {
        self.0.progress.skips_of(reducer, cursor)
    }

    fn pause(&self, reducer: &str, paused: bool) -> Result<(), StoreError> {
        self.0.progress.pause(reducer, paused)
    }

    fn outbox(&self) -> &dyn Outbox {
        self.0.progress.outbox()
    }
}

impl<S: Send + Sync + 'static> View<S> {
    fn take_over(
        &self,
        opening: &Opening<'_>,
        open: impl FnOnce(&MemoryStore, &Opening<'_>, &mut States<S>) -> Result<Opened, OpenError>,
    ) -> Result<Opened, OpenError> {
        // What lives in one process has no owner to outlive: there is nobody to wait for.
        let opening = &Opening { claim: Claim::default(), ..opening.clone() };
        let mut states = self.0.write();
        if let Some(owner) = states.owner.as_deref().filter(|owner| *owner != opening.reducer) {
            let message =
                format!("the view is kept by {owner:?}: give each fold a view of its own");
            return Err(StoreError::new(message).into());
        }
        let opened = open(&self.0.progress, opening, &mut states)?;
        states.owner = Some(opening.reducer.to_owned());
        let last = states.last();
        drop(states);
        self.0.news.send_replace(last);
        Ok(opened)
    }
}

struct ViewWriter<S> {
    view: View<S>,
    progress: Box<dyn Writer>,
}

impl<S: Send + Sync + 'static> Writer for ViewWriter<S> {
    fn prepare(&mut self) {
        self.progress.prepare();
    }

    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let mut changes = Vec::new();
        for partition in writes.iter().flat_map(|write| &write.partitions) {
            if partition.reset {
                changes.push((partition.partition, None));
            }
            for op in partition.ops {
                changes.push((partition.partition, state_of::<S>(op)?));
            }
        }
        let mut gone = Vec::new();
        let mut states = self.view.0.write();
        let bare: Vec<_> = writes.iter().map(without_ops).collect();
        self.progress.commit(&bare)?;
        for (partition, state) in changes {
            gone.extend(states.set(partition, state));
        }
        let last = states.last();
        drop(states);
        self.view.0.news.send_replace(last);
        Ok(())
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        self.progress.revision(reducer)
    }
}

fn state_of<S: Send + Sync + 'static>(op: &Op) -> Result<Option<Arc<S>>, CommitError> {
    let state = match op {
        Op::Custom(custom) => (&**custom as &dyn Any).downcast_ref::<SetState<S>>(),
        _ => None,
    };
    state.map(|SetState(state)| state.clone()).ok_or_else(|| CommitError::Rejected {
        kind: FailureKind::Rejected,
        message: format!("a view keeps the states of a fold and cannot run {op:?}"),
    })
}

fn without_ops<'w>(write: &ReducerWrite<'w>) -> ReducerWrite<'w> {
    let partitions = write.partitions.iter().map(|partition| PartitionWrite {
        partition: partition.partition,
        ops: &[],
        cursor: partition.cursor,
        guard: partition.guard,
        halt: partition.halt,
        skips: partition.skips.clone(),
        record: partition.record,
        reset: partition.reset,
    });
    ReducerWrite {
        reducer: write.reducer,
        revision: write.revision,
        watermark: write.watermark,
        partitions: partitions.collect(),
        skips: write.skips.clone(),
    }
}
