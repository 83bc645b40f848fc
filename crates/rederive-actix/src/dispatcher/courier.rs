//! The dispatcher's courier: started when the reducer is opened, replaced when it dies, stopped first.
//!
//! It lives on a thread of its own, so that a delivery which blocks keeps nobody but later deliveries of
//! its reducer.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, AsyncContext, Context, Handler};
use rederive_core::{Notice, effect::Deliverer};

use super::{Dispatcher, Phase};
use crate::{
    courier::{Courier, CourierEnd, CourierLinks, StopCourier},
    message::{Abort, CourierDone, WakeCourier},
};

/// How much longer than the grace a courier may take to stop before its thread counts as blocked.
const MARGIN: Duration = Duration::from_millis(200);

/// The courier at work, which ends with this.
#[derive(Default)]
pub(super) struct AtWork {
    courier: Option<(Addr<Courier>, Arbiter)>,
    generation: u64,
}

impl AtWork {
    pub(super) fn is_none(&self) -> bool {
        self.courier.is_none()
    }

    pub(super) fn wake(&self) {
        if let Some((courier, _)) = &self.courier {
            courier.do_send(WakeCourier);
        }
    }

    pub(super) fn stop(&self) {
        if let Some((courier, _)) = &self.courier {
            courier.do_send(StopCourier);
        }
    }

    /// Ends it as soon as it does not block: what it was delivering is delivered again.
    pub(super) fn abort(&mut self) {
        if let Some((courier, thread)) = self.courier.take() {
            courier.do_send(Abort);
            // Not waited for: the user's code may block it.
            thread.stop();
        }
    }

    /// It has ended: so does its thread, which is free.
    fn ended(&mut self) {
        if let Some((_, thread)) = self.courier.take() {
            thread.stop();
            if thread.join().is_err() {
                log::error!(target: "rederive", "a thread for deliveries panicked");
            }
        }
    }

    #[cfg(feature = "chaos")]
    pub(super) fn addr(&self) -> Option<&Addr<Courier>> {
        self.courier.as_ref().map(|(courier, _)| courier)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Starts a courier for what this owner commits, if there is somebody who delivers.
    pub(super) fn start_courier(&mut self, ctx: &Context<Self>) {
        let Some(deliverer) = &self.links.deliverer else { return };
        let deliverer: Arc<dyn Deliverer> = Arc::clone(deliverer);
        self.courier.generation += 1;
        let links = CourierLinks {
            reducer: Arc::clone(&self.links.name),
            epoch: self.revision.epoch,
            deliverer,
            persistence: self.links.persistence.clone(),
            config: self.links.config.clone(),
            observers: self.links.observers.clone(),
            done: ctx.address().recipient(),
            generation: self.courier.generation,
        };
        let thread = Arbiter::new();
        let courier = Courier::start_in_arbiter(&thread.handle(), move |_| Courier::new(links));
        self.courier.courier = Some((courier, thread));
    }

    /// Tells the courier to stop, and goes on without it when the user's code blocks its thread.
    pub(super) fn stop_courier(&mut self, ctx: &mut Context<Self>) {
        let Some(deliverer) = self.links.deliverer.as_ref().filter(|_| !self.courier.is_none())
        else {
            return;
        };
        self.courier.stop();
        let patience = deliverer.settings().grace.saturating_add(MARGIN);
        ctx.run_later(patience, |this, ctx| {
            if !this.courier.is_none() {
                let reducer = &this.links.name;
                log::warn!(
                    target: "rederive",
                    "a delivery of {reducer} blocks its thread beyond the grace: it is given up, and \
                     made again at the next start"
                );
                this.courier.abort();
                this.stop_if_drained(ctx);
            }
        });
    }
}

impl<E: Send + Sync + 'static> Handler<CourierDone> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, CourierDone { end, generation }: CourierDone, ctx: &mut Context<Self>) {
        if generation != self.courier.generation || self.courier.is_none() {
            return;
        }
        self.courier.ended();
        match end {
            _ if matches!(self.phase, Phase::Stopping(_)) => self.stop_if_drained(ctx),
            CourierEnd::Stopped => {}
            CourierEnd::Fenced => self.fence(ctx),
            CourierEnd::Died => {
                let reducer = Some(Arc::clone(&self.links.name));
                self.links.observers.tell(&Notice::Restarted { reducer, actor: "courier" });
                ctx.run_later(self.links.config.min_backoff, |this, ctx| {
                    if matches!(this.phase, Phase::Running | Phase::Blocked(_)) {
                        this.start_courier(ctx);
                    }
                });
            }
        }
    }
}

impl<E: Send + Sync + 'static> Handler<WakeCourier> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: WakeCourier, _: &mut Context<Self>) {
        self.courier.wake();
    }
}
