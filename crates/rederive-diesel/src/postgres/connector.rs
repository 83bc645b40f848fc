//! [`Connector`]: how connections are made, and what all that is done on them is bound to.

use diesel::{
    connection::{CacheSize, SimpleConnection},
    pg::PgConnection,
    prelude::*,
};

use super::{PostgresOptions, fault::Fault, target::Target};

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    keeps_statements: bool,
    /// What is set on each connection; nothing where a pooler may hand connections on.
    settings: String,
}

impl Connector {
    /// `bounds` are the settings that each connection gets.
    pub(crate) fn new(target: &Target, options: &PostgresOptions, bounds: &[String]) -> Self {
        let settings = bounds.iter().map(|bound| format!("SET {bound}"));
        let settings = settings.collect::<Vec<_>>().join("; ");
        let keeps_statements = options.prepared_statements != Some(false);
        Self { target: target.clone(), keeps_statements, settings }
    }

    /// The same for those who commit: plans are kept, and they are for few rows found by their keys,
    /// however small a table was when they were made. A transaction that finds rows otherwise
    /// goes without ([`PLANNED_ANEW`]).
    pub(crate) fn keeping_plans(&self) -> Self {
        let settings = "SET default_transaction_isolation = 'read committed'; \
            SET default_transaction_read_only = off; SET plan_cache_mode = force_generic_plan; \
            SET enable_seqscan = off; SET jit = off";
        let settings = [self.settings.as_str(), settings].join("; ");
        Self { settings, ..self.clone() }
    }

    pub(crate) fn connect(&self) -> Result<PgConnection, ConnectionError> {
        self.adopt(connect_to(&self.target)?)
    }

    /// Has a connection be like those that are made here.
    pub(crate) fn adopt(&self, mut conn: PgConnection) -> Result<PgConnection, ConnectionError> {
        if !self.keeps_statements {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        if !self.settings.is_empty() {
            let done = conn.batch_execute(&self.settings);
            done.map_err(ConnectionError::CouldntSetupConfiguration)?;
        }
        Ok(conn)
    }
}

/// Has a transaction on such a connection plan as on any other.
pub(crate) const PLANNED_ANEW: &str = "SET LOCAL plan_cache_mode TO DEFAULT; \
    SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL jit TO DEFAULT";

/// What transactions are bound to, as settings of the server.
pub(crate) fn bounds(options: &PostgresOptions, may_choose_language: bool) -> Vec<String> {
    let millis = |timeout: std::time::Duration| timeout.as_millis().min(i32::MAX as u128);
    let mut bounds = vec![
        format!("statement_timeout = {}", millis(options.statement_timeout)),
        format!("lock_timeout = {}", millis(options.lock_timeout)),
        format!("idle_in_transaction_session_timeout = {}", millis(options.idle_timeout)),
        "client_min_messages = warning".to_owned(),
    ];
    if may_choose_language {
        bounds.push("lc_messages = 'C'".to_owned());
    }
    bounds
}

/// Connects, once more where a pooler gave the parts of Diesel's first statements to several
/// connections of the server.
pub(crate) fn connect_to(target: &Target) -> Result<PgConnection, ConnectionError> {
    let mut tries = 1;
    loop {
        match PgConnection::establish(&target.url) {
            Err(ConnectionError::CouldntSetupConfiguration(error))
                if Fault::of(&error) == Fault::Connection && tries < 10 => {}
            done => return done,
        }
        tries += 1;
    }
}
