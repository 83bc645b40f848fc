//! The tables: four of the same kind, one for each of up to four reducers.

use std::path::Path;

use diesel::{connection::SimpleConnection, prelude::*, sqlite::SqliteConnection};
use serde::{Deserialize, Serialize};

use crate::Failure;

macro_rules! account_tables {
    ($($table:ident $row:ident),*) => {
        $(
            diesel::table! {
                $table (id) {
                    id -> Text,
                    balance -> BigInt,
                    version -> BigInt,
                }
            }

            #[derive(Clone, Default, Insertable, Queryable, Selectable, Serialize, Deserialize)]
            #[diesel(table_name = $table)]
            pub(crate) struct $row {
                pub(crate) id: String,
                pub(crate) balance: i64,
                pub(crate) version: i64,
            }
        )*

        /// The names of the tables.
        pub(crate) const TABLES: [&str; 4] = [$(stringify!($table)),*];
    };
}
account_tables!(accounts Account, accounts_2 Account2, accounts_3 Account3, accounts_4 Account4);

diesel::table! {
    rederive_events (id) {
        id -> BigInt,
        time -> BigInt,
        data -> Text,
    }
}

/// Creates all tables, and the one that the floors keep their cursors in.
pub(crate) fn create(conn: &mut SqliteConnection) -> QueryResult<()> {
    for table in TABLES {
        conn.batch_execute(&format!(
            "CREATE TABLE {table} (
                id TEXT PRIMARY KEY NOT NULL, balance INTEGER NOT NULL, version INTEGER NOT NULL)"
        ))?;
    }
    conn.batch_execute(
        "CREATE TABLE floor_cursor (name TEXT PRIMARY KEY NOT NULL, cursor INTEGER NOT NULL)",
    )
}

/// What a table holds, in few numbers: both sides must come to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Sum {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) rows: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) balance: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) version: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) product: i64,
}

impl Sum {
    /// Of all tables in the file together.
    pub(crate) fn of(file: &Path) -> Result<Self, Failure> {
        let mut conn = SqliteConnection::establish(&file.display().to_string())?;
        let mut all = Self::default();
        for table in TABLES {
            let sum: Self = diesel::sql_query(format!(
                "SELECT count(*) AS rows, coalesce(sum(balance), 0) AS balance,
                    coalesce(sum(version), 0) AS version,
                    coalesce(sum(balance * version), 0) AS product FROM {table}"
            ))
            .get_result(&mut conn)?;
            all.add(sum.rows, sum.balance, sum.version, sum.product);
        }
        Ok(all)
    }

    fn add(&mut self, rows: i64, balance: i64, version: i64, product: i64) {
        self.rows += rows;
        self.balance += balance;
        self.version += version;
        self.product += product;
    }

    /// Adds one row.
    pub(crate) fn row(&mut self, balance: i64, version: i64) {
        self.add(1, balance, version, balance * version);
    }
}
