//! Installs Debian's packages of PostgreSQL and pgbouncer, for a container in which a run is root.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::workspace::{capture, is_installed, run as run_command};

/// Says whether the package makes a cluster of its own and starts it. It belongs to a package that
/// can be installed before.
const SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// True for root on Debian and its kin: nobody else is asked to let a test install something.
pub(crate) fn is_possible() -> bool {
    let user = capture(Command::new("id").arg("-u"));
    user.is_ok_and(|user| user.trim() == "0") && is_installed("apt-get")
}

pub(crate) fn run() -> Result<(), String> {
    println!("(PostgreSQL is not installed: installing Debian's package, without a cluster)");
    // A machine that has never asked has no lists of packages.
    install("postgresql-common").or_else(|_| {
        run_command(apt().arg("update"))?;
        install("postgresql-common")
    })?;
    let settings = Path::new(SETTINGS);
    let before = fs::read(settings).map_err(|why| format!("cannot read {SETTINGS}: {why}"))?;
    let without = [before.as_slice(), b"\ncreate_main_cluster = false\n"].concat();
    let write = |text: &[u8]| {
        fs::write(settings, text).map_err(|why| format!("cannot write {SETTINGS}: {why}"))
    };
    write(&without)?;
    let installed = install("postgresql");
    // As it was: the user's next cluster is none of our business.
    write(&before)?;
    installed
}

/// Installs Debian's package of pgbouncer, without starting it: the tests start their own.
pub(crate) fn pgbouncer() -> Result<(), String> {
    println!("(pgbouncer is not installed: installing Debian's package)");
    let is_systemd = Path::new("/run/systemd/system").is_dir();
    let systemctl = |what: &str| match is_systemd {
        true => run_command(Command::new("systemctl").args([what, "pgbouncer.service"])),
        false => Ok(()),
    };
    // Otherwise the package starts a service of the system.
    systemctl("mask")?;
    let installed = install("pgbouncer").or_else(|_| {
        run_command(apt().arg("update"))?;
        install("pgbouncer")
    });
    systemctl("unmask")?;
    installed?;
    systemctl("disable")
}

fn install(package: &str) -> Result<(), String> {
    run_command(apt().args(["install", "--yes", "--no-install-recommends", package]))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
