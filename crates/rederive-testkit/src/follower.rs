//! [`Follower`]: follows events for one reducer as a dispatcher does, without actors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rederive_core::{
    Cursor, CursorKind, Delivery, Engine, Group, Halt, Next, Op, Opening, PartitionCommit,
    PartitionId, PartitionState, Progress, Recorded, Revision, Settled, Settlement, Settles, Slice,
    Store, Table, Timestamp, Watermark,
};

use crate::Rng;

/// What a dispatcher and its partitions know of a reducer. What happens next, and how much of it, is
/// up to whoever calls; all decisions on events are the core's.
pub(crate) struct Follower<'f, E, S> {
    engine: &'f dyn Engine<Event = E>,
    name: Arc<str>,
    store: &'f S,
    log: Arc<Slice<E>>,
    /// How many events of the log were read.
    read: usize,
    watermark: Watermark,
    revision: Revision,
    stored: Cursor,
    rows: BTreeMap<PartitionId, (Cursor, Option<Arc<Halt>>)>,
    partitions: BTreeMap<PartitionId, PartitionState<E>>,
    /// Commits that wait for the next group.
    ready: Vec<(PartitionCommit, Settles)>,
    pub(crate) emitted: Emitted,
}

/// The store failed in the middle of a commit: the process is taken to be dead.
#[derive(Debug)]
pub(crate) struct Crash(pub(crate) String);

/// What a reducer emitted.
#[derive(Clone, Default)]
pub(crate) struct Emitted {
    /// The tables of its ops, by name.
    pub(crate) tables: BTreeMap<&'static str, &'static Table>,
    /// An op that only one kind of store understands.
    pub(crate) custom: Option<String>,
    /// How many pairs of an event and a partition it was reduced for.
    pub(crate) deliveries: usize,
    pub(crate) ops: Vec<Op>,
}

/// A log of these events.
pub(crate) fn log_of<E>(events: Vec<Recorded<E>>) -> Arc<Slice<E>> {
    let end = events.last().map_or(Cursor::Start, |last| last.cursor.clone());
    Arc::new(Slice::new(events, end, true))
}

impl<'f, E: Send + Sync + 'static, S: Store> Follower<'f, E, S> {
    /// Takes the reducer over.
    ///
    /// # Errors
    /// [`Crash`] when the store cannot be opened.
    pub(crate) fn open(
        engine: &'f dyn Engine<Event = E>,
        log: &Arc<Slice<E>>,
        store: &'f S,
    ) -> Result<Self, Crash> {
        let kind = log.end.kind().unwrap_or(CursorKind::Integer);
        let opening = Opening::new(engine.name(), engine.version(), kind);
        let opened = store.open(&opening).map_err(|error| Crash(error.to_string()))?;
        let rows = opened.partitions.into_iter();
        Ok(Self {
            engine,
            name: engine.name().into(),
            store,
            log: Arc::clone(log),
            read: log.events.partition_point(|event| event.cursor <= opened.watermark),
            watermark: Watermark::new(opened.watermark.clone()),
            revision: opened.revision,
            stored: opened.watermark,
            rows: rows.map(|row| (row.partition, (row.cursor, row.halt.map(Arc::new)))).collect(),
            partitions: BTreeMap::new(),
            ready: Vec::new(),
            emitted: Emitted::default(),
        })
    }

    /// Hands up to `limit` events to their partitions.
    pub(crate) fn read(&mut self, limit: usize) {
        let to = self.log.events.len().min(self.read.saturating_add(limit));
        let mut routed: BTreeMap<PartitionId, Vec<u32>> = BTreeMap::new();
        for (index, event) in self.log.events.iter().enumerate().take(to).skip(self.read) {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.engine.partition(&event.data).for_each_distinct(|partition| {
                routed.entry(partition).or_default().push(index);
            });
        }
        let Some(last) = self.log.events[self.read..to].last() else { return };
        self.read = to;
        let deliveries = routed.values().map(Vec::len).sum();
        self.emitted.deliveries += deliveries;
        let number = self.watermark.track(last.cursor.clone(), deliveries);
        for (id, events) in routed {
            let slice = Arc::clone(&self.log);
            let delivery = Delivery { slice, number, events: events.into() };
            let stored = self.rows.get(&id).cloned();
            let (cursor, halt) = stored.unwrap_or((self.stored.clone(), None));
            let new = || {
                let engine = self.engine.start(&id, &cursor, cursor == Cursor::Start);
                PartitionState::new(engine, id.clone(), cursor, halt)
            };
            self.partitions.entry(id.clone()).or_insert_with(new).deliver(delivery);
        }
    }

    /// Has partitions reduce what they have: up to as many events as `limit` says, or nothing.
    ///
    /// # Errors
    /// [`Crash`] when a state that is needed cannot be loaded.
    pub(crate) fn reduce(&mut self, mut limit: impl FnMut() -> Option<usize>) -> Result<(), Crash> {
        let ids: Vec<PartitionId> = self.partitions.keys().cloned().collect();
        for id in ids {
            let Some(limit) = limit() else { continue };
            while let Some(state) = self.partitions.get_mut(&id) {
                if let Some(row) = state.wanted() {
                    let rows = self.store.load(&[row]);
                    let rows = rows.map_err(|error| Crash(error.to_string()))?;
                    state.load(rows.into_iter().next().flatten());
                }
                let next = state.next(limit, Timestamp::default);
                // Nobody waits for the clock here: an event that is to be tried again later is tried
                // again at once.
                let backoff = state.take_backoff();
                let more = matches!(next, Next::Settled(_)) || backoff.is_some();
                if let Some(backoff) = backoff {
                    state.resume(backoff.number);
                }
                self.take(next);
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Brings these of the commits that are ready into the store, and how far all is settled.
    ///
    /// # Errors
    /// [`Crash`] when the store fails; what it did before is done.
    pub(crate) fn commit(
        &mut self,
        choose: impl FnOnce(&mut Vec<(PartitionCommit, Settles)>) -> Vec<(PartitionCommit, Settles)>,
    ) -> Result<(), Crash> {
        let chosen = choose(&mut self.ready);
        let mut settles = HashMap::new();
        for (slice, count) in chosen.iter().flat_map(|(_, settles)| settles) {
            *settles.entry(*slice).or_default() += count;
        }
        let watermark = self.watermark.with(&settles);
        if chosen.is_empty() && watermark == self.stored {
            return Ok(());
        }
        let (commits, owed): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .map(|(commit, settles)| (commit.clone(), (commit.partition, settles)))
            .unzip();
        let (reducer, revision) = (Arc::clone(&self.name), self.revision);
        let stored = self.stored.clone();
        let skips = Vec::new();
        let group = Group { reducer, revision, stored, watermark, commits, skips, tentative: None };
        let mut settlement = Settlement::new(vec![group]);
        let mut writer = self.store.writer().map_err(|error| Crash(error.to_string()))?;
        if let Progress::Retry { error, .. } = settlement.run(&mut *writer) {
            return Err(Crash(error));
        }
        for settled in settlement.into_settled() {
            self.take_note(settled, &owed);
        }
        Ok(())
    }

    /// Settles all events in one go: everything is read, then reduced, then committed.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub(crate) fn finish(&mut self) -> Result<(), Crash> {
        self.read(usize::MAX);
        while !self.is_done() {
            self.reduce(|| Some(usize::MAX))?;
            self.commit(std::mem::take)?;
        }
        Ok(())
    }

    /// Does some of what can be done.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub(crate) fn step(&mut self, rng: &mut Rng, most: usize) -> Result<(), Crash> {
        if rng.chance(0.7) {
            self.read(rng.range(1..most + 1));
        }
        self.reduce(|| rng.chance(0.6).then(|| rng.range(1..most + 1)))?;
        self.commit(|ready| {
            rng.shuffle(ready);
            let later = ready.split_off(rng.range(0..ready.len() + 1));
            std::mem::replace(ready, later)
        })
    }

    /// Whether all events are settled, and that is stored.
    pub(crate) fn is_done(&self) -> bool {
        self.read == self.log.events.len()
            && self.watermark.is_settled()
            && self.ready.is_empty()
            && self.stored >= *self.watermark.cursor()
    }

    fn take(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::Settled(settles) => self.settle(&settles),
            Next::Commit(commit, settles) => {
                self.emitted.take_note(&commit.ops);
                self.ready.push((commit, settles));
            }
        }
    }

    fn settle(&mut self, settles: &Settles) {
        for (slice, count) in settles {
            self.watermark.settle(*slice, *count);
        }
    }

    fn take_note(&mut self, settled: Settled, owed: &[(PartitionId, Settles)]) {
        assert!(!settled.fenced, "somebody else uses the store of this test");
        self.revision = settled.revision;
        self.stored = settled.stored;
        for (result, (id, settles)) in settled.results.into_iter().zip(owed) {
            let Some(state) = self.partitions.get_mut(id) else { continue };
            match result {
                Some(Err(rejection)) => {
                    let next = state.rejected(rejection, Timestamp::default);
                    self.take(next);
                }
                _ => {
                    state.committed();
                    self.settle(settles);
                }
            }
        }
    }
}

impl Emitted {
    fn take_note(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Row(row) => {
                    self.tables.insert(row.table.name, row.table);
                }
                Op::Where(rows) => {
                    self.tables.insert(rows.table.name, rows.table);
                }
                Op::Custom(custom) => self.custom = Some(format!("{custom:?}")),
            }
        }
        self.ops.extend_from_slice(ops);
    }
}
