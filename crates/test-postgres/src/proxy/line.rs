//! [`Line`]: one connection that is passed on.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Moment, Shared, Then,
    trap::Trap,
    wire::{Message, Messages, begins, commits},
};

pub(super) struct Line {
    client: TcpStream,
    server: TcpStream,
    over: AtomicBool,
    /// The statements of the transaction under way.
    transaction: Mutex<Vec<String>>,
    /// What is laid for the answer to the COMMIT, or to the statement that is a transaction by itself, that
    /// the server has got.
    awaits_commit: Mutex<Option<(Trap, &'static str)>>,
}

impl Line {
    pub(super) fn new(client: TcpStream, server: TcpStream) -> io::Result<Self> {
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let over = AtomicBool::new(false);
        let (transaction, awaits_commit) = (Mutex::default(), Mutex::default());
        Ok(Self { client, server, over, transaction, awaits_commit })
    }

    /// Closes both ends; false when that has been done before.
    pub(super) fn cut(&self) -> bool {
        let was_over = self.over.swap(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            // One that the other side has closed is as it should be.
            let _ = stream.shutdown(Shutdown::Both);
        }
        !was_over
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(super) fn pass_to_server(&self, shared: &Shared) -> io::Result<()> {
        let mut messages = Messages::of_client(&self.client);
        let mut prepared = HashMap::new();
        let mut out = Vec::new();
        while let Some(message) = messages.next()? {
            if message.asks_for_encryption() {
                (&self.client).write_all(b"N")?;
                continue;
            }
            if let Some(text) = statement(&message, &mut prepared) {
                match self.says(text, shared) {
                    Then::Pass => {}
                    Then::Cut => return Ok(()),
                    Then::Vanish => return self.vanish(shared),
                }
            }
            out.extend(message.bytes);
            if !messages.has_more() {
                shared.thawed();
                (&self.server).write_all(&out)?;
                out.clear();
            }
        }
        Ok(())
    }

    /// The client says this.
    fn says(&self, text: String, shared: &Shared) -> Then {
        let mut transaction = lock(&self.transaction);
        let mut trap = None;
        let commits = commits(&text);
        let is_alone = transaction.is_empty() && !begins(&text);
        if !commits {
            trap = shared.take_trap(Moment::BeforeStatement, std::slice::from_ref(&text));
            transaction.push(text);
        }
        if commits || is_alone {
            trap = trap.or_else(|| shared.take_trap(Moment::BeforeCommit, &transaction));
            if trap.is_none() {
                let after = shared.take_trap(Moment::AfterCommit, &transaction);
                let answer = if commits { "COMMIT" } else { "" };
                *lock(&self.awaits_commit) = after.map(|trap| (trap, answer));
            }
        }
        drop(transaction);
        trap.map_or(Then::Pass, |trap| shared.spring(trap))
    }

    /// Returns once the server has ended the connection, or all are cut.
    fn vanish(&self, shared: &Shared) -> io::Result<()> {
        let ended = self.client.shutdown(Shutdown::Both);
        shared.until(|| self.is_over());
        ended
    }

    pub(super) fn pass_to_client(&self, shared: &Shared) -> io::Result<()> {
        let mut messages = Messages::of_server(&self.server);
        let mut out = Vec::new();
        while let Some(message) = messages.next()? {
            match message.kind {
                b'C' => {
                    let said = message.texts().next().unwrap_or_default();
                    let is_answer = |(_, answer): &mut (Trap, &str)| said.starts_with(*answer);
                    let trap = lock(&self.awaits_commit).take_if(is_answer);
                    if let Some((trap, _)) = trap {
                        match shared.spring(trap) {
                            Then::Pass => {}
                            Then::Cut => return Ok(()),
                            Then::Vanish => return self.vanish(shared),
                        }
                    }
                }
                // Ready, and in no transaction.
                b'Z' if message.bytes.last() == Some(&b'I') => {
                    lock(&self.transaction).clear();
                    // What was to be committed was not.
                    if let Some((trap, _)) = lock(&self.awaits_commit).take() {
                        shared.lay_again(trap);
                    }
                }
                _ => {}
            }
            out.extend(message.bytes);
            if !messages.has_more() {
                shared.thawed();
                (&self.client).write_all(&out)?;
                out.clear();
            }
        }
        Ok(())
    }
}

/// The text that is about to be executed; those that have a name are remembered.
fn statement(message: &Message, prepared: &mut HashMap<String, String>) -> Option<String> {
    let mut texts = message.texts();
    match message.kind {
        b'Q' => texts.next(),
        // The name, then the text.
        b'P' => {
            let name = texts.next()?;
            let text = texts.next()?;
            prepared.insert(name, text);
            None
        }
        // The portal, then the name.
        b'B' => texts.nth(1).and_then(|name| prepared.get(&name).cloned()),
        _ => None,
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
