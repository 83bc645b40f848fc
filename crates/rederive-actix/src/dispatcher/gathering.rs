//! [`Gathering`]: events of many partitions that are reduced together.
//!
//! A partition whose reducer keeps nothing from one event to the next needs no state machine to reduce
//! events that meet with no trouble: where the reducer stands, it stands. So in bulk its events are only
//! gathered here. Those of a partition that does meet with trouble are taken out again.

use std::{collections::hash_map::Entry as Place, sync::Arc};

use foldhash::{HashMap, HashMapExt};
use rederive_core::{
    Cursor, Engine, Entry, PartitionCommit, PartitionId, Recorded, Reduction, Repair, Settles,
    Slice,
};
use smallvec::SmallVec;

/// Events by their partitions, in the order in which the partitions were met.
pub(super) struct Gathering<E> {
    slices: Vec<(u64, Arc<Slice<E>>)>,
    places: HashMap<PartitionId, usize>,
    parts: Vec<Part>,
    events: usize,
    /// How many of the parts are reduced.
    reduced: usize,
    commits: Vec<PartitionCommit>,
    trouble: Vec<PartitionId>,
}

/// The events of one partition.
struct Part {
    partition: PartitionId,
    /// Which of the slices, and the index in it. None any more, if they were taken out.
    events: SmallVec<[(u32, u32); 2]>,
    /// Whether there is a commit of them.
    commits: bool,
}

/// What the events of a partition were reduced to.
enum Reduced {
    Nothing,
    Commit(PartitionCommit),
    /// It is to be done with more care.
    Trouble,
}

/// Events of a partition in one slice: its number, and their indices.
pub(super) type InSlice<E> = (u64, Arc<Slice<E>>, SmallVec<[u32; 4]>);

impl<E> Default for Gathering<E> {
    fn default() -> Self {
        Self {
            slices: Vec::new(),
            places: HashMap::new(),
            parts: Vec::new(),
            events: 0,
            reduced: 0,
            commits: Vec::new(),
            trouble: Vec::new(),
        }
    }
}

impl<E: Send + Sync + 'static> Gathering<E> {
    /// Adds an event, behind those that were added before.
    pub(super) fn push(
        &mut self,
        partition: PartitionId,
        number: u64,
        slice: &Arc<Slice<E>>,
        index: u32,
    ) {
        if self.slices.last().is_none_or(|(last, _)| *last != number) {
            self.slices.push((number, Arc::clone(slice)));
        }
        let event = (u32::try_from(self.slices.len() - 1).unwrap_or(u32::MAX), index);
        self.events += 1;
        match self.places.entry(partition) {
            Place::Occupied(place) => self.parts[*place.get()].events.push(event),
            Place::Vacant(place) => {
                let (partition, events) = (place.key().clone(), SmallVec::from_iter([event]));
                place.insert(self.parts.len());
                self.parts.push(Part { partition, events, commits: false });
            }
        }
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> usize {
        self.places.len()
    }

    /// Whether there is an event of the partition, at or before the cursor if one is given.
    pub(super) fn holds(&self, partition: &PartitionId, upto: Option<&Cursor>) -> bool {
        let Some(place) = self.places.get(partition) else { return false };
        let first = self.entries(*place).next();
        upto.is_none_or(|upto| first.is_some_and(|first| first.cursor() <= upto))
    }

    fn entries(&self, part: usize) -> impl Iterator<Item = Entry<'_, E>> {
        let entry = |(slice, index): &(u32, u32)| {
            self.slices[*slice as usize].1.entry(usize::try_from(*index).ok()?)
        };
        self.parts[part].events.iter().filter_map(entry)
    }

    /// Reduces some of the partitions, of `turn` events or a little more. True when all are reduced.
    pub(super) fn reduce(
        &mut self,
        engine: &dyn Engine<Event = E>,
        batch: usize,
        turn: usize,
    ) -> bool {
        let mut done = 0;
        while done < turn && self.reduced < self.parts.len() {
            done += self.parts[self.reduced].events.len().max(1);
            match self.reduce_part(engine, batch, self.reduced) {
                Reduced::Nothing => {}
                Reduced::Trouble => {
                    self.trouble.push(self.parts[self.reduced].partition.clone());
                }
                Reduced::Commit(commit) => {
                    self.commits.push(commit);
                    self.parts[self.reduced].commits = true;
                }
            }
            self.reduced += 1;
        }
        self.reduced == self.parts.len()
    }

    fn reduce_part(&self, engine: &dyn Engine<Event = E>, batch: usize, part: usize) -> Reduced {
        let Part { partition, events, .. } = &self.parts[part];
        if events.is_empty() {
            return Reduced::Nothing;
        }
        let mut decoded: SmallVec<[&Recorded<E>; 8]> = SmallVec::new();
        decoded.extend(self.entries(part).map_while(|entry| match entry {
            Entry::Event(_, event) => Some(event),
            Entry::Undecodable(..) => None,
        }));
        let simple = decoded.len() == events.len() && events.len() <= batch;
        let reduction = simple.then(|| engine.reduce_alone(partition, &decoded)).flatten();
        let Some(Reduction { ops, steps, failure: None }) = reduction else {
            return Reduced::Trouble;
        };
        match steps.last() {
            Some(last) if !ops.is_empty() => Reduced::Commit(PartitionCommit {
                partition: partition.clone(),
                cursor: last.cursor.clone(),
                ops,
                steps,
                halt: None,
                skip: None,
                repair: Repair::None,
            }),
            _ => Reduced::Nothing,
        }
    }

    /// The partitions that met with trouble: their events are to be taken out.
    pub(super) fn take_trouble(&mut self) -> Vec<PartitionId> {
        std::mem::take(&mut self.trouble)
    }

    /// The commits of all that is reduced.
    pub(super) fn take_commits(&mut self) -> Vec<PartitionCommit> {
        std::mem::take(&mut self.commits)
    }

    /// Takes the partition's events out, with what they were reduced to.
    pub(super) fn take_out(&mut self, partition: &PartitionId) -> Vec<InSlice<E>> {
        let Some(place) = self.places.remove(partition) else { return Vec::new() };
        // Whoever takes them out takes the trouble along.
        self.trouble.retain(|troubled| troubled != partition);
        let part = &mut self.parts[place];
        let events = std::mem::take(&mut part.events);
        if std::mem::take(&mut part.commits) {
            self.commits.retain(|commit| commit.partition != *partition);
        }
        self.events -= events.len();
        let mut by_slice: Vec<InSlice<E>> = Vec::new();
        for (slice, index) in events {
            let (number, slice) = &self.slices[slice as usize];
            match by_slice.last_mut() {
                Some((of, _, events)) if of == number => events.push(index),
                _ => by_slice.push((*number, Arc::clone(slice), SmallVec::from_iter([index]))),
            }
        }
        by_slice
    }

    /// The partitions that have a commit, in the order of the commits, with the number of events and
    /// the last of them.
    pub(super) fn committing(&self) -> impl Iterator<Item = (&PartitionId, usize, &Cursor)> {
        let parts = self.parts.iter().enumerate().filter(|(_, part)| part.commits);
        parts.filter_map(|(place, part)| {
            let (slice, index) = part.events.last()?;
            let last = self.slices[*slice as usize].1.entry(*index as usize)?;
            debug_assert!(self.places.get(&part.partition) == Some(&place));
            Some((&part.partition, part.events.len(), last.cursor()))
        })
    }

    /// The deliveries by slice.
    pub(super) fn settles(&self) -> Settles {
        let mut counts = vec![0; self.slices.len()];
        for (slice, _) in self.parts.iter().flat_map(|part| &part.events) {
            counts[*slice as usize] += 1;
        }
        let numbers = self.slices.iter().map(|(number, _)| *number);
        numbers.zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests;
