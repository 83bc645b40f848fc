//! [`Program`]: a running `ledger`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;
use crate::fixture::{database::Database, example};

/// What the program prints before its address once it takes requests.
const ANNOUNCEMENT: &str = "listening on http://";

/// The lease in seconds where a test does not say otherwise: so long it takes until the next ledger
/// goes on after one was killed.
const SHORT: &str = "0.3";

/// A `ledger` process. Killed on drop, so that a failed test leaves nothing behind.
pub(super) struct Program {
    /// Like no other's.
    name: String,
    process: Child,
    address: Option<SocketAddr>,
    announced: mpsc::Receiver<SocketAddr>,
    complaints: PathBuf,
}

impl Program {
    /// Starts it on this database and waits until it takes requests.
    pub(super) fn start(database: &Database) -> Self {
        Self::start_with(database, SHORT)
    }

    /// Starts it with a lease of so many seconds.
    pub(super) fn start_with(database: &Database, lease: &str) -> Self {
        let mut program = Self::spawn_with(database, lease);
        match program.announced.recv_timeout(PATIENCE) {
            Ok(address) => program.address = Some(address),
            Err(why) => panic!("it does not start ({why}): {}", program.complaints()),
        }
        program
    }

    /// Starts it on this database and waits for nothing.
    pub(super) fn spawn(database: &Database) -> Self {
        Self::spawn_with(database, SHORT)
    }

    fn spawn_with(database: &Database, lease: &str) -> Self {
        static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| example("ledger"));
        static STARTED: AtomicUsize = AtomicUsize::new(0);

        let name = format!("ledger-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let complaints = database.folder().join(format!("{name}.stderr"));
        let stderr = fs::File::create(&complaints).expect("a file for stderr");
        let mut process = Command::new(&*PROGRAM)
            .arg("--database")
            .arg(database.argument(&name))
            .args(["--listen", "127.0.0.1:0", "--lease", lease])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the ledger starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let (announce, announced) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
                    let address = address.parse().expect("an address is announced");
                    // Nobody listens when the program was killed before.
                    let _ = announce.send(address);
                }
            }
        });
        Self { name, process, address: None, announced, complaints }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address.expect("the program was waited for")
    }

    /// Whether it has the ledger, as the database says.
    pub(super) fn owns(&self, database: &Database) -> bool {
        let owner = database.stored("ledger").lease.map(|lease| lease.owner);
        owner.is_some_and(|owner| owner.contains(&format!("-{}-", self.process.id())))
    }

    /// Waits until it has the ledger.
    pub(super) fn wait_until_it_owns(&self, database: &Database) {
        self.wait_until_it_owns_while(database, || {});
    }

    /// Waits until it has the ledger, and does this meanwhile.
    pub(super) fn wait_until_it_owns_while(&self, database: &Database, meanwhile: impl Fn()) {
        let begun = Instant::now();
        while !self.owns(database) {
            assert!(begun.elapsed() < PATIENCE, "it does not take over: {}", self.complaints());
            meanwhile();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it has complained about this.
    pub(super) fn wait_until_it_says(&self, what: &str) {
        let begun = Instant::now();
        while !self.complaints().contains(what) {
            assert!(begun.elapsed() < PATIENCE, "it never says {what:?}: {}", self.complaints());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL: it has no chance to do anything about it.
    pub(super) fn kill(mut self) {
        self.process.kill().expect("the ledger is killed");
        self.process.wait().expect("the ledger ends");
        self.check_complaints();
    }

    /// Asks it to stop, which it must do with exit code 0.
    pub(super) fn terminate(mut self, signal: &str) {
        self.end(signal);
        self.check_complaints();
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: &str) {
        // By the shell's own command: a small system has no program of that name.
        let kill = format!("kill -{signal} {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell starts");
        assert!(sent.success(), "the signal was not sent");
    }

    /// As [`terminate`](Self::terminate), but it may have complained.
    pub(super) fn end(&mut self, signal: &str) {
        self.signal(signal);
        let begun = Instant::now();
        let status = loop {
            match self.process.try_wait().expect("the ledger is waited for") {
                Some(status) => break status,
                None => thread::yield_now(),
            }
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
        };
        assert_eq!(status.code(), Some(0), "{}", self.complaints());
    }

    /// Nothing that happens here is worth a warning, let alone a panic.
    fn check_complaints(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "{complaints}");
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both do nothing to a process that has ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
