//! [`Buffer`]: the events that were delivered to a partition and are still to be reduced.

use std::{collections::VecDeque, sync::Arc};

use smallvec::SmallVec;

use crate::{Cursor, Entry, Slice};

/// Events of one slice that were routed to one partition. The slice is shared, never copied.
#[derive(Debug)]
pub struct Delivery<E> {
    /// The slice.
    pub slice: Arc<Slice<E>>,
    /// The slice's number in the reducer's [`Watermark`](crate::Watermark).
    pub number: u64,
    /// The events in the order of the log, as indices of [`Slice::entry`].
    pub events: SmallVec<[u32; 4]>,
}

/// How many deliveries of which slice something settles.
pub type Settles = SmallVec<[(u64, usize); 2]>;

/// Deliveries that are reduced together.
pub(super) type Batch<E> = SmallVec<[Delivery<E>; 2]>;

/// Deliveries in the order of the log.
#[derive(Debug)]
pub(super) struct Buffer<E>(VecDeque<Delivery<E>>);

impl<E> Buffer<E> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, delivery: Delivery<E>) {
        self.0.push_back(delivery);
    }

    /// Whole deliveries until there are `limit` events: at least one delivery.
    pub(super) fn take(&mut self, limit: usize) -> Batch<E> {
        let mut batch = Batch::new();
        let mut events = 0;
        while events < limit
            && let Some(delivery) = self.0.pop_front()
        {
            events += delivery.events.len();
            batch.push(delivery);
        }
        batch
    }

    /// No more than `limit` events; a delivery with more is taken in parts.
    pub(super) fn take_exactly(&mut self, limit: usize) -> Batch<E> {
        let mut batch = Batch::new();
        let mut room = limit;
        while room > 0
            && let Some(mut delivery) = self.0.pop_front()
        {
            if delivery.events.len() > room {
                let events = delivery.events.drain(room..).collect();
                let Delivery { slice, number, .. } = &delivery;
                let rest = Delivery { slice: Arc::clone(slice), number: *number, events };
                self.0.push_front(rest);
            }
            room -= delivery.events.len();
            batch.push(delivery);
        }
        batch
    }

    /// What was taken is to be taken again.
    pub(super) fn put_back(&mut self, batch: Batch<E>) {
        batch.into_iter().rev().for_each(|delivery| self.0.push_front(delivery));
    }

    /// Takes what stands behind the cursor out of the batch: it is to be reduced later.
    pub(super) fn put_back_after(&mut self, cursor: &Cursor, batch: &mut Batch<E>) {
        let mut rest = Batch::new();
        for Delivery { slice, number, events } in batch.iter_mut() {
            let is_behind = |index: &u32| {
                slice.entry(*index as usize).is_some_and(|entry| *entry.cursor() > *cursor)
            };
            let (behind, before) = events.iter().copied().partition(is_behind);
            *events = before;
            rest.push(Delivery { slice: Arc::clone(slice), number: *number, events: behind });
        }
        batch.retain(|delivery| !delivery.events.is_empty());
        rest.retain(|delivery| !delivery.events.is_empty());
        self.put_back(rest);
    }
}

impl<E> Delivery<E> {
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_, E>> {
        self.events.iter().filter_map(|index| self.slice.entry(*index as usize))
    }
}

pub(super) fn settles_of<E>(batch: &Batch<E>) -> Settles {
    batch.iter().map(|delivery| (delivery.number, delivery.events.len())).collect()
}
