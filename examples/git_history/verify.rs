//! Whether the derived files are exactly the files git lists.

use std::collections::HashMap;
use std::fmt;

use crate::git::{Entry, GitError, TreeEntry};
use crate::report::printable;

/// At most this many differences are listed.
const LISTED: usize = 20;

/// Compares a derived table, row by row, with a list of git. Holds that list: memory grows with
/// the number of files at one commit, not with the length of the history.
pub(crate) struct Verification {
    /// What git lists and the table has not shown yet.
    expected: HashMap<String, Entry>,
    equal: u64,
    differences: Vec<Difference>,
    total: u64,
}

impl Verification {
    /// Takes in what git lists.
    pub(crate) fn against(
        tree: impl Iterator<Item = Result<TreeEntry, GitError>>,
    ) -> Result<Self, GitError> {
        let expected =
            tree.map(|entry| entry.map(|e| (e.path, e.entry))).collect::<Result<_, _>>()?;
        Ok(Self { expected, equal: 0, differences: Vec::new(), total: 0 })
    }

    /// One row of the table. Each path at most once.
    pub(crate) fn row(&mut self, path: &str, derived: &Entry) {
        match self.expected.remove(path) {
            Some(git) if git == *derived => self.equal += 1,
            git => self.note(path.to_owned(), git, Some(derived.clone())),
        }
    }

    /// After the last row.
    pub(crate) fn finish(mut self) -> Verdict {
        let mut missing: Vec<_> = std::mem::take(&mut self.expected).into_iter().collect();
        missing.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (path, git) in missing {
            self.note(path, Some(git), None);
        }
        Verdict { equal: self.equal, differences: self.differences, total: self.total }
    }

    fn note(&mut self, path: String, git: Option<Entry>, derived: Option<Entry>) {
        self.total += 1;
        if self.differences.len() < LISTED {
            self.differences.push(Difference { path, git, derived });
        }
    }
}

/// The outcome; its text is the last line (or lines) of the report.
#[derive(Debug)]
pub(crate) struct Verdict {
    equal: u64,
    differences: Vec<Difference>,
    total: u64,
}

impl Verdict {
    pub(crate) fn is_equal(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equal, differences, total } = self;
        if self.is_equal() {
            return writeln!(f, "verified: {equal} files equal git ls-tree");
        }
        writeln!(f, "NOT verified: {equal} files equal git ls-tree, {total} do not:")?;
        for difference in differences {
            writeln!(f, "  {difference}")?;
        }
        match total.saturating_sub(differences.len() as u64) {
            0 => Ok(()),
            more => writeln!(f, "  … and {more} more"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Difference {
    path: String,
    git: Option<Entry>,
    derived: Option<Entry>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |entry: &Option<Entry>| {
            entry.as_ref().map_or("nothing".to_owned(), |e| format!("{} {}", e.mode, e.blob))
        };
        let (git, derived) = (text(&self.git), text(&self.derived));
        write!(f, "{}: git has {git}, the table has {derived}", printable(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(blob: &str) -> Entry {
        Entry { mode: "100644".to_owned(), blob: blob.to_owned() }
    }

    fn verdict(git: &[(&str, &str)], table: &[(&str, &str)]) -> Verdict {
        let tree = git
            .iter()
            .map(|(path, blob)| Ok(TreeEntry { path: (*path).to_owned(), entry: entry(blob) }));
        let mut verification = Verification::against(tree).unwrap();
        for (path, blob) in table {
            verification.row(path, &entry(blob));
        }
        verification.finish()
    }

    #[test]
    fn equal_files_are_counted() {
        let verdict = verdict(&[("a", "1"), ("b", "2")], &[("b", "2"), ("a", "1")]);
        assert!(verdict.is_equal());
        assert_eq!(verdict.to_string(), "verified: 2 files equal git ls-tree\n");
    }

    #[test]
    fn missing_extra_and_different_files_are_told_apart() {
        let verdict =
            verdict(&[("a", "1"), ("b", "2"), ("m", "3")], &[("a", "1"), ("b", "9"), ("x", "4")]);
        assert!(!verdict.is_equal());
        assert_eq!(
            verdict.to_string(),
            "NOT verified: 1 files equal git ls-tree, 3 do not:\n  \
             b: git has 100644 2, the table has 100644 9\n  \
             x: git has nothing, the table has 100644 4\n  \
             m: git has 100644 3, the table has nothing\n"
        );
    }

    #[test]
    fn a_long_list_of_differences_is_cut() {
        let paths: Vec<String> = (0..LISTED + 5).map(|n| format!("{n:03}")).collect();
        let git: Vec<_> = paths.iter().map(|path| (path.as_str(), "1")).collect();
        let text = verdict(&git, &[]).to_string();
        assert_eq!(text.lines().count(), 1 + LISTED + 1);
        assert!(text.ends_with("  … and 5 more\n"), "{text}");
    }
}
