//! Whether an event is always reduced to the same.

use rederive_core::{Op, PartitionId, Recorded};

use super::record;
use crate::{Given, Subject, diff::diff_ops, subject::Pass};

/// An event belongs to the same partitions and is reduced to the same ops whenever it is asked for:
/// all events are gone through twice.
///
/// This finds clocks, random numbers, the order of a `HashMap`, and reducers that remember what they
/// saw. A clock that is only read to the second or the day may be missed. Times belong into events,
/// or are taken from [`Recorded::time`](rederive_core::Recorded::time).
///
/// # Panics
/// When an event is reduced to something else the second time, with both.
#[track_caller]
pub fn deterministic<K, R: Subject<K>>(
    reducer: R,
    events: impl IntoIterator<Item: Into<Given<R::Event>>>,
) {
    let (engine, log) = (reducer.engine(), record(events));
    let mut pass = Pass::new(&*engine);
    let once: Vec<Made> = log.events.iter().map(|event| Made::of(&mut pass, event)).collect();
    let mut again = Pass::new(&*engine);
    for (event, first) in log.events.iter().zip(&once) {
        let second = Made::of(&mut again, event);
        if let Some(difference) = first.diff(&second) {
            panic!(
                "reducer {:?} is not deterministic: the event at cursor {} leads to something else \
                 when it is reduced again\n{difference}\nA reducer must depend on the event alone: \
                 not on the clock (take `event.time`), not on random numbers or the order of a \
                 HashMap, not on what it saw before. Otherwise a rebuild, or a restart after a \
                 crash, leads to another state.",
                engine.name(),
                event.cursor
            );
        }
    }
}

/// What an event was made into.
struct Made(Vec<(PartitionId, Result<Vec<Op>, String>)>);

impl Made {
    fn of<E: Send + Sync + 'static>(pass: &mut Pass<'_, E>, event: &Recorded<E>) -> Self {
        let made = pass.reduce(event).into_iter().map(|(partition, reduction)| {
            let failure = reduction.failure.map(|failure| failure.message);
            (partition, failure.map_or(Ok(reduction.ops), Err))
        });
        Self(made.collect())
    }

    fn diff(&self, again: &Self) -> Option<String> {
        let partitions = |made: &Self| made.0.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let (first, second) = (partitions(self), partitions(again));
        if first != second {
            return Some(format!("its partitions: first {first:?}, then {second:?}"));
        }
        self.0.iter().zip(&again.0).find_map(|((partition, first), (_, second))| {
            let difference = match (first, second) {
                (Ok(first), Ok(second)) => diff_ops(first, second)?,
                (Err(first), Err(second)) if first == second => return None,
                _ => format!("first {}, then {}", told(first), told(second)),
            };
            Some(format!(
                "for partition {partition:?}, the first time expected again: {difference}"
            ))
        })
    }
}

fn told(result: &Result<Vec<Op>, String>) -> String {
    match result {
        Ok(ops) => {
            format!("ops [{}]", ops.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Err(message) => format!("the failure {message:?}"),
    }
}
