//! One running git: started, read as it writes, and believed only when it ends well.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use super::error::GitError;

/// At most this much of git's error output is kept.
const SAID_LIMIT: u64 = 4096;

/// A call being put together.
pub(super) struct Call {
    git: Command,
    command: &'static str,
}

impl Call {
    /// A call of `git`, to which `command` is still to be said.
    pub(super) fn new(mut git: Command, command: &'static str) -> Self {
        git.arg(command);
        Self { git, command }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.git.arg(arg);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.git.args(args);
        self
    }

    /// Runs to the end and returns what git printed, without the last line feed.
    pub(super) fn bytes(self) -> Result<Vec<u8>, GitError> {
        let mut output = self.start()?;
        let mut bytes = Vec::new();
        output.stdout.read_to_end(&mut bytes).map_err(|e| output.io(e))?;
        output.finish()?;
        bytes.pop_if(|last| *last == b'\n');
        Ok(bytes)
    }

    /// As [`Call::bytes`], for answers that are ids, names of branches and the like.
    pub(super) fn text(self) -> Result<String, GitError> {
        self.bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts git; its output is read as it comes.
    pub(super) fn start(mut self) -> Result<Output, GitError> {
        let command = self.command;
        let io = |source| GitError::Io { command, source };
        let mut child =
            self.git.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| {
                if e.kind() == io::ErrorKind::NotFound { GitError::NotInstalled } else { io(e) }
            })?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io(io::Error::other("git has no output")));
        };
        // On a thread of its own: a git that complains at length must not wait for a reader.
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.by_ref().take(SAID_LIMIT).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).trim().replace('\n', "; ")
        });
        let stdout = BufReader::with_capacity(1 << 16, stdout);
        Ok(Output { stdout, child, said: Some(said), command })
    }
}

/// A running git. Dropping it ends the process.
pub(super) struct Output {
    pub(super) stdout: BufReader<ChildStdout>,
    child: Child,
    said: Option<JoinHandle<String>>,
    command: &'static str,
}

impl Output {
    /// To be called at the end of the output, which is whole only if git says so.
    pub(super) fn finish(&mut self) -> Result<(), GitError> {
        let status = self.child.wait().map_err(|e| self.io(e))?;
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed { command: self.command, status: status.to_string(), said })
    }

    pub(super) fn io(&self, source: io::Error) -> GitError {
        GitError::Io { command: self.command, source }
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> GitError {
        GitError::Unexpected { command: self.command, what: what.into() }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Both fail harmlessly when git has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
