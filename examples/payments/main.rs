//! Payments: a service that has a bank charge for orders, and records in the log what came of it:
//! exactly once for each order, though the process may be killed at any moment.
//!
//! ```text
//! payments --database FILE|URL --bank FILE [--lease SECONDS]
//! ```
//!
//! Each line of the standard input is an order, as `NUMBER CUSTOMER CENTS`; other processes may append
//! orders to the same database. Each outcome is a line of the standard output.

mod charges;

use std::{
    io::{BufRead, Write, stdin, stdout},
    path::PathBuf,
    thread,
    time::Duration,
};

use lexopt::{Arg, Parser, ValueExt};
use rederive::{
    AppendOnce, Begin, Config, EventStream, Store,
    diesel::{AppendError, PostgresDatabase, PostgresOptions, SqliteDatabase},
    prelude::*,
};
use rederive_examples::Place;

use charges::{Charges, Event};

type Failure = Box<dyn std::error::Error>;

struct Args {
    database: Place,
    bank: PathBuf,
    lease: Duration,
}

fn parse(mut parser: Parser) -> Result<Args, Failure> {
    let (mut database, mut bank, mut lease) = (None, None, 10.0);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("database") => database = Some(Place::from(parser.value()?)),
            Arg::Long("bank") => bank = Some(parser.value()?.into()),
            Arg::Long("lease") => lease = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let database = database.ok_or("--database FILE|URL is missing")?;
    let bank = bank.ok_or("--bank FILE is missing")?;
    Ok(Args { database, bank, lease: Duration::try_from_secs_f64(lease)? })
}

fn order(line: &str) -> Option<Event> {
    let mut words = line.split_whitespace();
    let (order, customer) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    Some(Event::Ordered { order, customer, cents: words.next()?.parse().ok()? })
}

fn main() -> Result<(), Failure> {
    env_logger::init();
    let args = parse(Parser::from_env())?;
    let system = actix_rt::System::new();
    match &args.database {
        Place::File(path) => {
            let db = SqliteDatabase::open(path)?;
            let log = db.event_log::<Event>();
            let orders = log.clone();
            let order = move |event| orders.append_blocking(vec![event]).map(drop);
            system.block_on(run(log, order, db.store(), &args))
        }
        Place::Server(url) => {
            let options = PostgresOptions::default().application_name("payments");
            let db = PostgresDatabase::connect_with(url, options)?;
            let log = db.event_log::<Event>();
            let orders = log.clone();
            let order = move |event| orders.append_blocking(vec![event]).map(drop);
            system.block_on(run(log, order, db.store(), &args))
        }
    }
}

async fn run(
    log: impl AppendOnce<Event = Event> + Clone,
    append: impl Fn(Event) -> Result<(), AppendError> + Send + 'static,
    store: impl Store,
    args: &Args,
) -> Result<(), Failure> {
    let mut events = EventStream::new(log.clone(), log.head()?)?;
    let charges = Charges { bank: args.bank.clone() };
    let config = Config { lease: args.lease, ..Config::default() };
    let rederive = Rederive::new(log.clone())
        .config(config)
        .register_service_from(charges, Begin::Start, log, store)
        .start()
        .await?;
    // The stream ends with the input.
    let stopper = events.stopper();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            let Some(order) = order(&line) else {
                log::error!("no order: {line}");
                continue;
            };
            if let Err(error) = append(order) {
                log::error!("not ordered: {error}");
            }
        }
        stopper.stop();
    });
    while let Some(event) = events.next().await {
        match event?.data {
            Event::Ordered { .. } => {}
            Event::Paid { order } => writeln!(stdout(), "{order} paid")?,
            Event::Declined { order, why } => writeln!(stdout(), "{order} declined: {why}")?,
        }
    }
    rederive.stop().await;
    Ok(())
}
