//! The example `ledger`, killed and stopped under load: what it has acknowledged is there once.
//!
//! [`program`] starts and ends it, [`load`] makes requests and remembers the replies, [`books`] reads
//! the database and compares it with a fold of the log and with what was replied.
//!
//! A server goes on for a while with what a program has asked for that is dead by now, and may even
//! commit it. So no look is taken at a database before that is over; but a program may be started.

mod books;
mod load;
mod program;
mod two;
// The wire of the example that puts the ledger under load.
#[path = "../../../examples/ledger_load/http.rs"]
mod http;

use std::time::Duration;

use rederive_testkit::{Rng, Seed};
use serde_json::{Value, json};

use self::{
    books::Books,
    load::{History, Load},
    program::Program,
};
use crate::fixture::database::{Database, on_every_database};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

const KILLS: usize = 30;
const CLIENTS: usize = 6;

on_every_database! {
    killed_at_any_moment_it_loses_nothing_and_applies_nothing_twice,
    stopped_by_a_signal_under_load_it_answers_what_is_under_way_and_loses_nothing,
}

/// A database, and all that was ever said about it.
struct World {
    database: Database,
    history: History,
    /// Clients whose program may still run.
    pending: Vec<Load>,
    rng: Rng,
}

impl World {
    fn new(database: Database) -> Self {
        let (history, rng) = (History::default(), Seed::from_env().rng());
        Self { database, history, pending: Vec::new(), rng }
    }

    /// Starts it alone; it may meet what is still done for those who were killed before it.
    fn start(&mut self) -> Program {
        let meets_them = self.database.outlives_its_programs() && self.rng.chance(0.5);
        if meets_them {
            let program = Program::start(&self.database);
            self.settle(&program);
            return program;
        }
        self.database.wait_until_only(&[]);
        Program::start(&self.database)
    }

    /// Waits until nothing is done for those who were killed, and this one has applied what was.
    fn settle(&self, program: &Program) {
        self.database.wait_until_only(&[program.name()]);
        audit(program);
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
        let books = Books::read(&self.database);
        books.check_tables();
        assert!(!self.database.has_halted("ledger"), "an account is halted");
        self.history.check(&books);
        books
    }

    fn check_audit(&self, program: &Program, books: &Books) {
        let expected = json!({
            "sum": 0,
            "accounts": books.opened(),
            "postings": books.posted(),
            "cursor": books.head(),
        });
        assert_eq!(audit(program), expected);
    }
}

/// Has it do the audit, for which it waits until it has applied all that is in the log.
fn audit(program: &Program) -> Value {
    let reply = http::Connection::open(program.address())
        .and_then(|mut connection| connection.get("/audit"))
        .expect("the audit is answered");
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// Wastes a random time of up to some milliseconds, so that what follows meets any instruction.
fn spin(rng: &mut Rng) {
    for _ in 0..rng.range(0..300_000) {
        std::hint::spin_loop();
    }
}

fn killed_at_any_moment_it_loses_nothing_and_applies_nothing_twice(database: Database) {
    let mut world = World::new(database);
    let mut kills = 0;
    while kills < KILLS {
        // Now and then while it is starting, perhaps catching up with what was recorded before.
        if world.rng.chance(0.2) {
            let program = Program::spawn(&world.database);
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

fn stopped_by_a_signal_under_load_it_answers_what_is_under_way_and_loses_nothing(
    database: Database,
) {
    let mut world = World::new(database);
    for signal in ["TERM", "INT", "TERM", "TERM"] {
        let program = world.start();
        let load = world.load(&program);
        program.terminate(signal);
        load.join(&mut world.history);
        world.database.check_closed();
        // Before it is started again: nothing was left to be caught up with.
        let books = world.check_books();
        let silent = world.history.recorded_in_silence(&books);
        assert!(silent.is_empty(), "recorded, but not answered: {silent:?}");
    }
    assert!(world.history.acknowledged() > 0, "there was no load");
}
