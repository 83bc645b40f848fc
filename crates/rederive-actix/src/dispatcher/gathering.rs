//! [`Gathering`]: events of many partitions that are reduced together.
//!
//! A partition whose reducer keeps nothing from one event to the next needs no state machine to reduce
//! events that meet with no trouble: where the reducer stands, it stands. So where many events
//! are read at once, they are only gathered here. Those of a partition that does meet with trouble are
//! taken out again.
//!
//! Events are reduced in the order of the log, as they lie in memory, and not partition by partition:
//! looking for the events of one partition among very many costs more than reducing them.

use std::{collections::hash_map::Entry as Place, sync::Arc};

use foldhash::{HashMap, HashMapExt};
use rederive_core::{
    Cursor, Engine, Entry, Op, PartitionCommit, PartitionId, Repair, Settles, Several, Slice, Step,
    Steps,
};
use smallvec::SmallVec;

/// Events by their partitions, in the order in which the partitions were met.
pub(super) struct Gathering<E> {
    slices: Vec<Piece<E>>,
    places: HashMap<PartitionId, usize>,
    parts: Vec<Part>,
    /// In the order of the log.
    events: Vec<Event>,
    /// How many of them are looked at.
    reduced: usize,
    /// How many were taken out.
    out: usize,
    trouble: Vec<usize>,
    /// How many ops there are of how many events: there will be about as many of the others.
    ops: (usize, usize),
}

/// What is in here of a slice.
struct Piece<E> {
    number: u64,
    slice: Arc<Slice<E>>,
    events: usize,
}

/// The events of one partition.
struct Part {
    partition: PartitionId,
    /// The first and the last of its events, which are linked.
    first: u32,
    last: u32,
    /// None any more, if they were taken out.
    events: usize,
    /// What those that are reduced lead to, and the first and the last of these.
    ops: Vec<Op>,
    cursors: (Cursor, Cursor),
    /// Whether there is a commit of them.
    commits: bool,
    /// One of them is to be done with more care, and so is all of the partition.
    troubled: bool,
}

struct Event {
    part: u32,
    /// The next one of its partition, or itself.
    next: u32,
    /// Which of the slices, and the index in it.
    slice: u32,
    index: u32,
}

/// Events of a partition in one slice: its number, and their indices.
pub(super) type InSlice<E> = (u64, Arc<Slice<E>>, SmallVec<[u32; 4]>);

impl<E> Default for Gathering<E> {
    fn default() -> Self {
        Self {
            slices: Vec::new(),
            places: HashMap::new(),
            parts: Vec::new(),
            events: Vec::new(),
            reduced: 0,
            out: 0,
            trouble: Vec::new(),
            ops: (0, 0),
        }
    }
}

impl<E: Send + Sync + 'static> Gathering<E> {
    /// An empty one that is likely to have as many partitions as this one.
    pub(super) fn like(other: &Self) -> Self {
        Self {
            places: HashMap::with_capacity(other.parts.len()),
            parts: Vec::with_capacity(other.parts.len()),
            events: Vec::with_capacity(other.events.len()),
            ..Self::default()
        }
    }

    /// Adds an event, behind those that were added before.
    pub(super) fn push(
        &mut self,
        partition: PartitionId,
        number: u64,
        slice: &Arc<Slice<E>>,
        index: u32,
    ) {
        match self.slices.last_mut() {
            Some(last) if last.number == number => last.events += 1,
            _ => self.slices.push(Piece { number, slice: Arc::clone(slice), events: 1 }),
        }
        let place = u32_of(self.events.len());
        let part = match self.places.entry(partition) {
            Place::Occupied(part) => {
                let index = *part.get();
                let part = &mut self.parts[index];
                self.events[part.last as usize].next = place;
                part.last = place;
                part.events += 1;
                index
            }
            Place::Vacant(vacant) => {
                let partition = vacant.key().clone();
                let index = *vacant.insert(self.parts.len());
                self.parts.push(Part {
                    partition,
                    first: place,
                    last: place,
                    events: 1,
                    ops: Vec::new(),
                    cursors: (Cursor::Start, Cursor::Start),
                    commits: false,
                    troubled: false,
                });
                index
            }
        };
        let slice = u32_of(self.slices.len() - 1);
        self.events.push(Event { part: u32_of(part), next: place, slice, index });
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.events.len() - self.out
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> usize {
        self.places.len()
    }

    /// Whether there is an event of the partition, at or before the cursor if one is given.
    pub(super) fn holds(&self, partition: &PartitionId, upto: Option<&Cursor>) -> bool {
        let Some(place) = self.places.get(partition) else { return false };
        let first = self.entry(self.parts[*place].first);
        upto.is_none_or(|upto| first.is_some_and(|first| first.cursor() <= upto))
    }

    fn entry(&self, event: u32) -> Option<Entry<'_, E>> {
        let Event { slice, index, .. } = self.events.get(event as usize)?;
        self.slices[*slice as usize].slice.entry(*index as usize)
    }

    /// Reduces up to `turn` events more. True when all are reduced.
    pub(super) fn reduce(
        &mut self,
        engine: &dyn Engine<Event = E>,
        batch: usize,
        turn: usize,
    ) -> bool {
        let end = self.events.len().min(self.reduced + turn);
        for event in &self.events[self.reduced..end] {
            let part = &mut self.parts[event.part as usize];
            if part.events == 0 || part.troubled {
                continue;
            }
            if part.ops.capacity() == 0 {
                part.ops.reserve_exact(expected(self.ops, part.events.min(batch)));
            }
            let before = part.ops.len();
            let entry = self.slices[event.slice as usize].slice.entry(event.index as usize);
            let done = match entry {
                Some(Entry::Event(_, event)) if part.events <= batch => {
                    if part.cursors.0 == Cursor::Start {
                        part.cursors.0 = event.cursor.clone();
                    }
                    part.cursors.1 = event.cursor.clone();
                    engine.reduce_alone(&part.partition, event, &mut part.ops)
                }
                _ => false,
            };
            if done {
                part.commits = !part.ops.is_empty();
                self.ops.0 += part.ops.len() - before;
                self.ops.1 += 1;
            } else {
                (part.troubled, part.commits) = (true, false);
                part.ops = Vec::new();
                self.trouble.push(event.part as usize);
            }
        }
        self.reduced = end;
        end == self.events.len()
    }

    /// The partitions that met with trouble: their events are to be taken out.
    pub(super) fn take_trouble(&mut self) -> Vec<PartitionId> {
        let trouble = std::mem::take(&mut self.trouble);
        // Whoever has taken the events out has taken the trouble along.
        let left = trouble.into_iter().map(|part| &self.parts[part]).filter(|part| part.events > 0);
        left.map(|part| part.partition.clone()).collect()
    }

    /// The commits of all that is reduced. Those of one partition are one step: if the store rejects it,
    /// the partition goes on by itself, event by event.
    pub(super) fn take_commits(&mut self) -> Vec<PartitionCommit> {
        let mut commits = Vec::with_capacity(self.parts.len());
        for part in self.parts.iter_mut().filter(|part| part.commits) {
            let (first, last) = part.cursors.clone();
            let several = Several { first, events: part.events };
            let step = Step {
                cursor: last.clone(),
                several: (part.events > 1).then(|| Box::new(several)),
                ops_end: part.ops.len(),
            };
            commits.push(PartitionCommit {
                partition: part.partition.clone(),
                ops: std::mem::take(&mut part.ops),
                steps: Steps::from_iter([step]),
                cursor: last,
                halt: None,
                skip: None,
                repair: Repair::None,
            });
        }
        commits
    }

    /// Takes the partition's events out, with what they were reduced to.
    pub(super) fn take_out(&mut self, partition: &PartitionId) -> Vec<InSlice<E>> {
        let Some(part) = self.places.remove(partition) else { return Vec::new() };
        let part = &mut self.parts[part];
        let (mut next, events) = (part.first, std::mem::take(&mut part.events));
        (part.ops, part.commits) = (Vec::new(), false);
        self.out += events;
        let mut by_slice: Vec<InSlice<E>> = Vec::new();
        for _ in 0..events {
            let Event { slice, index, next: after, .. } = &self.events[next as usize];
            let slice = &mut self.slices[*slice as usize];
            slice.events -= 1;
            match by_slice.last_mut() {
                Some((of, _, events)) if *of == slice.number => events.push(*index),
                _ => {
                    let events = SmallVec::from_iter([*index]);
                    by_slice.push((slice.number, Arc::clone(&slice.slice), events));
                }
            }
            next = *after;
        }
        by_slice
    }

    /// The partitions that have a commit, in the order of the commits, with the number of events and
    /// the last of them.
    pub(super) fn committing(&self) -> impl Iterator<Item = (&PartitionId, usize, &Cursor)> {
        let parts = self.parts.iter().filter(|part| part.commits);
        parts.map(|part| (&part.partition, part.events, &part.cursors.1))
    }

    /// The deliveries by slice.
    pub(super) fn settles(&self) -> Settles {
        let slices = self.slices.iter().filter(|slice| slice.events > 0);
        slices.map(|slice| (slice.number, slice.events)).collect()
    }
}

/// How many ops so many events probably lead to, if others led to `ops`; not too many.
fn expected((ops, others): (usize, usize), events: usize) -> usize {
    (ops * events).div_ceil(others.max(1)).clamp(events, 4 * events)
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
