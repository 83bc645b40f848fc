//! How the cost of an event grows with the number of events and with the number of partitions.

use crate::{
    Failure,
    args::{Scale, Store},
    fixture::Fixtures,
    job::Work,
    measure::{Better, Floor, Measure, Start},
    report::Entry,
    run::once,
    stats::{Spread, short},
};

/// What the measure is called.
pub(crate) const NAME: &str = "growth";

/// By how much the cost may differ over the range.
const FLAT: f64 = 1.5;

/// Microseconds per event over a range of one number, the other held.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// The number that grows.
    pub(crate) variable: &'static str,
    /// What is held: N or P.
    pub(crate) fixed: u64,
    pub(crate) points: Vec<(u64, Spread)>,
}

/// Rebuilds over both ranges.
pub(crate) fn measure(scale: Scale, fixtures: &mut Fixtures) -> Result<[Series; 2], Failure> {
    let (most_n, fixed_n, most_p, rounds) =
        scale.of((7, 1_000_000, 6, 3), (6, 100_000, 5, 1), (4, 1000, 2, 1));
    let fixed_p = 1000;
    let mut n = Series { name: "growth-n", variable: "N", fixed: fixed_p, points: Vec::new() };
    for exponent in 4..=most_n {
        let events = 10_u64.pow(exponent);
        // The largest is long enough to be steady.
        let rounds = if exponent == 7 { 1 } else { rounds };
        n.points.push((events, cost(events, fixed_p, rounds, fixtures)?));
    }
    let mut p = Series { name: "growth-p", variable: "P", fixed: fixed_n, points: Vec::new() };
    for exponent in 1..=most_p {
        let partitions = 10_u64.pow(exponent);
        p.points.push((partitions, cost(fixed_n, partitions, rounds, fixtures)?));
    }
    Ok([n, p])
}

fn cost(n: u64, p: u64, rounds: usize, fixtures: &mut Fixtures) -> Result<Spread, Failure> {
    let work = Work::Rebuild { reducers: 1, stay: false };
    let measure = Measure {
        name: NAME,
        n,
        p,
        clients: 0,
        start: Start::Log,
        ours: work,
        floor: Floor::Work(Vec::new()),
        better: Better::More,
        unit: "events/s",
        reach: None,
        aim: None,
        pairs: rounds,
    };
    let mut costs = Vec::new();
    for _ in 0..rounds {
        costs.push(1e6 / once(&measure, work, fixtures)?.figure);
    }
    fixtures.clear()?;
    Ok(Spread::of(costs))
}

impl Series {
    /// The largest cost over the smallest.
    pub(crate) fn growth(&self) -> f64 {
        let all = Spread::of(self.points.iter().map(|(_, cost)| cost.median));
        all.most / all.least
    }

    pub(crate) fn entry(&self, store: Store) -> Entry {
        let of_n = self.variable == "N";
        Entry {
            name: self.name.to_owned(),
            store: store.name(),
            n: Some(self.fixed).filter(|_| !of_n),
            p: Some(self.fixed).filter(|_| of_n),
            clients: None,
            ours: self.growth(),
            floor: Some(FLAT),
            unit: "largest cost over smallest",
            ratio: Some(FLAT / self.growth()),
            reach: Some(1.0),
            aim: None,
            rss_mb: None,
        }
    }
}

/// The costs as tables.
pub(crate) fn table(series: &[Series]) -> String {
    let mut lines = Vec::new();
    for one in series {
        let other = if one.variable == "N" { "P" } else { "N" };
        lines.push(format!("| {} (at {other} = {}) | µs per event |", one.variable, one.fixed));
        lines.push("|---|---|".to_owned());
        for (number, cost) in &one.points {
            lines.push(format!("| {} | {cost} |", short(*number as f64)));
        }
        lines.push(format!("\nThe largest is {}× the smallest.\n", short(one.growth())));
    }
    lines.join("\n")
}
