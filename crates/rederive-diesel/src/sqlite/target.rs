//! [`Target`]: which file a URL or path means.

use std::path::{Path, PathBuf};

use crate::SqliteError;

/// A database file, by the name that SQLite opens it with and by the path that messages name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) path: PathBuf,
}

impl Target {
    /// Resolves a relative path once, so that a connection opened after the process has changed its
    /// directory still opens the same file.
    pub(crate) fn parse(given: &Path) -> Result<Self, SqliteError> {
        let text = given.to_str().ok_or_else(|| SqliteError::NotUtf8 { path: given.to_owned() })?;
        let uri = text.strip_prefix("sqlite:").or_else(|| text.strip_prefix("file:"));
        let (name, parameters) = match uri {
            None => (text, ""),
            Some(uri) => {
                // Two slashes begin an authority, which may only be empty here.
                let uri = uri.strip_prefix("//").unwrap_or(uri);
                let uri = uri.split('#').next().unwrap_or(uri);
                uri.split_once('?').unwrap_or((uri, ""))
            }
        };
        let in_memory = name.is_empty()
            || name == ":memory:"
            || parameters.split('&').any(|parameter| parameter == "mode=memory");
        if in_memory {
            return Err(SqliteError::InMemory { url: text.to_owned() });
        }
        let name = if uri.is_some() { percent_decoded(name) } else { name.to_owned() };
        let path = std::path::absolute(&name).unwrap_or_else(|_| PathBuf::from(&name));
        let missing = path.parent().is_some_and(|directory| !directory.is_dir());
        if missing {
            return Err(SqliteError::DirectoryMissing { path });
        }
        let Some(absolute) = path.to_str() else {
            return Err(SqliteError::NotUtf8 { path });
        };
        let url = if parameters.is_empty() {
            absolute.to_owned()
        } else {
            format!("file:{}?{parameters}", percent_encoded(absolute))
        };
        Ok(Self { url, path })
    }
}

fn percent_encoded(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(Path::new(text)).expect("refused")
    }

    #[test]
    fn a_url_and_a_path_of_one_file_are_the_same_target() {
        let plain = parse("bank.db");
        assert_eq!(parse("sqlite://bank.db"), plain);
        assert_eq!(parse("sqlite:bank.db"), plain);
        assert_eq!(parse("file:bank.db"), plain);
        assert!(plain.path.is_absolute());
        assert_eq!(parse("sqlite:///tmp/a%20b.db").path, Path::new("/tmp/a b.db"));
        assert_eq!(parse("file:///tmp/a.db").path, Path::new("/tmp/a.db"));
    }

    #[test]
    fn the_parameters_of_a_url_are_kept() {
        let target = parse("sqlite:///tmp/50%25.db?cache=private");
        assert_eq!(target.path, Path::new("/tmp/50%.db"));
        assert_eq!(target.url, "file:/tmp/50%25.db?cache=private");
    }

    #[test]
    fn every_name_of_a_database_in_memory_is_refused() {
        for url in [
            "",
            ":memory:",
            "sqlite::memory:",
            "sqlite://:memory:",
            "file::memory:",
            "file:x?mode=memory",
        ] {
            let refused = Target::parse(Path::new(url));
            assert!(matches!(refused, Err(SqliteError::InMemory { .. })), "{url}: {refused:?}");
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let refused = Target::parse(Path::new("/nowhere/at/all/bank.db"));
        let message = refused.expect_err("accepted").to_string();
        assert_eq!(
            message,
            "cannot open \"/nowhere/at/all/bank.db\": its directory does not exist"
        );
    }
}
