//! [`StoreFaults`]: the script of a faulty store, and what it counted.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rederive_core::{
    CommitError, FailureKind, OpenError, PartitionId, PartitionWrite, ReducerWrite, StoreError,
};

use super::StoreChaos;
use crate::{Gate, Rng, script::Script};

/// What befalls one commit.
#[derive(Clone, Debug)]
pub enum CommitFault {
    /// A fault that passes, before anything was done.
    Transient,
    /// The commit is done, but the answer is lost.
    InDoubtDone,
    /// The commit is not done, and the answer is lost.
    InDoubtLost,
    /// A panic before anything was done.
    PanicBefore,
    /// A panic after the commit was done.
    PanicAfter,
    /// The commit begins only when the gate is open.
    Stall(Gate),
    /// The commit is done, but its answer comes only when the gate is open.
    StallAfter(Gate),
}

/// What befalls one opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFault {
    /// Nothing is done.
    Fails,
    /// It is done, but the answer is lost.
    AnswerLost,
}

/// What a faulty store was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Calls of `open`.
    pub opens: usize,
    /// Calls of `reset`.
    pub resets: usize,
    /// Calls of `writer`.
    pub writers: usize,
    /// Commits begun, whatever became of them.
    pub commits: usize,
    /// Commits that are in the store, answered or not.
    pub committed: usize,
    /// Those of them that were begun before their events were in the log for good.
    pub early: usize,
    /// Commits that were rejected, by the script or by the store within.
    pub rejected: usize,
    /// Calls of `revision`.
    pub revisions: usize,
    /// Calls of `renew`.
    pub renewals: usize,
    /// Calls of `load`.
    pub loads: usize,
    /// Calls of [`Outbox::mark`](rederive_core::Outbox::mark).
    pub marks: usize,
    /// Effects that were marked.
    pub marked: usize,
    /// Commits that are running now.
    pub running: usize,
    /// The most commits that ran at once.
    pub most_at_once: usize,
}

/// Scripts the faults of a [`FaultyStore`](super::FaultyStore). Clones are the same script.
#[derive(Clone, Default)]
pub struct StoreFaults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: Script<OpenFault>,
    reset: Script<OpenFault>,
    writer: Script<()>,
    revision: Script<()>,
    renew: Script<()>,
    load: Script<Option<Gate>>,
    effects: Script<()>,
    mark: Script<Option<Gate>>,
    other: Script<()>,
    commit: Script<CommitFault>,
    rejections: Vec<Box<Rejects>>,
    chaos: Option<(StoreChaos, Rng)>,
    counts: StoreCounts,
}

type Rejects = dyn Fn(&PartitionWrite<'_>) -> Option<(FailureKind, String)> + Send;

impl StoreFaults {
    /// The next `times` calls of `open` fail.
    pub fn fail_open(&self, times: usize) {
        self.lock().open.push_times(times, OpenFault::Fails);
    }

    /// The next `times` calls of `open` are done, but their answers are lost.
    pub fn lose_open(&self, times: usize) {
        self.lock().open.push_times(times, OpenFault::AnswerLost);
    }

    /// The next `times` calls of `reset` fail.
    pub fn fail_reset(&self, times: usize) {
        self.lock().reset.push_times(times, OpenFault::Fails);
    }

    /// The next `times` calls of `reset` are done, but their answers are lost.
    pub fn lose_reset(&self, times: usize) {
        self.lock().reset.push_times(times, OpenFault::AnswerLost);
    }

    /// The next `times` calls of `writer` fail.
    pub fn fail_writer(&self, times: usize) {
        self.lock().writer.push_times(times, ());
    }

    /// The next `times` calls of `revision` fail.
    pub fn fail_revision(&self, times: usize) {
        self.lock().revision.push_times(times, ());
    }

    /// The next `times` calls of `renew` fail.
    pub fn fail_renew(&self, times: usize) {
        self.lock().renew.push_times(times, ());
    }

    /// The next `times` calls of `load` fail.
    pub fn fail_load(&self, times: usize) {
        self.lock().load.push_times(times, None);
    }

    /// The next call of `load` begins only when the gate is open.
    pub fn stall_load(&self, gate: Gate) {
        self.lock().load.push(0, Some(gate));
    }

    /// The next `times` reads of the outbox fail.
    pub fn fail_effects(&self, times: usize) {
        self.lock().effects.push_times(times, ());
    }

    /// The next `times` marks in the outbox fail, with nothing done.
    pub fn fail_mark(&self, times: usize) {
        self.lock().mark.push_times(times, None);
    }

    /// The next mark in the outbox begins only when the gate is open.
    pub fn stall_mark(&self, gate: Gate) {
        self.lock().mark.push(0, Some(gate));
    }

    /// The next `times` calls that read or note something beside commits (skips, pauses, rows of
    /// partitions, the end of a lease) fail.
    pub fn fail_other(&self, times: usize) {
        self.lock().other.push_times(times, ());
    }

    /// The fault befalls the next commit after those that have a fault scripted.
    pub fn on_commit(&self, fault: CommitFault) {
        self.on_commit_after(0, fault);
    }

    /// As [`on_commit`](Self::on_commit), but `skip` commits go well before.
    pub fn on_commit_after(&self, skip: usize, fault: CommitFault) {
        self.lock().commit.push(skip, fault);
    }

    /// Rejects every commit with ops of this partition.
    pub fn reject(&self, partition: impl Into<PartitionId>) {
        let partition = partition.into();
        self.reject_where(move |write| {
            let hit = *write.partition == partition && !write.ops.is_empty();
            hit.then(|| (FailureKind::Rejected, format!("partition {partition:?} is rejected")))
        });
    }

    /// Rejects every commit with a write for which this answers something.
    pub fn reject_where(
        &self,
        rejects: impl Fn(&PartitionWrite<'_>) -> Option<(FailureKind, String)> + Send + 'static,
    ) {
        self.lock().rejections.push(Box::new(rejects));
    }

    /// Faults happen at random from now on, where none is scripted.
    pub fn chaos(&self, chaos: StoreChaos, rng: Rng) {
        self.lock().chaos = Some((chaos, rng));
    }

    /// Nothing fails any more. What waits at a gate still waits.
    pub fn heal(&self) {
        let mut state = self.lock();
        let counts = state.counts;
        *state = State { counts, ..State::default() };
    }

    /// How many commits still have a fault scripted.
    pub fn scripted_commits(&self) -> usize {
        self.lock().commit.len()
    }

    /// What the store was asked for so far.
    pub fn counts(&self) -> StoreCounts {
        self.lock().counts
    }

    /// Blocks until the counts are as wanted, and returns them.
    ///
    /// # Panics
    /// When they are not within that time.
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&StoreCounts) -> bool, within: Duration) -> StoreCounts {
        let wait =
            self.0.changed.wait_timeout_while(self.lock(), within, |state| !wanted(&state.counts));
        let (state, waited) = wait.unwrap_or_else(PoisonError::into_inner);
        let counts = state.counts;
        drop(state);
        assert!(!waited.timed_out(), "not as wanted within {within:?}: {counts:?}");
        counts
    }

    /// Answers what `open` does, unless it does not come to that.
    pub(super) fn at_open<T>(
        &self,
        open: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let mut state = self.lock();
        state.counts.opens += 1;
        let scripted = state.open.next();
        self.opening(state, scripted, "it cannot be opened", open)
    }

    /// The same for `reset`.
    pub(super) fn at_reset<T>(
        &self,
        reset: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let mut state = self.lock();
        state.counts.resets += 1;
        let scripted = state.reset.next();
        self.opening(state, scripted, "it cannot be reset", reset)
    }

    fn opening<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        scripted: Option<OpenFault>,
        message: &str,
        open: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let random = |(chaos, rng): &mut (StoreChaos, Rng)| chaos.open_fault(rng);
        let fault = scripted.or_else(|| state.chaos.as_mut().and_then(random));
        self.answer(state, fault == Some(OpenFault::Fails), message)?;
        let opened = open()?;
        if fault == Some(OpenFault::AnswerLost) {
            return Err(StoreError::new("scripted: the answer is lost").into());
        }
        Ok(opened)
    }

    pub(super) fn at_writer(&self) -> Result<(), StoreError> {
        let state = self.counted(|counts| counts.writers += 1);
        self.at(state, |state| &mut state.writer, |chaos| chaos.writer, "it gives no writer")
    }

    pub(super) fn at_revision(&self) -> Result<(), StoreError> {
        let state = self.counted(|counts| counts.revisions += 1);
        let message = "it does not tell a revision";
        self.at(state, |state| &mut state.revision, |chaos| chaos.revision, message)
    }

    pub(super) fn at_renew(&self) -> Result<(), StoreError> {
        let state = self.counted(|counts| counts.renewals += 1);
        self.at(state, |state| &mut state.renew, |chaos| chaos.revision, "no lease can be renewed")
    }

    pub(super) fn at_effects(&self) -> Result<(), StoreError> {
        let state = self.lock();
        self.at(state, |state| &mut state.effects, |chaos| chaos.load, "its outbox cannot be read")
    }

    pub(super) fn at_other(&self) -> Result<(), StoreError> {
        let state = self.lock();
        self.at(state, |state| &mut state.other, |chaos| chaos.revision, "it cannot be asked")
    }

    pub(super) fn at_load(&self) -> Result<(), StoreError> {
        let state = self.counted(|counts| counts.loads += 1);
        self.at_gate(state, |state| &mut state.load, "it cannot be read")
    }

    pub(super) fn at_mark(&self) -> Result<(), StoreError> {
        let state = self.counted(|counts| counts.marks += 1);
        self.at_gate(state, |state| &mut state.mark, "its outbox cannot be written")
    }

    /// What befalls a call is decided before anybody else sees that it is counted.
    fn counted(&self, count: impl FnOnce(&mut StoreCounts)) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        count(&mut state.counts);
        state
    }

    /// A call at a point where all that can happen is that it fails.
    fn at(
        &self,
        mut state: MutexGuard<'_, State>,
        script: fn(&mut State) -> &mut Script<()>,
        chance: fn(&StoreChaos) -> f64,
        message: &str,
    ) -> Result<(), StoreError> {
        let scripted = script(&mut state).next().is_some();
        let fails = scripted || state.strikes(chance);
        self.answer(state, fails, message)
    }

    /// A call at a point where it may also have to wait for a gate.
    fn at_gate(
        &self,
        mut state: MutexGuard<'_, State>,
        script: fn(&mut State) -> &mut Script<Option<Gate>>,
        message: &str,
    ) -> Result<(), StoreError> {
        match script(&mut state).next() {
            Some(Some(gate)) => {
                self.answer(state, false, message)?;
                gate.pass();
                Ok(())
            }
            scripted => {
                let fails = scripted.is_some() || state.strikes(|chaos| chaos.load);
                self.answer(state, fails, message)
            }
        }
    }

    /// A commit begins: what befalls it. It is over when the returned guard is dropped.
    pub(super) fn at_commit(&self) -> (Running<'_>, Option<CommitFault>) {
        let mut state = self.lock();
        state.counts.commits += 1;
        state.counts.running += 1;
        state.counts.most_at_once = state.counts.most_at_once.max(state.counts.running);
        let random = |(chaos, rng): &mut (StoreChaos, Rng)| chaos.commit_fault(rng);
        let scripted = state.commit.next();
        let fault = scripted.or_else(|| state.chaos.as_mut().and_then(random));
        drop(state);
        self.0.changed.notify_all();
        (Running(self), fault)
    }

    /// The scripted rejection of these writes, if there is one.
    pub(super) fn rejection(&self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        let state = self.lock();
        let partitions = writes.iter().flat_map(|write| &write.partitions);
        let said = partitions
            .flat_map(|write| state.rejections.iter().filter_map(|rejects| rejects(write)))
            .next();
        match said {
            Some((kind, message)) => Err(CommitError::Rejected { kind, message }),
            None => Ok(()),
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut StoreCounts)) {
        count(&mut self.lock().counts);
        self.0.changed.notify_all();
    }

    fn answer(
        &self,
        state: MutexGuard<'_, State>,
        fails: bool,
        message: &str,
    ) -> Result<(), StoreError> {
        drop(state);
        self.0.changed.notify_all();
        if fails { Err(StoreError::new(format!("scripted: {message}"))) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn strikes(&mut self, probability: impl FnOnce(&StoreChaos) -> f64) -> bool {
        self.chaos.as_mut().is_some_and(|(chaos, rng)| rng.chance(probability(chaos)))
    }
}

/// A commit that is running.
pub(super) struct Running<'f>(&'f StoreFaults);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.running -= 1);
    }
}
