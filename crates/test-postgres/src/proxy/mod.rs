//! [`Proxy`]: a server's stand-in, which passes on what is said and breaks off at the worst moments.

mod line;
mod trap;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use line::Line;
use trap::Trap;
pub use trap::{Moment, Then};

use crate::port;

/// Passes connections on to a server on this machine.
///
/// It reads along, so that a test can lay a trap for one transaction: for the one that has a certain
/// word in one of its statements. Encryption is declined, as it would make that impossible.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ends: AtomicBool,
}

#[derive(Default)]
struct State {
    lines: Vec<Arc<Line>>,
    traps: Vec<Trap>,
    sprung: usize,
    refuses: bool,
    frozen: bool,
    /// The port of the server.
    server: u16,
}

impl Proxy {
    /// Stands in for the server on this port, on a port of its own.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        shared.lock().server = server;
        let proxy = Self { shared: Arc::clone(&shared), port };
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ends.load(Ordering::SeqCst) {
                    return;
                }
                // One that cannot be passed on is closed: the client sees what it would without us.
                let _ = client.and_then(|client| shared.pass_on(client));
            }
        });
        Ok(proxy)
    }

    /// The port that it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of the server, for the superuser `postgres`, by way of the proxy.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        port::url(self.port, database)
    }

    /// Lays a trap for the next transaction in which a statement contains these words, in whatever
    /// case: at that moment the proxy asks what is to become of its connection. A trap springs once.
    pub fn at(&self, moment: Moment, words: &str, then: impl FnOnce() -> Then + Send + 'static) {
        self.shared.lock().traps.push(Trap::new(moment, words, then));
    }

    /// The same, to cut the connection.
    pub fn cut_at(&self, moment: Moment, words: &str) {
        self.at(moment, words, || Then::Cut);
    }

    /// How many traps have sprung.
    #[must_use]
    pub fn sprung(&self) -> usize {
        self.shared.lock().sprung
    }

    /// Waits until so many traps have sprung.
    ///
    /// # Panics
    ///
    /// When they have not sprung within that time.
    #[track_caller]
    pub fn wait_until_sprung(&self, count: usize, within: Duration) {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        while state.sprung < count {
            let left = within.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "only {} of {count} traps have sprung", state.sprung);
            state = self.shared.wait(state, left);
        }
    }

    /// Cuts every connection there is, and tells how many there were.
    pub fn cut_all(&self) -> usize {
        let lines = std::mem::take(&mut self.shared.lock().lines);
        let cut = lines.iter().filter(|line| line.cut()).count();
        self.shared.changed.notify_all();
        cut
    }

    /// Closes new connections at once, until told otherwise.
    pub fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
    }

    /// Passes new connections on to the server on this port, as if it had taken over.
    pub fn redirect(&self, server: u16) {
        self.shared.lock().server = server;
    }

    /// Passes nothing on and closes nothing, as a network that is gone, until told otherwise.
    pub fn freeze(&self, frozen: bool) {
        self.shared.lock().frozen = frozen;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.freeze(false);
        self.cut_all();
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn pass_on(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let state = self.lock();
        if state.refuses {
            return Ok(());
        }
        let server = state.server;
        drop(state);
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
        let line = Arc::new(Line::new(client, server)?);
        let mut state = self.lock();
        state.lines.retain(|line| !line.is_over());
        state.lines.push(Arc::clone(&line));
        drop(state);
        for run in [Line::pass_to_server, Line::pass_to_client] {
            let (line, shared) = (Arc::clone(&line), Arc::clone(self));
            thread::spawn(move || {
                // However one direction ends, it is the end of both.
                let _ = run(&line, &shared);
                line.cut();
                shared.changed.notify_all();
            });
        }
        Ok(())
    }

    /// Takes the trap that is laid for this.
    fn take_trap(&self, moment: Moment, texts: &[String]) -> Option<Trap> {
        let traps = &mut self.lock().traps;
        let at = traps.iter().position(|trap| trap.is_for(moment, texts))?;
        Some(traps.remove(at))
    }

    fn lay_again(&self, trap: Trap) {
        self.lock().traps.insert(0, trap);
    }

    fn spring(&self, trap: Trap) -> Then {
        let then = trap.spring();
        self.lock().sprung += 1;
        self.changed.notify_all();
        then
    }

    /// Returns once the network is there.
    fn thawed(&self) {
        let mut state = self.lock();
        while state.frozen {
            state = self.wait(state, Duration::from_secs(60));
        }
    }

    /// Returns once it is so.
    fn until(&self, is_so: impl Fn() -> bool) {
        let mut state = self.lock();
        while !is_so() {
            state = self.wait(state, Duration::from_secs(1));
        }
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, within: Duration) -> MutexGuard<'s, State> {
        self.changed.wait_timeout(state, within).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
