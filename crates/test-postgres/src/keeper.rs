//! [`Keeper`]: a shell that outlives us for a moment, to end the server and remove the folder.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Stdio},
};

use crate::folder::Folder;

/// What the keeper does once its input ends, which it does when its owner is gone, however it went.
///
/// A server that starts at this moment is no exception: it writes its number into the folder of the
/// data first of all. Either that folder is moved before, and it gets nowhere, or the number is read.
const SCRIPT: &str = r#"
    while read -r _; do :; done
    cd "$1" 2>/dev/null || exit 0
    mv data gone 2>/dev/null
    read -r server < gone/rederive.pid && kill -s QUIT "$server"
    waited=0
    while kill -s 0 "$server" && [ "$waited" -lt 100 ]; do sleep 0.1; waited=$((waited + 1)); done
    kill -s KILL "$server"
    cd / && rm -rf "$1"
"#;

/// Lives as long as the cluster, and a moment longer than a process that forgets to end it.
pub(crate) struct Keeper {
    process: Child,
    /// Held open: its end is the sign.
    owner: Option<ChildStdin>,
}

impl Keeper {
    pub(crate) fn of(folder: &Folder) -> Result<Self, String> {
        let mut process = folder
            .account()
            .command(Path::new("sh"), Path::new("/"))
            .args(["-c", SCRIPT, "keeper"])
            .arg(folder.path())
            // A group of its own: what a terminal sends to us and our children must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            // Whoever reads our output to its end must not wait for the keeper.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|why| format!("the shell cannot be started: {why}"))?;
        let owner = process.stdin.take();
        Ok(Self { process, owner })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.owner.take());
        let _ = self.process.wait();
    }
}
