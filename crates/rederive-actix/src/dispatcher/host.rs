//! [`Host`]: who runs the work on a partition.
//!
//! In the long run each active partition has an actor of its own. A reducer that has a long way to go
//! would send itself messages most of the time, three for each partition and slice: until it is
//! nearly there, its dispatcher runs the partitions itself, in bulk. It is the same work in the same
//! order, so nothing that is promised depends on who runs it. Where a reducer keeps no state, that is left
//! to partitions that have met with trouble: the events of others are [gathered](super::gathered).

use std::collections::VecDeque;

use actix::{Addr, AsyncContext, Context, Handler};
use rederive_core::Next;

use super::Dispatcher;
use crate::{
    message::{Passivate, Retrying, ToPartition},
    partition_dispatcher::PartitionDispatcher,
    partition_work::{PartitionWork, Said},
};

/// About how many events are reduced before others on the thread have their turn.
pub(super) const TURN: usize = 1000;

/// Who runs a partition.
pub(super) enum Host<E: Send + Sync + 'static> {
    /// An actor of its own.
    Actor(Addr<PartitionDispatcher<E>>),
    /// The dispatcher, in this place of [`Residents`].
    Here(usize),
}

impl<E: Send + Sync + 'static> Host<E> {
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Host::Here(_))
    }
}

/// The partitions that the dispatcher runs itself.
///
/// What they are handed while a group is under way they only take in. When it is answered, all of them
/// reduce what they have, in one go: so the next group holds whole slices, and the low watermark tells
/// where each partition stands without a row of its own.
pub(super) struct Residents<E: Send + Sync + 'static> {
    places: Vec<Option<Box<Resident<E>>>>,
    free: Vec<usize>,
    /// What they have still to be told.
    todo: VecDeque<Todo<E>>,
    /// Those that may have something to reduce.
    ready: VecDeque<usize>,
    /// They are reducing; what they are told waits.
    reducing: bool,
    me: Option<Addr<Dispatcher<E>>>,
    /// Our turn is coming.
    scheduled: bool,
}

struct Resident<E> {
    work: PartitionWork<E>,
    ready: bool,
}

enum Todo<E> {
    /// Tell the partition in this place, if it is still this generation.
    Tell(usize, u64, ToPartition<E>),
    /// The partition in this place is needed no more.
    Leave(usize),
}

/// What [`Residents::step`] did.
enum Step {
    /// Work about as long as reducing so many events.
    Did(usize),
    /// All have reduced what they had.
    Reduced,
    /// Nothing: there is nothing to do for now.
    Idle,
}

impl<E: Send + Sync + 'static> Default for Residents<E> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            todo: VecDeque::new(),
            ready: VecDeque::new(),
            reducing: false,
            me: None,
            scheduled: false,
        }
    }
}

/// The next turn of what is to be done here.
pub(super) struct Turn;

impl actix::Message for Turn {
    type Result = ();
}

impl<E: Send + Sync + 'static> Residents<E> {
    /// Takes a partition in.
    pub(super) fn add(&mut self, me: &Context<Dispatcher<E>>, work: PartitionWork<E>) -> Host<E> {
        self.me.get_or_insert_with(|| me.address());
        let resident = Some(Box::new(Resident { work, ready: false }));
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => *free = resident,
            None => self.places.push(resident),
        }
        Host::Here(place)
    }

    /// Tells a partition something, wherever it is run.
    pub(super) fn tell(&mut self, host: &Host<E>, generation: u64, message: ToPartition<E>) {
        match host {
            Host::Actor(addr) => addr.do_send(message),
            Host::Here(place) => {
                self.todo.push_back(Todo::Tell(*place, generation, message));
                self.schedule();
            }
        }
    }

    /// Ends the work on a partition that has nothing in flight, behind what it has been told before.
    pub(super) fn passivate(&mut self, host: &Host<E>) {
        match host {
            Host::Actor(addr) => addr.do_send(Passivate),
            Host::Here(place) => {
                self.todo.push_back(Todo::Leave(*place));
                self.schedule();
            }
        }
    }

    /// True when nothing is left to be done.
    pub(super) fn is_idle(&self) -> bool {
        self.todo.is_empty() && self.ready.is_empty() && !self.reducing
    }

    /// True while more is about to come of what is being reduced.
    pub(super) fn is_reducing(&self) -> bool {
        self.reducing
    }

    /// Goes on, if there is something to do.
    pub(super) fn go_on(&mut self) {
        if !self.is_idle() {
            self.schedule();
        }
    }

    fn schedule(&mut self) {
        if !self.scheduled
            && let Some(me) = &self.me
        {
            self.scheduled = true;
            me.do_send(Turn);
        }
    }

    /// Does what is to be done next; reducing begins only if it `may`.
    fn step(&mut self, may: bool, said: &mut Vec<Said>) -> Step {
        let say = &mut |it| said.push(it);
        if !self.reducing {
            match self.todo.pop_front() {
                Some(Todo::Leave(place)) => {
                    if self.places.get_mut(place).is_some_and(|work| work.take().is_some()) {
                        self.free.push(place);
                    }
                    return Step::Did(1);
                }
                Some(Todo::Tell(place, generation, message)) => {
                    let resident = self.places.get_mut(place).and_then(Option::as_mut);
                    // Others may be in its place by now.
                    if let Some(resident) = resident.filter(|it| it.work.generation == generation)
                        && resident.work.take(message, say)
                        && !std::mem::replace(&mut resident.ready, true)
                    {
                        self.ready.push_back(place);
                    }
                    return Step::Did(1);
                }
                None if may && !self.ready.is_empty() => self.reducing = true,
                None => return Step::Idle,
            }
        }
        let Some(place) = self.ready.pop_front() else {
            self.reducing = false;
            return Step::Reduced;
        };
        if let Some(resident) = self.places.get_mut(place).and_then(Option::as_mut) {
            resident.ready = false;
            resident.work.go_on(say);
        }
        let events = |said: &Said| match said {
            Said::Reduced(reduced) => match &reduced.next {
                Next::Commit(commit, _) => commit.events(),
                Next::Settled(settles) => settles.iter().map(|(_, events)| events).sum(),
                Next::Wait => 0,
            },
            Said::Retrying(_) => 0,
        };
        Step::Did(said.iter().map(events).sum::<usize>() + 1)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<E: Send + Sync + 'static> Handler<Turn> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: Turn, ctx: &mut Context<Self>) {
        self.residents.scheduled = false;
        let (mut done, mut settled, mut said) = (0, false, Vec::new());
        let mut idle = false;
        while done < TURN && !idle {
            match self.residents.step(!self.grouping.is_under_way(), &mut said) {
                Step::Did(events) => done += events,
                Step::Reduced => self.flush(ctx),
                Step::Idle => idle = true,
            }
            for said in said.drain(..) {
                match said {
                    Said::Reduced(reduced) => settled |= self.reduced(reduced, ctx),
                    Said::Retrying(retrying) => self.retry_here(retrying, ctx),
                }
            }
        }
        if idle {
            self.flush(ctx);
        } else {
            self.residents.schedule();
        }
        if settled || idle {
            self.after_settling(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    fn retry_here(&mut self, retrying: Retrying, ctx: &mut Context<Self>) {
        let (partition, generation) = (retrying.partition.clone(), retrying.generation);
        let (number, delay) = (retrying.backoff.number, retrying.backoff.delay);
        ctx.run_later(delay, move |this, _| {
            if let Some(route) = this.routes.of_generation(&partition, generation) {
                this.residents.tell(&route.addr, generation, ToPartition::Resume(number));
            }
        });
        self.retrying(retrying, ctx);
    }

    /// From now on partitions that begin are run here, or no more.
    pub(super) fn set_bulk(&mut self, bulk: bool) {
        if self.bulk != bulk {
            self.bulk = bulk;
            self.set_sizes();
            if !bulk {
                // The others follow when they are idle.
                let watermark = self.flow.watermark.cursor();
                for host in self.routes.retire_all(watermark, Host::is_here) {
                    self.residents.passivate(&host);
                }
            }
        }
    }

    pub(super) fn set_sizes(&mut self) {
        let much = self.bulk || self.rebuilding.is_some();
        self.links.sizes = self.links.config.sizes(much);
        self.flow.set_window(self.links.sizes.window);
    }
}
