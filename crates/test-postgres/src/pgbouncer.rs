//! [`Pgbouncer`]: a pooler before a cluster.

use std::{
    env, fs, io,
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::Cluster,
    port::{self, Port},
};

/// Where systems put it, beside `PATH`.
const USUAL: &[&str] =
    &["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

const READY_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether it has come up: it tells nobody.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs it until its owner is gone, however that went.
const SCRIPT: &str = r#"
    "$1" -q "$2" &
    bouncer=$!
    while read -r _; do :; done
    kill -s TERM "$bouncer"
    wait "$bouncer"
"#;

/// A running pgbouncer, which lets everybody in as the cluster's superuser; ended on drop.
pub struct Pgbouncer {
    process: Child,
    /// Held open: its end is the sign.
    owner: Option<ChildStdin>,
    port: Port,
    _folder: Removed,
}

/// A folder that goes with this.
struct Removed(PathBuf);

impl Pgbouncer {
    /// Finds its program.
    ///
    /// # Errors
    ///
    /// When there is none: a text that says how to get it.
    pub fn find() -> Result<PathBuf, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(USUAL.iter().map(PathBuf::from));
        let mut programs = folders.map(|folder| folder.join("pgbouncer"));
        programs.find(|program| program.is_file()).ok_or_else(|| {
            "pgbouncer was found neither in PATH nor in the usual folders. Install it (Debian, \
             Ubuntu: `sudo apt-get install pgbouncer`; Fedora: `sudo dnf install pgbouncer`; macOS: \
             `brew install pgbouncer`)"
                .to_owned()
        })
    }

    /// Starts one before the cluster, with further settings of its section `pgbouncer`, such as
    /// `pool_mode = transaction`.
    ///
    /// # Errors
    ///
    /// When there is no program, or it does not take connections: then the text has its log.
    pub fn start(cluster: &Cluster, settings: &[&str]) -> Result<Self, String> {
        let program = Self::find()?;
        let port = Port::reserve()?;
        let name = format!("pgbouncer-{}", port.number());
        let folder = Removed(cluster.create_folder(&name)?);
        let file = folder.0.join("pgbouncer.ini");
        let log = folder.0.join("log");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             logfile = {}\n{}\n",
            cluster.port(),
            port.number(),
            log.display(),
            settings.join("\n"),
        );
        fs::write(&file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
        let mut pooler = Self::spawn(cluster, &program, &file, port, folder)
            .map_err(|why| format!("pgbouncer cannot be started: {why}"))?;
        pooler.wait_until_ready(&log)?;
        Ok(pooler)
    }

    fn spawn(
        cluster: &Cluster,
        program: &Path,
        file: &Path,
        port: Port,
        folder: Removed,
    ) -> io::Result<Self> {
        let mut command = cluster.account().command(Path::new("sh"), &folder.0);
        command.args(["-c", SCRIPT, "sh"]).args([program, file]);
        // A group of its own: what a terminal sends to us must not reach it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let owner = process.stdin.take();
        Ok(Self { process, owner, port, _folder: folder })
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number())).is_err() {
            if begun.elapsed() > READY_WITHIN {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("pgbouncer takes no connection; its log:\n{log}"));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The URL of a database through it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        port::url(self.port.number(), database)
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        drop(self.owner.take());
        let _ = self.process.wait();
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
