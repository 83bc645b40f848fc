//! [`DeliveryQueue`]: which effects are delivered next, and what becomes of them.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{DeliveryFailure, DeliverySettings, EffectKey, EffectMarks, EffectRecord, Parked};
use crate::{PartitionId, Timestamp};

/// How many effects are asked for at once.
const PAGE: usize = 256;

/// Decides, without a clock or a store of its own, what is read from the outbox, what is delivered
/// when, and what is to be noted.
///
/// Within a partition it is strict: an effect begins when the one before it was delivered. A
/// partition that failed waits for its next attempt, and one whose effect is parked waits for an
/// operator; others go on meanwhile.
///
/// The outbox is gone through partition by partition, again and again while there is something new.
/// Whoever asks the store makes one request at a time, in the order given here: what is read then
/// holds nothing that was noted before.
#[derive(Debug)]
pub struct DeliveryQueue {
    settings: DeliverySettings,
    lines: HashMap<PartitionId, Line>,
    /// Those that may begin, longest waiting first.
    ready: VecDeque<PartitionId>,
    /// Those that wait for another attempt.
    delayed: BTreeSet<(Instant, PartitionId)>,
    running: usize,
    /// How many effects the lines hold.
    held: usize,
    /// What has to be written.
    marks: EffectMarks,
    /// What is being written.
    writing: Option<EffectMarks>,
    reading: Option<usize>,
    /// There may be something that the pass under way does not meet.
    dirty: bool,
    /// Where the pass under way stands.
    pass: Option<Option<PartitionId>>,
    stopped: bool,
}

/// The effects of one partition that are in memory.
#[derive(Debug)]
struct Line {
    effects: VecDeque<(EffectKey, Arc<str>)>,
    state: State,
    /// How often the first of them has failed.
    failures: u32,
    /// The last effect that was ever in this line: what the outbox lists up to here is known.
    last: EffectKey,
    /// The outbox may hold more than the line.
    more: bool,
    /// How many marks are still to be written.
    unwritten: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing to deliver, or about to begin.
    Idle,
    Running,
    Delayed(Instant),
    /// An effect is given up, which is still to be written.
    Parked,
}

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which effect.
    pub key: EffectKey,
    /// The effect as JSON.
    pub effect: Arc<str>,
    /// Counts the attempts at it, from one.
    pub attempt: u32,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Delivered,
    /// It failed and is made again.
    Delayed(Delayed),
    /// It failed and is given up.
    Parked(Parked),
}

/// A failed delivery that is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delayed {
    /// What went wrong.
    pub kind: DeliveryFailure,
    /// What was said.
    pub message: String,
    /// How often it has been tried.
    pub attempts: u32,
    /// The pause before the next attempt.
    pub delay: Duration,
}

/// What to read from the outbox: up to `limit` effects of partitions after `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The last partition of the page before.
    pub after: Option<PartitionId>,
    /// How many effects.
    pub limit: usize,
}

impl DeliveryQueue {
    /// Knows nothing of the outbox yet.
    pub fn new(settings: DeliverySettings) -> Self {
        Self {
            settings: settings.checked(),
            lines: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            running: 0,
            held: 0,
            marks: EffectMarks::default(),
            writing: None,
            reading: None,
            dirty: true,
            pass: None,
            stopped: false,
        }
    }

    /// There may be new effects in the outbox.
    pub fn wake(&mut self) {
        self.dirty = true;
    }

    /// Begins no more deliveries and reads no more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many deliveries are under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many partitions wait for another attempt.
    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// What is to be read now, if anything. Answered by [`found`](Self::found) or
    /// [`not_read`](Self::not_read).
    pub fn read(&mut self) -> Option<Read> {
        let room = self.settings.window.saturating_sub(self.held);
        let idle = self.reading.is_none() && self.writing.is_none() && !self.stopped;
        if !idle || room == 0 || (self.pass.is_none() && !self.dirty) {
            return None;
        }
        if self.pass.is_none() {
            self.dirty = false;
        }
        let after = self.pass.get_or_insert_default().clone();
        let limit = room.min(PAGE);
        self.reading = Some(limit);
        Some(Read { after, limit })
    }

    /// The outbox could not be read; it is read again when asked.
    pub fn not_read(&mut self) {
        self.reading = None;
    }

    /// What the outbox holds where it was read.
    pub fn found(&mut self, page: Vec<EffectRecord>) {
        let Some(limit) = self.reading.take() else { return };
        let full = page.len() >= limit;
        let last = page.last().map(|record| record.key.partition.clone());
        self.pass = if full { last.clone().map(Some) } else { None };
        let mut page = page.into_iter().peekable();
        while let Some(first) = page.next() {
            let partition = first.key.partition.clone();
            let mut effects = Vec::new();
            let mut parked = first.parked.is_some();
            if !parked {
                effects.push((first.key, Arc::from(first.effect)));
            }
            while let Some(next) = page.next_if(|next| next.key.partition == partition) {
                parked |= next.parked.is_some();
                if !parked {
                    effects.push((next.key, Arc::from(next.effect)));
                }
            }
            let more = full && last.as_ref() == Some(&partition) && !parked;
            self.add(partition, effects, more);
        }
    }

    fn add(&mut self, partition: PartitionId, effects: Vec<(EffectKey, Arc<str>)>, more: bool) {
        let Some(line) = self.lines.get_mut(&partition) else {
            let Some(last) = effects.last().map(|(key, _)| key.clone()) else { return };
            self.held += effects.len();
            let effects = effects.into();
            let line = Line { effects, state: State::Idle, failures: 0, last, more, unwritten: 0 };
            self.lines.insert(partition.clone(), line);
            self.ready.push_back(partition);
            return;
        };
        match line.state {
            State::Parked => {}
            // The first is enough for a line that stands still.
            State::Delayed(_) => {
                line.more |= more || effects.last().is_some_and(|(key, _)| *key > line.last);
            }
            State::Idle | State::Running => {
                let was_empty = line.effects.is_empty();
                let new = effects.into_iter().filter(|(key, _)| *key > line.last);
                let before = line.effects.len();
                line.effects.extend(new);
                self.held += line.effects.len() - before;
                if let Some((key, _)) = line.effects.back() {
                    line.last = line.last.clone().max(key.clone());
                }
                line.more = more;
                if was_empty && line.state == State::Idle && !line.effects.is_empty() {
                    self.ready.push_back(partition);
                }
            }
        }
    }

    /// The next delivery, if one may begin now. It is answered by [`finished`](Self::finished).
    pub fn begin(&mut self, now: Instant) -> Option<Job> {
        while let Some((due, _)) = self.delayed.first()
            && *due <= now
        {
            let Some((_, partition)) = self.delayed.pop_first() else { break };
            if let Some(line) = self.lines.get_mut(&partition) {
                line.state = State::Idle;
                self.ready.push_back(partition);
            }
        }
        if self.stopped || self.running >= self.settings.concurrency {
            return None;
        }
        let partition = self.ready.pop_front()?;
        let line = self.lines.get_mut(&partition)?;
        let (key, effect) = line.effects.front()?.clone();
        line.state = State::Running;
        self.running += 1;
        Some(Job { key, effect, attempt: line.failures.saturating_add(1) })
    }

    /// When the next partition may try again.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// A delivery for this partition has ended.
    pub fn finished(
        &mut self,
        partition: &PartitionId,
        result: Result<(), (DeliveryFailure, String)>,
        now: Instant,
        time: Timestamp,
    ) -> Option<Outcome> {
        let line = self.lines.get_mut(partition).filter(|line| line.state == State::Running)?;
        self.running -= 1;
        let Err((kind, message)) = result else {
            let (key, _) = line.effects.pop_front()?;
            self.held -= 1;
            self.marks.delivered.push(key);
            line.unwritten += 1;
            (line.state, line.failures) = (State::Idle, 0);
            if line.effects.is_empty() {
                self.dirty |= line.more;
            } else {
                self.ready.push_back(partition.clone());
            }
            return Some(Outcome::Delivered);
        };
        line.failures = line.failures.saturating_add(1);
        // A line that stands still keeps its first only.
        line.more |= line.effects.len() > 1;
        self.held -= line.effects.len() - 1;
        line.effects.truncate(1);
        if let Some((key, _)) = line.effects.front() {
            line.last = key.clone();
        }
        let attempts = line.failures;
        let hopeless = matches!(kind, DeliveryFailure::Refused | DeliveryFailure::Unreadable);
        if hopeless || attempts >= self.settings.attempts {
            let (key, _) = line.effects.pop_front()?;
            self.held -= 1;
            let parked = Parked::new(kind, &message, attempts, time);
            self.marks.parked.push((key, parked.clone()));
            line.unwritten += 1;
            line.state = State::Parked;
            return Some(Outcome::Parked(parked));
        }
        let delay = self.settings.backoff(attempts);
        let due = now + delay;
        line.state = State::Delayed(due);
        self.delayed.insert((due, partition.clone()));
        Some(Outcome::Delayed(Delayed { kind, message, attempts, delay }))
    }

    /// What is to be written now: all that has ended meanwhile. Answered by
    /// [`written`](Self::written) or [`not_written`](Self::not_written).
    pub fn marks(&mut self) -> Option<EffectMarks> {
        if self.reading.is_some() || self.writing.is_some() || self.marks.is_empty() {
            return None;
        }
        let marks = std::mem::take(&mut self.marks);
        self.writing = Some(marks.clone());
        Some(marks)
    }

    /// What was to be written is written.
    pub fn written(&mut self) {
        let marks = self.writing.take().unwrap_or_default();
        let parked = marks.parked.into_iter().map(|(key, _)| key);
        for EffectKey { partition, .. } in marks.delivered.into_iter().chain(parked) {
            let Some(line) = self.lines.get_mut(&partition) else { continue };
            line.unwritten -= 1;
            let ended = matches!(line.state, State::Idle | State::Parked);
            if ended && line.effects.is_empty() && line.unwritten == 0 {
                self.lines.remove(&partition);
            }
        }
    }

    /// What was to be written may not be written; it is, when asked again.
    pub fn not_written(&mut self) {
        let marks = self.writing.take().unwrap_or_default();
        self.marks.delivered.splice(0..0, marks.delivered);
        self.marks.parked.splice(0..0, marks.parked);
    }

    /// True when nothing is under way and nothing is left to write.
    pub fn is_at_rest(&self) -> bool {
        self.running == 0
            && self.reading.is_none()
            && self.writing.is_none()
            && self.marks.is_empty()
    }
}

#[cfg(test)]
mod tests;
