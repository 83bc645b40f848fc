//! What a dispatcher says of itself.

use std::{sync::Arc, time::Instant};

use actix::{Context, Handler, MessageResult};
use tokio::sync::oneshot;

use super::{Dispatcher, Phase};
use crate::{
    message::{Ask, Survey},
    status::{Activity, ReducerStatus, Report, Reported},
};

impl<E: Send + Sync + 'static> Handler<Report> for Dispatcher<E> {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Context<Self>) -> Self::Result {
        let settled = self.is_settled();
        let activity = match &self.phase {
            Phase::Opening => Activity::Opening,
            Phase::StandingBy(_) => Activity::StandingBy,
            Phase::Running if self.paused => Activity::Paused,
            Phase::Running if self.rebuilding.is_some() => Activity::Rebuilding,
            Phase::Running if settled => Activity::CaughtUp,
            Phase::Running => Activity::CatchingUp,
            Phase::Blocked(reason) => Activity::Blocked(reason.clone()),
            Phase::Fenced => Activity::Fenced,
            Phase::Stopping(_) => Activity::Stopping,
        };
        let (position, watermark, standing_by_since) = match &self.phase {
            Phase::StandingBy(stand_by) => {
                (&stand_by.watermark, &stand_by.watermark, Some(stand_by.since))
            }
            _ => (&self.flow.position, self.flow.watermark.cursor(), None),
        };
        let owner = match &self.phase {
            Phase::Opening | Phase::Fenced => None,
            _ => Some(self.standing_by().unwrap_or_else(|| self.links.instance.to_string())),
        };
        let log_delay = self.links.log_health.get();
        // Before it was opened, the watermark says nothing; a log that is away would not answer.
        let asks = !matches!(self.phase, Phase::Opening) && log_delay.is_none();
        let survey = asks.then(|| {
            let (reply, surveyed) = oneshot::channel();
            let after = watermark.clone();
            self.links.log_actor.do_send(Survey { after, oldest: self.flow.oldest(), reply });
            surveyed
        });
        let store_delay = self.links.store_health.get();
        let delivers = self.links.deliverer.is_some() && store_delay.is_none();
        let effects = delivers.then(|| {
            let (reply, counted) = oneshot::channel();
            let name = Arc::clone(&self.links.name);
            self.links.persistence.do_send(Ask(Box::new(move |store| {
                // Nobody may wait for it any more; a store that fails is told of elsewhere.
                if !reply.is_closed()
                    && let Ok(counts) = store.outbox().counts(&name, ReducerStatus::MOST_EFFECTS)
                {
                    let _ = reply.send(counts);
                }
            })));
            counted
        });
        let status = ReducerStatus {
            reducer: self.links.name.to_string(),
            version: self.links.version,
            activity,
            lease_remaining: self.links.ownership.lease_remaining().filter(|_| owner.is_some()),
            owner,
            standing_by_since,
            position: position.clone(),
            watermark: watermark.clone(),
            head: None,
            lag: None,
            rate: self.flow.rate.per_second(Instant::now()),
            rebuild: self.rebuilding.as_ref().map(super::rebuild::Rebuilding::status),
            in_flight: self.flow.unsettled(),
            active_partitions: self.routes.active() + self.gathered.partitions(),
            halted_partitions: self.routes.halted(),
            retrying_partitions: self.routes.retrying(),
            effects: None,
            store_delay,
            log_delay,
            held_back: Vec::new(),
        };
        MessageResult(Reported { status, survey, effects })
    }
}
