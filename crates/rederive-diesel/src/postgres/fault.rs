//! What an error of PostgreSQL means. Diesel tells constraint violations and a lost connection apart
//! and hides the code of everything else, so its texts are matched here, and nowhere else. They are
//! in English, if the server lets us choose.

use diesel::result::{DatabaseErrorKind as Kind, Error};

/// Whose fault an error is, which decides whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another transaction was in the way: a lock, a deadlock, a conflict, or it took too long.
    Busy,
    /// The server is starting or stopping, or lacks connections, memory or space.
    Machine,
    /// The server takes no writes.
    ReadOnly,
    /// The connection is gone, or what Diesel knows of it is not so: it has to be replaced.
    Connection,
    /// The statement's: a constraint, wrong SQL, a wrong type.
    Statement,
}

/// Beginnings of the server's texts, by what they mean.
const TEXTS: [(Fault, &[&str]); 3] = [
    (
        Fault::Busy,
        &[
            "deadlock detected",
            "canceling statement due to ",
            "could not obtain lock on ",
            "could not serialize access ",
            "tuple concurrently ",
            "cache lookup failed for ",
            "could not open relation with OID ",
        ],
    ),
    (
        Fault::Machine,
        &[
            "the database system is ",
            "sorry, too many clients already",
            "too many connections for ",
            "remaining connection slots are reserved ",
            "no more connections allowed",
            "out of memory",
            "out of shared memory",
            "could not extend file ",
            "could not write ",
            "could not read ",
            "could not open file ",
            "could not create file ",
            "could not fsync file ",
            "could not access status of transaction ",
            "could not resize shared memory segment ",
            "could not map dynamic shared memory segment",
            "no space left on device",
            "temporary file size exceeds temp_file_limit",
            "database is not accepting commands ",
        ],
    ),
    (
        Fault::Connection,
        &[
            "terminating connection ",
            "server closed the connection unexpectedly",
            "connection to server ",
            "could not receive data from server",
            "could not send data to server",
            "SSL connection has been closed unexpectedly",
            "SSL SYSCALL error",
            "no connection to the server",
            "cached plan must not change result type",
            // A pooler between us and the server has changed servers.
            "prepared statement ",
            "unnamed prepared statement does not exist",
            "bind message supplies ",
            // What pgbouncer says when it or the server goes.
            "server conn crashed?",
            "server login failed",
            "server_login_retry",
            "pgbouncer ",
            "query_wait_timeout",
            "the pooler ",
        ],
    ),
];

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => {
                Fault::Connection
            }
            Error::DatabaseError(Kind::SerializationFailure, _) => Fault::Busy,
            Error::DatabaseError(Kind::ReadOnlyTransaction, _) => Fault::ReadOnly,
            Error::DatabaseError(Kind::Unknown, info) => Self::of_text(info.message()),
            Error::RollbackErrorOnCommit { commit_error, .. } => Self::of(commit_error),
            Error::BrokenTransactionManager
            | Error::AlreadyInTransaction
            | Error::NotInTransaction => Fault::Connection,
            _ => Fault::Statement,
        }
    }

    fn of_text(message: &str) -> Self {
        let means = |(_, beginnings): &&(Fault, &[&str])| {
            beginnings.iter().any(|beginning| message.starts_with(beginning))
        };
        TEXTS.iter().find(means).map_or(Fault::Statement, |(fault, _)| *fault)
    }

    /// True when trying the same again may succeed, and no event is to blame.
    ///
    /// A read-only server counts as transient too: it may be a stand-by that is about to take over.
    pub(crate) fn is_transient(self) -> bool {
        self != Fault::Statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, text: &str) -> Fault {
        Fault::of(&Error::DatabaseError(kind, Box::new(text.to_owned())))
    }

    #[test]
    fn what_may_pass_by_itself_is_no_fault_of_the_statement() {
        for (fault_of, text) in [
            (Fault::Busy, "deadlock detected"),
            (Fault::Busy, "canceling statement due to lock timeout"),
            (Fault::Busy, "canceling statement due to statement timeout"),
            (Fault::Machine, "the database system is starting up"),
            (Fault::Machine, "could not extend file \"base/1/2\": No space left on device"),
            (Fault::Connection, "terminating connection due to administrator command"),
            (
                Fault::Connection,
                "terminating connection because of crash of another server process",
            ),
            (Fault::Connection, "cached plan must not change result type"),
        ] {
            assert_eq!(fault(Kind::Unknown, text), fault_of, "{text}");
            assert!(fault_of.is_transient());
        }
        assert_eq!(fault(Kind::ClosedConnection, "whatever"), Fault::Connection);
        assert_eq!(fault(Kind::SerializationFailure, "whatever"), Fault::Busy);
        assert_eq!(fault(Kind::ReadOnlyTransaction, "whatever"), Fault::ReadOnly);
    }

    #[test]
    fn what_will_fail_again_is_the_fault_of_the_statement() {
        for text in ["integer out of range", "value too long for type character varying(3)"] {
            assert_eq!(fault(Kind::Unknown, text), Fault::Statement, "{text}");
        }
        // Also if a trigger speaks of locks.
        assert_eq!(fault(Kind::CheckViolation, "deadlock detected"), Fault::Statement);
        assert!(!Fault::Statement.is_transient());
    }
}
