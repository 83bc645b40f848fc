//! [`Home`]: the thread that the actors live on.

use std::{
    io,
    sync::mpsc,
    thread::{Builder, JoinHandle},
};

use actix::{Arbiter, System};
use actix_rt::ArbiterHandle;

/// An arbiter in the application's actix system, or a system of our own where there is none.
pub(crate) enum Home {
    Arbiter(Arbiter),
    System { system: System, thread: JoinHandle<()> },
}

impl Home {
    pub(crate) fn start() -> io::Result<Self> {
        if System::try_current().is_some() {
            return Ok(Home::Arbiter(Arbiter::new()));
        }
        let (started, wait) = mpsc::channel();
        let thread = Builder::new().name("rederive".to_owned()).spawn(move || {
            let runner = System::new();
            // Fails if `start` gave up, which it does not.
            let _ = started.send(System::current());
            if let Err(error) = runner.run() {
                log::error!(target: "rederive", "the actors' system ended with {error}");
            }
        })?;
        let system = wait.recv().map_err(io::Error::other)?;
        Ok(Home::System { system, thread })
    }

    pub(crate) fn arbiter(&self) -> ArbiterHandle {
        match self {
            Home::Arbiter(arbiter) => arbiter.handle(),
            Home::System { system, .. } => system.arbiter().clone(),
        }
    }

    /// Ends the thread and waits for its end; the actors have stopped before.
    pub(crate) fn end(self) {
        let joined = match self {
            Home::Arbiter(arbiter) => {
                arbiter.stop();
                arbiter.join()
            }
            Home::System { system, thread } => {
                system.stop();
                thread.join()
            }
        };
        if joined.is_err() {
            log::error!(target: "rederive", "the actors' thread panicked");
        }
    }
}
