//! [`PostgresError`]: a database could not be reached, read or written.

/// A database could not be reached, read or written. Unless the variant says otherwise, nothing was
/// changed. No message tells a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The URL cannot be understood. It is not repeated here, since it may hold a password.
    #[error(
        "the URL of the database cannot be understood: {problem}; expected \
         postgres://user:password@host:port/database"
    )]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// The server does not answer, is starting or stopping, or has no connection left. Start it, or
    /// try again later.
    #[error("the database {database} cannot be reached: {message}")]
    Unreachable {
        /// The database.
        database: String,
        /// What was said.
        message: String,
    },
    /// The server lets this user not into this database. Correct the URL, or the server's settings.
    #[error("the database {database} does not let this program in: {message}")]
    Denied {
        /// The database.
        database: String,
        /// What the server said.
        message: String,
    },
    /// The server is too old.
    #[error("the server of the database {database} is PostgreSQL {version}; at least 12 is needed")]
    TooOld {
        /// The database.
        database: String,
        /// The version of the server.
        version: String,
    },
    /// The schema that the tables of Rederive are to be in does not exist, its name cannot be one, or
    /// the user may not create tables in it. The message says which, and what to do.
    #[error("the tables of Rederive cannot be in schema {schema:?} of {database}: {problem}")]
    Schema {
        /// The database.
        database: String,
        /// The schema.
        schema: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The tables of Rederive in the schema were made by a later version. Run that one.
    #[error(
        "the database {database} has version {found} of Rederive's tables, but this program knows \
         only version {known}: run the newer program; nothing was changed"
    )]
    NewerSchema {
        /// The database.
        database: String,
        /// The version that is stored.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database takes no writes: the server is a stand-by of another, or was set so.
    #[error("the database {database} is read-only: {message}")]
    ReadOnly {
        /// The database.
        database: String,
        /// What the server said.
        message: String,
    },
    /// Somebody else was in the way all the time, or the statement took too long. Try again.
    #[error("the database {database} could not do it in time: {message}; nothing was changed")]
    Busy {
        /// The database.
        database: String,
        /// What the server said.
        message: String,
    },
    /// The connection broke, no connection of the pool is free, or the server lacks memory or space.
    #[error("the database {database} cannot be used: {message}; nothing was changed")]
    Unavailable {
        /// The database.
        database: String,
        /// What was said.
        message: String,
    },
    /// The connection broke while a transaction was being committed: it was done or was not. Read back
    /// what it would have written.
    #[error(
        "the connection to {database} broke during COMMIT, whose outcome is unknown: {message}"
    )]
    InDoubt {
        /// The database.
        database: String,
        /// What was said.
        message: String,
    },
    /// A statement failed, or your closure answered with an error; the transaction was rolled back.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}
