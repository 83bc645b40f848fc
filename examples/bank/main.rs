//! The application of `docs/guide.md`: accounts over HTTP, every answer of which shows its own write.

mod accounts;
mod teller;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    io::{self, Write as _},
    num::NonZeroU32,
    task::Poll,
};

use actix_web::{
    App, HttpServer, Result, get, post,
    rt::signal::unix::{SignalKind, signal},
    web::{Data, Json, Path},
};
use rederive::{diesel::SqliteDatabase, prelude::*};
use serde::Deserialize;

use crate::{
    accounts::{Account, Accounts},
    teller::Teller,
};

#[actix_web::main]
async fn main() -> io::Result<()> {
    env_logger::init();
    let file = std::env::args().nth(1).unwrap_or_else(|| "bank.db".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    let db = SqliteDatabase::open(file).map_err(io::Error::other)?;
    let rederive = Rederive::new(db.event_log())
        .register(Accounts, db.store())
        .start()
        .await
        .map_err(io::Error::other)?;

    let teller = Data::new(Teller::new(db, rederive.clone()));
    let app = move || {
        let app = App::new().app_data(Data::clone(&teller));
        app.service(open).service(deposit).service(withdraw).service(show)
    };
    // Requests first, then the reducers that they wait for: a server that minds the signals itself
    // would end both at once.
    let server = HttpServer::new(app).disable_signals().bind(address)?;
    for address in server.addrs() {
        writeln!(io::stdout(), "listening on http://{address}")?;
    }
    let server = server.run();
    let control = server.handle();
    actix_web::rt::spawn(async move {
        told_to_stop().await;
        control.stop(true).await;
    });
    server.await?;
    rederive.stop().await;
    Ok(())
}

/// SIGTERM, as a service manager sends it, or Ctrl-C.
async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    poll_fn(|cx| match (terminate.poll_recv(cx), interrupt.poll_recv(cx)) {
        (Poll::Pending, Poll::Pending) => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

#[derive(Deserialize)]
struct Opening {
    owner: String,
}

#[derive(Deserialize)]
struct Amount {
    cents: NonZeroU32,
}

#[post("/accounts/{id}")]
async fn open(
    teller: Data<Teller>,
    id: Path<String>,
    body: Json<Opening>,
) -> Result<Json<Account>> {
    teller.open(id.into_inner(), body.into_inner().owner).await.map(Json)
}

#[post("/accounts/{id}/deposits")]
async fn deposit(
    teller: Data<Teller>,
    id: Path<String>,
    body: Json<Amount>,
) -> Result<Json<Account>> {
    teller.deposit(id.into_inner(), body.cents.get().into()).await.map(Json)
}

#[post("/accounts/{id}/withdrawals")]
async fn withdraw(
    teller: Data<Teller>,
    id: Path<String>,
    body: Json<Amount>,
) -> Result<Json<Account>> {
    teller.withdraw(id.into_inner(), body.cents.get().into()).await.map(Json)
}

#[get("/accounts/{id}")]
async fn show(teller: Data<Teller>, id: Path<String>) -> Result<Json<Account>> {
    teller.show(id.into_inner()).await.map(Json)
}
