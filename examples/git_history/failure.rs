//! Why the program stops without a result: one paragraph for a human being.

use std::fmt;

use crate::git::GitError;

/// What happened, what has become of the database, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    changed: String,
    advice: String,
}

impl Failure {
    /// A failure before anything was changed.
    pub(crate) fn new(what: impl fmt::Display, advice: impl Into<String>) -> Self {
        let changed = "Nothing was changed.".to_owned();
        Self { what: what.to_string(), changed, advice: advice.into() }
    }

    /// The same after `commits` were appended to the log, where they stay.
    pub(crate) fn after(mut self, commits: u64) -> Self {
        if commits > 0 {
            self.changed = format!(
                "{commits} commits were added to the database and stay there; the next run goes \
                 on after them."
            );
        }
        self
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self::new(&error, error.advice())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, changed, advice } = self;
        write!(f, "error: {what}. {changed} {advice}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_happened_what_changed_and_what_to_do() {
        let failure = Failure::from(GitError::NotInstalled);
        assert_eq!(
            failure.to_string(),
            "error: the program `git` was not found. Nothing was changed. \
             Install git, or put it on the PATH, and run again."
        );
        let failure = failure.after(0).after(12).to_string();
        assert!(failure.contains("12 commits were added"), "{failure}");
    }
}
