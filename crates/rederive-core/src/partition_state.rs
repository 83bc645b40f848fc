//! [`PartitionState`]: what a partition does next.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use buffer::{Batch, Buffer, settles_of};
pub use buffer::{Delivery, Settles};

use crate::{
    Cursor, Entry, Failure, FailureKind, Halt, OnFailure, OnUndecodable, PartitionCommit,
    PartitionEngine, PartitionId, Recorded, Reduction, Rejection, Repair, Skip, SkippedBy, Step,
    StoredRow, Timestamp, Undecodable, Value,
};

mod buffer;

/// The state machine of one partition: buffer events, reduce them, have one commit in flight, pause,
/// skip or halt when an event fails.
///
/// It decides and remembers; it neither reads the log nor writes the store, nor does it know a
/// clock. Whatever happens, each delivered event is reported exactly once in some [`Settles`]: when
/// it is committed, when it turns out to change nothing, or when it is held because the partition is
/// halted.
#[derive(Debug)]
pub struct PartitionState<E> {
    engine: Box<dyn PartitionEngine<E>>,
    partition: PartitionId,
    cursor: Cursor,
    halt: Option<Arc<Halt>>,
    /// The halt that is being repaired.
    repairing: Option<Arc<Halt>>,
    buffer: Buffer<E>,
    in_flight: Option<Box<InFlight<E>>>,
    /// How many of the next events were folded into a step that the store rejected: they are
    /// reduced again in ever smaller batches, until the guilty one stands alone.
    suspects: usize,
    /// How often events were tried that are to be tried again.
    attempts: SmallVec<[(Cursor, u32); 1]>,
    /// The number of the pause that lasts, and of the last one.
    paused: Option<u64>,
    pauses: u64,
    /// The pause that has begun, until it is told.
    backoff: Option<Box<Backoff>>,
    /// It is to begin anew, halted like this.
    resetting: Option<Box<Halt>>,
    /// The next event of that cursor is passed by.
    skipping: Option<Arc<Skip>>,
    /// Skips that are stored and have not been taken.
    skipped: Vec<Arc<Skip>>,
}

/// The pause before an event is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// What failed.
    pub failure: Failure,
    /// How often the event has been tried.
    pub attempts: u32,
    /// How long to wait; then call [`PartitionState::resume`] with the number.
    pub delay: Duration,
    /// Which pause of the partition this is.
    pub number: u64,
}

/// What [`PartitionState::next`] asks for.
#[derive(Debug)]
pub enum Next {
    /// Nothing to do until something is delivered or answered.
    Wait,
    /// These deliveries are settled and need no commit.
    Settled(Settles),
    /// Commit this; the deliveries are settled once that is done. Then call
    /// [`PartitionState::committed`], or [`PartitionState::rejected`] and `next` again.
    Commit(PartitionCommit, Settles),
}

#[derive(Debug)]
struct InFlight<E> {
    cursor: Cursor,
    halt: Option<Halt>,
    repair: Repair,
    skip: Option<Arc<Skip>>,
    /// The events that it commits: to be reduced anew if the store rejects one of them.
    batch: Batch<E>,
    /// Whether the store can reject more than one event at once.
    folded: bool,
    events: usize,
    settles: Settles,
}

/// What becomes of an event that failed.
enum Decision {
    Halt(Halt),
    Pause,
    Skip(Skip),
}

/// What the events that are reduced together end before.
enum EndsBefore<'b> {
    Nothing,
    /// The event that is to be skipped.
    Skip,
    Undecodable(&'b Undecodable),
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
            buffer: Buffer::new(),
            in_flight: None,
            suspects: 0,
            attempts: SmallVec::new(),
            paused: None,
            pauses: 0,
            backoff: None,
            resetting: None,
            skipping: None,
            skipped: Vec::new(),
        }
    }

    /// A halted partition that stands at `cursor` and is to be repaired: it reduces the event that
    /// halted it and those that were held since, as they are delivered, until
    /// [`recover`](Self::recover). With `skip`, it passes that event by.
    pub fn repair(
        engine: Box<dyn PartitionEngine<E>>,
        partition: PartitionId,
        cursor: Cursor,
        halt: Arc<Halt>,
        skip: Option<Arc<Skip>>,
    ) -> Self {
        let state = Self::new(engine, partition, cursor, None);
        Self { repairing: Some(halt), skipping: skip, ..state }
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
        self.buffer.push(delivery);
    }

    /// Reduces what is buffered, up to about `limit` events, unless a commit is in flight, a row is
    /// [wanted](Self::wanted), or an event waits to be tried again: then
    /// [`take_backoff`](Self::take_backoff) tells for how long.
    ///
    /// Events at or below the partition's cursor were applied before, as happens after a restart,
    /// and are dropped; so are those that were buffered twice.
    pub fn next(&mut self, limit: usize, now: impl Fn() -> Timestamp) -> Next {
        if self.in_flight.is_none()
            && let Some(halt) = self.resetting.take()
        {
            return self.send_reset(*halt);
        }
        let loading = || self.halt.is_none() && self.engine.wanted().is_some();
        let busy = self.in_flight.is_some() || self.paused.is_some();
        if busy || self.buffer.is_empty() || loading() {
            return Next::Wait;
        }
        let mut batch = match self.suspects {
            0 => self.buffer.take(limit),
            suspects => self.buffer.take_exactly(limit.min(suspects / 2).max(1)),
        };
        if batch.is_empty() {
            return Next::Wait;
        }
        if self.halt.is_some() {
            return Next::Settled(settles_of(&batch));
        }
        let (reduction, ends_before) = self.reduce(&batch);
        let Reduction { ops, mut steps, failure } = reduction;
        let (mut halt, mut skip) = (None, None);
        let (decision, stopped) = match (failure, ends_before) {
            (Some(failure), _) => (Some(self.decide(&batch, failure, &now)), true),
            (None, EndsBefore::Undecodable(event)) => {
                (Some(self.decide_undecodable(event, &now)), true)
            }
            (None, EndsBefore::Skip) => {
                skip = self.skipping.take();
                (None, true)
            }
            (None, EndsBefore::Nothing) => (None, false),
        };
        match decision {
            Some(Decision::Halt(it)) => halt = Some(it),
            Some(Decision::Skip(it)) => skip = Some(Arc::new(it)),
            Some(Decision::Pause) | None => {}
        }
        if let Some(skip) = &skip {
            steps.push(Step::of(&skip.cursor, ops.len()));
        }
        let cursor = steps.last().map_or(&self.cursor, |step| &step.cursor).clone();
        if halt.is_none() && stopped {
            // Those behind an event that is skipped or tried again are for the next time.
            self.buffer.put_back_after(&cursor, &mut batch);
        }
        let settles = settles_of(&batch);
        if ops.is_empty() && skip.is_none() && halt.is_none() {
            self.engine.committed();
            self.passed(cursor, steps.iter().map(Step::events).sum());
            return if settles.is_empty() { Next::Wait } else { Next::Settled(settles) };
        }
        let (halt, repair) = match (halt, &self.repairing) {
            (Some(halt), _) => (Some(halt), Repair::None),
            (None, Some(repairing)) => (Some(Halt::clone(repairing)), Repair::Going),
            (None, None) => (None, Repair::None),
        };
        let partition = self.partition.clone();
        let commit = PartitionCommit { partition, ops, steps, cursor, halt, skip, repair };
        self.send(commit, batch, settles)
    }

    /// The partition is to be built anew: with the next commit, all that is stored of it is deleted,
    /// and it halts at the start of the log, to be [repaired](Self::repair) from there. `halt` says so
    /// meanwhile. If the store rejects that, the partition goes on as before.
    pub fn reset(&mut self, halt: Halt) {
        self.resetting = Some(Box::new(Halt { cursor: Cursor::Start, ..halt }));
    }

    fn send_reset(&mut self, halt: Halt) -> Next {
        let progress = self.progress(Some(halt), Repair::Reset);
        let steps = SmallVec::from_iter([Step::of(&Cursor::Start, 0)]);
        let commit = PartitionCommit { cursor: Cursor::Start, steps, ..progress };
        self.send(commit, Batch::new(), Settles::new())
    }

    /// All that was held has been delivered and settled: the partition is halted no more, once what
    /// this returns is committed. What is delivered from now on is reduced after that.
    pub fn recover(&mut self) -> Next {
        if self.in_flight.is_some() || self.halt.is_some() {
            return Next::Wait;
        }
        let commit = self.progress(None, Repair::Done);
        self.send(commit, Batch::new(), Settles::new())
    }

    /// The commit in flight is in the store.
    pub fn committed(&mut self) {
        let Some(done) = self.in_flight.take() else { return };
        self.engine.committed();
        self.passed(done.cursor, done.events);
        self.skipped.extend(done.skip);
        if done.repair != Repair::Going {
            self.repairing = None;
            self.halt = done.halt.map(Arc::new);
        }
        if self.halt.is_some() {
            (self.suspects, self.paused) = (0, None);
        }
    }

    /// The store rejected the commit in flight at one event: those before it are committed. Returns
    /// what must be committed when the partition is to halt; else the events are buffered again, and
    /// [`next`](Self::next) tries or skips the one, or finds it among those that were folded into
    /// what was rejected.
    pub fn rejected(&mut self, rejection: Rejection, now: impl Fn() -> Timestamp) -> Next {
        let Some(failed) = self.in_flight.take() else { return Next::Wait };
        if failed.repair == Repair::Reset {
            return Next::Wait;
        }
        let Rejection { committed, cursor, kind, message } = rejection;
        match committed {
            // What a fold stores is in its first step.
            Some(last) => {
                self.engine.committed();
                self.passed(last, 0);
            }
            None => self.engine.rejected(),
        }
        let skip = failed.skip;
        if failed.folded {
            self.suspects = failed.events;
        } else {
            let failure = Failure { cursor, kind, message };
            // A skip changes nothing: if even that is rejected, people have to look at it.
            let skipped = |skip: &Arc<Skip>| skip.cursor == failure.cursor;
            let decision = if skip.as_ref().is_some_and(skipped) {
                Decision::Halt(Halt::new(failure, 1, now()))
            } else {
                self.decide(&failed.batch, failure, &now)
            };
            match decision {
                Decision::Halt(halt) => {
                    let commit = self.progress(Some(halt), Repair::None);
                    return self.send(commit, Batch::new(), failed.settles);
                }
                Decision::Pause => {}
                Decision::Skip(skip) => self.skipping = Some(Arc::new(skip)),
            }
        }
        self.buffer.put_back(failed.batch);
        // Decided by the operator and not stored yet.
        if self.skipping.is_none() {
            self.skipping = skip.filter(|skip| skip.by == SkippedBy::Operator);
        }
        Next::Wait
    }

    /// The pause that has just begun, if one has: told once.
    pub fn take_backoff(&mut self) -> Option<Backoff> {
        self.backoff.take().map(|backoff| *backoff)
    }

    /// The pause of this number is over: does nothing when another has begun since.
    pub fn resume(&mut self, number: u64) {
        if self.paused == Some(number) {
            self.paused = None;
        }
    }

    /// The events that were skipped since this was last asked, once that is stored.
    pub fn take_skipped(&mut self) -> Vec<Arc<Skip>> {
        std::mem::take(&mut self.skipped)
    }

    /// The partition stands at `cursor` now, so many events later.
    fn passed(&mut self, cursor: Cursor, events: usize) {
        self.suspects = self.suspects.saturating_sub(events);
        self.attempts.retain(|(of, _)| *of > cursor);
        self.cursor = cursor;
    }

    /// Reduces the new events of the batch, until one fails or cannot be reduced at all.
    fn reduce<'b>(&mut self, batch: &'b Batch<E>) -> (Reduction, EndsBefore<'b>) {
        let skip_at = self.skipping.as_ref().map(|skip| &skip.cursor);
        let mut last = &self.cursor;
        let mut new: SmallVec<[&Recorded<E>; 8]> = SmallVec::new();
        let mut ends_before = EndsBefore::Nothing;
        for entry in batch.iter().flat_map(Delivery::entries) {
            let cursor = entry.cursor();
            if *cursor <= *last {
                continue;
            }
            last = cursor;
            match entry {
                _ if skip_at == Some(cursor) => ends_before = EndsBefore::Skip,
                Entry::Undecodable(_, event) => ends_before = EndsBefore::Undecodable(event),
                Entry::Event(_, event) => {
                    new.push(event);
                    continue;
                }
            }
            break;
        }
        (self.engine.reduce(&self.partition, &new), ends_before)
    }

    /// Has the reducer decide what becomes of an event that failed.
    fn decide(
        &mut self,
        batch: &Batch<E>,
        mut failure: Failure,
        now: &impl Fn() -> Timestamp,
    ) -> Decision {
        let attempts = self.attempts_at(&failure.cursor).saturating_add(1);
        let event = batch.iter().flat_map(Delivery::entries).find_map(|entry| match entry {
            Entry::Event(_, event) if event.cursor == failure.cursor => Some(event),
            _ => None,
        });
        let wish = event
            .map_or(Ok(OnFailure::Halt), |event| self.engine.on_failure(event, &failure, attempts));
        let wish = wish.unwrap_or_else(|panic| {
            failure.message.push_str(&format!("; on_failure panicked: {panic}"));
            OnFailure::Halt
        });
        self.attempts.retain(|(cursor, _)| *cursor != failure.cursor);
        match wish {
            OnFailure::Halt => Decision::Halt(Halt::new(failure, attempts, now())),
            OnFailure::Skip => {
                Decision::Skip(Skip::new(failure, attempts, now(), SkippedBy::Policy))
            }
            OnFailure::Retry(delay) => {
                self.attempts.push((failure.cursor.clone(), attempts));
                self.pauses += 1;
                self.paused = Some(self.pauses);
                let number = self.pauses;
                self.backoff = Some(Box::new(Backoff { failure, attempts, delay, number }));
                Decision::Pause
            }
        }
    }

    /// Has the reducer decide what becomes of an event that cannot be decoded, and that it has said
    /// is ours.
    fn decide_undecodable(&self, event: &Undecodable, now: &impl Fn() -> Timestamp) -> Decision {
        let attempts = self.attempts_at(&event.cursor).saturating_add(1);
        let (cursor, message) = (event.cursor.clone(), event.message.clone());
        let failure = Failure { cursor, kind: FailureKind::Undecodable, message };
        match self.engine.on_undecodable(event) {
            OnUndecodable::Skip(_) => {
                Decision::Skip(Skip::new(failure, attempts, now(), SkippedBy::Policy))
            }
            _ => Decision::Halt(Halt::new(failure, attempts, now())),
        }
    }

    /// How often the event has been tried; that includes the attempts before it was repaired.
    fn attempts_at(&self, cursor: &Cursor) -> u32 {
        let mut known = self.attempts.iter();
        let now = known.find(|(of, _)| of == cursor).map(|(_, attempts)| *attempts);
        let before = self.repairing.as_ref().filter(|halt| halt.cursor == *cursor);
        now.or(before.map(|halt| halt.attempts)).unwrap_or(0)
    }

    /// A commit of nothing but where the partition stands.
    fn progress(&self, halt: Option<Halt>, repair: Repair) -> PartitionCommit {
        PartitionCommit {
            partition: self.partition.clone(),
            ops: Vec::new(),
            steps: SmallVec::new(),
            cursor: self.cursor.clone(),
            halt,
            skip: None,
            repair,
        }
    }

    fn send(&mut self, commit: PartitionCommit, batch: Batch<E>, settles: Settles) -> Next {
        self.in_flight = Some(Box::new(InFlight {
            folded: commit.steps.iter().any(|step| step.several.is_some()),
            events: commit.events(),
            cursor: commit.cursor.clone(),
            halt: commit.halt.clone(),
            repair: commit.repair,
            skip: commit.skip.clone(),
            batch,
            settles: settles.clone(),
        }));
        Next::Commit(commit, settles)
    }
}

#[cfg(test)]
mod tests;
