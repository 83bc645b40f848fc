//! [`PartitionState`]: what a partition does next.

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use crate::{
    Cursor, Failure, Halt, PartitionCommit, PartitionId, Recorded, Reducer, Rejection, Slice,
    Timestamp, reduce,
};

/// The state machine of one partition: buffer events, reduce them, have one commit in flight, halt.
///
/// It decides and remembers; it neither reads the log nor writes the store. Whatever happens, each
/// delivered event is reported exactly once in some [`Settles`]: when it is committed, when it
/// turns out to change nothing, or when it is held because the partition is halted.
#[derive(Debug)]
pub struct PartitionState<E> {
    partition: PartitionId,
    cursor: Cursor,
    halt: Option<Arc<Halt>>,
    buffer: VecDeque<Delivery<E>>,
    in_flight: Option<InFlight>,
}

/// Events of one slice that were routed to one partition. The slice is shared, never copied.
#[derive(Debug)]
pub struct Delivery<E> {
    /// The slice.
    pub slice: Arc<Slice<E>>,
    /// The slice's number in the reducer's [`Watermark`](crate::Watermark).
    pub number: u64,
    /// The events, as ascending indices into the slice.
    pub events: SmallVec<[u32; 4]>,
}

/// How many deliveries of which slice something settles.
pub type Settles = SmallVec<[(u64, usize); 2]>;

/// What [`PartitionState::next`] asks for.
#[derive(Debug)]
pub enum Next {
    /// Nothing to do until something is delivered or answered.
    Wait,
    /// These deliveries are settled and need no commit.
    Settled(Settles),
    /// Commit this; the deliveries are settled once that is done. Then call
    /// [`PartitionState::committed`] or [`PartitionState::rejected`].
    Commit(PartitionCommit, Settles),
}

#[derive(Debug)]
struct InFlight {
    cursor: Cursor,
    halt: Option<Halt>,
    settles: Settles,
}

impl<E: Send + Sync + 'static> PartitionState<E> {
    /// A partition that stands at `cursor`.
    pub fn new(partition: PartitionId, cursor: Cursor, halt: Option<Arc<Halt>>) -> Self {
        Self { partition, cursor, halt, buffer: VecDeque::new(), in_flight: None }
    }

    /// The partition.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    /// The last event whose effect is in the store (or that has none).
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Why the partition is halted, if it is.
    pub fn halt(&self) -> Option<&Arc<Halt>> {
        self.halt.as_ref()
    }

    /// Buffers events.
    pub fn deliver(&mut self, delivery: Delivery<E>) {
        self.buffer.push_back(delivery);
    }

    /// Reduces what is buffered, up to about `limit` events, unless a commit is in flight.
    ///
    /// Events at or below the partition's cursor were applied before, as happens after a restart,
    /// and are dropped; so are those that were buffered twice.
    pub fn next(
        &mut self,
        reducer: &dyn Reducer<Event = E>,
        limit: usize,
        now: impl FnOnce() -> Timestamp,
    ) -> Next {
        if self.in_flight.is_some() {
            return Next::Wait;
        }
        let batch = self.take_batch(limit);
        if batch.is_empty() {
            return Next::Wait;
        }
        let settles: Settles =
            batch.iter().map(|delivery| (delivery.number, delivery.events.len())).collect();
        if self.halt.is_some() {
            return Next::Settled(settles);
        }
        let mut last = &self.cursor;
        let events = batch.iter().flat_map(Delivery::recorded);
        let new = events.filter(|event| {
            let is_new = event.cursor > *last;
            if is_new {
                last = &event.cursor;
            }
            is_new
        });
        let reduction = reduce(reducer, &self.partition, new);
        let cursor = reduction.steps.last().map_or(&self.cursor, |step| &step.cursor).clone();
        if reduction.ops.is_empty() && reduction.failure.is_none() {
            self.cursor = cursor;
            return Next::Settled(settles);
        }
        let commit = PartitionCommit {
            partition: self.partition.clone(),
            ops: reduction.ops,
            steps: reduction.steps,
            cursor,
            halt: reduction.failure.map(|failure| Halt::new(failure, 1, now())),
        };
        self.send(commit, settles)
    }

    /// The commit in flight is in the store.
    pub fn committed(&mut self) {
        if let Some(done) = self.in_flight.take() {
            self.cursor = done.cursor;
            self.halt = done.halt.map(Arc::new);
        }
    }

    /// The store rejected the commit in flight at one event: those before it are committed, and the
    /// partition is to halt. Returns what must be committed next.
    pub fn rejected(&mut self, rejection: Rejection, now: impl FnOnce() -> Timestamp) -> Next {
        let Some(failed) = self.in_flight.take() else { return Next::Wait };
        let Rejection { committed, cursor, kind, message } = rejection;
        if let Some(last) = committed {
            self.cursor = last;
        }
        let commit = PartitionCommit {
            partition: self.partition.clone(),
            ops: Vec::new(),
            steps: SmallVec::new(),
            cursor: self.cursor.clone(),
            halt: Some(Halt::new(Failure { cursor, kind, message }, 1, now())),
        };
        self.send(commit, failed.settles)
    }

    fn send(&mut self, commit: PartitionCommit, settles: Settles) -> Next {
        self.in_flight = Some(InFlight {
            cursor: commit.cursor.clone(),
            halt: commit.halt.clone(),
            settles: settles.clone(),
        });
        Next::Commit(commit, settles)
    }

    /// Whole deliveries until there are `limit` events: at least one delivery.
    fn take_batch(&mut self, limit: usize) -> SmallVec<[Delivery<E>; 2]> {
        let mut batch = SmallVec::new();
        let mut events = 0;
        while events < limit
            && let Some(delivery) = self.buffer.pop_front()
        {
            events += delivery.events.len();
            batch.push(delivery);
        }
        batch
    }
}

impl<E> Delivery<E> {
    fn recorded(&self) -> impl Iterator<Item = &Recorded<E>> {
        self.events.iter().filter_map(|index| self.slice.events.get(*index as usize))
    }
}

#[cfg(test)]
mod tests;
