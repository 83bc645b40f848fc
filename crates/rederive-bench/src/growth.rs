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
    pub(crate) points: Vec<Point>,
}

/// What an event costs at one place of a series.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) number: u64,
    pub(crate) ours: Spread,
    /// By hand: what the database itself takes more, neither can save.
    pub(crate) floor: Spread,
}

/// Rebuilds over both ranges.
pub(crate) fn measure(
    scale: Scale,
    floor: Work,
    fixtures: &mut Fixtures,
) -> Result<[Series; 2], Failure> {
    let (most_n, fixed_n, most_p, rounds) =
        scale.of((7, 1_000_000, 6, 3), (6, 100_000, 5, 1), (4, 1000, 2, 1));
    let fixed_p = 1000;
    let mut n = Series { name: "growth-n", variable: "N", fixed: fixed_p, points: Vec::new() };
    for exponent in 4..=most_n {
        let events = 10_u64.pow(exponent);
        // The largest is long enough to be steady.
        let rounds = if exponent == 7 { 1 } else { rounds };
        n.points.push(cost(events, (events, fixed_p), rounds, floor, fixtures)?);
    }
    let mut p = Series { name: "growth-p", variable: "P", fixed: fixed_n, points: Vec::new() };
    for exponent in 1..=most_p {
        let partitions = 10_u64.pow(exponent);
        p.points.push(cost(partitions, (fixed_n, partitions), rounds, floor, fixtures)?);
    }
    Ok([n, p])
}

fn cost(
    number: u64,
    (n, p): (u64, u64),
    rounds: usize,
    by_hand: Work,
    fixtures: &mut Fixtures,
) -> Result<Point, Failure> {
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
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(1e6 / once(&measure, work, fixtures)?.figure);
        floor.push(1e6 / once(&measure, by_hand, fixtures)?.figure);
    }
    fixtures.clear()?;
    Ok(Point { number, ours: Spread::of(ours), floor: Spread::of(floor) })
}

impl Series {
    /// The largest cost over the smallest.
    pub(crate) fn growth(&self) -> f64 {
        growth(self.points.iter().map(|point| point.ours.median))
    }

    /// The same by hand.
    fn floor_growth(&self) -> f64 {
        growth(self.points.iter().map(|point| point.floor.median))
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

fn growth(costs: impl Iterator<Item = f64>) -> f64 {
    let all = Spread::of(costs);
    all.most / all.least
}

/// The costs as tables.
pub(crate) fn table(series: &[Series]) -> String {
    let mut lines = Vec::new();
    for one in series {
        let other = if one.variable == "N" { "P" } else { "N" };
        let (variable, fixed) = (one.variable, one.fixed);
        lines.push(format!("| {variable} (at {other} = {fixed}) | µs per event | floor | ratio |"));
        lines.push("|---|---|---|---|".to_owned());
        for Point { number, ours, floor } in &one.points {
            let (number, ratio) = (short(*number as f64), floor.median / ours.median);
            lines.push(format!("| {number} | {ours} | {floor} | {ratio:.2} |"));
        }
        let (growth, floor) = (short(one.growth()), short(one.floor_growth()));
        lines.push(format!("\nThe largest is {growth}× the smallest; by hand, {floor}×.\n"));
    }
    lines.join("\n")
}
