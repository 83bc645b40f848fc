//! Events that cannot be decoded: what becomes of each, and those that the reducer skips without
//! knowing whose they are.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::Context;
use rederive_core::{
    Blocked, Cursor, Entry, Failure, FailureKind, Notice, OnUndecodable, PartitionId, Partitions,
    Skip, SkippedBy, Undecodable, Waiters,
};

use super::{Dispatcher, Links};
use crate::{
    partition_work::now,
    waiter::{Outcome, Waiter},
};

/// What becomes of an event that was read.
pub(super) enum Fate {
    /// These partitions get it; none if it is ignored.
    To(Partitions),
    /// The reducer passes it by, and records that.
    Skipped(Undecodable),
    /// It cannot be passed.
    Blocked(Blocked),
}

/// The skipped events of which no partition is known, until they are recorded. The transaction that
/// stores a low watermark at or above them does that: they are passed then, and not before.
#[derive(Default)]
pub(super) struct Passing {
    skips: BTreeMap<Cursor, Arc<Skip>>,
    waiters: Waiters<Waiter>,
}

impl Passing {
    pub(super) fn len(&self) -> usize {
        self.skips.len()
    }

    pub(super) fn push(&mut self, event: Undecodable) {
        let Undecodable { cursor, message, .. } = event;
        let failure = Failure { cursor: cursor.clone(), kind: FailureKind::Undecodable, message };
        let skip = Skip::new(failure, 1, now(), SkippedBy::Policy);
        self.skips.insert(cursor, Arc::new(skip));
    }

    /// Those that a transaction with this watermark has to record.
    pub(super) fn up_to(&self, watermark: &Cursor) -> Vec<Arc<Skip>> {
        self.skips.range(..=watermark).map(|(_, skip)| Arc::clone(skip)).collect()
    }

    /// Whether there is one at or below the cursor.
    pub(super) fn stands_before(&self, cursor: &Cursor) -> bool {
        self.skips.first_key_value().is_some_and(|(first, _)| first <= cursor)
    }

    /// This watermark is stored: takes those that are recorded, and tells who waits for them.
    fn stored(&mut self, watermark: &Cursor) -> Vec<Arc<Skip>> {
        let mut recorded = Vec::new();
        while let Some(entry) = self.skips.first_entry()
            && entry.key() <= watermark
        {
            let (cursor, skip) = entry.remove_entry();
            for (_, waiter) in self.waiters.release(&cursor) {
                waiter.finish(Outcome::Skipped(Arc::clone(&skip)));
            }
            recorded.push(skip);
        }
        recorded
    }

    /// Forgets all of them, and tells those who wait.
    pub(super) fn give_up(&mut self, outcome: &Outcome) {
        self.skips.clear();
        for (_, waiter) in self.waiters.release_all() {
            waiter.finish(outcome.clone());
        }
    }
}

impl<E: Send + Sync + 'static> Links<E> {
    /// What the reducer says of an event that cannot be decoded, in the one way of the several that
    /// mean the same.
    pub(super) fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        if !self.types.admits(event.event_type.as_deref()) {
            return OnUndecodable::Ignore;
        }
        let ask = AssertUnwindSafe(|| self.engine.on_undecodable(event));
        match catch_unwind(ask).unwrap_or_default() {
            OnUndecodable::Skip(partitions) if partitions.is_none() => {
                OnUndecodable::Skip(Partitions::None)
            }
            OnUndecodable::Halt(partitions) if partitions.is_none() => OnUndecodable::Block,
            other => other,
        }
    }

    pub(super) fn fate_of(&self, entry: &Entry<'_, E>) -> Fate {
        match entry {
            Entry::Event(_, event) => match self.partitions_of(event) {
                Ok(partitions) => Fate::To(partitions),
                Err(message) => {
                    let cursor = event.cursor.clone();
                    Fate::Blocked(Blocked::PartitionPanicked { cursor, message })
                }
            },
            Entry::Undecodable(_, event) => match self.on_undecodable(event) {
                OnUndecodable::Ignore => Fate::To(Partitions::None),
                OnUndecodable::Skip(Partitions::None) => Fate::Skipped(Undecodable::clone(event)),
                OnUndecodable::Skip(partitions) | OnUndecodable::Halt(partitions) => {
                    Fate::To(partitions)
                }
                OnUndecodable::Block => Fate::Blocked(Blocked::Undecodable((*event).clone())),
            },
        }
    }
}

impl Fate {
    /// Whether the partition gets the event.
    pub(super) fn is_to(&self, partition: &PartitionId) -> bool {
        match self {
            Fate::To(Partitions::One(id)) => id == partition,
            Fate::To(Partitions::Many(ids)) => ids.contains(partition),
            Fate::To(Partitions::None) | Fate::Skipped(_) | Fate::Blocked(_) => false,
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// What a stored watermark means for the events that were passed without a partition.
    pub(super) fn tell_passed(&mut self) {
        for skip in self.passing.stored(&self.stored) {
            self.note_skip();
            let reducer = Arc::clone(&self.links.name);
            self.links.observers.tell(&Notice::Skipped { reducer, partition: None, skip });
        }
    }

    /// Has the waiter wait for an event that was dispatched and cannot be decoded.
    pub(super) fn attach_to_undecodable(
        &mut self,
        waiter: Waiter,
        event: &Undecodable,
        ctx: &Context<Self>,
    ) {
        let cursor = &event.cursor;
        if self.passing.skips.contains_key(cursor) {
            self.passing.waiters.add(cursor.clone(), waiter, Waiter::is_gone);
            return;
        }
        match self.links.on_undecodable(event) {
            OnUndecodable::Ignore => waiter.finish(Outcome::Ignored),
            // It could be decoded when it was dispatched.
            OnUndecodable::Block => {
                waiter.finish(Outcome::Blocked(Blocked::Undecodable(event.clone())));
            }
            OnUndecodable::Skip(partitions) | OnUndecodable::Halt(partitions) => {
                let mut distinct = Vec::new();
                partitions.for_each_distinct(|partition| distinct.push(partition));
                self.look_up_skips(cursor.clone(), distinct, waiter, ctx);
            }
        }
    }
}
