//! The example `ledger`, killed and stopped under load: what it has acknowledged is there once.
//!
//! [`program`] starts and ends it, [`load`] makes requests and remembers the replies, [`books`] reads
//! the database and compares it with a fold of the log and with what was replied.

mod books;
mod load;
mod program;
mod two;
// The wire of the example that puts the ledger under load.
#[path = "../../../examples/ledger_load/http.rs"]
mod http;

use std::{path::PathBuf, time::Duration};

use rederive_testkit::{Rng, Seed};
use serde_json::json;
use tempfile::TempDir;

use self::{
    books::Books,
    load::{History, Load},
    program::Program,
};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

const KILLS: usize = 30;
const CLIENTS: usize = 6;

/// A database file, and all that was ever said about it.
struct World {
    directory: TempDir,
    history: History,
    /// Clients whose program may still run.
    pending: Vec<Load>,
    rng: Rng,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (history, rng) = (History::default(), Seed::from_env().rng());
        Self { directory, history, pending: Vec::new(), rng }
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    fn start(&self) -> Program {
        Program::start(&self.database())
    }

    /// Puts the program under load until a random moment.
    fn load(&mut self, program: &Program) -> Load {
        let load = Load::start(program.address(), CLIENTS, &mut self.history, &mut self.rng);
        load.wait_for_replies(self.rng.range(0..120));
        spin(&mut self.rng);
        load
    }

    /// Waits for the ends of all clients, whose programs have ended.
    fn join_all(&mut self) {
        for load in std::mem::take(&mut self.pending) {
            load.join(&mut self.history);
        }
    }

    /// Everything that was ever acknowledged is in the log once, and the tables are its fold.
    fn check_books(&self) -> Books {
        let books = Books::read(&self.database());
        books.check_tables();
        self.history.check(&books);
        books
    }

    fn check_audit(&self, program: &Program, books: &Books) {
        let reply = http::Connection::open(program.address())
            .and_then(|mut connection| connection.get("/audit"))
            .expect("the audit is answered");
        let expected = json!({
            "sum": 0,
            "accounts": books.opened(),
            "postings": books.posted(),
            "cursor": books.head(),
        });
        assert_eq!((reply.status, reply.body), (200, expected));
    }
}

/// Wastes a random time of up to some milliseconds, so that what follows meets any instruction.
fn spin(rng: &mut Rng) {
    for _ in 0..rng.range(0..300_000) {
        std::hint::spin_loop();
    }
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_applies_nothing_twice() {
    let mut world = World::new();
    let mut kills = 0;
    while kills < KILLS {
        // Now and then while it is starting, perhaps catching up with what was recorded before.
        if world.rng.chance(0.2) {
            let program = Program::spawn(&world.database());
            (0..world.rng.range(0..40)).for_each(|_| spin(&mut world.rng));
            program.kill();
            kills += 1;
        }
        let program = world.start();
        let books = world.check_books();
        world.check_audit(&program, &books);

        let load = world.load(&program);
        program.kill();
        kills += 1;
        load.join(&mut world.history);
    }
    let program = world.start();
    let books = world.check_books();
    world.check_audit(&program, &books);
    program.terminate("TERM");
    let said = world.history.summary(&books);
    assert!(world.history.acknowledged() > KILLS, "there was next to no load: {said}");
    #[allow(clippy::print_stdout, reason = "a test's output is where its reader looks")]
    {
        println!("{kills} kills; {said}");
    }
}

#[test]
fn stopped_by_a_signal_under_load_it_answers_what_is_under_way_and_loses_nothing() {
    let mut world = World::new();
    for signal in ["TERM", "INT", "TERM", "TERM"] {
        let program = world.start();
        let load = world.load(&program);
        program.terminate(signal);
        load.join(&mut world.history);
        // It has closed the database: there is nothing beside the file.
        let log = world.database().with_extension("db-wal");
        assert!(!log.exists(), "it left its write-ahead log behind");
        // Before it is started again: nothing was left to be caught up with.
        let books = world.check_books();
        let silent = world.history.recorded_in_silence(&books);
        assert!(silent.is_empty(), "recorded, but not answered: {silent:?}");
    }
    assert!(world.history.acknowledged() > 0, "there was no load");
}
