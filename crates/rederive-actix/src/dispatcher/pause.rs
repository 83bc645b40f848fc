//! Pausing: reading no more until told to go on.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use rederive_core::Notice;

use super::{Dispatcher, Phase};
use crate::{
    message::{Ask, PauseNoted, SetPaused},
    pause::PauseError,
    waiter::{Outcome, Waiter},
};

impl<E: Send + Sync + 'static> Handler<SetPaused> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, SetPaused { paused, reply }: SetPaused, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Running | Phase::Blocked(_)) {
            let standing_by = |owner| PauseError::StandingBy { owner };
            let error = self.standing_by().map_or(PauseError::Interrupted, standing_by);
            // Whoever asked may have gone.
            let _ = reply.send(Err(error));
            return;
        }
        let (reducer, me) = (Arc::clone(&self.links.name), ctx.address());
        self.links.persistence.do_send(Ask(Box::new(move |store| {
            let result = store.pause(&reducer, paused);
            me.do_send(PauseNoted { paused, result, reply });
        })));
    }
}

impl<E: Send + Sync + 'static> Handler<PauseNoted> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, noted: PauseNoted, ctx: &mut Context<Self>) {
        let PauseNoted { paused, result, reply } = noted;
        if result.is_ok() && paused != self.paused {
            self.set_paused(paused, ctx);
        }
        let _ = reply.send(result.map_err(PauseError::from));
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// The store has noted it.
    pub(super) fn set_paused(&mut self, paused: bool, ctx: &mut Context<Self>) {
        self.paused = paused;
        let reducer = Arc::clone(&self.links.name);
        if !paused {
            self.links.observers.tell(&Notice::Resumed { reducer });
            self.flow.at_head = false;
            self.read_on(ctx);
            return;
        }
        self.links.observers.tell(&Notice::Paused { reducer });
        let reachable = self.settled.release(&self.flow.position);
        for (_, waiter) in self.future.release_all().into_iter().chain(self.settled.release_all()) {
            waiter.finish(Outcome::Paused);
        }
        for (cursor, waiter) in reachable {
            self.settled.add(cursor, waiter, Waiter::is_gone);
        }
    }
}
