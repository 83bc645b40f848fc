//! Rebuilds tables from the log, and starts on what is stored.

use std::time::Duration;

use rederive::{
    Config, Folded,
    diesel::{PostgresDatabase, SqliteDatabase, TableState},
    prelude::*,
};

use crate::{
    Failure,
    place::{Place, with_database},
    reducers::{
        Accounts, Accounts2, Accounts3, Accounts4, ByPostgresStatement, ByStatement, Folding,
    },
    tables::accounts,
};

/// Longer than any measure takes.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// The default settings; with `stay`, each partition has an actor of its own, however many there are,
/// and none is ever idle for long enough to stop.
pub(crate) fn config(stay: bool) -> Config {
    let config = Config::default();
    if stay {
        Config { idle_timeout: LONG, bulk: usize::MAX, gather: usize::MAX, ..config }
    } else {
        config
    }
}

/// Has the first so many reducers catch up with the log.
pub(crate) fn rebuild(place: &Place, reducers: usize, stay: bool) -> Result<(), Failure> {
    with_database!(place, db => {
        let rederive = Rederive::new(db.event_log()).config(config(stay));
        let (rederive, caught_up) = registered(rederive, &db.store(), reducers);
        run(rederive, caught_up)
    })
}

/// Registers the first reducer, or all four, and tells what to wait for.
pub(crate) fn registered(
    rederive: Rederive<crate::workload::AccountEvent>,
    store: &(impl Store + Clone),
    reducers: usize,
) -> (Rederive<crate::workload::AccountEvent>, Await) {
    let rederive = rederive.register(Accounts, store.clone());
    let caught_up = Await::caught_up("accounts").within(LONG);
    if reducers == 1 {
        return (rederive, caught_up);
    }
    let rederive = rederive
        .register(Accounts2, store.clone())
        .register(Accounts3, store.clone())
        .register(Accounts4, store.clone());
    (rederive, caught_up.and("accounts_2").and("accounts_3").and("accounts_4"))
}

/// Has the reducer with Diesel's own statements catch up.
pub(crate) fn by_statement(place: &Place) -> Result<(), Failure> {
    let rederive = match place {
        Place::File(file) => {
            let db = SqliteDatabase::open(file)?;
            Rederive::new(db.event_log()).register(ByStatement, db.store())
        }
        other => {
            let db = PostgresDatabase::connect(other.url()?)?;
            Rederive::new(db.event_log()).register(ByPostgresStatement, db.store())
        }
    };
    run(rederive.config(config(false)), Await::caught_up("accounts").within(LONG))
}

/// Has the fold catch up.
pub(crate) fn folded(place: &Place) -> Result<(), Failure> {
    let fold = Folded::with(Folding, TableState::new(accounts::table));
    let rederive = with_database!(place, db => {
        Ok::<_, Failure>(Rederive::new(db.event_log()).register_fold(fold, db.store()))
    })?;
    run(rederive.config(config(false)), Await::caught_up("accounts").within(LONG))
}

/// Opens the database and catches up, with the default settings.
pub(crate) fn start(place: &Place) -> Result<(), Failure> {
    with_database!(place, db => {
        let (rederive, caught_up) = registered(Rederive::new(db.event_log()), &db.store(), 1);
        run(rederive, caught_up)
    })
}

/// Starts, waits and stops.
pub(crate) fn run<E>(rederive: Rederive<E>, until: Await) -> Result<(), Failure>
where
    E: Send + Sync + 'static,
{
    actix_rt::System::new().block_on(async {
        let handle = rederive.start().await?;
        handle.wait(until).await?;
        handle.stop().await;
        Ok(())
    })
}
