//! The rules of core together, without actors: two reducers on one log and one store, random
//! events, batches, groups, faults and crashes. What is in the store at the end is what a plain fold
//! of the log says.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rederive_core::{
    Change, ColumnKind, Cursor, CursorKind, Delivery, EventLog, Group, Halt, MemoryLog,
    MemoryStore, Next, Opening, Ops, PartitionCommit, PartitionId, PartitionState, Partitions,
    Progress, Recorded, ReduceError, Reducer, Revision, Settled, Settlement, Settles, Stateless,
    Store, Table, Timestamp, Value, Watermark,
};
use rederive_testkit::{FaultyLog, FaultyStore, Rng, StoreChaos, fold, for_each_seed};

/// One row per event and partition: an event applied twice would be rejected.
static SEEN: [Table; 2] = [seen("seen_by_first"), seen("seen_by_second")];
/// The number of events of a partition, and the last one: out of order it would be another.
static COUNTS: [Table; 2] = [counts("counted_by_first"), counts("counted_by_second")];

const fn seen(name: &'static str) -> Table {
    Table::new(name, &[("partition", ColumnKind::Text), ("event", ColumnKind::BigInt)], &[0, 1])
}

const fn counts(name: &'static str) -> Table {
    const COLUMNS: &[(&str, ColumnKind)] =
        &[("partition", ColumnKind::Text), ("n", ColumnKind::BigInt), ("last", ColumnKind::BigInt)];
    Table::new(name, COLUMNS, &[0])
}

#[derive(Clone, Debug)]
struct Event {
    partitions: Vec<u64>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Counts,
    ChangesNothing,
    Fails,
    Panics,
    IsRejected,
}

#[derive(Clone, Copy)]
struct Counting(usize);

impl Reducer for Counting {
    type Event = Event;

    fn name(&self) -> &str {
        ["first", "second"][self.0]
    }

    fn partition(&self, event: &Event) -> Partitions {
        // They differ in what belongs together.
        Partitions::of(event.partitions.iter().map(|id| id % (4 - self.0 as u64)))
    }

    fn reduce(&self, event: &Recorded<Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        let Cursor::Integer(number) = event.cursor else { unreachable!("the log has numbers") };
        let partition = Value::from(ops.partition().as_str());
        let (seen, counts, number) = (&SEEN[self.0], &COUNTS[self.0], Value::from(number as i64));
        match event.data.fate {
            Fate::ChangesNothing => return Ok(()),
            Fate::Fails => return Err(ReduceError::new("it fails")),
            Fate::Panics => panic!("it panics"),
            Fate::Counts | Fate::IsRejected => {}
        }
        let is_rejected = event.data.fate == Fate::IsRejected;
        ops.change(seen, [partition.clone(), number.clone()], Change::Insert(vec![]))?;
        ops.change(counts, [partition.clone()], Change::Upsert(vec![(2, number)]))?;
        ops.change(counts, [partition], Change::Increment(1, 1.into()))?;
        if is_rejected {
            ops.change(counts, ["nobody".into()], Change::Update(vec![]))?;
        }
        Ok(())
    }
}

fn random_events(rng: &mut Rng) -> Vec<Event> {
    let event = |rng: &mut Rng| {
        let partitions = (0..*rng.pick(&[0, 1, 1, 1, 2, 3])).map(|_| rng.range(0..6) as u64);
        let partitions = partitions.collect();
        let fate = match rng.range(0..100) {
            0 => Fate::Fails,
            1 => Fate::IsRejected,
            2 if rng.chance(0.3) => Fate::Panics,
            2..20 => Fate::ChangesNothing,
            _ => Fate::Counts,
        };
        Event { partitions, fate }
    };
    (0..rng.range(1..150)).map(|_| event(rng)).collect()
}

/// What a dispatcher and its partitions know about a reducer.
struct Follower {
    reducer: Counting,
    read: Cursor,
    watermark: Watermark,
    revision: Revision,
    stored: Cursor,
    rows: BTreeMap<PartitionId, (Cursor, Option<Arc<Halt>>)>,
    partitions: BTreeMap<PartitionId, PartitionState<Event>>,
    /// Commits that wait for the next group.
    ready: Vec<(PartitionCommit, Settles)>,
}

type TestStore = FaultyStore<MemoryStore>;

impl Follower {
    fn open(reducer: usize, store: &TestStore) -> Self {
        let reducer = Counting(reducer);
        let opened = loop {
            if let Ok(opened) = store.open(&Opening::new(reducer.name(), 1, CursorKind::Integer)) {
                break opened;
            }
        };
        let rows = opened.partitions.into_iter();
        let rows = rows.map(|row| (row.partition, (row.cursor, row.halt.map(Arc::new)))).collect();
        Self {
            reducer,
            read: opened.watermark.clone(),
            watermark: Watermark::new(opened.watermark.clone()),
            revision: opened.revision,
            stored: opened.watermark,
            rows,
            partitions: BTreeMap::new(),
            ready: Vec::new(),
        }
    }

    fn read_on(&mut self, log: &FaultyLog<MemoryLog<Event>>, limit: usize) {
        let Ok(slice) = log.fetch(&self.read, limit) else { return };
        if slice.events.is_empty() {
            return;
        }
        self.read = slice.end.clone();
        let slice = Arc::new(slice);
        let mut routed: BTreeMap<PartitionId, Vec<u32>> = BTreeMap::new();
        for (index, event) in slice.events.iter().enumerate() {
            self.reducer.partition(&event.data).for_each_distinct(|partition| {
                routed.entry(partition).or_default().push(index as u32);
            });
        }
        let unsettled = routed.values().map(Vec::len).sum();
        let number = self.watermark.track(slice.end.clone(), unsettled);
        for (id, events) in routed {
            let delivery = Delivery { slice: Arc::clone(&slice), number, events: events.into() };
            let stored = self.rows.get(&id).cloned();
            let (cursor, halt) = stored.unwrap_or((self.stored.clone(), None));
            let engine = Box::new(Stateless::new(Arc::new(self.reducer)));
            let new = || PartitionState::new(engine, id.clone(), cursor, halt);
            self.partitions.entry(id.clone()).or_insert_with(new).deliver(delivery);
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Wait => {}
            Next::Settled(settles) => self.settle(settles),
            Next::Commit(commit, settles) => self.ready.push((commit, settles)),
        }
    }

    fn settle(&mut self, settles: Settles) {
        for (slice, count) in settles {
            self.watermark.settle(slice, count);
        }
    }

    fn reduce_some(&mut self, rng: &mut Rng) {
        let ids: Vec<_> = self.partitions.keys().filter(|_| rng.chance(0.6)).cloned().collect();
        for id in ids {
            let state = self.partitions.get_mut(&id).expect("it was just listed");
            let next = state.next(rng.range(1..10), Timestamp::default);
            self.follow(next);
        }
    }

    /// Some of the commits that are ready, and how far they bring the watermark.
    fn group(&mut self, rng: &mut Rng) -> (Group, Vec<(PartitionId, Settles)>) {
        rng.shuffle(&mut self.ready);
        let later = self.ready.split_off(rng.range(0..self.ready.len() + 1));
        let now = std::mem::replace(&mut self.ready, later);
        let mut settles = HashMap::new();
        for (slice, count) in now.iter().flat_map(|(_, settles)| settles) {
            *settles.entry(*slice).or_default() += count;
        }
        let (commits, settles_of): (Vec<_>, Vec<_>) = now
            .into_iter()
            .map(|(commit, settles)| (commit.clone(), (commit.partition, settles)))
            .unzip();
        let group = Group {
            reducer: self.reducer.name().into(),
            revision: self.revision,
            stored: self.stored.clone(),
            watermark: self.watermark.with(&settles),
            commits,
            skips: vec![],
            tentative: None,
        };
        (group, settles_of)
    }

    fn take_note(&mut self, settled: Settled, settles: Vec<(PartitionId, Settles)>) {
        assert!(!settled.fenced, "nobody else is there");
        self.revision = settled.revision;
        self.stored = settled.stored;
        for (result, (id, settles)) in settled.results.into_iter().zip(settles) {
            let state = self.partitions.get_mut(&id).expect("its commit was in the group");
            match result.expect("it was not fenced") {
                Ok(()) => {
                    state.committed();
                    self.settle(settles);
                }
                Err(rejection) => {
                    let next = state.rejected(rejection, Timestamp::default);
                    self.follow(next);
                }
            }
        }
    }
}

/// One settlement of what is ready; false when the process died in the middle.
fn settle(followers: &mut [Follower], store: &TestStore, dies: f64, rng: &mut Rng) -> bool {
    let (groups, settles): (Vec<_>, Vec<_>) =
        followers.iter_mut().map(|follower| follower.group(rng)).unzip();
    let mut settlement = Settlement::new(groups);
    let mut writer = None;
    loop {
        let Ok(mut current) = writer.take().map_or_else(|| store.writer(), Ok) else { continue };
        match settlement.run(&mut *current) {
            Progress::Finished => break,
            Progress::Retry { .. } if rng.chance(dies) => return false,
            Progress::Retry { broken, .. } => writer = (!broken).then_some(current),
        }
    }
    for ((settled, settles), follower) in
        settlement.into_settled().into_iter().zip(settles).zip(followers)
    {
        follower.take_note(settled, settles);
    }
    true
}

#[test]
fn whatever_fails_on_the_way_the_store_ends_as_a_plain_fold_of_the_log() {
    for_each_seed(0..60, 30, |rng| {
        let log = FaultyLog::new(MemoryLog::new());
        let events = log.inner().append(random_events(rng));
        let store = FaultyStore::new(MemoryStore::new());
        log.faults().chaos(0.2, rng.fork());
        let panics = StoreChaos { panic_before: 0.01, panic_after: 0.01, ..StoreChaos::all(0.1) };
        store.faults().chaos(panics, rng.fork());

        let open = |store: &TestStore| [0, 1].map(|reducer| Follower::open(reducer, store));
        let mut followers = open(&store);
        let head = log.inner().head().expect("memory does not fail");
        for step in 0.. {
            assert!(step < 5_000, "it does not come to an end");
            for follower in &mut followers {
                if rng.chance(0.5) {
                    follower.read_on(&log, rng.range(1..20));
                }
                follower.reduce_some(rng);
            }
            let dies = if step < 500 { 0.1 } else { 0.0 };
            let died = !settle(&mut followers, &store, dies, rng) || rng.chance(dies / 10.0);
            if died {
                followers = open(&store);
            } else if followers.iter().all(|follower| follower.stored == head) {
                break;
            }
        }

        for (reducer, follower) in followers.iter().enumerate() {
            let fold = fold(&follower.reducer, &events);
            for table in [&SEEN[reducer], &COUNTS[reducer]] {
                assert_eq!(store.inner().rows(table), fold.rows(table), "{}", table.name);
            }
            let name = follower.reducer.name();
            let halted = store.inner().halted(name, None, 100).expect("memory does not fail");
            for row in &halted {
                let halt = row.halt.as_ref().expect("it is listed as halted");
                let last = fold.applied().get(&row.partition).and_then(|applied| applied.last());
                assert!(row.cursor >= *last.unwrap_or(&Cursor::Start), "applied, yet ahead of it");
                assert!(row.cursor < halt.cursor, "the event that failed is passed");
            }
            let halted: BTreeMap<_, _> = halted
                .into_iter()
                .filter_map(|row| Some((row.partition, row.halt.map(|h| (h.cursor, h.kind))?)))
                .collect();
            assert_eq!(halted, *fold.halted());
        }
    });
}
