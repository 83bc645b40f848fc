//! Starting and stopping, each in its order.

use std::fmt;
use std::io::Write as _;
use std::net::TcpListener;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use actix_web::rt::{spawn, time::sleep};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use rederive::{Await, AwaitError, Config, Handle, Outcome};

use crate::args::Args;
use crate::database::Database;
use crate::derive::LEDGER;
use crate::routes;
use crate::service::Service;
use crate::signal::StopSignal;

/// How long a request waits until its event is visible. Commits take milliseconds: who waits longer
/// had better be told that something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads for reading the database, per worker of the server. Each has a connection of its own, so
/// that no read waits for another.
const READERS: usize = 4;

/// How long requests under way may take to be answered once the server stops.
const FINISH_WITHIN: Duration = Duration::from_secs(20);

/// Why the program could not serve.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0)
    }
}

/// Serves until a signal says to stop.
pub(crate) async fn serve(args: Args) -> Result<(), Failure> {
    let mut stop = StopSignal::listen().map_err(Failure::new)?;
    // First of all: a second ledger that is started by mistake finds the address in use.
    let listener = TcpListener::bind(&args.listen)
        .map_err(|why| Failure(format!("cannot listen on {}: {why}", args.listen)))?;

    let workers = thread::available_parallelism().map_or(2, NonZero::get);
    // Two more for the event log and what else reads.
    let readers = u32::try_from(workers * READERS + 2).unwrap_or(u32::MAX);
    let db = Database::open(&args.database, readers)?;
    let handle = db.derive(Config { lease: args.lease, ..Config::default() }).await?;

    // Requests count on the tables holding all that was recorded before.
    let served = match stop.or(catch_up(&handle)).await {
        None => Ok(()),
        Some(Err(failure)) => Err(failure),
        Some(Ok(())) => {
            let service = Service::new(db, handle.clone(), PATIENCE);
            answer(listener, workers, service, stop).await
        }
    };
    // Last of all, as the requests that were under way needed the reducer.
    handle.stop().await;
    served
}

/// Answers requests until the signal, and those under way at that moment.
async fn answer(
    listener: TcpListener,
    workers: usize,
    service: Service,
    stop: StopSignal,
) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(Failure::new)?;
    let service = Data::new(service);
    let shared = Arc::clone(&service);
    let server =
        HttpServer::new(move || App::new().app_data(service.clone()).configure(routes::configure))
            .workers(workers)
            .worker_max_blocking_threads(READERS)
            // Left to itself, the server answers a signal by stopping the whole actix system, the reducer
            // with it, as it stands.
            .disable_signals()
            .shutdown_timeout(FINISH_WITHIN.as_secs())
            .listen(listener)
            .map_err(Failure::new)?
            .run();
    let control = server.handle();
    let server = spawn(server);
    spawn(async move {
        stop.received().await;
        control.stop(true).await;
    });
    announce(&format!("listening on http://{address}"));
    let served = server.await.map_err(Failure::new)?.map_err(Failure::new);
    // The workers let go of the database a moment after the server has ended. Only when nobody has
    // it open any more, SQLite moves its write-ahead log into the file.
    let ended = Instant::now();
    while Arc::strong_count(&shared) > 1 && ended.elapsed() < FINISH_WITHIN {
        sleep(Duration::from_millis(5)).await;
    }
    served
}

/// Waits until the tables hold all that the log does.
pub(crate) async fn catch_up(handle: &Handle) -> Result<(), Failure> {
    loop {
        match handle.wait(Await::caught_up(LEDGER).within(PATIENCE)).await {
            Ok(_) => return Ok(()),
            Err(error) if is_halted(&error) => {
                // The other accounts are as good as ever.
                log::error!("some accounts are halted, and the audit with them: {error}");
                return Ok(());
            }
            Err(error) if error.is_timeout() => {
                for status in handle.status().await {
                    log::warn!("still catching up: {status:?}");
                }
            }
            Err(error) => return Err(Failure::new(error)),
        }
    }
}

fn is_halted(error: &AwaitError) -> bool {
    let AwaitError::Incomplete(awaited) = error else { return false };
    awaited.replies.iter().any(|reply| matches!(reply.outcome, Outcome::Halted(_)))
}

/// To stdout, for whoever started the program. It serves all the same if nobody reads that.
fn announce(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
