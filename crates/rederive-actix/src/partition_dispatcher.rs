//! [`PartitionDispatcher`]: the actor of one partition.

use std::{sync::Arc, time::SystemTime};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Running};
use rederive_core::{
    Cursor, Failure, FailureKind, Halt, Next, PartitionEngine, PartitionId, PartitionState, Skip,
    Timestamp, Waiters,
};

use crate::{
    dispatcher::Dispatcher,
    ended::EndGuard,
    message::{
        Answer, Deliver, PartitionEnded, Passivate, Recover, Reduced, Reset, Retrying, StateLoaded,
        Wait,
    },
    waiter::{Outcome, Waiter},
};

/// Reduces the events of one partition, hands their ops to its dispatcher for committing, and tells
/// those who wait. It touches neither the log nor the store.
///
/// All decisions are [`PartitionState`]'s.
pub(crate) struct PartitionDispatcher<E: Send + Sync + 'static> {
    pub(crate) dispatcher: Addr<Dispatcher<E>>,
    pub(crate) generation: u64,
    pub(crate) batch: usize,
    pub(crate) state: PartitionState<E>,
    pub(crate) waiters: Waiters<Waiter>,
    pub(crate) guard: EndGuard<PartitionEnded>,
}

/// How a partition dispatcher begins.
pub(crate) enum Begin {
    /// Reducing what it is handed.
    Active,
    /// Holding it.
    Halted(Arc<Halt>),
    /// Reducing what was held, perhaps without the event that halted it.
    Repair(Arc<Halt>, Option<Arc<Skip>>),
}

impl<E: Send + Sync + 'static> PartitionDispatcher<E> {
    pub(crate) fn new(
        dispatcher: Addr<Dispatcher<E>>,
        engine: Box<dyn PartitionEngine<E>>,
        partition: PartitionId,
        generation: u64,
        cursor: Cursor,
        begin: Begin,
        batch: usize,
    ) -> Self {
        let ended = PartitionEnded { partition: partition.clone(), generation };
        let state = match begin {
            Begin::Active => PartitionState::new(engine, partition, cursor, None),
            Begin::Halted(halt) => PartitionState::new(engine, partition, cursor, Some(halt)),
            Begin::Repair(halt, skip) => {
                PartitionState::repair(engine, partition, cursor, halt, skip)
            }
        };
        Self {
            guard: EndGuard::new(dispatcher.clone().recipient(), ended),
            dispatcher,
            generation,
            batch,
            state,
            waiters: Waiters::default(),
        }
    }

    /// Has the state machine go on, and passes on what it says.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let next = self.state.next(self.batch, now);
            let more = matches!(next, Next::Settled(_));
            if !matches!(next, Next::Wait) {
                self.tell(next);
            }
            if !more {
                break;
            }
        }
        if let Some(backoff) = self.state.take_backoff() {
            let number = backoff.number;
            ctx.run_later(backoff.delay, move |this, ctx| {
                this.state.resume(number);
                this.go_on(ctx);
            });
            let (partition, generation) = (self.state.partition().clone(), self.generation);
            self.dispatcher.do_send(Retrying { partition, generation, backoff });
        }
        self.release();
    }

    fn tell(&self, next: Next) {
        self.dispatcher.do_send(Reduced {
            partition: self.state.partition().clone(),
            generation: self.generation,
            cursor: self.state.cursor().clone(),
            next,
        });
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

impl<E: Send + Sync + 'static> Actor for PartitionDispatcher<E> {
    type Context = Context<Self>;

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        // Also called after a panic: then nothing that is queued may be handled any more.
        Running::Stop
    }
}

impl<E: Send + Sync + 'static> Handler<Deliver<E>> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, Deliver(delivery): Deliver<E>, ctx: &mut Context<Self>) {
        self.state.deliver(delivery);
        self.go_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<StateLoaded> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, StateLoaded(row): StateLoaded, ctx: &mut Context<Self>) {
        self.state.load(row);
        self.go_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Answer> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, Answer(result): Answer, ctx: &mut Context<Self>) {
        match result {
            Ok(()) => self.state.committed(),
            Err(rejection) => {
                let next = self.state.rejected(rejection, now);
                if !matches!(next, Next::Wait) {
                    self.tell(next);
                }
            }
        }
        self.go_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Wait> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, Wait { cursor, waiter }: Wait, _: &mut Context<Self>) {
        self.waiters.add(cursor, waiter, Waiter::is_gone);
        self.release();
    }
}

impl<E: Send + Sync + 'static> Handler<Recover> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Recover, _: &mut Context<Self>) {
        let next = self.state.recover();
        self.tell(next);
    }
}

impl<E: Send + Sync + 'static> Handler<Reset> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Reset, ctx: &mut Context<Self>) {
        let failure = Failure {
            cursor: Cursor::Start,
            kind: FailureKind::State,
            message: "the partition is being rebuilt".to_owned(),
        };
        self.state.reset(Halt::new(failure, 0, now()));
        self.go_on(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Passivate> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Passivate, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
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
