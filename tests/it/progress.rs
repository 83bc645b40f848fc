//! The progress of rebuilds, as it is written where there is no terminal.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use rederive::{Await, progress::Progress};

use crate::fixture::{
    World,
    bank::{Accounts, Event},
    on_every_store,
};

on_every_store!(the_end_of_each_rebuild_is_a_line_with_its_events_and_rate);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn the_end_of_each_rebuild_is_a_line_with_its_events_and_rate(world: World) {
    let lines = Lines::default();
    let builder = world.builder().observe(Progress::lines(lines.clone()));
    let builder = builder.register(Accounts::new(), world.store.clone());
    let handle = builder.start().await.expect("it starts");
    world.append([Event::opened("a"), Event::deposited("a", 1), Event::Noise]);
    handle.wait(Await::caught_up("accounts")).await.expect("caught up");
    for _ in 0..2 {
        handle.rebuild("accounts").await.expect("it is rebuilt");
    }
    handle.stop().await;
    let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("it is text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        assert!(line.starts_with("accounts: 3 of 3 events in "), "{line}");
        assert!(line.ends_with("/s"), "{line}");
    }
}
