//! [`Service`]: opens accounts and records postings, so that every reply shows its own write.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::web;
use diesel::QueryResult;
use rederive::diesel::{AppendError, Expected};
use rederive::{Await, AwaitError, Handle, Recorded};
use serde::Serialize;

use crate::audit::Audit;
use crate::books::{Account, Books};
use crate::database::Database;
use crate::derive::{self, LEDGER};
use crate::event::{LedgerEvent, Posting};
use crate::problem::Problem;
use crate::request::NewAccount;
use crate::reservations::{Claim, Reservations};

/// What the handlers of requests share. Clones are handles of the same.
#[derive(Clone)]
pub(crate) struct Service {
    db: Database,
    handle: Handle,
    reservations: Arc<Mutex<Reservations>>,
    /// How long a request waits until its event is visible.
    patience: Duration,
}

/// The reply to a posting.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Receipt {
    pub(crate) cursor: i64,
    pub(crate) balances: BTreeMap<String, i64>,
}

impl Service {
    /// Begins without reservations: everything in the log must be visible already.
    pub(crate) fn new(db: Database, handle: Handle, patience: Duration) -> Self {
        Self { db, handle, reservations: Arc::default(), patience }
    }

    /// The same service, to whom this patience is given.
    #[cfg(test)]
    pub(crate) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Runs queries in one transaction, on a thread kept for that: a query may wait for the disk,
    /// and a worker of the server that waits answers nobody.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Books) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let db = self.db.clone();
        web::block(move || db.read(read)).await.map_err(Problem::unavailable)?
    }

    pub(crate) async fn open(&self, account: NewAccount) -> Result<Account, Problem> {
        let NewAccount { id, owner } = account;
        let event = LedgerEvent::Opened { id: id.clone(), owner };
        // Of two requests for one id at the same time, the log takes one.
        let stream = format!("account:{id}");
        let recorded = match self.db.append_to(stream, Expected::NoStream, vec![event]).await {
            Ok(recorded) => recorded,
            Err(AppendError::Conflict { .. }) => {
                let what = format!("the account {id:?} exists already");
                return Err(Problem::new(actix_web::http::StatusCode::CONFLICT, what));
            }
            Err(error) => return Err(Problem::not_recorded(&error)),
        };
        let cursor = cursor_of(&recorded)?;
        self.visible(&recorded).await.map_err(|error| Problem::not_visible(&error, cursor))?;
        let found = self.read(move |books| books.account(&id)).await;
        found
            .and_then(|account| account.ok_or_else(|| Problem::broken("the account is gone")))
            .map_err(|problem| problem.recorded_at(cursor))
    }

    pub(crate) async fn post(&self, posting: Posting) -> Result<Receipt, Problem> {
        let claim = self.reservations().reserve(posting);
        let recorded = match self.fits(&claim).await {
            // A future that is dropped while it appends leaves its claim behind. That is merely too
            // careful.
            Ok(()) => self.db.append(vec![LedgerEvent::Posted(claim.posting().clone())]).await,
            Err(problem) => {
                self.reservations().release(&claim);
                return Err(problem);
            }
        };
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) => {
                let problem = Problem::not_recorded(&error);
                match error {
                    // Once all is visible that the log has now, it is in the balances or nowhere.
                    AppendError::InDoubt { .. } => {
                        self.release_later(claim, Await::caught_up(LEDGER));
                    }
                    _ => self.reservations().release(&claim),
                }
                return Err(problem);
            }
        };
        let cursor = cursor_of(&recorded)?;
        let (from, to) = (claim.posting().from.clone(), claim.posting().to.clone());
        if let Err(error) = self.visible(&recorded).await {
            self.release_later(claim, Await::events(LEDGER, &recorded));
            return Err(Problem::not_visible(&error, cursor));
        }
        self.reservations().release(&claim);
        let balances = self.balances(from.clone(), to.clone()).await;
        let (from_balance, to_balance) = balances.map_err(|problem| problem.recorded_at(cursor))?;
        Ok(Receipt { cursor, balances: BTreeMap::from([(from, from_balance), (to, to_balance)]) })
    }

    /// The totals of the ledger at a cursor that is not before any event replied to so far.
    pub(crate) async fn audit(&self) -> Result<Audit, Problem> {
        let impossible = |why: &dyn Display| {
            Problem::unavailable(format_args!("the ledger cannot be audited now: {why}"))
        };
        let db = self.db.clone();
        let head = web::block(move || db.head()).await.map_err(Problem::unavailable)?;
        let cursor = derive::number(&head?).map_err(Problem::broken)?;
        let request = Await::caught_up(LEDGER).within(self.patience);
        // An error, too, when an account is halted: it lacks the effect of a posting whose other
        // side may have arrived.
        self.handle.wait(request).await.map_err(|error| impossible(&error))?;
        self.read(move |books| books.audit(cursor)).await
    }

    /// Whether both accounts exist and neither balance could overflow.
    async fn fits(&self, claim: &Claim) -> Result<(), Problem> {
        let Posting { from, to, .. } = claim.posting();
        let (from_balance, to_balance) = self.balances(from.clone(), to.clone()).await?;
        match claim.overflowing(from_balance, to_balance) {
            None => Ok(()),
            Some(account) => Err(Problem::refused(format_args!(
                "the balance of account {account:?} could overflow"
            ))),
        }
    }

    async fn balances(&self, from: String, to: String) -> Result<(i64, i64), Problem> {
        self.read(move |books| {
            let balances = (books.balance(&from)?, books.balance(&to)?);
            Ok(match balances {
                (Some(from), Some(to)) => Ok((from, to)),
                (None, _) => Err(Problem::no_account(&from)),
                (_, None) => Err(Problem::no_account(&to)),
            })
        })
        .await?
    }

    /// Waits until the events are in the tables, in both accounts of a posting.
    async fn visible(&self, recorded: &[Recorded<LedgerEvent>]) -> Result<(), AwaitError> {
        let request = Await::events(LEDGER, recorded).within(self.patience);
        self.handle.wait(request).await.map(drop)
    }

    /// Releases the claim once `until` has happened; never if it never happens, as when the account
    /// is halted.
    fn release_later(&self, claim: Claim, until: Await) {
        let service = self.clone();
        actix_web::rt::spawn(async move {
            let until = until.within(Duration::from_secs(3600));
            loop {
                match service.handle.wait(until.clone()).await {
                    Ok(_) => return service.reservations().release(&claim),
                    Err(error) if error.is_timeout() => {}
                    Err(_) => return,
                }
            }
        });
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations> {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cursor_of(recorded: &[Recorded<LedgerEvent>]) -> Result<i64, Problem> {
    let event = recorded.first().ok_or_else(|| Problem::broken("the log recorded nothing"))?;
    derive::number(&event.cursor).map_err(Problem::broken)
}
