//! [`Account`]: who runs the server, as it refuses to run as root.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

/// The accounts that root hands the server to, the best first.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

/// Whoever started this process, or another account where that is root.
#[derive(Clone, Copy)]
pub(crate) struct Account(Option<StandIn>);

#[derive(Clone, Copy)]
struct StandIn {
    user: u32,
    group: u32,
}

impl Account {
    /// The account for a server in the folder, which this process has just created.
    pub(crate) fn for_owner_of(folder: &Path) -> Result<Self, String> {
        let owner = fs::metadata(folder).map(|metadata| metadata.uid());
        match owner.map_err(|why| format!("cannot look at {}: {why}", folder.display()))? {
            0 => {
                let stand_in = STAND_INS.iter().find_map(|name| StandIn::named(name));
                let none =
                    || format!("root cannot run PostgreSQL, and there is none of {STAND_INS:?}");
                Ok(Self(Some(stand_in.ok_or_else(none)?)))
            }
            _ => Ok(Self(None)),
        }
    }

    /// Makes a folder of ours theirs.
    pub(crate) fn hand_over(self, folder: &Path) -> Result<(), String> {
        let Some(StandIn { user, group }) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(folder, Some(user), Some(group))
            .map_err(|why| format!("cannot hand {} over: {why}", folder.display()))
    }

    /// The program, to be run by this account and in this folder, with nothing of our environment
    /// that means something to PostgreSQL.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(StandIn { user, group }) = self.0 {
            command.uid(user).gid(group);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.current_dir(folder).env("LC_ALL", "C");
        command
    }
}

impl StandIn {
    fn named(name: &str) -> Option<Self> {
        Some(Self { user: id("-u", name)?, group: id("-g", name)? })
    }
}

fn id(option: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([option, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
