//! [`Flow`]: how far a reducer has read and settled its log, and whether it may read on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use rederive_core::{Cursor, Entry, Settles, Slice, Timestamp, Watermark};

use super::rate::Rate;

/// How many finished slices are kept, of at most how many events.
const FINISHED: usize = 4;
const SMALL: usize = 512;

/// The reading side of a dispatcher: position, low watermark, unfinished slices and the window.
pub(super) struct Flow<E> {
    /// Everything up to here was dispatched.
    pub(super) position: Cursor,
    pub(super) watermark: Watermark,
    /// The unfinished slices by their number in the watermark.
    slices: BTreeMap<u64, Dispatched<E>>,
    /// The last ones that were finished, if they are small: whoever has appended is about to ask for them.
    finished: VecDeque<Arc<Slice<E>>>,
    /// Deliveries that are not settled.
    unsettled: usize,
    /// Events that unfinished slices keep in memory.
    pinned: usize,
    window: usize,
    /// Events that were dispatched, and those of them that are in unfinished slices.
    read: u64,
    unfinished: u64,
    pub(super) fetching: bool,
    /// The last read reached the end of the log.
    pub(super) at_head: bool,
    /// How many events are settled per second.
    pub(super) rate: Rate,
}

/// A slice and which of its events were dispatched: it may begin before the place that we had come
/// to, as slices are shared, and we may have stopped before an event in it.
pub(super) struct Dispatched<E> {
    pub(super) slice: Arc<Slice<E>>,
    pub(super) after: Cursor,
    /// How many.
    pub(super) events: usize,
}

impl<E> Dispatched<E> {
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_, E>> {
        self.slice.entries(&self.after).take(self.events)
    }

    /// How many events it keeps in memory.
    fn pinned(&self) -> usize {
        self.slice.events.len() + self.slice.undecodable.len()
    }
}

impl<E> Flow<E> {
    pub(super) fn new(watermark: Cursor, window: usize) -> Self {
        Self {
            position: watermark.clone(),
            watermark: Watermark::new(watermark),
            slices: BTreeMap::new(),
            finished: VecDeque::new(),
            unsettled: 0,
            pinned: 0,
            window,
            read: 0,
            unfinished: 0,
            fetching: false,
            at_head: false,
            rate: Rate::new(Instant::now()),
        }
    }

    /// True when more should be read now.
    pub(super) fn wants_more(&self) -> bool {
        !self.fetching && !self.at_head && self.unsettled < self.window && self.pinned < self.window
    }

    /// How many events of finished slices were dispatched since the start.
    pub(super) fn done(&self) -> u64 {
        self.read - self.unfinished
    }

    /// The number that the next slice will have.
    pub(super) fn next_number(&self) -> u64 {
        self.watermark.next_number()
    }

    pub(super) fn set_window(&mut self, window: usize) {
        self.window = window;
    }

    /// Deliveries that are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Adds a slice that was dispatched up to `end`, with so many deliveries. Returns its number.
    pub(super) fn track(
        &mut self,
        dispatched: Dispatched<E>,
        end: Cursor,
        deliveries: usize,
    ) -> u64 {
        self.position = end.clone();
        let number = self.watermark.track(end, deliveries);
        let events = dispatched.events as u64;
        self.read += events;
        if deliveries > 0 {
            self.unsettled += deliveries;
            self.pinned += dispatched.pinned();
            self.unfinished += events;
            self.slices.insert(number, dispatched);
        } else {
            self.rate.count(dispatched.events, Instant::now());
        }
        number
    }

    /// Settles deliveries.
    pub(super) fn settle(&mut self, settles: &Settles) {
        for (number, count) in settles {
            self.unsettled = self.unsettled.saturating_sub(*count);
            if self.watermark.settle(*number, *count)
                && let Some(dispatched) = self.slices.remove(number)
            {
                self.pinned = self.pinned.saturating_sub(dispatched.pinned());
                self.rate.count(dispatched.events, Instant::now());
                self.unfinished -= dispatched.events as u64;
                // What cannot be decoded may be corrected, and is read again for whoever asks.
                if dispatched.pinned() <= SMALL && dispatched.slice.undecodable.is_empty() {
                    self.finished.truncate(FINISHED - 1);
                    self.finished.push_front(dispatched.slice);
                }
            }
        }
    }

    /// When the first event after the low watermark was recorded, if it is one that was dispatched
    /// and could be decoded.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let (_, first) = self.slices.first_key_value()?;
        match first.slice.entries(self.watermark.cursor()).next()? {
            Entry::Event(_, event) => Some(event.time),
            Entry::Undecodable(..) => None,
        }
    }

    pub(super) fn dispatched(&self, number: u64) -> Option<&Dispatched<E>> {
        self.slices.get(&number)
    }

    /// The unfinished slice that has an event at this cursor, or one that has just been finished.
    pub(super) fn find(&self, cursor: &Cursor) -> Option<Arc<Slice<E>>> {
        let unfinished = self.slices.values().map(|dispatched| &dispatched.slice);
        let mut slices = unfinished.chain(&self.finished);
        slices.find(|slice| slice.at(cursor).is_some()).map(Arc::clone)
    }
}
