//! [`Folded`]: a fold as an engine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use smallvec::smallvec;

use super::{Fold, FoldEffects, FoundState, JsonState, StateForm};
use crate::{
    Cursor, Engine, EventTypes, Failure, FailureKind, OnFailure, OnUndecodable, Op, Ops,
    OwnedTable, PartitionEngine, PartitionId, Partitions, Recorded, ReduceError, Reduction, Step,
    StoredRow, Undecodable, Value,
    error::panic_message,
    reduce::{Several, Steps},
};

/// A [`Fold`] together with how its states are stored; ready to be registered.
pub struct Folded<F: Fold>(Arc<Inner<F>>);

struct Inner<F: Fold> {
    fold: F,
    /// Asked for once.
    name: Arc<str>,
    form: Box<dyn StateForm<F::State>>,
}

impl<F: Fold> Folded<F> {
    /// States are stored as JSON in a table of Rederive's own, and read by
    /// [`States::state`](super::States::state).
    pub fn new(fold: F) -> Self
    where
        F::State: Serialize + DeserializeOwned,
    {
        let form = JsonState::new(fold.name());
        Self::with(fold, form)
    }

    /// States are stored in this form.
    pub fn with(fold: F, form: impl StateForm<F::State>) -> Self {
        let name = fold.name().into();
        Self(Arc::new(Inner { fold, name, form: Box::new(form) }))
    }
}

impl<F: Fold> From<F> for Folded<F>
where
    F::State: Serialize + DeserializeOwned,
{
    fn from(fold: F) -> Self {
        Self::new(fold)
    }
}

impl<F: Fold> Engine for Folded<F> {
    type Event = F::Event;

    fn name(&self) -> &str {
        self.0.fold.name()
    }

    fn version(&self) -> u32 {
        self.0.fold.version()
    }

    fn tables(&self) -> Vec<OwnedTable> {
        self.0.form.tables()
    }

    fn keeps_states(&self) -> bool {
        true
    }

    fn event_types(&self) -> EventTypes {
        self.0.fold.event_types()
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        self.0.fold.on_undecodable(event)
    }

    fn partition(&self, event: &F::Event) -> Partitions {
        self.0.fold.partition(event)
    }

    fn is_stateful(&self) -> bool {
        self.0.form.is_loaded()
    }

    fn start(
        &self,
        partition: &PartitionId,
        cursor: &Cursor,
        fresh: bool,
    ) -> Box<dyn PartitionEngine<F::Event>> {
        let inner = Arc::clone(&self.0);
        let state = if fresh {
            Ok(Held::State(None))
        } else {
            let found = unpanicked(|| inner.form.find(partition));
            found.map(|found| match found {
                FoundState::Row(row) => Held::Wanted(row),
                FoundState::Here(state) => Held::State(state),
            })
        };
        let held = state.unwrap_or_else(|(_, message)| Held::Broken(message));
        Box::new(FoldEngine { inner, cursor: cursor.clone(), held, before: None })
    }
}

/// The state of one partition.
struct FoldEngine<F: Fold> {
    inner: Arc<Inner<F>>,
    /// Where the partition stood when it began.
    cursor: Cursor,
    held: Held<F::State>,
    /// The state before the last reduction, until it is known what became of that.
    before: Option<State<F::State>>,
}

/// `None` when there is none: the next event finds the default.
type State<S> = Option<Arc<S>>;

enum Held<S> {
    Wanted(StoredRow),
    /// It is stored, but cannot be read.
    Broken(String),
    State(State<S>),
}

/// The event that could not be folded, and why.
struct Bad {
    index: usize,
    kind: FailureKind,
    message: String,
    /// What it leads to cannot be stored.
    unstorable: bool,
}

impl<F: Fold> PartitionEngine<F::Event> for FoldEngine<F> {
    fn wanted(&self) -> Option<StoredRow> {
        match &self.held {
            Held::Wanted(row) => Some(row.clone()),
            _ => None,
        }
    }

    fn load(&mut self, row: Option<Vec<Value>>) {
        let Held::Wanted(wanted) = &self.held else { return };
        let read = row.map(|row| unpanicked(|| self.inner.form.read(row))).transpose();
        let cannot = |why: String| {
            let key: Vec<_> = wanted.key.iter().map(ToString::to_string).collect();
            Held::Broken(format!(
                "the stored state in table {}, key ({}), cannot be used: {why}; correct the row or \
                 the type of the state, then retry",
                wanted.table.name,
                key.join(", ")
            ))
        };
        self.held = match read {
            Err((_, message)) => cannot(message),
            Ok(Some((_, Some(at)))) if at > self.cursor => cannot(format!(
                "it is that after the event at cursor {at}, but the partition stands at {}",
                self.cursor
            )),
            Ok(Some((state, _))) => Held::State(Some(Arc::new(state))),
            Ok(None) => Held::State(None),
        };
    }

    fn reduce(&mut self, partition: &PartitionId, events: &[&Recorded<F::Event>]) -> Reduction {
        let before = match &self.held {
            Held::State(state) => state.clone(),
            Held::Wanted(_) => return unusable(events, "the stored state has not been loaded"),
            Held::Broken(message) => return unusable(events, message),
        };
        let (mut good, mut each, mut failure) = (events.len(), false, None);
        let (after, ops) = loop {
            if good == 0 {
                break (before.clone(), Vec::new());
            }
            match self.fold(partition, &before, &events[..good], each) {
                Ok(done) => break done,
                // Which event is the first with a state that cannot be stored?
                Err(bad) if bad.unstorable && !each => each = true,
                Err(Bad { index, kind, message, .. }) => {
                    // Folded again up to there, since the bad one may have left anything.
                    failure = Some(Failure { cursor: events[index].cursor.clone(), kind, message });
                    (good, each) = (index, false);
                }
            }
        };
        self.before = Some(before);
        self.held = Held::State(after);
        Reduction { steps: one_step(&events[..good], ops.len()), ops, failure }
    }

    fn on_failure(
        &self,
        event: &Recorded<F::Event>,
        failure: &Failure,
        attempt: u32,
    ) -> Result<OnFailure, String> {
        if failure.kind == FailureKind::State {
            // Not the event's fault, and the next ones would fail as well.
            return Ok(OnFailure::Halt);
        }
        catch_unwind(AssertUnwindSafe(|| self.inner.fold.on_failure(event, failure, attempt)))
            .map_err(|payload| panic_message(&*payload))
    }

    fn on_undecodable(&self, event: &Undecodable) -> OnUndecodable {
        let decide = || self.inner.fold.on_undecodable(event);
        catch_unwind(AssertUnwindSafe(decide)).unwrap_or_default()
    }

    fn committed(&mut self) {
        self.before = None;
    }

    fn rejected(&mut self) {
        if let Some(before) = self.before.take() {
            self.held = Held::State(before);
        }
    }
}

impl<F: Fold> FoldEngine<F> {
    /// The state after these events, and the ops: their effects, and what stores it. With `each`, the
    /// state after each event must be one that can be stored.
    fn fold(
        &self,
        partition: &PartitionId,
        before: &State<F::State>,
        events: &[&Recorded<F::Event>],
        each: bool,
    ) -> Result<(State<F::State>, Vec<Op>), Bad> {
        let Inner { fold, name, form } = &*self.inner;
        let mut state = before.clone();
        let mut ops = Ops::of_reducer(Arc::clone(name), partition.clone());
        let mut existed = before.is_some();
        let mut stored = None;
        for (index, event) in events.iter().enumerate() {
            // What a panic leaves behind is dropped.
            let removed = unpanicked(|| {
                let state = Arc::make_mut(state.get_or_insert_default());
                fold.fold(state, event, partition)?;
                if form.keeps_effects() {
                    ops.begin(&event.cursor);
                    fold.effects(state, event, &mut FoldEffects::new(&mut ops))?;
                }
                Ok(fold.is_removed(state))
            });
            let bad = |(kind, message), unstorable| Bad { index, kind, message, unstorable };
            if removed.map_err(|error| bad(error, false))? {
                state = None;
            }
            existed |= state.is_some();
            let last = index + 1 == events.len();
            // One that came and went is removed from where it is not: without a commit, the
            // watermark could come to stand between its two events.
            if (each || last) && existed {
                let op = unpanicked(|| form.store(partition, &event.cursor, state.as_ref()));
                stored = Some(op.map_err(|error| bad(error, true))?);
            }
        }
        let mut ops = ops.into_vec();
        ops.extend(stored);
        Ok((state, ops))
    }
}

/// A reduction that fails at the first event.
fn unusable<E>(events: &[&Recorded<E>], message: &str) -> Reduction {
    let failure = events.first().map(|event| Failure {
        cursor: event.cursor.clone(),
        kind: FailureKind::State,
        message: message.to_owned(),
    });
    Reduction { failure, ..Reduction::default() }
}

fn one_step<E>(events: &[&Recorded<E>], ops_end: usize) -> Steps {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Steps::new() };
    let several = (events.len() > 1)
        .then(|| Box::new(Several { first: first.cursor.clone(), events: events.len() }));
    smallvec![Step { cursor: last.cursor.clone(), several, ops_end }]
}

/// Runs the user's code; a panic in it becomes a failure.
fn unpanicked<T>(run: impl FnOnce() -> Result<T, ReduceError>) -> Result<T, (FailureKind, String)> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err((FailureKind::Reduce, error.to_string())),
        Err(payload) => Err((FailureKind::Panic, panic_message(&*payload))),
    }
}
