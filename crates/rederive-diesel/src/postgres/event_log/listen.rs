//! [`Listener`]: hears of appends of other processes, and tells them of ours.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, pg::PgConnection, prelude::*};
use rederive_core::Wakers;

use super::super::{
    connections::{Connections, text_of},
    sql::{Sql, quoted},
};

/// How long one who only listens waits before it connects: who starts has better things to do.
const NO_HURRY: Duration = Duration::from_millis(100);

/// After a connection was lost, the pause before the next one; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The longest name that a channel can have, in bytes.
const LONGEST_NAME: usize = 63;

/// Hands the work to a thread with a connection of its own, which begins when it is needed and ends
/// when this is dropped.
///
/// What is heard is a hint and nothing more: followers also poll. So a connection that is lost costs
/// nothing but time, and nobody is told of it.
pub(crate) struct Listener {
    connections: Arc<Connections>,
    wakers: Arc<Wakers>,
    running: Mutex<Option<mpsc::Sender<()>>>,
}

impl Listener {
    pub(crate) fn new(connections: &Arc<Connections>, wakers: &Arc<Wakers>) -> Self {
        let (connections, wakers) = (Arc::clone(connections), Arc::clone(wakers));
        Self { connections, wakers, running: Mutex::default() }
    }

    /// Begins to listen.
    pub(crate) fn start(&self) {
        self.tell(false);
    }

    /// Tells other processes that events were appended: soon, and once for all that are appended
    /// until then.
    pub(crate) fn announce(&self) {
        self.tell(true);
    }

    fn tell(&self, announce: bool) {
        if self.connections.options.notifications == Some(false) {
            return;
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match running.take() {
            Some(sender) => sender,
            None => {
                let (sender, told) = mpsc::channel();
                let thread = Thread {
                    connections: Arc::clone(&self.connections),
                    wakers: Arc::clone(&self.wakers),
                    channel: channel(&self.connections.schema.name),
                    told,
                };
                let spawned = thread::Builder::new()
                    .name("rederive-listen".to_owned())
                    .spawn(move || thread.run());
                if let Err(error) = spawned {
                    log::warn!("cannot start a thread to listen: {error}; followers poll");
                    return;
                }
                sender
            }
        };
        // A thread that has ended is started anew the next time.
        if !announce || sender.send(()).is_ok() {
            *running = Some(sender);
        }
    }
}

/// The channel on which appends to the log in this schema are announced.
pub(crate) fn channel(schema: &str) -> String {
    let mut name = format!("rederive_events.{schema}");
    // Two that are cut to the same name wake each other in vain, which harms nobody.
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    name
}

struct Thread {
    connections: Arc<Connections>,
    wakers: Arc<Wakers>,
    channel: String,
    /// Something is to be announced.
    told: Receiver<()>,
}

/// What the thread is to do next.
#[derive(PartialEq)]
enum Next {
    GoOn,
    End,
}

impl Thread {
    fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut announce = false;
        if self.wait(NO_HURRY, &mut announce) == Next::End {
            return;
        }
        loop {
            match self.connect() {
                Ok(conn) => {
                    pause = FIRST_PAUSE;
                    // What was appended meanwhile was not heard.
                    self.wakers.wake();
                    match self.listen(conn, &mut announce) {
                        Ok(()) => return,
                        Err(error) => self.lost(&text_of(&error)),
                    }
                }
                Err(message) => self.lost(&message),
            }
            if self.wait(pause, &mut announce) == Next::End {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lost(&self, message: &str) {
        let database = &self.connections.target.name;
        log::debug!(target: "rederive", "{database}: cannot listen: {message}; followers poll");
    }

    fn connect(&self) -> Result<PgConnection, String> {
        let connector = &self.connections.connector;
        let mut conn = connector.connect().map_err(|error| error.to_string())?;
        // A notification need not be on the disk: it would wait for that beside the appends.
        let listen = format!("SET synchronous_commit = off; LISTEN {}", quoted(&self.channel));
        conn.batch_execute(&listen).map_err(|error| text_of(&error))?;
        Ok(conn)
    }

    /// Listens until the database handle is gone.
    fn listen(&self, mut conn: PgConnection, announce: &mut bool) -> QueryResult<()> {
        let interval = self.connections.options.notification_interval;
        let notify = format!("NOTIFY {}", quoted(&self.channel));
        let text = "SELECT pg_catalog.pg_backend_pid()::pg_catalog.int8";
        let me = Sql { text, binds: &[] }.row(&mut conn)?;
        let me = me.map_or(Ok(0), |mut row| row.integer())?;
        let mut announced: Option<Instant> = None;
        loop {
            // Others look no more often than that.
            if *announce && announced.is_none_or(|last| last.elapsed() >= interval) {
                conn.batch_execute(&notify)?;
                (*announce, announced) = (false, Some(Instant::now()));
            }
            let mut heard = false;
            for notification in conn.notifications_iter() {
                heard |= i64::from(notification?.process_id) != me;
            }
            if heard {
                self.wakers.wake();
            }
            if self.wait(interval, announce) == Next::End {
                return Ok(());
            }
        }
    }

    /// Waits for something to announce, unless there is already.
    fn wait(&self, pause: Duration, announce: &mut bool) -> Next {
        let until = Instant::now() + pause;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(rest) {
                Ok(()) if !*announce => {
                    *announce = true;
                    return Next::GoOn;
                }
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Next::GoOn,
                Err(RecvTimeoutError::Disconnected) => return Next::End,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_named_by_its_schema_and_never_too_long() {
        assert_eq!(channel("public"), "rederive_events.public");
        let long = channel(&"ä".repeat(31));
        assert!(long.len() <= LONGEST_NAME && long.ends_with('ä'), "{long}");
    }
}
