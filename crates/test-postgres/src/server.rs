//! [`Server`]: one run of a cluster's server.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{folder::Folder, programs::Programs, signal};

const START_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether a server has come up: it tells nobody.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Notes its own process number, then becomes the server.
const SCRIPT: &str = r#"echo $$ > "$0" && exec "$@""#;

/// A running server; ended at once on drop.
pub(crate) struct Server {
    process: Child,
    /// Closed once the last of its processes has ended.
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub(crate) fn start(
        programs: &Programs,
        folder: &Folder,
        port: u16,
        settings: &[(String, String)],
    ) -> Result<Self, String> {
        let mut server = Self::spawn(programs, folder, port, settings)
            .map_err(|why| format!("the server cannot be started: {why}"))?;
        server.wait_until_ready(folder)?;
        Ok(server)
    }

    fn spawn(
        programs: &Programs,
        folder: &Folder,
        port: u16,
        settings: &[(String, String)],
    ) -> io::Result<Self> {
        let log = fs::File::options().create(true).append(true).open(folder.log())?;
        // Each of its processes inherits it. Nothing is ever written to it.
        let (mut life, held) = io::pipe()?;
        let mut command = folder.account().command(Path::new("sh"), folder.path());
        command.args(["-c", SCRIPT]).arg(folder.process_file());
        command.arg(programs.program("postgres")).arg("-D").arg(folder.data());
        let sockets = folder.path().display().to_string();
        let fixed = [("port", port.to_string()), ("unix_socket_directories", sockets)];
        let settings = settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in fixed.into_iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // A group of its own: it is the keeper that ends it when a terminal ends us.
        command.process_group(0).stdin(Stdio::null()).stdout(held).stderr(log);
        let process = command.spawn()?;
        // With it goes our own end of what the server's processes hold.
        drop(command);

        let (ends, ended) = mpsc::channel();
        let process_file = folder.process_file();
        thread::spawn(move || {
            let _ = life.read(&mut [0]);
            // So that the keeper does not end whoever has this number next.
            let _ = fs::remove_file(process_file);
            drop(ends);
        });
        Ok(Self { process, ended })
    }

    fn wait_until_ready(&mut self, folder: &Folder) -> Result<(), String> {
        let begun = Instant::now();
        let number = self.process.id().to_string();
        let failed = |how: &str| {
            let log = fs::read_to_string(folder.log()).unwrap_or_default();
            Err(format!("the server {how}; its log:\n{log}"))
        };
        loop {
            // The server's own note: its number comes first, what it is doing eighth.
            let note = fs::read_to_string(folder.data().join("postmaster.pid")).unwrap_or_default();
            let mut lines = note.lines();
            let is_this_one = lines.next() == Some(&number);
            if is_this_one && lines.nth(6).is_some_and(|doing| doing.trim() == "ready") {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return failed(&format!("did not start ({status})"));
            }
            if begun.elapsed() > START_WITHIN {
                return failed(&format!("was not ready within {START_WITHIN:?}"));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Sends the signal and waits until the server and all processes of its own have ended.
    pub(crate) fn end(&mut self, by: &str) -> Result<(), String> {
        // Not once it has been waited for: the number may be somebody else's by now.
        if matches!(self.process.try_wait(), Ok(None)) {
            signal::send(by, self.process.id());
        }
        match self.ended.recv_timeout(END_WITHIN) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("processes of the server run {END_WITHIN:?} after SIG{by}"));
            }
        }
        self.process.wait().map(drop).map_err(|why| format!("the server has no end: {why}"))
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.end("QUIT").is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}
