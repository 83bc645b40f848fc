//! Awaiting: every event gets an honest answer.

use std::time::{Duration, Instant};

use rederive::{
    Await, AwaitError, Awaited, Cursor, Handle, MemoryLog, MemoryStore, Outcome, Rederive,
};

use crate::fixture::{
    PATIENCE,
    bank::{Accounts, Event, fold, rows},
    quiet,
};

async fn start(log: &MemoryLog<Event>, store: &MemoryStore) -> Handle {
    Rederive::new(log.clone())
        .register(Accounts::new(), store.clone())
        .config(quiet())
        .start()
        .await
        .expect("it starts")
}

fn outcomes(result: Result<Awaited, AwaitError>) -> Vec<Outcome> {
    let awaited = match result {
        Ok(awaited) | Err(AwaitError::Incomplete(awaited)) => awaited,
        Err(other) => panic!("{other}"),
    };
    awaited.replies.into_iter().map(|reply| reply.outcome).collect()
}

#[actix_rt::test]
async fn what_was_awaited_can_be_read() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let handle = start(&log, &store).await;
    let recorded = log.append([Event::opened("a"), Event::deposited("a", 5)]);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    assert_eq!(rows(&store), fold(&recorded));
    handle.stop().await;
}

#[actix_rt::test]
async fn an_event_can_be_awaited_before_it_exists() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let handle = start(&log, &store).await;
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(
            async move { handle.wait(Await::cursors("accounts", [Cursor::from(2)])).await },
        )
    };
    log.append([Event::opened("a")]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    assert!(!waiting.is_finished());
    log.append([Event::deposited("a", 5)]);
    waiting.await.expect("no panic").expect("done");
    assert_eq!(rows(&store)["a"].0, 5);
    handle.stop().await;
}

#[actix_rt::test]
async fn every_event_gets_a_reply_of_its_own() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let handle = start(&log, &store).await;
    let recorded = log.append([
        Event::opened("a"),
        Event::Noise,
        Event::opened("b"),
        Event::Transferred { from: "a".into(), to: "b".into(), amount: 3 },
    ]);
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    use Outcome::{Done, Ignored};
    assert_eq!(outcomes(waited), [Done, Ignored, Done, Done]);
    // Asked again, long after.
    let waited = handle.wait(Await::events("accounts", &recorded)).await;
    assert_eq!(outcomes(waited), [Done, Ignored, Done, Done]);
    handle.stop().await;
}

#[actix_rt::test]
async fn a_halted_partition_answers_at_once_with_the_cause() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let handle = start(&log, &store).await;
    let recorded = log.append([Event::opened("a"), Event::poison("a"), Event::deposited("a", 1)]);
    let begun = Instant::now();
    for round in ["first", "again"] {
        let waited = handle.wait(Await::events("accounts", &recorded[2..])).await;
        let Outcome::Halted(halt) = &outcomes(waited)[0] else { panic!("not halted, {round}") };
        assert_eq!((&halt.cursor, &*halt.message), (&recorded[1].cursor, "poison"));
    }
    assert!(begun.elapsed() < PATIENCE);
    // The good prefix is there.
    assert_eq!(
        outcomes(handle.wait(Await::events("accounts", &recorded[..1])).await),
        [Outcome::Done]
    );
    assert_eq!(rows(&store)["a"], (0, 1, 1));
    handle.stop().await;
}

#[actix_rt::test]
async fn a_time_out_is_never_success() {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    let handle = start(&log, &store).await;
    let request = Await::cursors("accounts", [Cursor::from(1)]).within(Duration::from_millis(20));
    let error = handle.wait(request).await.expect_err("nothing was appended");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(outcomes(Err(error)), [Outcome::TimedOut]);
    handle.stop().await;
}
