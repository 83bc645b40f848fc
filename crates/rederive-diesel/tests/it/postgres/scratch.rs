//! A database of a test's own on the shared server.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection,
};
use rederive_diesel::{PostgresDatabase, PostgresOptions};
use test_postgres::Database;

/// A database, which is dropped with this.
pub(crate) struct Scratch {
    pub(crate) db: PostgresDatabase,
    home: Database,
}

impl Scratch {
    pub(crate) fn new(set_up: &str) -> Self {
        Self::with(set_up, PostgresOptions::default())
    }

    pub(crate) fn with(set_up: &str, options: PostgresOptions) -> Self {
        let home = Database::create(|url, sql| {
            let mut conn = PgConnection::establish(url).map_err(|error| error.to_string())?;
            conn.batch_execute(sql).map_err(|error| error.to_string())
        });
        let db = PostgresDatabase::connect_with(home.url(), options).unwrap();
        let scratch = Self { db, home };
        if !set_up.is_empty() {
            scratch.execute(set_up);
        }
        scratch
    }

    /// Drops all handles and connects again.
    pub(crate) fn reopened(self) -> Self {
        let Self { db, home } = self;
        drop(db);
        Self { db: PostgresDatabase::connect(home.url()).unwrap(), home }
    }

    pub(crate) fn url(&self) -> String {
        self.home.url()
    }

    /// A handle as another process would have one.
    pub(crate) fn elsewhere(&self, options: PostgresOptions) -> PostgresDatabase {
        PostgresDatabase::connect_with(self.url(), options).unwrap()
    }

    /// A plain connection.
    pub(crate) fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.url()).unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.db.write(|conn| conn.batch_execute(sql)).unwrap();
    }

    /// The single text column of a query.
    pub(crate) fn text(&self, sql: &str) -> Vec<String> {
        lines(&mut self.connection(), sql)
    }
}

/// The single column of a query, called `line`, as text.
pub(crate) fn lines(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        line: String,
    }
    let sql = format!("SELECT coalesce(line::text, 'NULL') AS line FROM ({sql}) AS lines");
    let lines: Vec<Line> = diesel::sql_query(sql).load(conn).unwrap();
    lines.into_iter().map(|line| line.line).collect()
}
