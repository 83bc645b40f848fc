//! [`Folder`]: the temporary folder of a cluster.

use std::{
    env, fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::account::Account;

/// A folder that only the server's account can enter, removed on drop.
pub(crate) struct Folder {
    path: PathBuf,
    account: Account,
}

impl Folder {
    pub(crate) fn new() -> Result<Self, String> {
        let mut refusals = Vec::new();
        // What root takes for temporary need not be open to others.
        for parent in [env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            match Self::below(&parent) {
                Ok(folder) => return Ok(folder),
                Err(why) => refusals.push(why),
            }
        }
        Err(format!("no folder for a cluster can be had: {}", refusals.join("; ")))
    }

    fn below(parent: &Path) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        // Short, as the name of a socket in it may have some hundred characters only.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("rederive-pg-{}-{count}", process::id()));
        // What a process of this number left behind is nobody's any more.
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|why| format!("cannot create {}: {why}", path.display()))?;
        let account = Account::for_owner_of(&path)?;
        let folder = Self { path, account };
        account.hand_over(&folder.path)?;
        let entered = account
            .command(Path::new("true"), &folder.path)
            .stdin(Stdio::null())
            .status()
            .map_err(|why| format!("{} is closed to them: {why}", folder.path.display()))?;
        if !entered.success() {
            return Err(format!("{} is closed to them", folder.path.display()));
        }
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// The folder of the database files.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Holds the server's process number as long as it runs. In the folder of the data, so that
    /// whoever moves that away stops every server that has not begun yet.
    pub(crate) fn process_file(&self) -> PathBuf {
        self.data().join("rederive.pid")
    }

    /// What the server says.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The keeper removes it too: what the one has removed the other does not find.
        let _ = fs::remove_dir_all(&self.path);
    }
}
