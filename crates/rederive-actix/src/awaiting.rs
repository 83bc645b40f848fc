//! [`Await`]: waiting until events have taken effect.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Poll,
    time::Duration,
};

use actix::{Message, Recipient};
use rederive_core::{Cursor, Recorded};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    message::{Until, WaitFor},
    waiter::{Outcome, Promise, Waiter},
};

/// Waits until events have taken effect in derived state: a reader of the store that asks after a
/// successful answer sees them.
///
/// Sent to the supervisor, before or after the events exist. The answer is [`Awaited`] when every
/// event is done or ignored, and [`AwaitError`] at once when one of them cannot be. Dropping the
/// request stops the waiting, never the work.
///
/// ```
/// # use rederive_actix::Await;
/// # use rederive_core::{Cursor, Recorded, Timestamp};
/// # use std::time::Duration;
/// # let recorded = vec![Recorded { cursor: Cursor::from(1), time: Timestamp::default(), data: () }];
/// let visible = Await::events("accounts", &recorded).within(Duration::from_secs(5));
/// let in_both = Await::cursors("accounts", [Cursor::from(7)]).and("audit");
/// let everything_so_far = Await::caught_up("accounts");
/// # let _ = (visible, in_both, everything_so_far);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Await {
    reducers: Vec<String>,
    until: Vec<Until>,
    within: Option<Duration>,
}

impl Await {
    /// Waits for recorded events: one reply for each.
    pub fn events<'e, E: 'e>(
        reducer: impl Into<String>,
        events: impl IntoIterator<Item = &'e Recorded<E>>,
    ) -> Self {
        Self::cursors(reducer, events.into_iter().map(|event| event.cursor.clone()))
    }

    /// Waits for the events at these cursors, of which the log need not have heard yet.
    pub fn cursors(reducer: impl Into<String>, cursors: impl IntoIterator<Item = Cursor>) -> Self {
        let until = cursors.into_iter().map(Until::Event).collect();
        Self { reducers: vec![reducer.into()], until, within: None }
    }

    /// Waits for every event that is in the log at the moment when the request arrives.
    ///
    /// The outcome is [`Outcome::Halted`] when any partition of the reducer is halted by then: the
    /// derived state lacks its events.
    pub fn caught_up(reducer: impl Into<String>) -> Self {
        Self { reducers: vec![reducer.into()], until: vec![Until::Head], within: None }
    }

    /// Waits for the same in this reducer as well.
    #[must_use]
    pub fn and(mut self, reducer: impl Into<String>) -> Self {
        self.reducers.push(reducer.into());
        self
    }

    /// Waits no longer than this; without it, as long as
    /// [`Config::await_timeout`](crate::Config::await_timeout) says.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// How long it waits, if it says so.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.within
    }

    /// Asks all dispatchers.
    pub(crate) fn ask(&self, directory: &Directory) -> Result<Vec<Question>, AwaitError> {
        if let Some(error) = self.reducers.iter().find_map(|name| directory.unknown(name)) {
            return Err(error);
        }
        let pairs =
            self.reducers.iter().flat_map(|name| self.until.iter().map(move |until| (name, until)));
        let asked = pairs.map(|(reducer, until)| {
            let (answer, promise) = directory.ask(reducer, until);
            let (reducer, until) = (reducer.clone(), until.clone());
            Question { reducer, until, answer, promise, outcome: None }
        });
        Ok(asked.collect())
    }
}

impl Message for Await {
    type Result = Result<Awaited, AwaitError>;
}

/// What became of the events that were waited for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Awaited {
    /// One reply per reducer and event, in the order in which they were asked for.
    pub replies: Vec<Reply>,
}

impl Awaited {
    /// The replies of each reducer that was asked, by its name: of each in the order of the events.
    ///
    /// ```
    /// # use rederive_actix::{Awaited, Outcome};
    /// # fn example(awaited: &Awaited) {
    /// for (reducer, replies) in awaited.by_reducer() {
    ///     let done = replies.iter().filter(|reply| reply.outcome == Outcome::Done).count();
    ///     println!("{reducer}: {done} of {} done", replies.len());
    /// }
    /// # }
    /// # example(&Awaited::default());
    /// ```
    pub fn by_reducer(&self) -> BTreeMap<&str, Vec<&Reply>> {
        let mut by_reducer: BTreeMap<&str, Vec<&Reply>> = BTreeMap::new();
        for reply in &self.replies {
            by_reducer.entry(&reply.reducer).or_default().push(reply);
        }
        by_reducer
    }

    /// What became of this event for this reducer; `None` when that was not asked for.
    pub fn outcome(&self, reducer: &str, cursor: &Cursor) -> Option<&Outcome> {
        self.find(reducer, Some(cursor))
    }

    /// Whether this reducer caught up, in answer to [`Await::caught_up`]; `None` when that was not
    /// asked for.
    pub fn caught_up(&self, reducer: &str) -> Option<&Outcome> {
        self.find(reducer, None)
    }

    fn find(&self, reducer: &str, cursor: Option<&Cursor>) -> Option<&Outcome> {
        let wanted = |reply: &&Reply| reply.reducer == reducer && reply.cursor.as_ref() == cursor;
        self.replies.iter().find(wanted).map(|reply| &reply.outcome)
    }
}

/// What became of one event for one reducer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The reducer.
    pub reducer: String,
    /// The event; `None` for [`Await::caught_up`].
    pub cursor: Option<Cursor>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Not every event that was waited for has taken effect.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AwaitError {
    /// No reducer of that name is registered. Nothing was waited for; correct the name.
    #[error("no reducer {name:?} is registered; there are: {}", known.join(", "))]
    UnknownReducer {
        /// The name.
        name: String,
        /// The names that are registered.
        known: Vec<String>,
    },
    /// The supervisor has stopped. Nothing is known of the events.
    #[error("the supervisor has stopped")]
    Stopped,
    /// At least one event is neither done nor ignored. The replies tell which, and why; the events
    /// are in the log all the same and may take effect later.
    #[error("{0}")]
    Incomplete(Awaited),
}

impl AwaitError {
    /// The replies, as far as there are any: an await that failed may have been done in part.
    pub fn awaited(&self) -> Option<&Awaited> {
        match self {
            AwaitError::UnknownReducer { .. } | AwaitError::Stopped => None,
            AwaitError::Incomplete(awaited) => Some(awaited),
        }
    }

    /// True when only time was lacking: asking again may succeed.
    pub fn is_timeout(&self) -> bool {
        match self {
            AwaitError::UnknownReducer { .. } | AwaitError::Stopped => false,
            AwaitError::Incomplete(awaited) => awaited.replies.iter().all(|reply| {
                reply.outcome.is_success()
                    || matches!(reply.outcome, Outcome::TimedOut | Outcome::Pending)
            }),
        }
    }
}

impl fmt::Display for Awaited {
    /// Names what is not done, each with its cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut missing = self.replies.iter().filter(|reply| !reply.outcome.is_success());
        let Some(first) = missing.next() else { return f.write_str("all events are done") };
        write!(f, "{first}")?;
        missing.try_for_each(|reply| write!(f, "; {reply}"))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reducer {:?}, ", self.reducer)?;
        match &self.cursor {
            Some(cursor) => write!(f, "event at cursor {cursor}: ")?,
            None => f.write_str("caught up: ")?,
        }
        match &self.outcome {
            Outcome::Done => f.write_str("done"),
            Outcome::Ignored => f.write_str("ignored"),
            Outcome::Halted(halt) => write!(f, "its partition is halted: {halt}"),
            Outcome::Skipped(skip) => write!(f, "skipped: {skip}"),
            Outcome::Paused => f.write_str("the reducer is paused"),
            Outcome::Blocked(reason) => write!(f, "the reducer is blocked: {reason}"),
            Outcome::Missing => f.write_str("the log has no such event"),
            Outcome::Fenced => f.write_str("another owner has taken the reducer over"),
            Outcome::Stopped => f.write_str("the supervisor is stopping"),
            Outcome::Pending => f.write_str("not known yet"),
            Outcome::TimedOut => f.write_str("not settled within the time given"),
        }
    }
}

/// Where to reach the dispatcher of each reducer, now: dispatchers are replaced when they die.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    open: HashMap<Arc<str>, Recipient<WaitFor>>,
    closed: bool,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, reducer: &Arc<str>, line: Recipient<WaitFor>) {
        self.lock().open.insert(Arc::clone(reducer), line);
    }

    pub(crate) fn remove(&self, reducer: &str) {
        self.lock().open.remove(reducer);
    }

    /// Nobody will answer any more.
    pub(crate) fn close(&self) {
        let mut lines = self.lock();
        lines.closed = true;
        lines.open.clear();
    }

    fn unknown(&self, name: &str) -> Option<AwaitError> {
        let lines = self.lock();
        if lines.closed || lines.open.contains_key(name) {
            return None;
        }
        let mut known: Vec<_> = lines.open.keys().map(ToString::to_string).collect();
        known.sort();
        Some(AwaitError::UnknownReducer { name: name.to_owned(), known })
    }

    /// Asks a dispatcher. The answer is lost when it dies or has died.
    fn ask(&self, reducer: &str, until: &Until) -> (oneshot::Receiver<Outcome>, Weak<Promise>) {
        let (waiter, outcome) = Waiter::new();
        let promise = waiter.downgrade();
        let lines = self.lock();
        match lines.open.get(reducer) {
            Some(line) => line.do_send(WaitFor { until: until.clone(), waiter }),
            None => waiter.finish(Outcome::Stopped),
        }
        (outcome, promise)
    }
}

/// How long to wait for a dispatcher that died to be replaced before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Carries out an [`Await`].
pub(crate) async fn carry_out(
    request: Await,
    directory: Directory,
    default_time: Duration,
) -> Result<Awaited, AwaitError> {
    let deadline = Instant::now().checked_add(request.within.unwrap_or(default_time));
    let deadline =
        deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(u32::MAX.into()));
    let mut questions = request.ask(&directory)?;
    let still_open = loop {
        match timeout_at(deadline, poll_fn(|cx| poll_all(&mut questions, cx))).await {
            Err(_) => break Outcome::TimedOut,
            Ok(Polled::Decided) => break Outcome::Pending,
            Ok(Polled::Lost) => {
                let pause = (Instant::now() + ASK_AGAIN).min(deadline);
                sleep(pause - Instant::now()).await;
                for question in questions.iter_mut().filter(|question| question.outcome.is_none()) {
                    (question.answer, question.promise) =
                        directory.ask(&question.reducer, &question.until);
                }
            }
        }
    };
    replies(questions, &still_open)
}

/// The replies, with this for what is still open.
pub(crate) fn replies(
    questions: Vec<Question>,
    still_open: &Outcome,
) -> Result<Awaited, AwaitError> {
    let replies = questions.into_iter().map(|question| question.into_reply(still_open));
    let awaited = Awaited { replies: replies.collect() };
    if awaited.replies.iter().all(|reply| reply.outcome.is_success()) {
        Ok(awaited)
    } else {
        Err(AwaitError::Incomplete(awaited))
    }
}

pub(crate) struct Question {
    reducer: String,
    until: Until,
    answer: oneshot::Receiver<Outcome>,
    pub(crate) promise: Weak<Promise>,
    outcome: Option<Outcome>,
}

impl Question {
    /// Whether it was answered that the time is up.
    pub(crate) fn is_late(&self) -> bool {
        self.outcome == Some(Outcome::TimedOut)
    }

    fn into_reply(self, still_open: &Outcome) -> Reply {
        let cursor = match self.until {
            Until::Event(cursor) => Some(cursor),
            Until::Head => None,
        };
        let outcome = self.outcome.unwrap_or_else(|| still_open.clone());
        Reply { reducer: self.reducer, cursor, outcome }
    }
}

pub(crate) enum Polled {
    /// All are answered, or one is answered so that the whole cannot succeed.
    Decided,
    /// An answer was lost with the actor that owed it.
    Lost,
}

pub(crate) fn poll_all(
    questions: &mut [Question],
    cx: &mut std::task::Context<'_>,
) -> Poll<Polled> {
    let (mut open, mut lost, mut failed) = (false, false, false);
    for question in questions.iter_mut().filter(|question| question.outcome.is_none()) {
        match Pin::new(&mut question.answer).poll(cx) {
            Poll::Ready(Ok(outcome)) => {
                failed |= !outcome.is_success();
                question.outcome = Some(outcome);
            }
            Poll::Ready(Err(_)) => lost = true,
            Poll::Pending => open = true,
        }
    }
    if failed || !(open || lost) {
        Poll::Ready(Polled::Decided)
    } else if lost {
        Poll::Ready(Polled::Lost)
    } else {
        Poll::Pending
    }
}
