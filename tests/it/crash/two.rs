//! Two ledgers on one database: one derives, the other stands by, and both take requests.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{CLIENTS, World, load::Load, program::Program, spin};
use crate::fixture::database::{Database, on_every_database};

on_every_database! {
    of_two_ledgers_one_derives_and_the_other_goes_on_at_once_when_that_one_stops,
    killed_again_and_again_it_is_taken_over_by_the_one_that_stands_by_within_the_lease,
    killed_on_the_same_machine_it_is_replaced_at_once_however_long_its_lease_is,
    frozen_under_load_and_taken_over_it_commits_nothing_when_it_goes_on,
}

/// A lease whose end nobody could wait for.
const LONG: &str = "3600";

impl World {
    /// Puts the program under load until some requests are answered.
    fn load_until(&mut self, program: &Program, replies: usize) -> Load {
        let load = Load::start(program.address(), CLIENTS, &mut self.history, &mut self.rng);
        load.wait_for_replies(replies);
        load
    }
}

fn of_two_ledgers_one_derives_and_the_other_goes_on_at_once_when_that_one_stops(
    database: Database,
) {
    let mut world = World::new(database);
    let mut owner = Program::start_with(&world.database, LONG);
    for signal in ["TERM", "INT", "TERM"] {
        let stand_by = Program::start_with(&world.database, LONG);
        assert!(owner.owns(&world.database));
        // Requests to the one that stands by see their own writes, too.
        let loads = [world.load_until(&owner, 20), world.load_until(&stand_by, 12)];
        owner.terminate(signal);
        stand_by.wait_until_it_owns(&world.database);
        let more = world.load_until(&stand_by, 20);
        owner = stand_by;
        // The clients of the one that goes on are not done yet.
        world.pending.extend(loads);
        world.pending.push(more);
    }
    owner.terminate("TERM");
    world.join_all();
    world.check_books();
}

fn killed_again_and_again_it_is_taken_over_by_the_one_that_stands_by_within_the_lease(
    database: Database,
) {
    let mut world = World::new(database);
    let mut owner = Program::start_with(&world.database, "1");
    for _ in 0..5 {
        let stand_by = Program::start_with(&world.database, "1");
        let loads = [world.load_until(&owner, 20), world.load_until(&stand_by, 3)];
        spin(&mut world.rng);
        let killed = Instant::now();
        owner.kill();
        stand_by.wait_until_it_owns(&world.database);
        // Generous, as machines are slow at times.
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
        world.pending.extend(loads);
        let more = world.load_until(&stand_by, 20);
        world.pending.push(more);
        owner = stand_by;
    }
    world.settle(&owner);
    owner.terminate("TERM");
    world.join_all();
    world.check_books();
}

fn killed_on_the_same_machine_it_is_replaced_at_once_however_long_its_lease_is(database: Database) {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let mut world = World::new(database);
    let mut owner = Program::start_with(&world.database, LONG);
    for _ in 0..3 {
        let stand_by = Program::start_with(&world.database, LONG);
        let loads = [world.load_until(&owner, 20), world.load_until(&stand_by, 3)];
        spin(&mut world.rng);
        owner.kill();
        stand_by.wait_until_it_owns(&world.database);
        world.pending.extend(loads);
        let more = world.load_until(&stand_by, 20);
        world.pending.push(more);
        // And by one that is started when nobody is left.
        stand_by.kill();
        owner = Program::start_with(&world.database, LONG);
        owner.wait_until_it_owns(&world.database);
    }
    world.settle(&owner);
    owner.terminate("TERM");
    world.join_all();
    world.check_books();
}

fn frozen_under_load_and_taken_over_it_commits_nothing_when_it_goes_on(database: Database) {
    // So long that whoever has taken over is heard of in time on a busy machine, too.
    const LEASE: &str = "2";
    let mut world = World::new(database.with_commits_to_stop());
    let mut owner = Program::start_with(&world.database, LEASE);
    let (mut frozen, mut rounds) = (0, 0);
    while frozen < 3 {
        rounds += 1;
        assert!(rounds < 30, "it was frozen while it was taken over only {frozen} times");
        let stand_by = Program::start_with(&world.database, LEASE);
        let load = world.load_until(&owner, 20);
        if world.database.outlives_its_programs() {
            // In the midst of a commit, with which it goes on before it could hear of anything.
            let commit = world.database.stop_a_commit();
            owner.signal("STOP");
            // Again and again, as what it had sent before may arrive late.
            stand_by.wait_until_it_owns_while(&world.database, || {
                world.database.cut_off(owner.name());
            });
            // At once, so that its successor has not committed the same: tables with keys would refuse
            // it then.
            drop(commit);
            frozen += 1;
        } else if freeze_between_transactions(&owner, &stand_by, &world.database) {
            frozen += 1;
        }
        owner.signal("CONT");
        let more = world.load_until(&stand_by, 20);
        // It learns that by a commit that it had begun, or by its lease.
        owner.wait_until_it_says("another process has taken the reducer over");
        assert!(stand_by.owns(&world.database));
        // Whoever was waiting there is answered, and it goes on as a stand-by.
        let again = world.load_until(&owner, 5);
        world.pending.extend([load, more, again]);
        owner.end("TERM");
        owner = stand_by;
    }
    owner.end("TERM");
    world.join_all();
    world.check_books();
}

/// Stops the process where it stands until it is taken over; false if it was running again when that
/// happened. While it stands still with the database locked, nobody can take over, whatever the lease
/// says: then it is let go on, and stopped again.
fn freeze_between_transactions(program: &Program, by: &Program, database: &Database) -> bool {
    loop {
        program.signal("STOP");
        let stopped = Instant::now();
        while stopped.elapsed() < Duration::from_secs(6) {
            if database.is_locked() {
                break;
            }
            if by.owns(database) {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        program.signal("CONT");
        if by.owns(database) {
            return false;
        }
    }
}
