//! Clients that append an event and wait until it is visible.

use std::{future::Future, rc::Rc, time::Instant};

use rederive::prelude::*;

use super::rebuild::{LONG, registered};
use crate::{
    Failure,
    place::{Place, with_database},
    stats::Spread,
    workload::{AccountEvent, movements},
};

/// Runs `n` events through so many clients with the default settings.
pub(crate) fn run(place: &Place, n: u64, p: u64, clients: u64) -> Result<f64, Failure> {
    with_database!(place, db => {
        let (rederive, caught_up) = registered(Rederive::new(db.event_log()), &db.store(), 1);
        let log = db.event_log::<AccountEvent>();
        actix_rt::System::new().block_on(async {
            let handle = rederive.start().await?;
            handle.wait(caught_up).await?;
            let rederive = handle.clone();
            let figure = measure(n, p, clients, move |event| {
                let (log, rederive) = (log.clone(), rederive.clone());
                async move {
                    let recorded = log.append(vec![event]).await?;
                    rederive.wait(Await::events("accounts", &recorded).within(LONG)).await?;
                    Ok(())
                }
            });
            let figure = figure.await?;
            handle.stop().await;
            Ok(figure)
        })
    })
}

/// What it takes: the median of microseconds for one client, else events per second of all.
///
/// All clients share this thread, like the request handlers of one worker.
pub(crate) async fn measure<R, F>(n: u64, p: u64, clients: u64, request: R) -> Result<f64, Failure>
where
    R: Fn(AccountEvent) -> F + Clone + 'static,
    F: Future<Output = Result<(), Failure>> + 'static,
{
    let events: Rc<[AccountEvent]> = movements(2, p).take(usize::try_from(n)?).collect();
    if clients == 1 {
        let mut took = Vec::new();
        for event in events.iter() {
            let begun = Instant::now();
            request(event.clone()).await?;
            took.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        return Ok(Spread::of(took).median);
    }
    let begun = Instant::now();
    let each = events.len().div_ceil(usize::try_from(clients)?).max(1);
    let clients: Vec<_> = (0..events.len())
        .step_by(each)
        .map(|from| {
            let (events, request) = (Rc::clone(&events), request.clone());
            actix_rt::spawn(async move {
                for event in events.iter().skip(from).take(each) {
                    request(event.clone()).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(events.len() as f64 / begun.elapsed().as_secs_f64())
}
