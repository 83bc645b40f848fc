//! [`Cluster`]: a database cluster of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    account::Account,
    folder::Folder,
    keeper::Keeper,
    port::{self, Port},
    programs::Programs,
    server::Server,
};

/// What every cluster runs with, before the settings of a test. It is as careful with what it stores
/// as a server in production is.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "64MB"),
    // In the folder, and gone with it, also after a SIGKILL.
    ("dynamic_shared_memory_type", "mmap"),
];

/// How often a port may turn out to be taken by somebody else.
const ATTEMPTS: usize = 5;

/// A database cluster in a temporary folder, with a server on a port of its own.
///
/// Its superuser is `postgres`, who needs no password: it listens on 127.0.0.1 only. Texts sort
/// by the rules of a language, not by their bytes, where the server was built with ICU, as in many a
/// production database. On drop the server ends and the folder goes; both also happen when the
/// process ends without a drop, by whatever signal.
pub struct Cluster {
    // The order of these is the order of their ends.
    server: Option<Server>,
    _keeper: Keeper,
    folder: Folder,
    port: Port,
    programs: Programs,
    settings: Vec<(String, String)>,
}

impl Cluster {
    /// A new cluster of the programs that [`Programs::find`] finds, with a running server.
    ///
    /// # Errors
    ///
    /// When there are no programs, or they fail; then the text has what they said.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// The same with settings of the server, as in `postgresql.conf`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_of(Programs::find()?, settings)
    }

    /// The same with these programs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_of(programs: Programs, settings: &[(&str, &str)]) -> Result<Self, String> {
        let folder = Folder::new()?;
        let keeper = Keeper::of(&folder)?;
        initialise(&programs, &folder)?;
        let settings = SETTINGS.iter().chain(settings);
        let settings = settings.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let port = Port::reserve()?;
        let mut cluster = Self { server: None, _keeper: keeper, folder, port, programs, settings };
        for _ in 1..ATTEMPTS {
            match cluster.start_again() {
                Err(why) if why.contains("Address already in use") => {
                    cluster.port = Port::reserve()?;
                }
                started => return started.map(|()| cluster),
            }
        }
        cluster.start_again().map(|()| cluster)
    }

    /// Starts the server after it was stopped or killed, on the port that it had.
    ///
    /// # Errors
    ///
    /// When it does not start: the text has its log. When it runs already.
    pub fn start_again(&mut self) -> Result<(), String> {
        if self.server.is_some() {
            return Err("the server runs already".to_owned());
        }
        let port = self.port.number();
        let server = Server::start(&self.programs, &self.folder, port, &self.settings)?;
        self.server = Some(server);
        Ok(())
    }

    /// Starts the server after it was stopped or killed, as a stand-by that can be read only, until
    /// somebody has it promoted (`SELECT pg_promote()`).
    ///
    /// # Errors
    ///
    /// As [`start_again`](Self::start_again).
    pub fn start_as_stand_by(&mut self) -> Result<(), String> {
        let signal = self.folder.data().join("standby.signal");
        fs::write(&signal, "")
            .map_err(|why| format!("cannot write {}: {why}", signal.display()))?;
        self.start_again()
    }

    /// Changes a setting of the server from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        // The last one of a name counts.
        self.settings.push((name.into(), value.into()));
    }

    /// Stops the server as an administrator does: transactions under way are rolled back and
    /// connections closed.
    ///
    /// # Errors
    ///
    /// When it does not end within a minute.
    pub fn stop(&mut self) -> Result<(), String> {
        self.end("INT")
    }

    /// Stops the server at once, so that it recovers from its write-ahead log at the next start.
    ///
    /// # Errors
    ///
    /// When it does not end within a minute.
    pub fn stop_immediate(&mut self) -> Result<(), String> {
        self.end("QUIT")
    }

    /// SIGKILL for the server's main process; returns when its other processes are gone too.
    ///
    /// # Errors
    ///
    /// When one of them still runs after a minute.
    pub fn kill(&mut self) -> Result<(), String> {
        self.end("KILL")
    }

    fn end(&mut self, by: &str) -> Result<(), String> {
        self.server.take().map_or(Ok(()), |mut server| server.end(by))
    }

    /// The URL of a database, for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        port::url(self.port(), database)
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The number of the server's main process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.server.as_ref().map(Server::process)
    }

    /// Where the cluster is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's programs.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// What the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.log()).unwrap_or_default()
    }

    /// Who runs the server.
    pub(crate) fn account(&self) -> Account {
        self.folder.account()
    }

    /// A new folder beside the data that the server may write to.
    ///
    /// # Errors
    ///
    /// When there is one of that name.
    pub fn create_folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).map_err(|why| format!("cannot create {}: {why}", path.display()))?;
        self.folder.account().hand_over(&path)?;
        Ok(path)
    }
}

/// Makes the cluster's files.
fn initialise(programs: &Programs, folder: &Folder) -> Result<(), String> {
    let by_language = ["--locale-provider=icu", "--icu-locale=en-US"];
    // Servers before 15 and those without ICU know no such option.
    initialise_with(programs, folder, &by_language).or_else(|_| {
        // Of the first attempt nothing must be left.
        let _ = fs::remove_dir_all(folder.data());
        initialise_with(programs, folder, &[])
    })
}

fn initialise_with(programs: &Programs, folder: &Folder, options: &[&str]) -> Result<(), String> {
    let output = folder
        .account()
        .command(&programs.program("initdb"), folder.path())
        .arg("-D")
        .arg(folder.data())
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        // The files are new: there is nothing in them that a crash of the system could cost anybody.
        .arg("--no-sync")
        .args(options)
        .stdin(Stdio::null())
        .output()
        .map_err(|why| format!("initdb cannot be started: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (said, complained) = (output.stdout, output.stderr);
    let said = [said, complained].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Err(format!("initdb failed ({}):\n{said}", output.status))
}
