//! [`Settlement`]: brings groups into a store, in one transaction if it can be.

use std::{
    collections::VecDeque,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    Cursor, FailureKind, Group, Tentative,
    commit::Repair,
    error::panic_message,
    reduce::Step,
    store::{CommitError, PartitionWrite, ReducerWrite, Revision, Writer},
};

/// Brings [`Group`]s into a store and finds out what became of every commit.
///
/// The happy path is one transaction for all groups. When the store rejects it, it is split in two
/// until the guilty event stands alone: all others are committed, in particular those before it in
/// its own partition. A transient fault leaves the rest where it was, to go on later. After a commit
/// in doubt the stored revision is read before anything is tried again. A group whose events were
/// tentative and have not come into the log is given up.
///
/// A plain state machine: it neither waits nor decides when to try again.
#[derive(Debug)]
pub struct Settlement {
    groups: Vec<GroupState>,
    queue: VecDeque<Piece>,
    in_doubt: bool,
}

#[derive(Debug)]
struct GroupState {
    group: Group,
    revision: Revision,
    stored: Cursor,
    results: Vec<Option<Result<(), Rejection>>>,
    fenced: bool,
    lost: bool,
}

/// Part of the work that one transaction tries. All its spans are whole groups, or it has one span.
#[derive(Debug)]
struct Piece {
    spans: Vec<Span>,
}

/// A part of one group: whole, several commits, or some steps of one commit.
#[derive(Clone, Debug)]
struct Span {
    group: usize,
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Whole,
    Commits(Range<usize>),
    Steps { commit: usize, steps: Range<usize> },
}

/// How far [`Settlement::run`] came.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every commit has a result.
    Finished,
    /// The store cannot go on now. Call [`Settlement::run`] again later, with a new writer if this
    /// one is `broken`.
    Retry {
        /// What the store said.
        error: String,
        /// The writer panicked and must not be used again.
        broken: bool,
    },
}

/// What became of a [`Group`].
#[derive(Debug)]
pub struct Settled {
    /// The reducer.
    pub reducer: Arc<str>,
    /// The revision it has now.
    pub revision: Revision,
    /// The low watermark that is stored now.
    pub stored: Cursor,
    /// What became of each commit, in the group's order; `None` when that is unknown, which happens
    /// only when the reducer was taken over by another owner.
    pub results: Vec<Option<Result<(), Rejection>>>,
    /// True when the reducer was taken over by another owner: nothing more can be committed.
    pub fenced: bool,
    /// True when the group's events were [`Tentative`] and have not come into the log: whoever has
    /// them in memory must begin anew from what is stored.
    pub lost: bool,
}

/// A commit that the store rejected at one of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The last event of the commit before the rejected one; its effect and those before it are in
    /// the store. `None` when the first event was rejected.
    pub committed: Option<Cursor>,
    /// The event that was rejected.
    pub cursor: Cursor,
    /// Whether the store refused or user code panicked in the transaction.
    pub kind: FailureKind,
    /// What was said.
    pub message: String,
}

impl Settlement {
    /// Nothing tried yet. The groups must be of different reducers.
    pub fn new(groups: Vec<Group>) -> Self {
        let spans = (0..groups.len()).map(|group| Span { group, part: Part::Whole }).collect();
        let groups = groups
            .into_iter()
            .map(|group| GroupState {
                revision: group.revision,
                stored: group.stored.clone(),
                results: vec![None; group.commits.len()],
                fenced: false,
                lost: false,
                group,
            })
            .collect();
        Self { groups, queue: VecDeque::from([Piece { spans }]), in_doubt: false }
    }

    /// The reducers whose groups are being settled.
    pub fn reducers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.iter().map(|state| &state.group.reducer)
    }

    /// Goes on until every commit has a result or the store cannot go on.
    pub fn run(&mut self, writer: &mut dyn Writer) -> Progress {
        while let Some(piece) = self.queue.front() {
            if piece.spans.is_empty() {
                self.queue.pop_front();
                self.in_doubt = false;
                continue;
            }
            // A panic here is a fault of the store: it may have happened after its COMMIT.
            let attempt = catch_unwind(AssertUnwindSafe(|| {
                if self.in_doubt {
                    self.look_up(piece, writer)
                } else {
                    let writes: Vec<_> = piece.spans.iter().map(|span| self.write(span)).collect();
                    match &self.tentative(piece)[..] {
                        [] => writer.commit(&writes),
                        events => writer.commit_with(&writes, events),
                    }
                }
            }));
            let (result, broken) = match attempt {
                Ok(result) => (result, false),
                Err(payload) => {
                    let message = format!("the store panicked: {}", panic_message(&*payload));
                    (Err(CommitError::InDoubt(message)), true)
                }
            };
            let retry = |error: String| Progress::Retry { error, broken };
            let was_in_doubt = std::mem::take(&mut self.in_doubt);
            match result {
                Ok(()) => self.committed(),
                // Looked up and found not to be there: simply try again.
                Err(CommitError::Rejected { .. }) if was_in_doubt => {}
                Err(CommitError::Rejected { kind, message }) => {
                    if let Err(unsplittable) = self.rejected(kind, message) {
                        return retry(unsplittable);
                    }
                }
                Err(CommitError::Fenced { reducer }) => {
                    if !self.fenced(&reducer) {
                        return retry(format!("{reducer:?} is fenced, but it is not in the group"));
                    }
                    // The other groups of the transaction are as much in doubt as before.
                    self.in_doubt = was_in_doubt;
                }
                Err(CommitError::Lost) => {
                    if !self.lost() {
                        return retry("events are lost that are not in the group".to_owned());
                    }
                }
                Err(CommitError::Transient(error)) => {
                    self.in_doubt = was_in_doubt;
                    return retry(error);
                }
                Err(error @ CommitError::InDoubt(_)) => {
                    self.in_doubt = true;
                    return retry(error.to_string());
                }
            }
        }
        Progress::Finished
    }

    /// What became of each group, in the order given; ask once [`run`](Self::run) has finished.
    pub fn into_settled(self) -> Vec<Settled> {
        self.groups
            .into_iter()
            .map(|state| Settled {
                reducer: state.group.reducer,
                revision: state.revision,
                stored: state.stored,
                results: state.results,
                fenced: state.fenced,
                lost: state.lost,
            })
            .collect()
    }

    /// Finds out whether the transaction of this piece was done: `Rejected` says that it was not.
    fn look_up(&self, piece: &Piece, writer: &mut dyn Writer) -> Result<(), CommitError> {
        let Some(span) = piece.spans.first() else { return Ok(()) };
        let state = &self.groups[span.group];
        let reducer = &*state.group.reducer;
        let stored =
            writer.revision(reducer).map_err(|error| CommitError::Transient(error.to_string()))?;
        if stored == Some(state.revision.next()) {
            Ok(())
        } else if stored == Some(state.revision) {
            Err(CommitError::Rejected { kind: FailureKind::Rejected, message: String::new() })
        } else {
            Err(CommitError::Fenced { reducer: reducer.to_owned() })
        }
    }

    /// What the piece follows from and may not be in the log yet.
    fn tentative(&self, piece: &Piece) -> Vec<Tentative> {
        let of_groups =
            piece.spans.iter().filter_map(|span| self.groups[span.group].group.tentative.as_ref());
        let mut tentative: Vec<Tentative> = Vec::new();
        for of_group in of_groups.filter(|tentative| tentative.outcome() != Some(true)) {
            if !tentative.iter().any(|known| known.is_same(of_group)) {
                tentative.push(of_group.clone());
            }
        }
        tentative
    }

    fn write(&self, span: &Span) -> ReducerWrite<'_> {
        let state = &self.groups[span.group];
        let group = &state.group;
        // Only with all commits of a group can its watermark move, and only with the watermark are
        // events passed that no partition is known of.
        let (watermark, skips) = match span.part {
            Part::Whole => (&group.watermark, &group.skips[..]),
            Part::Commits(_) | Part::Steps { .. } => (&state.stored, &[][..]),
        };
        let whole = |commit: usize| (commit, 0..group.commits[commit].steps.len());
        let parts: Vec<_> = match &span.part {
            Part::Whole => (0..group.commits.len()).map(whole).collect(),
            Part::Commits(commits) => commits.clone().map(whole).collect(),
            Part::Steps { commit, steps } => vec![(*commit, steps.clone())],
        };
        let partitions = parts
            .into_iter()
            .map(|(commit, steps)| {
                let commit = &group.commits[commit];
                let ends = |step: usize| commit.steps[step].ops_end;
                let last = steps.end == commit.steps.len();
                let from = if steps.start == 0 { 0 } else { ends(steps.start - 1) };
                let to = if steps.is_empty() { from } else { ends(steps.end - 1) };
                let cursor =
                    if last { &commit.cursor } else { &commit.steps[steps.end - 1].cursor };
                let skipped = commit.skip.iter().filter(|skip| {
                    commit.steps[steps.clone()].iter().any(|step| step.cursor == skip.cursor)
                });
                let halts = last || commit.repair == Repair::Going;
                let halt = commit.halt.as_ref().filter(|_| halts);
                PartitionWrite {
                    partition: &commit.partition,
                    ops: &commit.ops[from..to],
                    cursor,
                    guard: commit.steps.get(steps.start).map(Step::first),
                    halt,
                    skips: skipped.map(|skip| &**skip).collect(),
                    record: halt.is_some() || commit.repair == Repair::Done || cursor > watermark,
                    reset: commit.repair == Repair::Reset,
                }
            })
            .collect();
        ReducerWrite {
            reducer: &group.reducer,
            revision: state.revision,
            watermark,
            partitions,
            skips: skips.iter().map(|skip| &**skip).collect(),
        }
    }

    fn committed(&mut self) {
        let Some(piece) = self.queue.pop_front() else { return };
        for Span { group, part } in piece.spans {
            let state = &mut self.groups[group];
            state.revision = state.revision.next();
            let done = match part {
                Part::Whole => {
                    state.stored = state.group.watermark.clone();
                    0..state.results.len()
                }
                Part::Commits(commits) => commits,
                Part::Steps { commit, steps } => {
                    let last = steps.end == state.group.commits[commit].steps.len();
                    if last { commit..commit + 1 } else { 0..0 }
                }
            };
            state.results[done].fill(Some(Ok(())));
        }
    }

    /// Splits the first piece, or settles its one event as rejected. An error when neither can be
    /// done, because the piece has no event that could be guilty.
    fn rejected(&mut self, kind: FailureKind, message: String) -> Result<(), String> {
        let Some(mut piece) = self.queue.pop_front() else { return Ok(()) };
        if piece.spans.len() > 1 {
            let second = piece.spans.split_off(piece.spans.len() / 2);
            self.queue.push_front(Piece { spans: second });
            self.queue.push_front(piece);
            return Ok(());
        }
        let Some(Span { group, part }) = piece.spans.first().cloned() else { return Ok(()) };
        let state = &mut self.groups[group];
        let steps_of = |commit: usize| Part::Steps {
            commit,
            steps: 0..state.group.commits[commit].steps.len(),
        };
        // A single commit is tried once more by itself before it is split or given up.
        let halves = match part {
            Part::Whole => match state.group.commits.len() {
                0 => None,
                1 => Some((steps_of(0), None)),
                commits => Some((Part::Commits(0..commits), None)),
            },
            Part::Commits(commits) if commits.len() > 1 => {
                let middle = commits.start + commits.len() / 2;
                let halves = (commits.start..middle, middle..commits.end);
                Some((Part::Commits(halves.0), Some(Part::Commits(halves.1))))
            }
            Part::Commits(commits) => Some((steps_of(commits.start), None)),
            Part::Steps { steps, .. } if steps.is_empty() => None,
            Part::Steps { commit, steps } if steps.len() > 1 => {
                let middle = steps.start + steps.len() / 2;
                let half = |steps| Part::Steps { commit, steps };
                Some((half(steps.start..middle), Some(half(middle..steps.end))))
            }
            Part::Steps { commit, steps } => {
                let of = &state.group.commits[commit].steps;
                state.results[commit] = Some(Err(Rejection {
                    committed: steps.start.checked_sub(1).map(|last| of[last].cursor.clone()),
                    cursor: of[steps.start].cursor.clone(),
                    kind,
                    message,
                }));
                self.queue.retain(|piece| !piece.is_of_commit(group, commit));
                return Ok(());
            }
        };
        match halves {
            None => {
                self.queue.push_front(piece);
                Err(format!("the store rejected a write without events: {message}"))
            }
            Some((first, second)) => {
                for part in second.into_iter().chain([first]) {
                    self.queue.push_front(Piece { spans: vec![Span { group, part }] });
                }
                Ok(())
            }
        }
    }

    /// Gives up the groups of the reducer; false when there are none.
    fn fenced(&mut self, reducer: &str) -> bool {
        let groups = &mut self.groups;
        let mut found = false;
        for state in groups.iter_mut().filter(|state| &*state.group.reducer == reducer) {
            found |= !state.fenced;
            state.fenced = true;
        }
        for piece in &mut self.queue {
            piece.spans.retain(|span| !groups[span.group].fenced);
        }
        found
    }

    /// Gives up the groups whose events have not come into the log; false when there are none.
    fn lost(&mut self) -> bool {
        let groups = &mut self.groups;
        let mut found = false;
        for state in groups.iter_mut() {
            let lost = state.group.tentative.as_ref().is_some_and(Tentative::is_lost);
            found |= lost && !state.lost;
            state.lost = lost;
        }
        for piece in &mut self.queue {
            piece.spans.retain(|span| !groups[span.group].lost);
        }
        found
    }
}

impl Piece {
    fn is_of_commit(&self, of_group: usize, of_commit: usize) -> bool {
        self.spans.iter().any(|Span { group, part }| {
            *group == of_group && matches!(part, Part::Steps { commit, .. } if *commit == of_commit)
        })
    }
}

#[cfg(test)]
mod tests;
