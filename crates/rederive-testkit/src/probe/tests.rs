use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::{Context, Poll, Wake},
    thread,
};

use rederive_core::Cursor;

use super::*;

const LONG: Duration = Duration::from_secs(10);

fn caught_up(cursor: u64) -> Notice {
    Notice::CaughtUp { reducer: "r".into(), watermark: Cursor::from(cursor) }
}

fn any(notice: &Notice) -> bool {
    matches!(notice, Notice::CaughtUp { .. })
}

fn never(_: &Notice) -> bool {
    false
}

/// Polls a future to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_watch_goes_from_match_to_match() {
    let probe = Probe::new();
    (1..=3).for_each(|cursor| probe.notice(&caught_up(cursor)));
    let mut watch = probe.from_start();
    for cursor in 1..=3 {
        assert_eq!(watch.wait_for(any, LONG), caught_up(cursor));
    }
    watch.try_wait_for(any, Duration::ZERO).expect_err("there is no fourth");
    assert_eq!(probe.wait_for(any, LONG), caught_up(1));
    assert_eq!(probe.count(any), 3);
    assert_eq!(probe.all().len(), 3);
}

#[test]
fn a_watch_from_now_passes_over_what_was_told() {
    let probe = Probe::new();
    probe.notice(&caught_up(1));
    let mut watch = probe.from_now();
    let teller = thread::spawn({
        let probe = probe.clone();
        move || probe.notice(&caught_up(2))
    });
    assert_eq!(watch.wait_for(any, LONG), caught_up(2));
    teller.join().expect("the teller told");
}

#[test]
fn an_async_wait_is_woken_by_a_notice_from_another_thread() {
    let probe = Probe::new();
    let mut watch = probe.from_now();
    let teller = thread::spawn({
        let probe = probe.clone();
        move || (1..=2).for_each(|cursor| probe.notice(&caught_up(cursor)))
    });
    assert_eq!(block_on(watch.notified(any, LONG)), caught_up(1));
    assert_eq!(block_on(watch.notified(any, LONG)), caught_up(2));
    assert_eq!(block_on(probe.notified(any, LONG)), caught_up(1));
    teller.join().expect("the teller told");
}

#[test]
fn a_notice_wakes_the_task_that_waits() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }
    let flag = Arc::new(Flag(false.into()));
    let waker = Arc::clone(&flag).into();
    let context = &mut Context::from_waker(&waker);
    let probe = Probe::new();
    let mut watch = probe.from_now();
    let mut wait = std::pin::pin!(watch.notified(any, LONG));
    assert!(wait.as_mut().poll(context).is_pending());
    assert!(!flag.0.load(SeqCst));
    probe.notice(&caught_up(1));
    assert!(flag.0.load(SeqCst), "it was not woken");
    assert_eq!(wait.as_mut().poll(context), Poll::Ready(caught_up(1)));
}

#[test]
fn a_wait_in_vain_lists_the_last_notices() {
    let probe = Probe::new();
    (1..=30).for_each(|cursor| probe.notice(&caught_up(cursor)));
    let mut watch = probe.from_start();
    let missed = watch.try_wait_for(never, Duration::from_millis(1)).expect_err("in vain");
    let text = missed.to_string();
    assert!(text.contains("of 30 notices"), "{text}");
    assert!(text.contains("Integer(30)") && text.contains("Integer(11)"), "{text}");
    assert!(!text.contains("Integer(10)"), "{text}");
    assert_eq!(watch.wait_for(any, LONG), caught_up(1), "a wait in vain moved the watch");
}

#[test]
#[should_panic(expected = "did not come within")]
fn an_async_wait_in_vain_ends_in_time() {
    block_on(Probe::new().notified(never, Duration::from_millis(5)));
}
