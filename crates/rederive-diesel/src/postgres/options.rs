//! [`PostgresOptions`].

use std::time::Duration;

/// How a [`PostgresDatabase`](crate::PostgresDatabase) is connected to.
///
/// The time-outs hold for the transactions of Rederive and of
/// [`read`](crate::PostgresDatabase::read) and [`write`](crate::PostgresDatabase::write). They are set
/// when a connection is made; where a pooler may hand it on, for each transaction, so that nothing of
/// them stays on it.
///
/// ```
/// use std::time::Duration;
/// use rederive_diesel::PostgresOptions;
///
/// let options = PostgresOptions::default()
///     .schema("billing")
///     .lock_timeout(Duration::from_secs(2))
///     .connections(16);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresOptions {
    pub(crate) schema: Option<String>,
    pub(crate) application_name: String,
    pub(crate) connections: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) prepared_statements: Option<bool>,
    pub(crate) append_queue: usize,
    pub(crate) notifications: Option<bool>,
    pub(crate) notification_interval: Duration,
    pub(crate) held_back_after: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: None,
            application_name: "rederive".to_owned(),
            connections: 8,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            prepared_statements: None,
            append_queue: 1024,
            notifications: None,
            notification_interval: Duration::from_millis(20),
            held_back_after: Duration::from_secs(1),
        }
    }
}

impl PostgresOptions {
    /// The schema that the tables of Rederive are in; by default the one that the server takes for
    /// this user when none is named (`current_schema()`, as a rule `public`). It must exist.
    ///
    /// Your own tables are found as the server finds them for this user, by its `search_path`.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// What the server calls the connections, in `pg_stat_activity` and its log; `rederive` by
    /// default. A name in the URL goes before it.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// How many connections reads, and writes beside those of reducers, may use at once (at least
    /// one); 8 by default. The event log and each worker that commits have one more of their own.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long to wait for a connection (at least a second); 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_secs(1));
        self
    }

    /// How long a statement may take; 60 s by default, zero for no limit. A commit that takes longer
    /// is tried again and again: raise the limit when a single statement of yours needs more.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long a statement may wait for a lock; 10 s by default, zero for no limit.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a transaction may lie idle before the server ends it and its connection, so that a
    /// process that was frozen holds no locks; 60 s by default, zero for no limit.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Whether statements are prepared once and kept on the server. By default they are, unless a
    /// pooler (pgbouncer) is found between this program and the server: one that gives each transaction
    /// another connection of the server loses them. Say `true` for one that is known not to.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = Some(prepared);
        self
    }

    /// How many appends may wait for their transaction before further ones wait for room (at least
    /// one); 1024 by default.
    pub fn append_queue(mut self, appends: usize) -> Self {
        self.append_queue = appends.max(1);
        self
    }

    /// Whether appends are announced to other processes (`NOTIFY`) and heard of from them (`LISTEN`),
    /// by a connection of its own. By default they are, unless a pooler (pgbouncer) is found between this
    /// program and the server: through one that gives each transaction another connection of the
    /// server, nothing would be heard. Followers poll as well, so nothing is missed without it.
    ///
    /// Whether there is a pooler is looked for at the start, by one more connection; not where both
    /// this and [`prepared_statements`](Self::prepared_statements) are given.
    ///
    /// The channel is `rederive_events.` with the name of the schema; there is nothing in a
    /// notification but that it happened.
    pub fn notifications(mut self, notifications: bool) -> Self {
        self.notifications = Some(notifications);
        self
    }

    /// How often is looked whether a notification has come (at least a millisecond apart), and how
    /// far apart appends are announced at least; 20 ms by default. Looking asks nothing of the server.
    pub fn notification_interval(mut self, interval: Duration) -> Self {
        self.notification_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a transaction must have been open for a log to name it as one that holds it back
    /// ([`EventLog::held_back`](rederive_core::EventLog::held_back)); 1 s by default.
    pub fn held_back_after(mut self, age: Duration) -> Self {
        self.held_back_after = age;
        self
    }
}
