//! [`PartitionDispatcher`]: the actor of one partition.

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Running};

use crate::{
    dispatcher::Dispatcher,
    ended::EndGuard,
    message::{PartitionEnded, Passivate, ToPartition},
    partition_work::{PartitionWork, Said},
};

/// Reduces the events of one partition, hands their ops to its dispatcher for committing, and tells
/// those who wait. It touches neither the log nor the store.
///
/// All that it does is [`PartitionWork`]'s.
pub(crate) struct PartitionDispatcher<E: Send + Sync + 'static> {
    dispatcher: Addr<Dispatcher<E>>,
    work: PartitionWork<E>,
    guard: EndGuard<PartitionEnded>,
}

impl<E: Send + Sync + 'static> PartitionDispatcher<E> {
    pub(crate) fn new(dispatcher: Addr<Dispatcher<E>>, work: PartitionWork<E>) -> Self {
        let (partition, generation) = (work.partition().clone(), work.generation);
        let ended = PartitionEnded { partition, generation };
        Self { guard: EndGuard::new(dispatcher.clone().recipient(), ended), dispatcher, work }
    }
}

impl<E: Send + Sync + 'static> Actor for PartitionDispatcher<E> {
    type Context = Context<Self>;

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        // Also called after a panic: then nothing that is queued may be handled any more.
        Running::Stop
    }
}

impl<E: Send + Sync + 'static> Handler<ToPartition<E>> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, message: ToPartition<E>, ctx: &mut Context<Self>) {
        let Self { dispatcher, work, .. } = self;
        work.handle(message, &mut |said| match said {
            Said::Reduced(reduced) => dispatcher.do_send(reduced),
            Said::Retrying(retrying) => {
                let over = ToPartition::Resume(retrying.backoff.number);
                ctx.notify_later(over, retrying.backoff.delay);
                dispatcher.do_send(retrying);
            }
        });
    }
}

impl<E: Send + Sync + 'static> Handler<Passivate> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Passivate, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
    }
}
