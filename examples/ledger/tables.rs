//! The derived tables.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

diesel::table! {
    accounts (id) {
        id -> Text,
        owner -> Text,
        balance -> BigInt,
        /// How many postings the account has part in.
        postings -> BigInt,
        /// The cursor of the event that opened it.
        opened -> BigInt,
    }
}

diesel::table! {
    /// One row for each side of a posting.
    entries (account, cursor) {
        account -> Text,
        cursor -> BigInt,
        from_account -> Text,
        to_account -> Text,
        /// What the posting adds to the account: negative for the one it leaves.
        amount -> BigInt,
        memo -> Nullable<Text>,
        time -> Text,
    }
}

/// Creates the tables where they are missing.
pub(crate) fn create(conn: &mut SqliteConnection) -> QueryResult<()> {
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS accounts (
            id TEXT PRIMARY KEY NOT NULL,
            owner TEXT NOT NULL,
            balance INTEGER NOT NULL,
            postings INTEGER NOT NULL,
            opened INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS entries (
            account TEXT NOT NULL,
            cursor INTEGER NOT NULL,
            from_account TEXT NOT NULL,
            to_account TEXT NOT NULL,
            amount INTEGER NOT NULL,
            memo TEXT,
            time TEXT NOT NULL,
            PRIMARY KEY (account, cursor)
        ) STRICT, WITHOUT ROWID;
        -- For the audit, which looks at the newest entries of all accounts.
        CREATE INDEX IF NOT EXISTS entries_cursor ON entries (cursor);",
    )
}
