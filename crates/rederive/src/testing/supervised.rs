//! [`Supervised`]: reducers under a real supervisor, in a test.

use std::{collections::BTreeMap, future::Future, sync::Arc, thread, time::Duration};

use rederive_actix::{Await, AwaitError, Config, Outcome, ReducerStatus, View};
use rederive_core::{
    Engine, Fold, Folded, Halt, MemoryLog, MemoryStore, Observer, PartitionId, Recorded, Reducer,
    Store, Table, Value,
};
use rederive_testkit::{Probe, block_on, diff::diff_rows};

use crate::{Handle, Rederive, StartError};

/// Reducers that a supervisor runs over a log and a store in memory.
///
/// Everything is as in production but for where events and rows live. Calls block until they are
/// done, which is fine in a test: the actors live on a thread of their own, so this works in a plain
/// `#[test]` as well as in an `#[actix_rt::test]` or `#[tokio::test]`. The supervisor is stopped when
/// this is dropped, also when an assertion has failed.
///
/// ```
/// # use rederive::{Change, ColumnKind, Table, prelude::*};
/// use rederive::testing::{Supervised, rows};
///
/// # static SEEN: Table =
/// #     Table::new("seen", &[("word", ColumnKind::Text), ("n", ColumnKind::BigInt)], &[0]);
/// # struct Words;
/// # impl Reducer for Words {
/// #     type Event = &'static str;
/// #     fn name(&self) -> &str { "words" }
/// #     fn partition(&self, word: &&'static str) -> Partitions { (*word).into() }
/// #     fn reduce(&self, word: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
/// #         if word.data.is_empty() { return Err(ReduceError::new("no word")); }
/// #         ops.change(&SEEN, [word.data.into()], Change::Upsert(vec![]))?;
/// #         ops.change(&SEEN, [word.data.into()], Change::Increment(1, 1.into()))
/// #     }
/// # }
/// let words = Supervised::reducer(Words).start();
/// words.append(["a", "b", "a"]);
/// words.assert_rows(&SEEN, rows![["a", 2], ["b", 1]]);
/// words.append([""]);
/// words.assert_halted("words", "", "no word");
/// ```
pub struct Supervised<E> {
    log: MemoryLog<E>,
    store: MemoryStore,
    probe: Probe,
    reducers: Reducers,
    handle: Handle,
}

/// What is to be [`Supervised`].
#[must_use = "nothing runs before `start`"]
pub struct Supervision<E> {
    log: MemoryLog<E>,
    store: MemoryStore,
    probe: Probe,
    reducers: Reducers,
    builder: Rederive<E>,
}

/// The names of the reducers, and where their progress lives.
type Reducers = Vec<(String, Arc<dyn Store>)>;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

impl<E: Clone + Send + Sync + 'static> Supervised<E> {
    /// Begins with a reducer.
    pub fn reducer(reducer: impl Reducer<Event = E>) -> Supervision<E> {
        Supervision::new().and(reducer)
    }

    /// Begins with a fold, whose states are stored as JSON unless it is [`Folded`] otherwise.
    pub fn fold<F: Fold<Event = E>>(fold: impl Into<Folded<F>>) -> Supervision<E> {
        Supervision::new().and_fold(fold)
    }

    /// Appends events to the log, and does not wait for anything: what asserts, waits.
    pub fn append(&self, events: impl IntoIterator<Item = E>) -> Vec<Recorded<E>> {
        self.log.append(events)
    }

    /// Waits until every reducer has settled all that is in the log now: committed, ignored, or held
    /// by a halted partition.
    ///
    /// # Panics
    /// When that takes longer than half a minute, or a reducer is blocked, with its status.
    #[track_caller]
    pub fn settle(&self) {
        for (reducer, _) in &self.reducers {
            let request = Await::caught_up(reducer).within(PATIENCE);
            match block_on(self.handle.wait(request)) {
                Ok(_) => {}
                Err(AwaitError::Incomplete(awaited))
                    if awaited.replies.iter().all(|reply| {
                        reply.outcome.is_success() || matches!(reply.outcome, Outcome::Halted(_))
                    }) => {}
                Err(error) => panic!("{error}; status: {:#?}", self.status()),
            }
        }
    }

    /// The rows of the table, once all is [settled](Self::settle).
    #[track_caller]
    pub fn rows(&self, table: &'static Table) -> Vec<Vec<Value>> {
        self.settle();
        self.store.rows(table)
    }

    /// Once all is [settled](Self::settle), the table holds exactly these rows, in any order.
    ///
    /// # Panics
    /// When it does not, with the differences and the halted partitions.
    #[track_caller]
    pub fn assert_rows(&self, table: &'static Table, expected: Vec<Vec<Value>>) {
        if let Some(difference) = diff_rows(table, &expected, &self.rows(table)) {
            panic!("{difference}\nhalted partitions: {}", self.halts_text());
        }
    }

    /// Once all is [settled](Self::settle), the partition is halted, and the reason contains this
    /// text.
    ///
    /// # Panics
    /// When it is not, with the partitions that are.
    #[track_caller]
    pub fn assert_halted(&self, reducer: &str, partition: impl Into<PartitionId>, reason: &str) {
        let partition = partition.into();
        match self.halted(reducer).get(&partition) {
            Some(halt) if halt.to_string().contains(reason) => {}
            Some(halt) => {
                panic!("partition {partition:?} is halted, but not with {reason:?}: {halt}")
            }
            None => panic!(
                "partition {partition:?} of {reducer:?} is expected to be halted; halted are: {}",
                self.halts_text()
            ),
        }
    }

    /// Once all is [settled](Self::settle), no partition of any reducer is halted.
    ///
    /// # Panics
    /// When one is, with all that are.
    #[track_caller]
    pub fn assert_nothing_halted(&self) {
        for (reducer, _) in &self.reducers {
            assert!(self.halted(reducer).is_empty(), "halted are: {}", self.halts_text());
        }
    }

    /// The halted partitions of a reducer, once all is [settled](Self::settle).
    ///
    /// # Panics
    /// When there is no such reducer, and as [`settle`](Self::settle).
    #[track_caller]
    pub fn halted(&self, reducer: &str) -> BTreeMap<PartitionId, Halt> {
        self.settle();
        let Some((_, store)) = self.reducers.iter().find(|(name, _)| name == reducer) else {
            panic!("no reducer {reducer:?} is supervised here");
        };
        let halted = match store.halted(reducer, None, usize::MAX) {
            Ok(halted) => halted,
            Err(error) => panic!("{error}"),
        };
        halted.into_iter().filter_map(|row| Some((row.partition, row.halt?))).collect()
    }

    /// Stops the supervisor and starts another one with these reducers, over the same log and store:
    /// the same process after a restart, or the next one with corrected code.
    #[track_caller]
    pub fn restart(self, with: impl FnOnce(Supervision<E>) -> Supervision<E>) -> Self {
        block_on(self.handle.stop());
        with(Supervision::over(self.log.clone(), self.store.clone(), self.probe.clone())).start()
    }

    /// How the reducers are doing.
    pub fn status(&self) -> Vec<ReducerStatus> {
        block_on(self.handle.status())
    }

    /// Runs a future of the [handle](Self::handle) to its end, while this thread sleeps.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(future)
    }

    /// The handle, for what this has no words for.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The log.
    pub fn log(&self) -> &MemoryLog<E> {
        &self.log
    }

    /// The store.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// What observers were told.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    fn halts_text(&self) -> String {
        let mut halts = Vec::new();
        for (reducer, _) in &self.reducers {
            for (partition, halt) in self.halted(reducer) {
                halts.push(format!("{reducer}, partition {partition:?}: {halt}"));
            }
        }
        if halts.is_empty() { "none".to_owned() } else { halts.join("; ") }
    }
}

impl<E> Drop for Supervised<E> {
    fn drop(&mut self) {
        block_on(self.handle.stop());
    }
}

impl<E: Clone + Send + Sync + 'static> Supervision<E> {
    fn new() -> Self {
        Self::over(MemoryLog::new(), MemoryStore::new(), Probe::new())
    }

    fn over(log: MemoryLog<E>, store: MemoryStore, probe: Probe) -> Self {
        let config = Config {
            // So that a test of a fault does not wait.
            min_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(10),
            ..Config::default()
        };
        let builder = Rederive::new(log.clone()).observe(probe.clone()).config(config);
        Self { log, store, probe, reducers: Vec::new(), builder }
    }

    /// Adds a reducer.
    pub fn and(mut self, reducer: impl Reducer<Event = E>) -> Self {
        self.reducers.push((reducer.name().to_owned(), Arc::new(self.store.clone())));
        self.builder = self.builder.register(reducer, self.store.clone());
        self
    }

    /// Adds a fold.
    pub fn and_fold<F: Fold<Event = E>>(mut self, fold: impl Into<Folded<F>>) -> Self {
        let fold = fold.into();
        let name = Engine::name(&fold).to_owned();
        self.reducers.push((name, Arc::new(self.store.clone())));
        self.builder = self.builder.register_fold(fold, self.store.clone());
        self
    }

    /// Adds a fold whose states live in a view.
    pub fn and_view<F: Fold<Event = E>>(mut self, fold: F, view: &View<F::State>) -> Self {
        self.reducers.push((fold.name().to_owned(), Arc::new(view.clone())));
        self.builder = self.builder.register_view(fold, view);
        self
    }

    /// Adds one who is told what happens.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.builder = self.builder.observe(observer);
        self
    }

    /// Takes these settings. Without them, they are the defaults with short pauses after faults.
    pub fn config(mut self, config: Config) -> Self {
        self.builder = self.builder.config(config);
        self
    }

    /// Starts the supervisor.
    ///
    /// # Panics
    /// When a reducer is refused.
    #[track_caller]
    pub fn start(self) -> Supervised<E> {
        match self.try_start() {
            Ok(supervised) => supervised,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts the supervisor.
    ///
    /// # Errors
    /// [`StartError`] when a reducer is refused.
    pub fn try_start(self) -> Result<Supervised<E>, StartError> {
        let Self { log, store, probe, reducers, builder } = self;
        // On a thread that is in no actix system, the actors get a system of their own: one that
        // lives on while this thread blocks.
        let starting = move || block_on(builder.start());
        let started = thread::scope(|scope| scope.spawn(starting).join());
        let handle = started.unwrap_or_else(|payload| std::panic::resume_unwind(payload))?;
        Ok(Supervised { log, store, probe, reducers, handle })
    }
}
