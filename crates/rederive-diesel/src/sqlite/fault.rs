//! What an error of SQLite means. Diesel tells constraint violations apart and leaves everything
//! else to the text, so the texts of SQLite (`sqlite3ErrStr`) are matched here, and nowhere else.

use diesel::result::{DatabaseErrorKind, Error};

/// Whose fault an error is, which decides whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another connection holds the lock.
    Busy,
    /// No space left, on the disk or by `PRAGMA max_page_count`.
    Full,
    /// The disk failed, memory ran out, the file cannot be opened: the machine's fault.
    Machine,
    /// The file or the disk is read-only.
    ReadOnly,
    /// The file is damaged.
    Corrupt,
    /// The file is something else.
    NotADatabase,
    /// Diesel's view of the transaction is not SQLite's: the connection has to be replaced.
    Connection,
    /// The statement's: a constraint, wrong SQL, a wrong type.
    Statement,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::Unknown, info) => Self::of_text(info.message()),
            Error::RollbackErrorOnCommit { commit_error, .. } => Self::of(commit_error),
            Error::BrokenTransactionManager
            | Error::AlreadyInTransaction
            | Error::NotInTransaction => Fault::Connection,
            _ => Fault::Statement,
        }
    }

    /// By the whole text where SQLite adds nothing to it: a text that a trigger raises is the
    /// statement's fault even if it speaks of locks.
    pub(crate) fn of_text(message: &str) -> Self {
        match message {
            "database is locked" | "locking protocol" | "database schema is locked: main" => {
                Fault::Busy
            }
            "database or disk is full" => Fault::Full,
            "disk I/O error" | "unable to open database file" | "out of memory" | "interrupted" => {
                Fault::Machine
            }
            "attempt to write a readonly database" => Fault::ReadOnly,
            "database disk image is malformed" => Fault::Corrupt,
            "file is not a database" => Fault::NotADatabase,
            _ if message.starts_with("database table is locked") => Fault::Busy,
            _ => Fault::Statement,
        }
    }

    /// True when trying the same again may succeed, and no event is to blame.
    ///
    /// A damaged or read-only file counts as transient too: halting one partition after the other
    /// for it would blame events for the disk, and would have to be written to that disk.
    pub(crate) fn is_transient(self) -> bool {
        self != Fault::Statement
    }
}
