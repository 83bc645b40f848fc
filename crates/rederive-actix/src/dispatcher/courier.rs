//! The dispatcher's courier: started when the reducer is opened, replaced when it dies, stopped first.

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use rederive_core::{Notice, effect::Deliverer};

use super::{Dispatcher, Phase};
use crate::{
    courier::{Courier, CourierEnd, CourierLinks, StopCourier},
    message::{Abort, CourierDone, WakeCourier},
};

/// The courier at work, which ends with this.
#[derive(Default)]
pub(super) struct AtWork {
    courier: Option<Addr<Courier>>,
    generation: u64,
}

impl AtWork {
    pub(super) fn is_none(&self) -> bool {
        self.courier.is_none()
    }

    pub(super) fn wake(&self) {
        if let Some(courier) = &self.courier {
            courier.do_send(WakeCourier);
        }
    }

    pub(super) fn stop(&self) {
        if let Some(courier) = &self.courier {
            courier.do_send(StopCourier);
        }
    }

    /// Ends it at once: what it was delivering is delivered again.
    pub(super) fn abort(&mut self) {
        if let Some(courier) = self.courier.take() {
            courier.do_send(Abort);
        }
    }

    #[cfg(feature = "chaos")]
    pub(super) fn addr(&self) -> Option<&Addr<Courier>> {
        self.courier.as_ref()
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
        self.courier.courier = Some(Courier::new(links).start());
    }
}

impl<E: Send + Sync + 'static> Handler<CourierDone> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, CourierDone { end, generation }: CourierDone, ctx: &mut Context<Self>) {
        if generation != self.courier.generation || self.courier.is_none() {
            return;
        }
        self.courier.courier = None;
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
