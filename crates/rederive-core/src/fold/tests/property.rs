//! A folded partition under random deliveries, rejections and crashes.

use std::{collections::BTreeSet, sync::Arc};

use rederive_testkit::{Rng, for_each_seed};

use super::*;
use crate::{
    CursorKind, Delivery, MemoryStore, Next, Opening, PartitionCommit, PartitionState,
    PartitionWrite, ReducerWrite, Rejection, Slice, Store, Timestamp, Writer, store::Revision,
};

struct World {
    store: MemoryStore,
    fold: Folded<Lists>,
    /// Whether bad events are skipped, rather than halting the partition.
    skips: bool,
    log: Vec<Recorded<Event>>,
    /// The store rejects every state that holds one of these.
    rejected: BTreeSet<u64>,
    revision: Revision,
    state: PartitionState<Event>,
    delivered: usize,
    in_flight: Option<PartitionCommit>,
    rejections: usize,
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        let length = rng.range(1..60);
        // A removal would hide what is to be rejected or cannot be stored.
        let (closes, skips) = (rng.chance(0.5), rng.chance(0.5));
        let event = |rng: &mut Rng| match rng.range(0..300) {
            0 => Event::Fail,
            1 => Event::Panic,
            2 if !closes => Event::Spoil,
            2..60 if closes => Event::Close,
            _ => Event::Add,
        };
        let events: Vec<_> = (0..length).map(|_| event(rng)).collect();
        let rejects = |rng: &mut Rng| !closes && rng.chance(0.01);
        let rejected = (1..=length as u64).filter(|_| rejects(rng)).collect();
        let (store, fold) = (MemoryStore::new(), Folded::new(Lists { skips }));
        let (state, revision) = start(&store, &fold);
        Self {
            store,
            fold,
            skips,
            log: recorded(1, &events),
            rejected,
            revision,
            state,
            delivered: 0,
            in_flight: None,
            rejections: 0,
        }
    }

    fn deliver(&mut self, rng: &mut Rng) {
        let from = if rng.chance(0.2) { rng.range(0..self.delivered + 1) } else { self.delivered };
        let to = (from + rng.range(1..12)).min(self.log.len());
        let events = self.log[from..to].to_vec();
        let indices = (0..events.len() as u32).collect();
        let end = events.last().map(|event| event.cursor.clone()).unwrap_or_default();
        let slice = Slice::new(events, end, false);
        self.state.deliver(Delivery { slice: Arc::new(slice), number: 0, events: indices });
        self.delivered = self.delivered.max(to);
    }

    fn go_on(&mut self, limit: usize) {
        if let Next::Commit(commit, _) = self.state.next(limit, Timestamp::default) {
            assert!(self.in_flight.replace(commit).is_none(), "two commits in flight");
        }
    }

    /// The store takes the commit in flight, or rejects it.
    fn answer(&mut self) {
        let Some(commit) = self.in_flight.take() else { return };
        if self.rejects(&commit) {
            self.rejections += 1;
            let rejection = Rejection {
                committed: None,
                cursor: commit.steps[0].cursor.clone(),
                kind: FailureKind::Rejected,
                message: "no".to_owned(),
            };
            if let Next::Commit(commit, _) = self.state.rejected(rejection, Timestamp::default) {
                self.in_flight = Some(commit);
            }
            return;
        }
        self.write(&commit);
        self.state.committed();
        assert_eq!(*self.state.cursor(), commit.cursor);
    }

    fn rejects(&self, commit: &PartitionCommit) -> bool {
        let holds = stored(&commit.ops).flatten().unwrap_or_default();
        holds.iter().any(|event| self.rejected.contains(event))
    }

    fn write(&mut self, commit: &PartitionCommit) {
        let partitions = vec![PartitionWrite {
            partition: &commit.partition,
            ops: &commit.ops,
            cursor: &commit.cursor,
            guard: commit.steps.first().map(crate::Step::first),
            halt: commit.halt.as_ref(),
            reset: false,
            skips: commit.skip.as_deref().into_iter().collect(),
            record: true,
        }];
        let (revision, watermark) = (self.revision, &Cursor::Start);
        let write =
            ReducerWrite { reducer: "lists", revision, watermark, partitions, skips: vec![] };
        self.store.clone().commit(&[write]).expect("nobody else writes");
        self.revision = self.revision.next();
    }

    /// The process ends, before or after the commit in flight is done, and begins again.
    fn crash(&mut self, rng: &mut Rng) {
        if let Some(commit) = self.in_flight.take()
            && rng.chance(0.5)
            && !self.rejects(&commit)
        {
            self.write(&commit);
        }
        (self.state, self.revision) = start(&self.store, &self.fold);
        self.delivered = 0;
    }

    /// What is stored is what the log leads to, up to the first bad event or without the bad ones.
    fn check(&self) {
        let bad = |event: &Recorded<Event>| {
            let Cursor::Integer(cursor) = event.cursor else { unreachable!("a number") };
            matches!(event.data, Event::Fail | Event::Panic | Event::Spoil)
                || self.rejected.contains(&cursor)
        };
        let good: Vec<_> = match self.skips {
            true => self.log.iter().filter(|event| !bad(event)).collect(),
            false => self.log.iter().take_while(|event| !bad(event)).collect(),
        };
        let mut expected = None;
        for event in &good {
            let mut list: List = expected.take().unwrap_or_default();
            Lists::default().fold(&mut list, event, &"p".into()).expect("it is good");
            expected = (!list.closed).then_some(list);
        }
        assert_eq!(self.store.state::<List>("lists", "p"), Ok(expected));
        let halt = self.state.halt().map(|halt| halt.cursor.clone());
        let mut halting = self.log.iter().filter(|event| !self.skips && bad(event));
        assert_eq!(halt, halting.next().map(|event| event.cursor.clone()));
    }
}

fn start(store: &MemoryStore, fold: &Folded<Lists>) -> (PartitionState<Event>, Revision) {
    let opening = Opening::new("lists", 1, CursorKind::Integer);
    let opened = store.open(&opening).expect("it opens");
    let record = opened.partitions.into_iter().next();
    let (cursor, halt) = record.map_or((Cursor::Start, None), |it| (it.cursor, it.halt));
    let mut engine = fold.start(&"p".into(), &cursor, false);
    let wanted = engine.wanted().expect("it is loaded");
    engine.load(store.load(&[wanted]).expect("it can be read").remove(0));
    let halt = halt.map(Arc::new);
    (PartitionState::new(engine, "p".into(), cursor, halt), opened.revision)
}

#[test]
fn whatever_happens_the_stored_state_is_the_log_folded_but_for_bad_events() {
    let rejections = std::cell::Cell::new(0);
    for_each_seed(0..500, 100, |rng| {
        let mut world = World::new(rng);
        for _ in 0..rng.range(10..80) {
            match rng.range(0..20) {
                0..7 => world.deliver(rng),
                7..13 => world.go_on(rng.range(1..20)),
                13..19 => world.answer(),
                _ => world.crash(rng),
            }
        }
        while world.delivered < world.log.len() {
            world.deliver(rng);
        }
        // Enough for every event to stand alone.
        for _ in 0..4 * world.log.len() + 100 {
            world.go_on(10);
            world.answer();
        }
        assert!(world.in_flight.is_none());
        world.check();
        rejections.set(rejections.get() + world.rejections);
    });
    assert!(rejections.get() > 100 || std::env::var_os("REDERIVE_SEED").is_some());
}
