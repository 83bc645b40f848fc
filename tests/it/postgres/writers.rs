//! Many foreign writers for a while, which hold their transactions open, roll back, and take numbers
//! in advance: what is projected is what they have committed, in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rederive::{Await, Cursor};
use rederive_testkit::{Rng, Seed};

use super::bank::{ACCOUNT_COUNT, Bank, Sql};
use crate::fixture::bank::Event;

const WRITERS: usize = 8;

/// How long they write at least.
const WHILE: Duration = Duration::from_secs(10);

#[actix_rt::test]
async fn what_many_foreign_writers_commit_is_projected_once_and_in_order() {
    let bank = Bank::new();
    let handle = bank.start().await;
    let (ends, committed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut rng = Seed::from_env().rng();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (mut sql, mut rng) = (bank.connect(), rng.fork());
            let (ends, committed) = (Arc::clone(&ends), Arc::clone(&committed));
            thread::spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    committed.fetch_add(transaction(&mut sql, &mut rng), Ordering::SeqCst);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut awaited = 0;
    let is_load = |awaited: usize| awaited > 10 && committed.load(Ordering::SeqCst) > 10 * WRITERS;
    // Meanwhile, others append as the framework does it, and await what they have appended.
    while begun.elapsed() < WHILE || !is_load(awaited) {
        awaited += 1;
        let recorded = bank.world.append([Event::deposited("0", 1)]);
        handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    }
    ends.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    let committed = committed.load(Ordering::SeqCst);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    let events = bank.world.events();
    let own = events.iter().filter(|event| event.data == Event::deposited("0", 1)).count();
    assert_eq!((own, events.len()), (awaited, ACCOUNT_COUNT + own + committed));
    // In order, and each of them once: every account remembers its last event and their number.
    let last = events.last().map(|event| event.cursor.clone());
    assert_eq!(last, Some(handle.status().await[0].watermark.clone()).or(Some(Cursor::Start)));
    bank.check(handle).await;
}

/// One transaction; returns how many events it has committed.
fn transaction(sql: &mut Sql, rng: &mut Rng) -> usize {
    let count = rng.range(1..4);
    sql.execute("BEGIN");
    for _ in 0..count {
        let event = Event::deposited(&rng.range(0..ACCOUNT_COUNT).to_string(), 2);
        let json = serde_json::to_string(&event).expect("it is JSON");
        sql.execute(&format!(
            "INSERT INTO rederive_events (time, event_type, data) VALUES (0, 'Deposited', '{json}')"
        ));
        // Holds its transaction open for some time that nobody knows.
        for _ in 0..rng.range(0..200_000) {
            std::hint::spin_loop();
        }
    }
    if rng.chance(0.2) {
        sql.execute("ROLLBACK");
        return 0;
    }
    sql.execute("COMMIT");
    count
}
