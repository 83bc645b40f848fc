//! Dying: an actor that ends in the middle of its work is replaced, and nothing is lost or doubled.

use rederive::{
    Await, Handle, Outcome,
    chaos::{Kill, Victim},
};

use crate::fixture::{
    PATIENCE, World,
    bank::Event,
    notices::{halted, restarted},
    on_every_store, outcomes,
};

on_every_store!(a_halted_partition_whose_actor_dies_stays_halted);

fn kill(handle: &Handle, victim: Victim) {
    handle.supervisor().do_send(Kill { reducer: "accounts".to_owned(), victim });
}

async fn a_halted_partition_whose_actor_dies_stays_halted(world: World) {
    let handle = world.start().await;
    world.append([Event::opened("a"), Event::poison("a")]);
    world.probe.notified(halted, PATIENCE).await;
    kill(&handle, Victim::Partition("a".into()));
    world.probe.notified(restarted("partition dispatcher"), PATIENCE).await;
    let later = world.append([Event::deposited("a", 7)]);
    let waited = handle.wait(Await::events("accounts", &later)).await;
    assert!(matches!(outcomes(waited)[0], Outcome::Halted(_)));
    world.check();
    handle.stop().await;
}
