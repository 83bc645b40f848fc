//! The service as a whole, on each kind of database.

mod http;
mod postings;

use std::any::Any;
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use rederive::Handle;
use rederive_examples::Place;

use crate::database::Database;
use crate::event::Posting;
use crate::request::NewAccount;
use crate::serve;
use crate::service::Service;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a test of each function, an `async fn(World)`, on every database there is.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {$(
            #[actix_web::test]
            async fn $name() {
                super::$name(crate::tests::World::on(crate::tests::sqlite()).await).await;
            }
        )*}

        mod postgres {$(
            #[actix_web::test]
            async fn $name() {
                super::$name(crate::tests::World::on(crate::tests::postgres()).await).await;
            }
        )*}
    };
}
use on_every_database;

/// A new database, and what goes with it.
pub(crate) struct New {
    pub(crate) db: Database,
    _kept: Box<dyn Any>,
}

/// A file in a temporary directory.
pub(crate) fn sqlite() -> New {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::File(directory.path().join("ledger.db"));
    New { db: Database::open(&place, 4).unwrap(), _kept: Box::new(directory) }
}

/// A database on the server that tests share.
pub(crate) fn postgres() -> New {
    let database = test_postgres::Database::create(|url, sql| {
        let mut conn = PgConnection::establish(url).map_err(|why| why.to_string())?;
        conn.batch_execute(sql).map_err(|why| why.to_string())
    });
    let place = Place::Server(database.url());
    New { db: Database::open(&place, 4).unwrap(), _kept: Box::new(database) }
}

/// A ledger on a database of its own.
struct World {
    service: Service,
    handle: Handle,
    new: New,
}

impl World {
    async fn on(new: New) -> Self {
        let handle = new.db.derive(rederive::Config::default()).await.unwrap();
        serve::catch_up(&handle).await.unwrap();
        let service = Service::new(new.db.clone(), handle.clone(), PATIENCE);
        Self { service, handle, new }
    }

    async fn open(&self, ids: &[&str]) {
        for id in ids {
            let account = NewAccount { id: (*id).to_owned(), owner: format!("owner of {id}") };
            self.service.open(account).await.unwrap();
        }
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
