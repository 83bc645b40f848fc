//! What a dispatcher says of itself.

use actix::{Context, Handler, MessageResult};

use super::{Dispatcher, Phase};
use crate::status::{Activity, ReducerStatus, Report};

impl<E: Send + Sync + 'static> Handler<Report> for Dispatcher<E> {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Context<Self>) -> Self::Result {
        let settled = self.flow.watermark.is_settled() && self.flow.at_head;
        let activity = match &self.phase {
            Phase::Opening => Activity::Opening,
            Phase::Running if self.paused => Activity::Paused,
            Phase::Running if settled && !self.flow.fetching => Activity::CaughtUp,
            Phase::Running => Activity::CatchingUp,
            Phase::Blocked(reason) => Activity::Blocked(reason.clone()),
            Phase::Fenced => Activity::Fenced,
            Phase::Stopping(_) => Activity::Stopping,
        };
        MessageResult(ReducerStatus {
            reducer: self.links.name.to_string(),
            version: self.links.version,
            activity,
            position: self.flow.position.clone(),
            watermark: self.flow.watermark.cursor().clone(),
            in_flight: self.flow.unsettled(),
            active_partitions: self.routes.active(),
            halted_partitions: self.routes.halted(),
            retrying_partitions: self.routes.retrying(),
            store_delay: self.links.store_health.get(),
            log_delay: self.links.log_health.get(),
        })
    }
}
