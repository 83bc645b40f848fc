//! The derived tables.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
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

/// The same on PostgreSQL. Ids are ordered by their bytes, as in SQLite, whatever the language of the
/// database.
pub(crate) fn create_on_postgres(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(
        "DO $$ BEGIN
            -- Of two ledgers that start at the same time, each would find no tables.
            PERFORM pg_advisory_xact_lock(hashtext('ledger'));
            -- To create an index that exists would have to wait for all who write to its table.
            IF to_regclass('entries') IS NOT NULL THEN
                RETURN;
            END IF;
            CREATE TABLE accounts (
                id text COLLATE \"C\" PRIMARY KEY,
                owner text NOT NULL,
                balance bigint NOT NULL,
                postings bigint NOT NULL,
                opened bigint NOT NULL
            );
            CREATE TABLE entries (
                account text COLLATE \"C\" NOT NULL,
                cursor bigint NOT NULL,
                from_account text NOT NULL,
                to_account text NOT NULL,
                amount bigint NOT NULL,
                memo text,
                time text NOT NULL,
                PRIMARY KEY (account, cursor)
            );
            -- For the audit, which looks at the newest entries of all accounts.
            CREATE INDEX entries_cursor ON entries (cursor);
        END $$",
    )
}
