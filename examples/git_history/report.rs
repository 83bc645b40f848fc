//! The short tables at the end.

use std::fmt::Write as _;

/// How many lines a table has.
pub(crate) const LINES: usize = 10;

/// Longer texts are cut, paths at their beginning.
const WIDTH: usize = 60;

/// One of the most changed files.
pub(crate) struct FileLine {
    pub(crate) path: String,
    pub(crate) changes: i64,
    pub(crate) last_author: String,
}

/// One of the most active authors.
pub(crate) struct AuthorLine {
    pub(crate) author: String,
    pub(crate) commits: i64,
    pub(crate) changes: i64,
}

/// The files changed most often, most often first.
pub(crate) fn most_changed_files(lines: &[FileLine]) -> String {
    let rows = lines.iter().map(|line| {
        [line.changes.to_string(), shortened(&line.path), shortened(&line.last_author)]
    });
    table("Most changed files", ["changes", "path", "last author"], rows)
}

/// The authors with most commits, most active first.
pub(crate) fn most_active_authors(lines: &[AuthorLine]) -> String {
    let rows = lines
        .iter()
        .map(|line| [line.commits.to_string(), line.changes.to_string(), shortened(&line.author)]);
    table("Most active authors", ["commits", "changes", "author"], rows)
}

/// Text from a repository, made harmless for a terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

fn shortened(text: &str) -> String {
    let text = printable(text);
    let over = text.chars().count().saturating_sub(WIDTH);
    if over == 0 {
        return text;
    }
    "…".chars().chain(text.chars().skip(over + 1)).collect()
}

/// Numbers stand to the right, texts to the left.
fn table(title: &str, head: [&str; 3], rows: impl Iterator<Item = [String; 3]>) -> String {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    let numeric =
        |column: usize| rows[1..].iter().all(|row| row[column].bytes().all(|b| b.is_ascii_digit()));
    let numeric = [0, 1, 2].map(numeric);
    let mut text = format!("{title}\n");
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), numeric) in row.iter().zip(widths).zip(numeric) {
            // Writing to a String cannot fail.
            let _ = if numeric {
                write!(line, "  {cell:>width$}")
            } else {
                write!(line, "  {cell:<width$}")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, changes: i64) -> FileLine {
        FileLine { path: path.to_owned(), changes, last_author: "Ann".to_owned() }
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            most_changed_files(&[file("src/lib.rs", 120), file("a", 7)]),
            "Most changed files\n  \
             changes  path        last author\n  \
             \x20   120  src/lib.rs  Ann\n  \
             \x20     7  a           Ann\n"
        );
        let author = AuthorLine { author: "Zoë".to_owned(), commits: 3, changes: 1000 };
        assert_eq!(
            most_active_authors(&[author]),
            "Most active authors\n  commits  changes  author\n  \x20     3     1000  Zoë\n"
        );
    }

    #[test]
    fn a_repository_cannot_write_escape_sequences_to_the_terminal() {
        assert_eq!(printable("a\x1b[2J\nb\u{9b}ä"), r"a\u{1b}[2J\nb\u{9b}ä");
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let text = most_changed_files(&[file(&format!("{}/end.rs", "ä".repeat(80)), 1)]);
        let path = text.lines().nth(2).unwrap().split_whitespace().nth(1).unwrap();
        assert_eq!(path.chars().count(), WIDTH);
        assert!(path.starts_with("…ä") && path.ends_with("/end.rs"), "{path}");
    }
}
