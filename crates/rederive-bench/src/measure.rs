//! [`Measure`]: what is measured, beside what, and how far it should come.

use crate::{
    args::{Scale, Store},
    floors::Floors,
    job::Work,
};

/// One line of the results.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// Events that the work is about.
    pub(crate) n: u64,
    /// Accounts: partitions and rows.
    pub(crate) p: u64,
    /// Callers at the same time; 0 if there are none.
    pub(crate) clients: u64,
    pub(crate) start: Start,
    pub(crate) ours: Work,
    pub(crate) floor: Floor,
    pub(crate) better: Better,
    pub(crate) unit: &'static str,
    pub(crate) reach: Option<f64>,
    pub(crate) aim: Option<f64>,
    /// How often both sides run.
    pub(crate) pairs: usize,
}

/// What both sides find when they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    /// A log of the `n` events, and no derived state.
    Log,
    /// A log of the openings of `p` accounts, and no derived state.
    Opened,
    /// All of `p` accounts derived, and `n` more events in the log.
    Derived,
    /// Nothing: they make it themselves, in memory.
    Nothing,
}

/// What ours is held against.
#[derive(Debug)]
pub(crate) enum Floor {
    /// The best of these, by the median.
    Work(Vec<Work>),
    /// A limit in the unit of the measure.
    Limit(f64),
}

/// Which figures are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

impl Measure {
    /// How ours compares, the larger the better.
    pub(crate) fn ratio(&self, ours: f64, floor: f64) -> f64 {
        match self.better {
            Better::More => ours / floor,
            Better::Less => floor / ours,
        }
    }
}

/// All measures of a store but how the cost grows.
pub(crate) fn all(store: Store, scale: Scale) -> Vec<Measure> {
    match store {
        Store::Sqlite => stored(scale, &Floors::sqlite()),
        Store::Postgres => stored(scale, &Floors::postgres()),
        Store::Memory => memory(scale),
    }
}

fn rebuild(name: &'static str, n: u64, p: u64, ours: Work, floor: Vec<Work>) -> Measure {
    Measure {
        name,
        n,
        p,
        clients: 0,
        start: Start::Log,
        ours,
        floor: Floor::Work(floor),
        better: Better::More,
        unit: "events/s",
        reach: None,
        aim: None,
        pairs: 5,
    }
}

fn stored(scale: Scale, floors: &Floors) -> Vec<Measure> {
    let (n, p, pairs) = scale.of((1_000_000, 10_000, 5), (100_000, 1000, 3), (3000, 100, 1));
    let ours = |reducers| Work::Rebuild { reducers, stay: false };
    let mut all = vec![
        Measure {
            reach: Some(0.5),
            aim: Some(0.8),
            ..rebuild("rebuild", n, p, ours(1), (floors.set_based)(1))
        },
        Measure {
            reach: Some(0.5),
            aim: Some(0.8),
            ..rebuild("rebuild-folded", n, p, Work::RebuildFolded, floors.folded.clone())
        },
        Measure {
            reach: Some(0.8),
            aim: Some(1.0),
            ..rebuild(
                "rebuild-statements",
                n / floors.fewer_statements,
                p,
                Work::RebuildByStatement,
                floors.by_statement.clone(),
            )
        },
        Measure {
            reach: Some(0.3),
            aim: Some(0.6),
            ..rebuild("rebuild-own-partition", n, n, ours(1), (floors.set_based)(1))
        },
        Measure {
            reach: Some(0.8),
            aim: Some(1.5),
            ..rebuild("four-reducers", n, p, ours(4), (floors.set_based)(4))
        },
    ];
    let (one, many) = (&floors.one_client, &floors.many_clients);
    all.extend(clients(scale, Start::Opened, Work::Clients, one, many));
    for measure in all.iter_mut().filter(|measure| measure.clients > 0) {
        let wanted = if measure.clients == 1 { (0.67, 0.9) } else { floors.wanted_of_many };
        (measure.reach, measure.aim) = (Some(wanted.0), Some(wanted.1));
    }
    all.push(Measure {
        start: Start::Derived,
        better: Better::Less,
        unit: "ms",
        reach: Some(0.5),
        aim: Some(0.8),
        ..rebuild(
            "start",
            1000,
            scale.of(1_000_000, 100_000, 2000),
            Work::Start,
            vec![floors.start],
        )
    });
    for measure in &mut all {
        measure.pairs = pairs;
    }
    all.extend(limits(scale));
    all
}

/// The most memory, against a limit.
fn limits(scale: Scale) -> [Measure; 2] {
    let (n, p) = scale.of((10_000_000, 1_000_000), (200_000, 100_000), (3000, 1000));
    let limit = |name, n, stay| Measure {
        floor: Floor::Limit(400.0),
        better: Better::Less,
        unit: "MB",
        reach: Some(1.0),
        aim: Some(2.0),
        pairs: 1,
        ..rebuild(name, n, p, Work::Rebuild { reducers: 1, stay }, Vec::new())
    };
    [limit("memory-rebuild", n, false), limit("memory-partitions", p, true)]
}

fn memory(scale: Scale) -> Vec<Measure> {
    let (n, p, pairs) = scale.of((1_000_000, 10_000, 5), (100_000, 1000, 3), (3000, 100, 1));
    let both = |reducers| {
        (Work::MemoryRebuild { reducers }, vec![Work::MemoryFloorRebuild { tables: reducers }])
    };
    let ((one, floor), (own, own_floor), (four, four_floor)) = (both(1), both(1), both(4));
    let mut all = vec![
        rebuild("rebuild", n, p, one, floor),
        rebuild("rebuild-own-partition", n, n, own, own_floor),
        rebuild("four-reducers", n, p, four, four_floor),
    ];
    let floor = [Work::MemoryFloorClients];
    all.extend(clients(scale, Start::Nothing, Work::MemoryClients, &floor, &floor));
    for measure in &mut all {
        measure.start = Start::Nothing;
        measure.pairs = pairs;
    }
    all
}

/// Append and await with 1, 32 and 256 clients; one is asked how long it waits, the others how much
/// they get done together.
fn clients(
    scale: Scale,
    start: Start,
    ours: Work,
    one: &[Work],
    many: &[Work],
) -> impl Iterator<Item = Measure> {
    let sizes = scale.of([1000, 32_000, 102_400], [200, 6400, 25_600], [20, 64, 256]);
    let names = ["await-1", "await-32", "await-256"];
    let floors = [one.to_vec(), many.to_vec(), many.to_vec()];
    let cases = names.into_iter().zip([1, 32, 256]).zip(sizes).zip(floors);
    cases.map(move |(((name, clients), n), floor)| {
        let latency = clients == 1;
        Measure {
            clients,
            start,
            better: if latency { Better::Less } else { Better::More },
            unit: if latency { "µs p50" } else { "events/s" },
            ..rebuild(name, n, 1000, ours, floor)
        }
    })
}
