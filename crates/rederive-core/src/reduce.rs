//! [`reduce`]: the pure step from events to ops.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    Cursor, Failure, FailureKind, Op, Ops, PartitionId, Recorded, Reducer, error::panic_message,
};

/// What a batch of events of one partition was reduced to.
#[derive(Debug, Default)]
pub struct Reduction {
    /// The ops of all events that were reduced, in order.
    pub ops: Vec<Op>,
    /// One step per event that was reduced, in order.
    pub steps: Steps,
    /// The event that failed, if one did; later events of the batch were not looked at.
    pub failure: Option<Failure>,
}

/// The steps of a reduction or commit.
pub type Steps = SmallVec<[Step; 1]>;

/// The boundary after one event within a list of ops, or after several that are committed together or
/// not at all, such as those that were folded into one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The event, or the last of several.
    pub cursor: Cursor,
    /// Set if it is about several events.
    pub several: Option<Box<Several>>,
    /// Its ops end before this index and begin where those of the step before end.
    pub ops_end: usize,
}

/// Events that are committed together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Several {
    /// The first of them.
    pub first: Cursor,
    /// How many they are.
    pub events: usize,
}

impl Step {
    /// The step of one event.
    pub fn of(event: &Cursor, ops_end: usize) -> Self {
        Self { cursor: event.clone(), several: None, ops_end }
    }

    /// The first of its events.
    pub fn first(&self) -> &Cursor {
        self.several.as_ref().map_or(&self.cursor, |several| &several.first)
    }

    /// How many events it covers.
    pub fn events(&self) -> usize {
        self.several.as_ref().map_or(1, |several| several.events)
    }
}

/// Reduces events of one partition, in order, until one fails.
///
/// The good prefix is kept: when an event fails or panics, the ops of those before it stay, its own
/// are dropped, and [`Reduction::failure`] names it.
pub fn reduce<'e, E: Send + Sync + 'static>(
    reducer: &dyn Reducer<Event = E>,
    partition: &PartitionId,
    events: impl IntoIterator<Item = &'e Recorded<E>>,
) -> Reduction {
    reduce_named(&Arc::from(reducer.name()), reducer, partition, events)
}

/// The same for those who have the reducer's name at hand.
pub(crate) fn reduce_named<'e, E: Send + Sync + 'static>(
    name: &Arc<str>,
    reducer: &dyn Reducer<Event = E>,
    partition: &PartitionId,
    events: impl IntoIterator<Item = &'e Recorded<E>>,
) -> Reduction {
    let mut ops = Ops::of_reducer(Arc::clone(name), partition.clone());
    let mut steps = Steps::new();
    let mut failure = None;
    let events = events.into_iter();
    ops.reserve(events.size_hint().0.min(1024));
    for event in events {
        match reduce_event(reducer, event, &mut ops) {
            Ok(()) => steps.push(Step::of(&event.cursor, ops.as_slice().len())),
            Err(failed) => {
                failure = Some(failed);
                break;
            }
        }
    }
    Reduction { ops: ops.into_vec(), steps, failure }
}

/// Reduces one event. When it fails, there are as many ops as before.
pub(crate) fn reduce_event<E: Send + Sync + 'static>(
    reducer: &dyn Reducer<Event = E>,
    event: &Recorded<E>,
    ops: &mut Ops,
) -> Result<(), Failure> {
    ops.begin(&event.cursor);
    let before = ops.as_slice().len();
    // The ops are all that a panic can leave half done, and they are cut back.
    let result = catch_unwind(AssertUnwindSafe(|| reducer.reduce(event, ops)));
    let (kind, message) = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => (FailureKind::Reduce, error.to_string()),
        Err(payload) => (FailureKind::Panic, panic_message(&*payload)),
    };
    ops.truncate(before);
    Err(Failure { cursor: event.cursor.clone(), kind, message })
}

#[cfg(test)]
mod tests;
