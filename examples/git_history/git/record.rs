//! The bytes of `git log --raw -z`, one record at a time. Pure: no process, no I/O.
//!
//! ```text
//! HEADER NUL                          a commit that changes nothing
//! HEADER NUL LF (RAW NUL PATH NUL)+   a commit that changes paths
//! HEADER = id LF author time LF author mail LF author name
//! RAW    = ":" old mode " " new mode " " old id " " new id " " status
//! ```

use super::entry::{Change, Commit, CommitId, Entry};
use super::path_text::escape;

/// What `--format` must be for [`header`].
pub(super) const FORMAT: &str = "--format=tformat:%H%n%at%n%ae%n%an";

/// The commit a header tells of, still without changes; `None` if it is not a header.
pub(super) fn header(bytes: &[u8]) -> Option<Commit> {
    let mut fields = bytes.splitn(4, |b| *b == b'\n');
    let mut field = || fields.next();
    let (id, time, mail, name) = (field()?, field()?, field()?, field()?);
    let id = CommitId::new(str::from_utf8(id).ok()?)?;
    let time = str::from_utf8(time).ok().and_then(|time| time.parse().ok()).unwrap_or(0);
    let author = if name.is_empty() { format!("<{}>", escape(mail)) } else { escape(name) };
    Some(Commit { id, author, time, changes: Vec::new() })
}

/// The change a raw record (without its colon) tells of; `None` if it is not one.
pub(super) fn raw(bytes: &[u8]) -> Option<Change> {
    let mut fields = str::from_utf8(bytes).ok()?.split(' ');
    let mut field = || fields.next();
    let (_old_mode, mode, _old_id, blob, status) =
        (field()?, field()?, field()?, field()?, field()?);
    if fields.next().is_some() {
        return None;
    }
    let entry = || Entry { mode: mode.to_owned(), blob: blob.to_owned() };
    match status {
        "A" => Some(Change::Added(entry())),
        "M" | "T" => Some(Change::Modified(entry())),
        "D" => Some(Change::Deleted),
        // Copies and renames are switched off; nothing else belongs into a commit.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7f89ea6cdbddece3deed4cab12ec9ea2c04a45cc";

    fn header_of(rest: &[u8]) -> Option<Commit> {
        header(&[ID.as_bytes(), b"\n", rest].concat())
    }

    #[test]
    fn a_header_names_id_author_and_time() {
        let commit = header_of(b"1700000000\nann@example.org\nAnn Smith").unwrap();
        assert_eq!((commit.id.as_str(), commit.time), (ID, 1_700_000_000));
        assert_eq!(commit.author, "Ann Smith");
    }

    #[test]
    fn an_author_without_name_is_known_by_mail() {
        assert_eq!(header_of(b"1\nann@example.org\n").unwrap().author, "<ann@example.org>");
    }

    #[test]
    fn an_author_that_is_not_utf8_is_escaped() {
        assert_eq!(header_of(b"1\nm\nJos\xe9").unwrap().author, r"Jos\xe9");
    }

    #[test]
    fn a_time_that_cannot_be_read_is_zero() {
        for time in ["", "99999999999999999999", "yesterday"] {
            assert_eq!(header_of(format!("{time}\nm\nAnn").as_bytes()).unwrap().time, 0);
        }
    }

    #[test]
    fn other_bytes_are_not_a_header() {
        assert_eq!(header(b"7f89ea6\n1\nm\nAnn"), None);
        assert_eq!(header(ID.as_bytes()), None);
        assert_eq!(header(b""), None);
    }

    #[test]
    fn a_type_change_is_a_modification() {
        let zero = "0".repeat(40);
        let entry = Entry { mode: "120000".to_owned(), blob: ID.to_owned() };
        let change = raw(format!("100644 120000 {zero} {ID} T").as_bytes());
        assert_eq!(change, Some(Change::Modified(entry)));
    }

    #[test]
    fn other_bytes_are_not_a_raw_record() {
        let rename = format!("100644 100644 {ID} {ID} R100");
        let combined = format!(":100644 100644 100644 {ID} {ID} {ID} MM");
        for bytes in [rename.as_str(), combined.as_str(), "", "100644 100644 M"] {
            assert_eq!(raw(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
