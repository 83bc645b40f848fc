//! Which commits are still to be read, and proof that they continue what was read before.

use std::io::BufRead;

use super::entry::CommitId;
use super::error::GitError;
use super::repository::Repository;

/// A piece of first-parent history without a gap: everything after `after`, up to and with `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(super) after: Option<CommitId>,
    pub(super) to: CommitId,
    /// How many commits that is.
    pub(crate) commits: u64,
}

impl Repository {
    /// The commits after `after` (all when `None`) on the first-parent history of `to`.
    ///
    /// An error when `after` is not on that history: reading on would then mix two histories.
    pub(crate) fn range(&self, after: Option<&CommitId>, to: &CommitId) -> Result<Range, GitError> {
        if after == Some(to) {
            return Ok(Range { after: after.cloned(), to: to.clone(), commits: 0 });
        }
        if let Some(read) = after
            && !self.has_commit(read)?
        {
            return Err(GitError::RewrittenHistory { read: read.clone(), wanted: to.clone() });
        }
        let (commits, parent) = self.walk_back(to, after)?;
        match (after, parent) {
            (None, None) if commits > 0 => {}
            (Some(read), Some(parent)) if parent == read.as_str() => {}
            (None, end) => {
                return Err(GitError::Incomplete { to: to.clone(), end: end.unwrap_or_default() });
            }
            (Some(read), _) if self.is_first_parent_ancestor(to, read)? => {
                return Err(GitError::OlderRevision { read: read.clone(), wanted: to.clone() });
            }
            (Some(read), _) => {
                return Err(GitError::RewrittenHistory { read: read.clone(), wanted: to.clone() });
            }
        }
        Ok(Range { after: after.cloned(), to: to.clone(), commits })
    }

    /// Follows first parents from `from` until one is reachable from `stop`. Returns the number
    /// of commits passed and the first parent of the last of them.
    fn walk_back(
        &self,
        from: &CommitId,
        stop: Option<&CommitId>,
    ) -> Result<(u64, Option<String>), GitError> {
        let mut git = self
            .git("rev-list")
            .args(["--first-parent", "--parents", from.as_str()])
            .args(stop.map(|stop| format!("^{stop}")))
            .start()?;
        let (mut commits, mut parent) = (0, None);
        let mut line = String::new();
        while git.stdout.read_line(&mut line).map_err(|e| git.io(e))? > 0 {
            commits += 1;
            parent = line.split_whitespace().nth(1).map(str::to_owned);
            line.clear();
        }
        git.finish()?;
        Ok((commits, parent))
    }

    fn has_commit(&self, id: &CommitId) -> Result<bool, GitError> {
        match self.git("cat-file").args(["-e", &format!("{id}^{{commit}}")]).text() {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn is_first_parent_ancestor(
        &self,
        ancestor: &CommitId,
        of: &CommitId,
    ) -> Result<bool, GitError> {
        // A first-parent walk back to the ancestor ends at a commit whose first parent it is.
        let (_, parent) = self.walk_back(of, Some(ancestor))?;
        Ok(parent.as_deref() == Some(ancestor.as_str()))
    }
}
