//! Welcome mails: whoever signs up is sent a mail over SMTP, at least once, and with the same
//! Message-Id each time.
//!
//! ```text
//! notifier --database FILE --smtp HOST:PORT [--lease SECONDS]
//! ```
//!
//! Each line of the standard input is the address of somebody who signs up. Other processes may
//! append to the same database; of several notifiers one sends, and another goes on when that one has
//! stopped, or when it has not been heard of for the time of its lease. Nobody who signed up before the first start is sent anything.

mod mails;

use std::{
    io::{BufRead, Write, stdin, stdout},
    thread,
    time::Duration,
};

use lexopt::{Arg, Parser, ValueExt};
use rederive::{Config, diesel::SqliteDatabase, prelude::*};
use tokio::sync::mpsc;

use mails::{SignedUp, WelcomeMails};

type Failure = Box<dyn std::error::Error>;

struct Args {
    database: String,
    smtp: String,
    lease: Duration,
}

fn parse(mut parser: Parser) -> Result<Args, Failure> {
    let (mut database, mut smtp, mut lease) = (None, None, 10.0);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("database") => database = Some(parser.value()?.string()?),
            Arg::Long("smtp") => smtp = Some(parser.value()?.string()?),
            Arg::Long("lease") => lease = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let database = database.ok_or("--database FILE is missing")?;
    let smtp = smtp.ok_or("--smtp HOST:PORT is missing")?;
    Ok(Args { database, smtp, lease: Duration::try_from_secs_f64(lease)? })
}

/// The lines of the standard input, which is read on a thread of its own.
fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn main() -> Result<(), Failure> {
    env_logger::init();
    let args = parse(Parser::from_env())?;
    actix_rt::System::new().block_on(run(args))
}

async fn run(args: Args) -> Result<(), Failure> {
    let db = SqliteDatabase::open(&args.database)?;
    let log = db.event_log::<SignedUp>();
    let mails = WelcomeMails::new(&args.smtp)?;
    let config = Config { lease: args.lease, ..Config::default() };
    let rederive = Rederive::new(log.clone()).config(config).notify(mails, db.store());
    let rederive = rederive.start().await?;
    writeln!(stdout(), "ready")?;
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        log.append(vec![SignedUp { mail: line.trim().to_owned() }]).await?;
    }
    rederive.stop().await;
    Ok(())
}
