//! A reducer that is being rebuilt: what it is to reach, how far it is, and its end.

use std::time::Instant;

use actix::{AsyncContext, Context, Handler};
use rederive_core::{Blocked, Cursor, Notice, OpenError, Opened};

use super::{Dispatcher, Phase};
use crate::{
    config::OnVersionChange,
    message::{Measure, Measured, StopRebuild},
    rebuild::RebuildError,
    status::RebuildStatus,
};

/// A rebuild under way.
pub(super) struct Rebuilding {
    /// It is over when this is stored as the low watermark.
    target: Cursor,
    /// How many events there are, once that is known.
    total: Option<u64>,
    /// How many of them are settled.
    done: u64,
    told: Instant,
}

impl Rebuilding {
    pub(super) fn status(&self) -> RebuildStatus {
        RebuildStatus { target: self.target.clone(), done: self.done, total: self.total }
    }
}

impl<E: Send + Sync + 'static> Handler<Measured> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, measured: Measured, ctx: &mut Context<Self>) {
        let Measured { until, events } = measured;
        if matches!(self.phase, Phase::Opening | Phase::StandingBy(_)) {
            self.measured = Some(events);
            self.take_over(self.links.rebuild.is_ordered().then_some(until), ctx);
        } else if let Some(rebuilding) = &mut self.rebuilding {
            rebuilding.total = Some(events);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<StopRebuild> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, _: StopRebuild, ctx: &mut Context<Self>) {
        self.stop_if_cancelled(ctx);
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// What an error of an opening has to do with rebuilding; true when the reducer is being opened
    /// once more for it.
    pub(super) fn rebuild_instead(&mut self, error: &OpenError, ctx: &Context<Self>) -> bool {
        let rebuild = &self.links.rebuild;
        if rebuild.is_ordered() && !error.is_transient() {
            // Nothing was changed: without the rebuild the reducer goes on, if it was running.
            rebuild.give_up(&RebuildError::Refused(error.clone()));
            let was_running = self.links.ownership.epoch().is_some();
            if was_running {
                self.open(ctx);
            }
            return was_running;
        }
        let differs = matches!(error, OpenError::VersionDiffers { .. });
        let wish = self.links.on_version_change.unwrap_or(self.links.config.on_version_change);
        let wanted = wish == OnVersionChange::Rebuild;
        let possible = !self.links.tables.is_empty() || self.links.engine.keeps_states();
        if differs && wanted && possible && rebuild.order(None).is_ok() {
            self.open(ctx);
            return true;
        }
        false
    }

    /// Asks the log how far a rebuild has to go.
    pub(super) fn measure(&self, after: Cursor, until: Option<Cursor>, ctx: &Context<Self>) {
        self.links.log_actor.do_send(Measure { after, until, reply: ctx.address().recipient() });
    }

    /// Whether the store has opened the reducer as one that is being rebuilt, and what follows.
    pub(super) fn opened_rebuilding(&mut self, opened: &Opened, ctx: &Context<Self>) {
        self.bulk = false;
        self.links.sizes = self.links.config.sizes(opened.rebuilding.is_some());
        let Some(target) = &opened.rebuilding else { return };
        let resumed = self.measured.is_none();
        let total = self.measured.take();
        self.links.rebuild.resume();
        if resumed {
            self.measure(opened.watermark.clone(), Some(target.clone()), ctx);
        }
        self.links.observers.tell(&Notice::RebuildStarted {
            reducer: self.links.name.clone(),
            target: target.clone(),
            resumed,
        });
        self.rebuilding =
            Some(Rebuilding { target: target.clone(), total, done: 0, told: Instant::now() });
    }

    /// Ends a rebuild of which there is nothing left to do, and stops one that was cancelled.
    pub(super) fn check_rebuild(&mut self, ctx: &mut Context<Self>) {
        if self.rebuilding.is_none() && self.links.rebuild.is_under_way() {
            self.finish_rebuild();
        }
        self.stop_if_cancelled(ctx);
    }

    fn stop_if_cancelled(&mut self, ctx: &mut Context<Self>) {
        let stops = self.rebuilding.is_some() && self.links.rebuild.is_cancelled();
        if stops && matches!(self.phase, Phase::Running) {
            self.block(Blocked::RebuildCancelled, ctx);
        }
    }

    /// Tells how far the rebuild is, and ends it when its target is stored.
    pub(super) fn rebuild_on(&mut self, ctx: &Context<Self>) {
        let Some(rebuilding) = &mut self.rebuilding else { return };
        let done = self.flow.done();
        let elapsed = self.links.rebuild.progress(done.saturating_sub(rebuilding.done));
        rebuilding.done = done;
        if self.stored >= rebuilding.target {
            self.finish_rebuild();
            return;
        }
        if rebuilding.told.elapsed() >= self.links.config.progress_interval {
            rebuilding.told = Instant::now();
            self.links.observers.tell(&Notice::RebuildProgress {
                reducer: self.links.name.clone(),
                done,
                total: rebuilding.total,
                elapsed,
            });
        }
        if *self.flow.watermark.cursor() >= rebuilding.target {
            // No commit has to come: what is left concerned no partition.
            self.store_watermark(ctx);
        }
    }

    fn finish_rebuild(&mut self) {
        self.rebuilding = None;
        self.set_sizes();
        let (halted, halts) = (self.routes.halted(), self.routes.halts());
        let report = self.links.rebuild.finish(&self.links.name, halted, halts);
        self.links.observers.tell(&Notice::Rebuilt {
            reducer: self.links.name.clone(),
            events: report.events,
            halted,
            took: report.took,
        });
    }

    /// The rebuild does not go on for now, or not here.
    pub(super) fn rebuild_stands(&self, error: &RebuildError) {
        self.links.rebuild.tell(error);
    }
}
