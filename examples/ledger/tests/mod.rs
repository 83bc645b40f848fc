//! The service as a whole, on a database of its own.

mod http;
mod postings;

use std::time::{Duration, Instant};

use rederive::Handle;
use rederive::diesel::SqliteDatabase;
use tempfile::TempDir;

use crate::event::Posting;
use crate::request::NewAccount;
use crate::serve;
use crate::service::Service;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A ledger in a temporary directory.
struct World {
    service: Service,
    handle: Handle,
    db: SqliteDatabase,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let db = SqliteDatabase::open(directory.path().join("ledger.db")).unwrap();
        let handle = serve::derive_from(&db, rederive::Config::default()).await.unwrap();
        serve::catch_up(&handle).await.unwrap();
        let service = Service::new(db.clone(), handle.clone(), PATIENCE);
        Self { service, handle, db, _directory: directory }
    }

    async fn with_accounts(ids: &[&str]) -> Self {
        let world = Self::new().await;
        for id in ids {
            let account = NewAccount { id: (*id).to_owned(), owner: format!("owner of {id}") };
            world.service.open(account).await.unwrap();
        }
        world
    }

    async fn end(self) {
        self.handle.stop().await;
    }
}

fn posting(from: &str, to: &str, amount: i64) -> Posting {
    Posting { from: from.to_owned(), to: to.to_owned(), amount, memo: None }
}

/// Asks again until the answer is true.
async fn eventually(mut asked: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !asked().await {
        assert!(begun.elapsed() < PATIENCE, "it does not happen");
        actix_web::rt::time::sleep(Duration::from_millis(1)).await;
    }
}
