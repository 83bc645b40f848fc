//! From the repository to the two tables.
//!
//! For now the events are folded in memory; the event log and the reducers take this place.

use crate::event::Batches;
use crate::failure::Failure;
use crate::fold::Fold;
use crate::git::{CommitId, Repository};
use crate::progress::Progress;
use crate::report::{AuthorLine, FileLine, LINES};
use crate::verify::{Verdict, Verification};

/// Events per transaction, at least; a commit is never split.
const BATCH: usize = 1000;

/// Reads the history of `to` and derives both tables.
pub(crate) fn derive(repository: &Repository, to: &CommitId) -> Result<Fold, Failure> {
    let range = repository.range(None, to)?;
    let mut stage = Progress::on_stderr().stage("reading", "commits", range.commits);
    let (mut fold, mut commits) = (Fold::default(), 0);
    for batch in Batches::new(repository.history(&range)?, BATCH) {
        let batch = batch.map_err(|error| Failure::from(error).after(0))?;
        commits += batch.commits;
        for event in batch.events {
            fold.apply(event);
        }
        stage.reach(commits);
    }
    stage.finish();
    Ok(fold)
}

/// Compares the derived files with those of the commit.
pub(crate) fn verify(
    fold: &Fold,
    repository: &Repository,
    to: &CommitId,
) -> Result<Verdict, Failure> {
    let mut verification = Verification::against(repository.tree(to)?)?;
    for (path, file) in &fold.files {
        verification.row(path, &file.entry);
    }
    Ok(verification.finish())
}

/// The files changed most often.
pub(crate) fn most_changed_files(fold: &Fold) -> Vec<FileLine> {
    let mut files: Vec<_> = fold.files.iter().collect();
    files.sort_unstable_by(|a, b| b.1.changes.cmp(&a.1.changes).then(a.0.cmp(b.0)));
    let line = |(path, file): (&String, &crate::fold::File)| FileLine {
        path: path.clone(),
        changes: file.changes,
        last_author: file.last_author.clone(),
    };
    files.into_iter().take(LINES).map(line).collect()
}

/// The authors with most commits.
pub(crate) fn most_active_authors(fold: &Fold) -> Vec<AuthorLine> {
    let mut authors: Vec<_> = fold.authors.iter().collect();
    authors.sort_unstable_by(|a, b| b.1.commits.cmp(&a.1.commits).then(a.0.cmp(b.0)));
    let line = |(author, of): (&String, &crate::fold::Author)| AuthorLine {
        author: author.clone(),
        commits: of.commits,
        changes: of.changes,
    };
    authors.into_iter().take(LINES).map(line).collect()
}
