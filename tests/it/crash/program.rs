//! [`Program`]: a running `ledger`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Instant,
};

use super::PATIENCE;
use crate::fixture::example;

/// What the program prints before its address once it takes requests.
const ANNOUNCEMENT: &str = "listening on http://";

/// A `ledger` process. Killed on drop, so that a failed test leaves nothing behind.
pub(super) struct Program {
    process: Child,
    address: Option<SocketAddr>,
    announced: mpsc::Receiver<SocketAddr>,
    complaints: PathBuf,
}

impl Program {
    /// Starts it on this database and waits until it takes requests.
    pub(super) fn start(database: &Path) -> Self {
        let mut program = Self::spawn(database);
        match program.announced.recv_timeout(PATIENCE) {
            Ok(address) => program.address = Some(address),
            Err(why) => panic!("it does not start ({why}): {}", program.complaints()),
        }
        program
    }

    /// Starts it on this database and waits for nothing.
    pub(super) fn spawn(database: &Path) -> Self {
        static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| example("ledger"));

        let complaints = database.with_extension("stderr");
        let stderr = fs::File::create(&complaints).expect("a file for stderr");
        let mut process = Command::new(&*PROGRAM)
            .arg("--database")
            .arg(database)
            .args(["--listen", "127.0.0.1:0"])
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
        Self { process, address: None, announced, complaints }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address.expect("the program was waited for")
    }

    /// SIGKILL: it has no chance to do anything about it.
    pub(super) fn kill(mut self) {
        self.process.kill().expect("the ledger is killed");
        self.process.wait().expect("the ledger ends");
        self.check_complaints();
    }

    /// Asks it to stop, which it must do with exit code 0.
    pub(super) fn terminate(mut self, signal: &str) {
        // By the shell's own command: a small system has no program of that name.
        let kill = format!("kill -{signal} {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell starts");
        assert!(sent.success(), "the signal was not sent");
        let begun = Instant::now();
        let status = loop {
            match self.process.try_wait().expect("the ledger is waited for") {
                Some(status) => break status,
                None => thread::yield_now(),
            }
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
        };
        assert_eq!(status.code(), Some(0), "{}", self.complaints());
        self.check_complaints();
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
