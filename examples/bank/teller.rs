//! Decides what may happen, records it, and waits until it can be read.

use std::time::Duration;

use actix_web::{
    error::{ErrorConflict, ErrorInternalServerError, ErrorNotFound, ErrorServiceUnavailable},
    web::block,
};
use diesel::prelude::*;
use rederive::{
    diesel::{AppendError, Expected, SqliteDatabase, SqliteEventLog},
    prelude::*,
};

use crate::accounts::{Account, Event, accounts};

pub(crate) struct Teller {
    db: SqliteDatabase,
    log: SqliteEventLog<Event>,
    rederive: Handle,
}

impl Teller {
    pub(crate) fn new(db: SqliteDatabase, rederive: Handle) -> Self {
        Self { log: db.event_log(), db, rederive }
    }

    pub(crate) async fn open(&self, account: String, owner: String) -> actix_web::Result<Account> {
        let opened = Event::Opened { account: account.clone(), owner };
        self.record(account, Expected::NoStream, opened).await
    }

    pub(crate) async fn deposit(&self, account: String, cents: i64) -> actix_web::Result<Account> {
        self.show(account.clone()).await?;
        let deposited = Event::Deposited { account: account.clone(), cents };
        self.record(account, Expected::Any, deposited).await
    }

    /// No account is overdrawn, however many withdraw from it at once: the event is recorded only if
    /// nothing has happened to the account since the balance was computed.
    pub(crate) async fn withdraw(&self, account: String, cents: i64) -> actix_web::Result<Account> {
        let (log, stream) = (self.log.clone(), account.clone());
        let history = block(move || log.read_stream(&stream, 0, usize::MAX)).await?;
        let history = history.map_err(ErrorServiceUnavailable)?;
        let balance: i64 = history.iter().map(|event| event.data.effect()).sum();
        if history.is_empty() {
            return Err(ErrorNotFound("no such account"));
        }
        if cents > balance {
            return Err(ErrorConflict(format!("only {balance} cents are there")));
        }
        let unchanged = Expected::Version(history.len() as u64);
        let withdrawn = Event::Withdrawn { account: account.clone(), cents };
        self.record(account, unchanged, withdrawn).await
    }

    pub(crate) async fn show(&self, account: String) -> actix_web::Result<Account> {
        let db = self.db.clone();
        let read = move || {
            let row = accounts::table.find(account).select(Account::as_select());
            db.read(|conn| row.first(conn).optional())
        };
        let found = block(read).await?.map_err(ErrorServiceUnavailable)?;
        found.ok_or_else(|| ErrorNotFound("no such account"))
    }

    /// Appends to the account's stream, and shows the account as the event has left it.
    async fn record(
        &self,
        account: String,
        expected: Expected,
        event: Event,
    ) -> actix_web::Result<Account> {
        let recorded = self.log.append_to(&account, expected, vec![event]).await;
        let recorded = recorded.map_err(|error| match error {
            AppendError::Conflict { .. } => ErrorConflict(error),
            other => ErrorServiceUnavailable(other),
        })?;
        let visible = Await::events("accounts", &recorded).within(Duration::from_secs(5));
        // Recorded it is, whatever comes of this: who is told otherwise must not try again.
        self.rederive.wait(visible).await.map_err(ErrorInternalServerError)?;
        self.show(account).await
    }
}
