//! [`SqliteError`]: a database could not be opened, read or written.

use std::{path::PathBuf, time::Duration};

/// A database could not be opened, read or written. Unless the variant says otherwise, nothing was
/// changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The name stands for a database in memory, of which every connection would have its own. Use
    /// a file (in a temporary directory, if it need not last).
    #[error(
        "{url:?} names a database in memory, of which each connection would see another one: \
         use a file, or rederive's MemoryStore and MemoryLog"
    )]
    InMemory {
        /// What was to be opened.
        url: String,
    },
    /// The path is not UTF-8, which SQLite cannot open through Diesel. Use another path.
    #[error("the path {path:?} is not UTF-8")]
    NotUtf8 {
        /// What was to be opened.
        path: PathBuf,
    },
    /// The directory that the file is to be in does not exist. Create it.
    #[error("cannot open {path:?}: its directory does not exist")]
    DirectoryMissing {
        /// The file.
        path: PathBuf,
    },
    /// The file is something other than an SQLite database. It was not touched.
    #[error("{path:?} is not an SQLite database (or is encrypted); it was left as it is")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged. Restore it from a backup, or try `sqlite3 FILE .recover`.
    #[error("the database {path:?} is damaged: {message}; restore it from a backup")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// The file or its disk is read-only. Give the process write permission, also on the directory.
    #[error("the database {path:?} is read-only for this process")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process held the database's write lock all the time. Try again.
    #[error(
        "the database {path:?} is locked: another connection held its write lock for more than \
         {waited:?}; nothing was changed"
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long the lock was waited for (the busy timeout).
        waited: Duration,
    },
    /// The tables of Rederive in the file were made by a later version. Run that one.
    #[error(
        "the database {path:?} has version {found} of Rederive's tables, but this program knows \
         only version {known}: run the newer program; nothing was changed"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version that is stored.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The disk is full, fails, or the file cannot be opened; the message says which.
    #[error("the database {path:?} cannot be used: {message}; nothing was changed")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// The disk failed while a transaction was being committed: it was done or was not. Read back
    /// what it would have written.
    #[error("the database {path:?} failed during COMMIT, whose outcome is unknown: {message}")]
    InDoubt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// A statement failed, or your closure answered with an error; the transaction was rolled back.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}
