//! Killing actors on purpose, for tests of what follows (feature `chaos`).
//!
//! A kill is a panic in a handler, as a fault of ours would be: the actor is dropped in the middle
//! of its work, with everything that is queued for it.

use std::sync::Arc;

use actix::{Context, Handler, Message, Recipient};
use rederive_core::PartitionId;

use crate::{
    courier::Courier, dispatcher::Dispatcher, event_log::EventLogActor,
    partition_dispatcher::PartitionDispatcher, persistence::Persistence, supervisor::Supervisor,
};

/// Kills an actor of a reducer; does nothing when there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The reducer.
    pub reducer: String,
    /// Which of its actors.
    pub victim: Victim,
}

/// Which actor to kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The dispatcher of the partition, if it has one.
    Partition(PartitionId),
    /// The reducer's dispatcher.
    Dispatcher,
    /// The reducer's courier, if it has one.
    Courier,
    /// The actor of the log that the reducer follows.
    EventLog,
    /// The actor of the store that the reducer writes to.
    Persistence,
}

impl Message for Kill {
    type Result = ();
}

/// supervisor → any: die.
#[derive(Clone, Copy)]
pub(crate) struct Die;

impl Message for Die {
    type Result = ();
}

/// supervisor → dispatcher: have the dispatcher of this partition die.
pub(crate) struct KillPartition(pub(crate) PartitionId);

impl Message for KillPartition {
    type Result = ();
}

/// supervisor → dispatcher: have your courier die.
pub(crate) struct KillCourier;

impl Message for KillCourier {
    type Result = ();
}

/// Where to send what kills the actors of one dispatcher.
#[derive(Clone)]
pub(crate) struct Deadly {
    pub(crate) dispatcher: Recipient<Die>,
    pub(crate) partition: Recipient<KillPartition>,
    pub(crate) courier: Recipient<KillCourier>,
    pub(crate) event_log: Recipient<Die>,
    pub(crate) persistence: Recipient<Die>,
}

#[allow(clippy::panic, reason = "that is what it is for")]
fn die(actor: &str) {
    panic!("the {actor} is killed by a test");
}

impl Handler<Kill> for Supervisor {
    type Result = ();

    fn handle(&mut self, Kill { reducer, victim }: Kill, _: &mut Context<Self>) {
        let Some(deadly) = self.deadly(&Arc::from(reducer)) else { return };
        match victim {
            Victim::Partition(partition) => deadly.partition.do_send(KillPartition(partition)),
            Victim::Dispatcher => deadly.dispatcher.do_send(Die),
            Victim::Courier => deadly.courier.do_send(KillCourier),
            Victim::EventLog => deadly.event_log.do_send(Die),
            Victim::Persistence => deadly.persistence.do_send(Die),
        }
    }
}

impl<E: Send + Sync + 'static> Handler<KillPartition> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, KillPartition(partition): KillPartition, _: &mut Context<Self>) {
        if let Some(addr) = self.partition_addr(&partition) {
            addr.do_send(Die);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<KillCourier> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: KillCourier, _: &mut Context<Self>) {
        if let Some(addr) = self.courier_addr() {
            addr.do_send(Die);
        }
    }
}

impl Handler<Die> for Courier {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        die("courier");
    }
}

impl<E: Send + Sync + 'static> Handler<Die> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        die("dispatcher");
    }
}

impl<E: Send + Sync + 'static> Handler<Die> for PartitionDispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        die("partition dispatcher");
    }
}

impl<E: Send + Sync + 'static> Handler<Die> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        die("event log");
    }
}

impl Handler<Die> for Persistence {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        die("persistence");
    }
}
