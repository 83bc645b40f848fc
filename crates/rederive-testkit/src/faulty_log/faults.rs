//! [`LogFaults`]: the script of a faulty log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rederive_core::{Cursor, EventTypes, Holder, LogError, Slice, Undecodable, Wake, Wakers};

use crate::{Gate, Rng, script::Script};

/// What befalls one fetch. While one is scripted, nothing is at hand: so there is a fetch that it befalls.
#[derive(Clone, Debug)]
pub enum LogFault {
    /// It fails.
    Fails,
    /// It panics.
    Panics,
    /// It begins only when the gate is open.
    Stall(Gate),
    /// It returns at most so many events (at least one), though more were asked for.
    Short(usize),
}

/// What befalls one append under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// It fails before anything is appended.
    Before,
    /// It is appended, but the answer says that it may not be.
    After,
    /// It is refused for good.
    Refused,
}

/// Scripts the faults of a [`FaultyLog`](super::FaultyLog). Clones are the same script.
#[derive(Clone, Default)]
pub struct LogFaults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wakers: Wakers,
}

#[derive(Default)]
struct State {
    fetch: Script<LogFault>,
    read: Script<()>,
    append: Script<AppendFault>,
    longest: Option<usize>,
    broken: BTreeMap<Cursor, Undecodable>,
    held_back: Vec<Holder>,
    drops_wake_ups: bool,
    dropped_wake_ups: usize,
    chaos: Option<(f64, Rng)>,
    fetches: usize,
    fetched_types: Vec<EventTypes>,
    at_hand: usize,
}

impl LogFaults {
    /// The fault befalls the next fetch after those that have a fault scripted.
    pub fn on_fetch(&self, fault: LogFault) {
        self.on_fetch_after(0, fault);
    }

    /// As [`on_fetch`](Self::on_fetch), but `skip` fetches go well before.
    pub fn on_fetch_after(&self, skip: usize, fault: LogFault) {
        self.lock().fetch.push(skip, fault);
    }

    /// The next `times` calls of `find`, `head` and `count` fail.
    pub fn fail_reads(&self, times: usize) {
        self.lock().read.push_times(times, ());
    }

    /// The fault befalls the next append under a key after those that have a fault scripted.
    pub fn on_append_once(&self, fault: AppendFault) {
        self.lock().append.push(0, fault);
    }

    /// No fetch returns more than `limit` events (at least one) from now on.
    pub fn shorten(&self, limit: usize) {
        self.lock().longest = Some(limit.max(1));
    }

    /// The event at this cursor cannot be decoded until it is [`mend`](Self::mend)ed.
    pub fn break_event(&self, cursor: impl Into<Cursor>) {
        self.break_event_as(Undecodable::new(cursor.into(), "scripted: it is broken"));
    }

    /// As [`break_event`](Self::break_event), with all that is to be known of it.
    pub fn break_event_as(&self, broken: Undecodable) {
        self.lock().broken.insert(broken.cursor.clone(), broken);
    }

    /// The event at this cursor can be decoded again.
    pub fn mend(&self, cursor: impl Into<Cursor>) {
        self.lock().broken.remove(&cursor.into());
    }

    /// From now on, the log says that these transactions hold it back.
    pub fn hold_back(&self, holders: impl IntoIterator<Item = Holder>) {
        self.lock().held_back = holders.into_iter().collect();
    }

    /// Wake-ups get lost from now on.
    pub fn drop_wake_ups(&self) {
        self.lock().drops_wake_ups = true;
    }

    /// How many wake-ups got lost.
    pub fn dropped_wake_ups(&self) -> usize {
        self.lock().dropped_wake_ups
    }

    /// Wakes the followers for no reason.
    pub fn wake(&self) {
        self.0.wakers.wake();
    }

    /// Fetches that have no fault scripted fail with this probability from now on, and as many
    /// return a single event. As likely, what is at hand is fetched all the same.
    pub fn chaos(&self, probability: f64, rng: Rng) {
        self.lock().chaos = Some((probability, rng));
    }

    /// Nothing fails any more. What waits at a gate still waits.
    pub fn heal(&self) {
        let mut state = self.lock();
        *state = State {
            fetches: state.fetches,
            at_hand: state.at_hand,
            fetched_types: std::mem::take(&mut state.fetched_types),
            dropped_wake_ups: state.dropped_wake_ups,
            ..State::default()
        };
    }

    /// How many fetches were begun. What is [at hand](Self::at_hand) is not fetched.
    pub fn fetches(&self) -> usize {
        self.lock().fetches
    }

    /// How many slices were at hand ([`EventLog::recent`](rederive_core::EventLog::recent)), so that they
    /// were not fetched.
    pub fn at_hand(&self) -> usize {
        self.lock().at_hand
    }

    /// The types that each fetch asked for, in order.
    pub fn fetched_types(&self) -> Vec<EventTypes> {
        self.lock().fetched_types.clone()
    }

    /// A fetch begins: how many events it may return.
    pub(super) fn at_fetch(&self, limit: usize, types: &EventTypes) -> Result<usize, LogError> {
        let (fault, longest) = {
            let mut state = self.lock();
            state.fetches += 1;
            state.fetched_types.push(types.clone());
            let scripted = state.fetch.next();
            let random = |(probability, rng): &mut (f64, Rng)| {
                let fails = rng.chance(*probability);
                let short = rng.chance(*probability);
                fails.then_some(LogFault::Fails).or(short.then_some(LogFault::Short(1)))
            };
            let fault = scripted.or_else(|| state.chaos.as_mut().and_then(random));
            (fault, limit.min(state.longest.unwrap_or(limit)))
        };
        match fault {
            None => Ok(longest),
            Some(LogFault::Fails) => Err(LogError::new("scripted: it cannot be read")),
            Some(LogFault::Panics) => panic!("scripted: a panic in a fetch"),
            Some(LogFault::Stall(gate)) => {
                gate.pass();
                Ok(longest)
            }
            Some(LogFault::Short(limit)) => Ok(longest.min(limit.max(1))),
        }
    }

    /// Whether this is served though nobody reads it: not where a fetch would have been another one.
    pub(super) fn is_at_hand<E>(&self, slice: &Slice<E>) -> bool {
        let mut state = self.lock();
        let struck =
            state.chaos.as_mut().is_some_and(|(probability, rng)| rng.chance(*probability));
        let faulty = struck || state.fetch.len() > 0 || state.longest.is_some();
        let broken = slice.events.iter().any(|event| state.broken.contains_key(&event.cursor));
        let served = !faulty && !broken;
        state.at_hand += usize::from(served);
        served
    }

    pub(super) fn at_read(&self) -> Result<(), LogError> {
        match self.lock().read.next() {
            Some(()) => Err(LogError::new("scripted: it cannot be asked")),
            None => Ok(()),
        }
    }

    pub(super) fn at_append_once(&self) -> Option<AppendFault> {
        self.lock().append.next()
    }

    pub(super) fn broken(&self, cursor: &Cursor) -> Option<Undecodable> {
        self.lock().broken.get(cursor).cloned()
    }

    pub(super) fn held_back(&self) -> Vec<Holder> {
        self.lock().held_back.clone()
    }

    pub(super) fn subscribe(&self, wake: Weak<Wake>) {
        self.0.wakers.add(wake);
    }

    pub(super) fn forward_wake_up(&self) {
        {
            let mut state = self.lock();
            if state.drops_wake_ups {
                state.dropped_wake_ups += 1;
                return;
            }
        }
        self.0.wakers.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
