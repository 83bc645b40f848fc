//! Runs measures: ours and its floors in turn, each run in a process of its own.

use std::iter::zip;

use crate::{
    Failure,
    fixture::Fixtures,
    job::{Done, Job, Work},
    measure::{Better, Floor, Measure},
    stats::Spread,
};

/// What came of a measure.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ours: Spread,
    pub(crate) floor: Spread,
    /// The median of the ratios of the pairs: what slows the machine down for a while slows both.
    pub(crate) ratio: Spread,
    pub(crate) rss_mb: Option<f64>,
    /// Seconds of processor time, ours and the floor's, those of a server included.
    pub(crate) cpu: [f64; 2],
    /// How much of them the server took, if it is the bench's.
    pub(crate) server_cpu: Option<[f64; 2]>,
    /// The floor that was the best.
    pub(crate) best: Option<Work>,
}

/// Runs a measure.
pub(crate) fn run(measure: &Measure, fixtures: &mut Fixtures) -> Result<Outcome, Failure> {
    let floors = match &measure.floor {
        Floor::Work(works) => works.as_slice(),
        Floor::Limit(_) => &[],
    };
    let mut ours = Vec::new();
    let mut by_hand: Vec<Vec<Done>> = floors.iter().map(|_| Vec::new()).collect();
    for pair in 0..measure.pairs {
        // Whoever comes second may find the machine warmer, so they take turns at that, too.
        if pair % 2 == 0 {
            ours.push(once(measure, measure.ours, fixtures)?);
        }
        for (work, done) in zip(floors, &mut by_hand) {
            done.push(once(measure, *work, fixtures)?);
        }
        if pair % 2 == 1 {
            ours.push(once(measure, measure.ours, fixtures)?);
        }
        let sums = by_hand.iter().flat_map(|done| done.last()).map(|done| &done.sum);
        if let Some(other) =
            sums.into_iter().find(|sum| ours.last().is_some_and(|o| o.sum != **sum))
        {
            return Err(
                format!("{}: different tables: {ours:?} and {other:?}", measure.name).into()
            );
        }
    }
    Ok(compare(measure, floors, &ours, &by_hand))
}

/// Runs one side once.
pub(crate) fn once(
    measure: &Measure,
    work: Work,
    fixtures: &mut Fixtures,
) -> Result<Done, Failure> {
    let copy = fixtures.copy(measure)?;
    let &Measure { n, p, clients, .. } = measure;
    let server_before = fixtures.server_time();
    let mut done = Job { work, place: copy.place(), n, p, clients }.run()?;
    let server_after = fixtures.server_time();
    done.server_cpu_s = server_before.zip(server_after).map(|(before, after)| after - before);
    if let (Some(ours), Some(servers)) = (&mut done.cpu_s, done.server_cpu_s) {
        *ours += servers;
    }
    if measure.unit == "MB" {
        done.figure = done.rss_mb.ok_or("this system does not tell how much memory was used")?;
    }
    Ok(done)
}

fn compare(measure: &Measure, floors: &[Work], ours: &[Done], by_hand: &[Vec<Done>]) -> Outcome {
    let spread = |done: &[Done]| Spread::of(done.iter().map(|done| done.figure));
    let cpu = |done: &[Done]| Spread::of(done.iter().filter_map(|done| done.cpu_s)).median;
    let server = |done: &[Done]| {
        let known = done.iter().all(|done| done.server_cpu_s.is_some());
        known.then(|| Spread::of(done.iter().filter_map(|done| done.server_cpu_s)).median)
    };
    let goodness = |done: &[Done]| match measure.better {
        Better::More => spread(done).median,
        Better::Less => -spread(done).median,
    };
    let best = zip(floors, by_hand).max_by(|(_, a), (_, b)| goodness(a).total_cmp(&goodness(b)));
    let rss = ours.iter().filter_map(|done| done.rss_mb).reduce(f64::max);
    let server_cpu = server(ours).zip(best.map_or(Some(0.0), |(_, done)| server(done)));
    let (floor, floor_cpu, ratio) = match (&measure.floor, best) {
        (_, Some((_, done))) => {
            let pairs = zip(ours, done).map(|(o, f)| measure.ratio(o.figure, f.figure));
            (spread(done), cpu(done), Spread::of(pairs))
        }
        (Floor::Limit(limit), None) => {
            let pairs = ours.iter().map(|done| measure.ratio(done.figure, *limit));
            (Spread::of([*limit]), 0.0, Spread::of(pairs))
        }
        (Floor::Work(_), None) => Default::default(),
    };
    Outcome {
        ours: spread(ours),
        floor,
        ratio,
        rss_mb: rss,
        cpu: [cpu(ours), floor_cpu],
        server_cpu: server_cpu.map(<[f64; 2]>::from),
        best: best.map(|(work, _)| *work),
    }
}
