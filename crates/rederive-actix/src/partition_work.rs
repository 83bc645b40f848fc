//! [`PartitionWork`]: what is done for one partition, whoever runs it.

use std::{sync::Arc, time::SystemTime};

use rederive_core::{
    Cursor, Failure, FailureKind, Halt, Next, PartitionEngine, PartitionId, PartitionState, Skip,
    Timestamp, Waiters,
};

use crate::{
    message::{Reduced, Retrying, ToPartition},
    waiter::{Outcome, Waiter},
};

/// The state machine of one partition and those who wait for it.
///
/// An actor of its own runs it, a [`PartitionDispatcher`](crate::partition_dispatcher); or, as long as
/// its reducer has a long way to go, the reducer's dispatcher runs many of them in turns.
pub(crate) struct PartitionWork<E> {
    pub(crate) generation: u64,
    batch: usize,
    state: PartitionState<E>,
    waiters: Waiters<Waiter>,
}

/// How the work on a partition begins.
pub(crate) enum Begin {
    /// Reducing what it is handed.
    Active,
    /// Holding it.
    Halted(Arc<Halt>),
    /// Reducing what was held, perhaps without the event that halted it.
    Repair(Arc<Halt>, Option<Arc<Skip>>),
}

/// What a partition says.
pub(crate) enum Said {
    Reduced(Reduced),
    Retrying(Retrying),
}

impl<E: Send + Sync + 'static> PartitionWork<E> {
    pub(crate) fn new(
        engine: Box<dyn PartitionEngine<E>>,
        partition: PartitionId,
        generation: u64,
        cursor: Cursor,
        begin: Begin,
        batch: usize,
    ) -> Self {
        let state = match begin {
            Begin::Active => PartitionState::new(engine, partition, cursor, None),
            Begin::Halted(halt) => PartitionState::new(engine, partition, cursor, Some(halt)),
            Begin::Repair(halt, skip) => {
                PartitionState::repair(engine, partition, cursor, halt, skip)
            }
        };
        Self { generation, batch, state, waiters: Waiters::default() }
    }

    pub(crate) fn partition(&self) -> &PartitionId {
        self.state.partition()
    }

    /// Does all that follows from a message, and passes on what it leads to.
    pub(crate) fn handle(&mut self, message: ToPartition<E>, say: &mut impl FnMut(Said)) {
        if self.take(message, say) {
            self.go_on(say);
        }
    }

    /// Takes a message in. True when there may be something to [reduce](Self::go_on) now.
    pub(crate) fn take(&mut self, message: ToPartition<E>, say: &mut impl FnMut(Said)) -> bool {
        match message {
            ToPartition::Deliver(delivery) => self.state.deliver(delivery),
            ToPartition::StateLoaded(row) => self.state.load(row),
            ToPartition::Answer(Ok(())) => self.state.committed(),
            ToPartition::Answer(Err(rejection)) => {
                let next = self.state.rejected(rejection, now);
                self.tell(next, say);
            }
            ToPartition::Wait { cursor, waiter } => {
                self.waiters.add(cursor, waiter, Waiter::is_gone);
                self.release();
                return false;
            }
            ToPartition::Recover => {
                // Also when there is nothing to be said: the dispatcher notes where it stands.
                let next = self.state.recover();
                say(self.reduced(next));
                return false;
            }
            ToPartition::Reset => {
                let failure = Failure {
                    cursor: Cursor::Start,
                    kind: FailureKind::State,
                    message: "the partition is being rebuilt".to_owned(),
                };
                self.state.reset(Halt::new(failure, 0, now()));
            }
            ToPartition::Resume(number) => self.state.resume(number),
        }
        true
    }

    /// Has the state machine go on, and passes on what it says.
    pub(crate) fn go_on(&mut self, say: &mut impl FnMut(Said)) {
        loop {
            let next = self.state.next(self.batch, now);
            let more = matches!(next, Next::Settled(_));
            self.tell(next, say);
            if !more {
                break;
            }
        }
        if let Some(backoff) = self.state.take_backoff() {
            let (partition, generation) = (self.state.partition().clone(), self.generation);
            say(Said::Retrying(Retrying { partition, generation, backoff }));
        }
        self.release();
    }

    fn tell(&self, next: Next, say: &mut impl FnMut(Said)) {
        if !matches!(next, Next::Wait) {
            say(self.reduced(next));
        }
    }

    fn reduced(&self, next: Next) -> Said {
        Said::Reduced(Reduced {
            partition: self.state.partition().clone(),
            generation: self.generation,
            cursor: self.state.cursor().clone(),
            next,
        })
    }

    fn release(&mut self) {
        let skipped = self.state.take_skipped();
        if self.waiters.is_empty() {
            return;
        }
        for (cursor, waiter) in self.waiters.release(self.state.cursor()) {
            match skipped.iter().find(|skip| skip.cursor == cursor) {
                Some(skip) => waiter.finish(Outcome::Skipped(Arc::clone(skip))),
                None => waiter.done(),
            }
        }
        if let Some(halt) = self.state.halt() {
            let halt = Arc::clone(halt);
            for (_, waiter) in self.waiters.release_all() {
                waiter.finish(Outcome::Halted(Arc::clone(&halt)));
            }
        }
    }
}

/// Where an event and a halt leave one who waits: used by the dispatcher for partitions that have
/// no actor.
pub(crate) fn answer_without_actor(
    waiter: Waiter,
    cursor: &Cursor,
    stands_at: &Cursor,
    halt: Option<&Arc<Halt>>,
) {
    match halt {
        Some(halt) if cursor > stands_at => waiter.finish(Outcome::Halted(Arc::clone(halt))),
        _ => waiter.done(),
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
