//! `cargo xtask postgres -- COMMAND` gives a command a server, and leaves nothing behind, however it
//! ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use test_postgres::URL_VARIABLE;

const PATIENCE: Duration = Duration::from_secs(20);

fn xtask(shell: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["postgres", "--", "sh", "-c", shell]).env_remove(URL_VARIABLE);
    command
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a running command has told about its server.
struct Served {
    xtask: Child,
    port: u16,
}

impl Served {
    /// A command that says which server it has, and then does nothing until it is ended.
    ///
    /// In a group of its own, as a command in a terminal is.
    fn start() -> Self {
        let shell = format!("echo ${URL_VARIABLE}; exec sleep 600");
        let mut command = xtask(&shell);
        let mut xtask = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(xtask.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let port = url.trim().strip_prefix("postgres://postgres@127.0.0.1:").expect("a URL");
        let port = port.strip_suffix("/postgres").unwrap().parse().unwrap();
        Self { xtask, port }
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// The folder of the cluster, by the number of its owner.
    fn folder(&self) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("rederive-pg-{}-0", self.xtask.id()))
    }

    /// Ends xtask by a signal, with its group or alone, and waits until all that it started is gone.
    fn end(mut self, signal: &str, group: bool) {
        assert!(self.answers());
        let folder = self.folder();
        let server = server_process(&folder);
        let whom = if group { "-" } else { "" };
        let kill = format!("kill -s {signal} -- {whom}{}", self.xtask.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(!self.xtask.wait().unwrap().success());
        until("the server still runs", || !is_running(&server));
        until("its folder is still there", || !folder.exists());
        assert!(!self.answers());
        // What sleeps has outlived an xtask that was killed alone.
        let _ = Command::new("sh").args(["-c", &format!("kill -- -{}", self.xtask.id())]).output();
    }
}

fn server_process(folder: &Path) -> String {
    let note = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    note.lines().next().unwrap().to_owned()
}

fn is_running(process: &str) -> bool {
    let kill = Command::new("sh").args(["-c", &format!("kill -s 0 {process}")]).output();
    kill.unwrap().status.success()
}

#[test]
fn a_command_has_a_server_and_its_failure_is_ours() {
    let served = xtask(&format!("echo ${URL_VARIABLE}")).output().unwrap();
    let url = String::from_utf8(served.stdout).unwrap();
    assert!(served.status.success() && url.starts_with("postgres://postgres@127.0.0.1:"), "{url}");
    let failed = xtask("exit 3").output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && said.contains("exit status: 3"), "{said}");
}

#[test]
fn a_server_of_the_users_own_is_taken_as_it_is() {
    let url = "postgres://me:secret@example.org/bank";
    let served = xtask(&format!("echo ${URL_VARIABLE}")).env(URL_VARIABLE, url).output().unwrap();
    assert_eq!(String::from_utf8(served.stdout).unwrap().trim(), url);
}

#[test]
fn an_interrupt_from_the_terminal_leaves_nothing_behind() {
    Served::start().end("INT", true);
}

#[test]
fn a_kill_of_xtask_alone_leaves_nothing_behind() {
    Served::start().end("KILL", false);
}

#[test]
fn a_termination_leaves_nothing_behind() {
    Served::start().end("TERM", false);
}
