//! [`Database`]: a database of a test's own.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::server_url;

/// Runs a statement on the database with this URL: the client's part of it, which is not ours.
pub type Execute = fn(url: &str, sql: &str) -> Result<(), String>;

/// A new, empty database, which is dropped with this value, whoever is connected to it. That also
/// happens when the test fails.
pub struct Database {
    server: String,
    name: String,
    execute: Execute,
}

impl Database {
    /// A database on the server that tests share.
    ///
    /// # Panics
    ///
    /// When there is no server, or it does not create the database.
    #[must_use]
    pub fn create(execute: Execute) -> Self {
        Self::create_on(server_url(), execute)
    }

    /// A database on the server that has the database of this URL.
    ///
    /// # Panics
    ///
    /// When it does not create it.
    #[must_use]
    pub fn create_on(server: impl Into<String>, execute: Execute) -> Self {
        let (server, name) = (server.into(), unique_name());
        // Nothing that somebody may have put into the default template.
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        if let Err(why) = execute(&server, &sql) {
            panic!("{name} cannot be created: {why}");
        }
        Self { server, name, execute }
    }

    /// A new database with the same contents. Nobody may be connected to this one.
    ///
    /// # Panics
    ///
    /// When the server does not create it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self { server: self.server.clone(), name: unique_name(), execute: self.execute };
        let (name, template) = (&copy.name, &self.name);
        if let Err(why) =
            (self.execute)(&self.server, &format!("CREATE DATABASE {name} TEMPLATE {template}"))
        {
            panic!("{name} cannot be copied from {template}: {why}");
        }
        copy
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement on it.
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        if let Err(why) = (self.execute)(&self.url(), sql) {
            panic!("{why}: {sql}");
        }
    }

    /// Runs a statement on another database of its server: the one of [`create_on`](Self::create_on).
    ///
    /// # Panics
    ///
    /// When that fails.
    #[track_caller]
    pub fn administrate(&self, sql: &str) {
        if let Err(why) = (self.execute)(&self.server, sql) {
            panic!("{why}: {sql}");
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A server that is gone has taken the database with it; a test must not fail for it.
        let _ = (self.execute)(&self.server, &sql);
    }
}

/// Of this process and moment, as numbers of processes come again.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("rederive_test_{}_{:x}_{count}", process::id(), since.as_micros())
}

/// The URL with another database in it.
fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(one, two)| (one, Some(two)));
    let authority_at = address.find("://").map_or(0, |at| at + 3);
    let path_at = address[authority_at..].find('/').map_or(address.len(), |at| authority_at + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &address[..path_at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced_and_nothing_else() {
        for (url, replaced) in [
            ("postgres://me@host:1/bank", "postgres://me@host:1/other"),
            ("postgres://me:pw@host", "postgres://me:pw@host/other"),
            (
                "postgres://host/bank?sslmode=require&x=/y",
                "postgres://host/other?sslmode=require&x=/y",
            ),
            ("postgres:///bank?host=/run/postgresql", "postgres:///other?host=/run/postgresql"),
        ] {
            assert_eq!(with_database(url, "other"), replaced);
        }
    }

    #[test]
    fn names_do_not_come_again() {
        assert_ne!(unique_name(), unique_name());
    }
}
