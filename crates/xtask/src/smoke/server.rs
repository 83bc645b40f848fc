//! A server process: started, waited for, stopped by signal, never left behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::workspace::{capture, not_started};

/// What a server prints, followed by `HOST:PORT`, once it takes requests.
const ANNOUNCEMENT: &str = "listening on http://";

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A running server; killed on drop if it was not stopped before.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts the program and waits until it announces its address.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| not_started(command, &why))?;
        let stdout = process.stdout.take();
        // From here on, every way out of this function but the last kills the process.
        let mut server = Self { process, address: String::new() };

        let (announce, announced) = mpsc::channel();
        // Reads on to the end, so that the server never blocks on a full pipe.
        thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).flatten() {
                if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
                    // The receiver is gone after the first address; later ones are of no interest.
                    let _ = announce.send(address.trim_end_matches('/').to_owned());
                }
            }
        });
        server.address = announced.recv_timeout(START_WITHIN).map_err(|why| match why {
            RecvTimeoutError::Timeout => format!("no line `{ANNOUNCEMENT}…` in {START_WITHIN:?}"),
            RecvTimeoutError::Disconnected => {
                format!("the server's output ended without a line `{ANNOUNCEMENT}…`")
            }
        })?;
        Ok(server)
    }

    /// `HOST:PORT`, as the server announced it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> Result<ExitStatus, String> {
        // `kill` as the shell's own command: a small system has no program of that name.
        let kill = format!("kill -TERM {}", self.process.id());
        capture(Command::new("sh").args(["-c", &kill]))?;
        let sent = Instant::now();
        while sent.elapsed() < STOP_WITHIN {
            match self.process.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Err(why) => return Err(format!("cannot wait for the server: {why}")),
            }
        }
        Err(format!("the server still runs {STOP_WITHIN:?} after SIGTERM"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both do nothing to a process that has ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
