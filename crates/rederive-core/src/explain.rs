//! [`explain`]: what a reducer makes of events, for people.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    Cursor, Engine, Failure, FailureKind, OnFailure, Op, PartitionId, Partitions, Recorded,
    Reducer, Reduction, error::panic_message, reduce,
};

/// What would become of events. Its [`Display`](fmt::Display) is for people.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The events, in the order given, up to the one that blocks the reducer.
    pub events: Vec<ExplainedEvent>,
    /// The event whose partitions cannot be told, which blocks the reducer.
    pub blocked: Option<Failure>,
}

/// What would become of an event.
#[derive(Clone, Debug)]
pub struct ExplainedEvent {
    /// The event.
    pub cursor: Cursor,
    /// Its partitions; none when the reducer ignores it.
    pub partitions: Vec<(PartitionId, Fate)>,
}

/// What would become of an event in one of its partitions.
#[derive(Clone, Debug)]
pub enum Fate {
    /// These ops would be committed, unless the store rejects them.
    Reduced(Vec<Op>),
    /// It cannot be reduced, and this is done about it. A pause stands for attempts without an end.
    Failed(Failure, OnFailure),
    /// It would be held, as an earlier event of the partition has failed.
    Held,
}

impl Explanation {
    /// The ops of each partition, in order: what would be committed together if the store took all of
    /// it.
    pub fn ops(&self) -> Vec<(&PartitionId, Vec<&Op>)> {
        let mut places: HashMap<&PartitionId, usize> = HashMap::new();
        let mut ops: Vec<(&PartitionId, Vec<&Op>)> = Vec::new();
        for (partition, fate) in self.events.iter().flat_map(|event| &event.partitions) {
            if let Fate::Reduced(reduced) = fate {
                let place = *places.entry(partition).or_insert_with(|| {
                    ops.push((partition, Vec::new()));
                    ops.len() - 1
                });
                ops[place].1.extend(reduced);
            }
        }
        ops
    }
}

/// Tells what the reducer makes of events, for each of their partitions, without doing any of it.
///
/// The partitions are taken for new: what happened before is not known, nor what a store would say.
/// A failure is followed by what [`Reducer::on_failure`] decides, attempts without pauses. Panics are
/// caught, as always.
///
/// ```
/// use rederive_core::{
///     Change, ColumnKind, MemoryLog, Ops, Partitions, Recorded, ReduceError, Reducer, Table, explain,
/// };
///
/// static SEEN: Table = Table::new("seen", &[("word", ColumnKind::Text)], &[0]);
///
/// struct Words;
///
/// impl Reducer for Words {
///     type Event = &'static str;
///
///     fn name(&self) -> &str {
///         "words"
///     }
///
///     fn partition(&self, word: &&'static str) -> Partitions {
///         word.chars().next().map_or(Partitions::None, |first| first.to_string().into())
///     }
///
///     fn reduce(&self, word: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
///         if word.data.len() > 10 {
///             return Err(ReduceError::new("that is no word"));
///         }
///         ops.change(&SEEN, [word.data.into()], Change::InsertNew(vec![]))
///     }
/// }
///
/// let events = MemoryLog::new().append(["apple", "abracadabra", "avocado", "", "banana"]);
/// assert_eq!(
///     explain(&Words, &events).to_string(),
///     "\
/// event 1
///   partition \"a\": insert_new seen 'apple'
/// event 2
///   partition \"a\" halts: it could not be reduced: that is no word
/// event 3
///   partition \"a\": held
/// event 4
///   ignored
/// event 5
///   partition \"b\": insert_new seen 'banana'
/// "
/// );
/// ```
pub fn explain<'e, R: Reducer>(
    reducer: &R,
    events: impl IntoIterator<Item = &'e Recorded<R::Event>>,
) -> Explanation {
    tell(
        events,
        |event| reducer.partition(event),
        |partition, event| {
            let reduction = reduce(reducer, partition, [event]);
            fate(reduction, |failure, attempt| {
                let decide = || reducer.on_failure(event, failure, attempt);
                catch_unwind(AssertUnwindSafe(decide)).unwrap_or(OnFailure::Halt)
            })
        },
    )
}

/// Tells what an engine makes of events, such as a [`Folded`](crate::Folded), as [`explain`] does for
/// a reducer. The state of every partition begins anew.
pub fn explain_engine<'e, E: Send + Sync + 'static>(
    engine: &dyn Engine<Event = E>,
    events: impl IntoIterator<Item = &'e Recorded<E>>,
) -> Explanation {
    let mut partitions = HashMap::new();
    tell(
        events,
        |event| engine.partition(event),
        |partition, event| {
            let own = partitions
                .entry(partition.clone())
                .or_insert_with(|| engine.start(partition, &Cursor::Start, true));
            let reduction = own.reduce(partition, &[event]);
            own.committed();
            fate(reduction, |failure, attempt| {
                own.on_failure(event, failure, attempt).unwrap_or(OnFailure::Halt)
            })
        },
    )
}

/// Who asks for more attempts than this is taken to go on for ever.
const MOST_ATTEMPTS: u32 = 1000;

fn tell<'e, E: 'static>(
    events: impl IntoIterator<Item = &'e Recorded<E>>,
    partitions_of: impl Fn(&E) -> Partitions,
    mut reduce: impl FnMut(&PartitionId, &Recorded<E>) -> Fate,
) -> Explanation {
    let mut explanation = Explanation::default();
    let mut halted = HashSet::new();
    for event in events {
        let cursor = event.cursor.clone();
        let partitions = match catch_unwind(AssertUnwindSafe(|| partitions_of(&event.data))) {
            Ok(partitions) => partitions,
            Err(payload) => {
                let (kind, message) = (FailureKind::Panic, panic_message(&*payload));
                explanation.blocked = Some(Failure { cursor, kind, message });
                break;
            }
        };
        let mut explained = ExplainedEvent { cursor, partitions: Vec::new() };
        partitions.for_each_distinct(|partition| {
            let fate = match halted.contains(&partition) {
                true => Fate::Held,
                false => reduce(&partition, event),
            };
            if matches!(fate, Fate::Failed(_, OnFailure::Halt | OnFailure::Retry(_))) {
                halted.insert(partition.clone());
            }
            explained.partitions.push((partition, fate));
        });
        explanation.events.push(explained);
    }
    explanation
}

fn fate(reduction: Reduction, decide: impl Fn(&Failure, u32) -> OnFailure) -> Fate {
    let Some(failure) = reduction.failure else { return Fate::Reduced(reduction.ops) };
    // A pure reducer fails each time, so there is nothing to try.
    let answers = (1..=MOST_ATTEMPTS).map(|attempt| decide(&failure, attempt));
    let mut last = OnFailure::Halt;
    for answer in answers {
        last = answer;
        if !matches!(last, OnFailure::Retry(_)) {
            break;
        }
    }
    Fate::Failed(failure, last)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| event.fmt(f))?;
        match &self.blocked {
            None => Ok(()),
            Some(Failure { cursor, message, .. }) => {
                writeln!(
                    f,
                    "event {cursor}\n  blocks the reducer: its partitions cannot be told: {message}"
                )
            }
        }
    }
}

impl fmt::Display for ExplainedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "event {}", self.cursor)?;
        if self.partitions.is_empty() {
            writeln!(f, "  ignored")?;
        }
        for (partition, fate) in &self.partitions {
            write!(f, "  partition {partition:?}")?;
            match fate {
                Fate::Held => writeln!(f, ": held")?,
                Fate::Reduced(ops) => match ops.as_slice() {
                    [] => writeln!(f, ": no ops")?,
                    [op] => writeln!(f, ": {op}")?,
                    ops => {
                        writeln!(f, ":")?;
                        ops.iter().try_for_each(|op| writeln!(f, "    {op}"))?;
                    }
                },
                Fate::Failed(Failure { kind, message, .. }, then) => {
                    let then = match then {
                        OnFailure::Halt => "halts",
                        OnFailure::Skip => "skips it",
                        OnFailure::Retry(_) => "tries again and again",
                    };
                    let what = match kind {
                        FailureKind::Panic => "the reducer panicked",
                        _ => "it could not be reduced",
                    };
                    writeln!(f, " {then}: {what}: {message}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
