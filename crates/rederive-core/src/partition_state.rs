//! [`PartitionState`]: what a partition does next.

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use crate::{
    Cursor, Failure, Halt, PartitionCommit, PartitionEngine, PartitionId, Recorded, Rejection,
    Repair, Slice, StoredRow, Timestamp, Value,
};

/// The state machine of one partition: buffer events, reduce them, have one commit in flight, halt.
///
/// It decides and remembers; it neither reads the log nor writes the store. Whatever happens, each
/// delivered event is reported exactly once in some [`Settles`]: when it is committed, when it
/// turns out to change nothing, or when it is held because the partition is halted.
#[derive(Debug)]
pub struct PartitionState<E> {
    engine: Box<dyn PartitionEngine<E>>,
    partition: PartitionId,
    cursor: Cursor,
    halt: Option<Arc<Halt>>,
    /// The halt that is being repaired.
    repairing: Option<Arc<Halt>>,
    buffer: VecDeque<Delivery<E>>,
    in_flight: Option<InFlight<E>>,
    /// How many of the next events were folded into a step that the store rejected: they are
    /// reduced again in ever smaller batches, until the guilty one stands alone.
    suspects: usize,
}

/// Deliveries that are reduced together.
type Batch<E> = SmallVec<[Delivery<E>; 2]>;

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
struct InFlight<E> {
    cursor: Cursor,
    halt: Option<Halt>,
    repair: Repair,
    settles: Settles,
    events: usize,
    /// Kept if the store can reject more than one event at once.
    batch: Batch<E>,
}

impl<E: Send + Sync + 'static> PartitionState<E> {
    /// A partition that stands at `cursor`.
    pub fn new(
        engine: Box<dyn PartitionEngine<E>>,
        partition: PartitionId,
        cursor: Cursor,
        halt: Option<Arc<Halt>>,
    ) -> Self {
        Self {
            engine,
            partition,
            cursor,
            halt,
            repairing: None,
            buffer: VecDeque::new(),
            in_flight: None,
            suspects: 0,
        }
    }

    /// A halted partition that stands at `cursor` and is to be repaired: it reduces the event that
    /// halted it and those that were held since, as they are delivered, until
    /// [`recover`](Self::recover).
    pub fn repair(
        engine: Box<dyn PartitionEngine<E>>,
        partition: PartitionId,
        cursor: Cursor,
        halt: Arc<Halt>,
    ) -> Self {
        Self { repairing: Some(halt), ..Self::new(engine, partition, cursor, None) }
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

    /// The row that must be [loaded](Self::load) before anything can be reduced, if one must be.
    pub fn wanted(&self) -> Option<StoredRow> {
        self.engine.wanted()
    }

    /// The row that was [wanted](Self::wanted), as it is stored; `None` when there is none.
    pub fn load(&mut self, row: Option<Vec<Value>>) {
        self.engine.load(row);
    }

    /// Buffers events.
    pub fn deliver(&mut self, delivery: Delivery<E>) {
        self.buffer.push_back(delivery);
    }

    /// Reduces what is buffered, up to about `limit` events, unless a commit is in flight or a row
    /// is [wanted](Self::wanted).
    ///
    /// Events at or below the partition's cursor were applied before, as happens after a restart,
    /// and are dropped; so are those that were buffered twice.
    pub fn next(&mut self, limit: usize, now: impl FnOnce() -> Timestamp) -> Next {
        let loading = || self.halt.is_none() && self.engine.wanted().is_some();
        if self.in_flight.is_some() || self.buffer.is_empty() || loading() {
            return Next::Wait;
        }
        let batch = match self.suspects {
            0 => self.take_batch(limit),
            suspects => self.take_exactly(limit.min(suspects / 2).max(1)),
        };
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
        let new: SmallVec<[_; 8]> = events
            .filter(|event| {
                let is_new = event.cursor > *last;
                if is_new {
                    last = &event.cursor;
                }
                is_new
            })
            .collect();
        let reduction = self.engine.reduce(&self.partition, &new);
        let events = new.len();
        drop(new);
        let cursor = reduction.steps.last().map_or(&self.cursor, |step| &step.cursor).clone();
        if reduction.ops.is_empty() && reduction.failure.is_none() {
            self.engine.committed();
            self.suspects = self.suspects.saturating_sub(events);
            self.cursor = cursor;
            return Next::Settled(settles);
        }
        let (halt, repair) = match (reduction.failure, &self.repairing) {
            (Some(failure), _) => (Some(self.halt_of(failure, now())), Repair::None),
            (None, Some(repairing)) => (Some(Halt::clone(repairing)), Repair::Going),
            (None, None) => (None, Repair::None),
        };
        let commit = PartitionCommit {
            partition: self.partition.clone(),
            ops: reduction.ops,
            steps: reduction.steps,
            cursor,
            halt,
            repair,
        };
        self.send(commit, settles, batch)
    }

    /// All that was held has been delivered and settled: the partition is halted no more, once what
    /// this returns is committed. What is delivered from now on is reduced after that.
    pub fn recover(&mut self) -> Next {
        if self.in_flight.is_some() || self.halt.is_some() {
            return Next::Wait;
        }
        let commit = PartitionCommit {
            partition: self.partition.clone(),
            ops: Vec::new(),
            steps: SmallVec::new(),
            cursor: self.cursor.clone(),
            halt: None,
            repair: Repair::Done,
        };
        self.send(commit, Settles::new(), Batch::new())
    }

    /// The commit in flight is in the store.
    pub fn committed(&mut self) {
        if let Some(done) = self.in_flight.take() {
            self.engine.committed();
            let none = done.halt.is_some() && done.repair == Repair::None;
            self.suspects = if none { 0 } else { self.suspects.saturating_sub(done.events) };
            self.cursor = done.cursor;
            if done.repair == Repair::Going {
                return;
            }
            self.repairing = None;
            self.halt = done.halt.map(Arc::new);
        }
    }

    /// The store rejected the commit in flight at one event: those before it are committed, and the
    /// partition is to halt. Returns what must be committed next.
    ///
    /// If several events were folded into what it rejected, they are buffered again, and
    /// [`next`](Self::next) goes on to find the one.
    pub fn rejected(&mut self, rejection: Rejection, now: impl FnOnce() -> Timestamp) -> Next {
        let Some(failed) = self.in_flight.take() else { return Next::Wait };
        self.engine.rejected();
        if !failed.batch.is_empty() {
            self.suspects = failed.events;
            for delivery in failed.batch.into_iter().rev() {
                self.buffer.push_front(delivery);
            }
            return Next::Wait;
        }
        let Rejection { committed, cursor, kind, message } = rejection;
        if let Some(last) = committed {
            self.cursor = last;
        }
        let commit = PartitionCommit {
            partition: self.partition.clone(),
            ops: Vec::new(),
            steps: SmallVec::new(),
            cursor: self.cursor.clone(),
            halt: Some(self.halt_of(Failure { cursor, kind, message }, now())),
            repair: Repair::None,
        };
        self.suspects = 0;
        self.send(commit, failed.settles, Batch::new())
    }

    /// The halt that a failure leads to: another attempt, if it is the event being repaired.
    fn halt_of(&self, failure: Failure, now: Timestamp) -> Halt {
        let before = self.repairing.as_ref().filter(|halt| halt.cursor == failure.cursor);
        let attempts = before.map_or(0, |halt| halt.attempts);
        Halt::new(failure, attempts.saturating_add(1), now)
    }

    fn send(&mut self, commit: PartitionCommit, settles: Settles, batch: Batch<E>) -> Next {
        let folded = commit.steps.iter().any(|step| step.several.is_some());
        self.in_flight = Some(InFlight {
            events: commit.events(),
            batch: if folded { batch } else { Batch::new() },
            cursor: commit.cursor.clone(),
            halt: commit.halt.clone(),
            repair: commit.repair,
            settles: settles.clone(),
        });
        Next::Commit(commit, settles)
    }

    /// Whole deliveries until there are `limit` events: at least one delivery.
    fn take_batch(&mut self, limit: usize) -> Batch<E> {
        let mut batch = Batch::new();
        let mut events = 0;
        while events < limit
            && let Some(delivery) = self.buffer.pop_front()
        {
            events += delivery.events.len();
            batch.push(delivery);
        }
        batch
    }

    /// No more than `limit` events; a delivery with more is taken in parts.
    fn take_exactly(&mut self, limit: usize) -> Batch<E> {
        let mut batch = Batch::new();
        let mut room = limit;
        while room > 0
            && let Some(mut delivery) = self.buffer.pop_front()
        {
            if delivery.events.len() > room {
                let events = delivery.events.drain(room..).collect();
                let Delivery { slice, number, .. } = &delivery;
                let rest = Delivery { slice: Arc::clone(slice), number: *number, events };
                self.buffer.push_front(rest);
            }
            room -= delivery.events.len();
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
