//! What is printed, and what is written as JSON.

use serde::Serialize;

use crate::{args::Store, measure::Measure, run::Outcome, stats::short};

/// One object of the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) store: &'static str,
    pub(crate) n: Option<u64>,
    pub(crate) p: Option<u64>,
    pub(crate) clients: Option<u64>,
    pub(crate) ours: f64,
    pub(crate) floor: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) ratio: Option<f64>,
    pub(crate) reach: Option<f64>,
    pub(crate) aim: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
}

impl Entry {
    pub(crate) fn new(store: Store, measure: &Measure, outcome: &Outcome) -> Self {
        Self {
            name: measure.name.to_owned(),
            store: store.name(),
            n: Some(measure.n),
            p: Some(measure.p),
            clients: Some(measure.clients).filter(|clients| *clients > 0),
            ours: outcome.ours.median,
            floor: Some(outcome.floor.median),
            unit: measure.unit,
            ratio: Some(outcome.ratio.median),
            reach: measure.reach,
            aim: measure.aim,
            rss_mb: outcome.rss_mb,
        }
    }
}

/// The heading of the table that [`line()`] continues.
pub(crate) const HEADING: &str = "\
| measure | n | p | ours | floor | unit | ratio | reach | aim | rss MB | cpu s | of it the server | the best floor |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// A line of the table: medians, and in parentheses from where to where the runs were.
pub(crate) fn line(measure: &Measure, outcome: &Outcome) -> String {
    let wanted = |number: Option<f64>| number.map_or("–".to_owned(), |number| number.to_string());
    let [n, p] = [measure.n, measure.p].map(|number| short(number as f64));
    let cells = [
        measure.name.to_owned(),
        n,
        p,
        outcome.ours.to_string(),
        outcome.floor.to_string(),
        measure.unit.to_owned(),
        outcome.ratio.to_string(),
        wanted(measure.reach),
        wanted(measure.aim),
        outcome.rss_mb.map_or("–".to_owned(), short),
        outcome.cpu.map(short).join(" / "),
        outcome.server_cpu.map_or("–".to_owned(), |times| times.map(short).join(" / ")),
        outcome.best.map_or("a limit".to_owned(), |work| work.to_string()),
    ];
    format!("| {} |", cells.join(" | "))
}
