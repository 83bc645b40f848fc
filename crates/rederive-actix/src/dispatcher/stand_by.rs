//! Standing by: another process owns the reducer, which is taken over once that one has gone.
//!
//! A look at the store every now and then tells whether it has, and what became of what is awaited.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context, Handler, SpawnHandle};
use rederive_core::{Cursor, Lease, Notice, OpenError, Slice, Timestamp};

use super::{Dispatcher, Phase, undecodable::Fate};
use crate::{
    config::OnOwned,
    instance::has_died,
    message::{Ask, Find, Head, LeaseLost, Seen},
    partition_work::now,
    rebuild::RebuildError,
    stand_by::{Awaited, Sight},
    waiter::{Outcome, Waiter},
};

/// A reducer that is waited for.
pub(super) struct StandBy {
    owner: Arc<str>,
    pub(super) since: Timestamp,
    lease_ends: Instant,
    /// The low watermark, as it was seen last.
    pub(super) watermark: Cursor,
    /// The end of the log, as far as is known.
    head: Cursor,
    /// The log has been asked where it ends.
    asking: bool,
    awaited: Vec<(Awaited, Waiter)>,
    /// A look is under way.
    looking: bool,
    /// Somebody has begun to wait since it began.
    again: bool,
    /// An opening is under way, or waits for its next attempt.
    opening: bool,
    attempts: u32,
    /// The pause before the next look.
    pause: Duration,
    timer: Option<SpawnHandle>,
}

/// The pauses of somebody who has just begun to wait begin so much shorter than they become.
const HASTE: u32 = 32;

impl<E: Send + Sync + 'static> Handler<Seen> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, Seen(sight): Seen, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        stand_by.looking = false;
        match sight {
            Ok(sight) => self.seen(sight, ctx),
            Err(error) => {
                stand_by.attempts += 1;
                let delay = self.links.config.backoff(stand_by.attempts);
                self.links.store_health.delayed(stand_by.attempts, &error.to_string());
                self.look_later(delay, ctx);
            }
        }
    }
}

impl<E: Send + Sync + 'static> Handler<LeaseLost> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, LeaseLost { epoch }: LeaseLost, ctx: &mut Context<Self>) {
        let is_owner =
            matches!(self.phase, Phase::Running | Phase::Blocked(_) | Phase::Stopping(_));
        // A commit may have found out before.
        if is_owner && self.revision.epoch == epoch {
            self.fence(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Who owns the reducer while we stand by.
    pub(super) fn standing_by(&self) -> Option<String> {
        match &self.phase {
            Phase::StandingBy(stand_by) => Some(stand_by.owner.to_string()),
            _ => None,
        }
    }

    /// Stands by if that is why the reducer could not be opened, and what the settings want.
    pub(super) fn stand_by_instead(&mut self, error: &OpenError, ctx: &mut Context<Self>) -> bool {
        let OpenError::Owned { by, remaining, .. } = error else { return false };
        if self.links.config.on_owned != OnOwned::StandBy {
            return false;
        }
        if self.links.rebuild.is_awaited() {
            // Whoever has asked for it is not to wait for the end of another process.
            self.links.rebuild.give_up(&RebuildError::Refused(error.clone()));
        }
        let (owner, lease_ends) = (Arc::<str>::from(by.as_str()), Instant::now() + *remaining);
        if let Phase::StandingBy(stand_by) = &mut self.phase {
            stand_by.opening = false;
        } else {
            self.phase = Phase::StandingBy(StandBy {
                owner: "".into(),
                since: now(),
                lease_ends,
                watermark: Cursor::Start,
                head: Cursor::Start,
                asking: false,
                awaited: Vec::new(),
                looking: false,
                again: false,
                opening: false,
                attempts: 0,
                pause: self.links.config.stand_by_interval,
                timer: None,
            });
        }
        self.is_owned_by(owner, lease_ends);
        self.ready.answer(Ok(()));
        // Those who began to wait before this was known.
        for (cursor, waiter) in self.future.release_all() {
            self.watch_for(cursor, waiter, ctx);
        }
        if remaining.is_zero() {
            // Its lease has run out, but it keeps the store from telling: not again at once.
            self.look_later(self.links.config.stand_by_interval, ctx);
        } else {
            self.look(ctx);
        }
        true
    }

    fn is_owned_by(&mut self, owner: Arc<str>, lease_ends: Instant) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        stand_by.lease_ends = lease_ends;
        self.links.ownership.stands_by(&owner, lease_ends);
        if stand_by.owner != owner {
            stand_by.owner = Arc::clone(&owner);
            let reducer = Arc::clone(&self.links.name);
            self.links.observers.tell(&Notice::StandingBy { reducer, owner });
        }
    }

    /// The reducer is ours. If it stood by, whoever waits does so here from now on.
    pub(super) fn begin_running(&mut self, ctx: &mut Context<Self>) {
        let before = std::mem::replace(&mut self.phase, Phase::Running);
        let Phase::StandingBy(stand_by) = before else { return };
        if let Some(timer) = stand_by.timer {
            ctx.cancel_future(timer);
        }
        let awaited = stand_by.awaited.into_iter().map(|(event, waiter)| (event.cursor, waiter));
        for (cursor, waiter) in awaited.chain(self.finding.release_all()) {
            self.future.add(cursor, waiter, Waiter::is_gone);
        }
        let (reducer, owner) = (Arc::clone(&self.links.name), stand_by.owner);
        self.links.observers.tell(&Notice::TakenOver { reducer, owner });
    }

    /// Those who wait for events that have been found in the log.
    pub(super) fn watching(&mut self) -> Vec<Waiter> {
        match &mut self.phase {
            Phase::StandingBy(stand_by) => {
                stand_by.awaited.drain(..).map(|(_, waiter)| waiter).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Has the waiter wait for an event that the owner may or may not have reduced: the log tells
    /// whose it is.
    pub(super) fn watch_for(&mut self, cursor: Cursor, waiter: Waiter, ctx: &Context<Self>) {
        if cursor.kind() != Some(self.links.log.cursor_kind()) {
            waiter.finish(Outcome::Missing);
            return;
        }
        self.finding.add(cursor.clone(), waiter, Waiter::is_gone);
        self.links.log_actor.do_send(Find {
            cursor,
            standing_by: true,
            reply: ctx.address().recipient(),
        });
    }

    /// The log has been asked for the event at a cursor.
    pub(super) fn watched_found(
        &mut self,
        waiter: Waiter,
        slice: Option<&Slice<E>>,
        cursor: Cursor,
        ctx: &mut Context<Self>,
    ) {
        let Some(entry) = slice.and_then(|slice| slice.at(&cursor)) else {
            let Phase::StandingBy(stand_by) = &self.phase else { return };
            if cursor <= stand_by.head {
                waiter.finish(Outcome::Missing);
            } else {
                self.future.add(cursor, waiter, Waiter::is_gone);
                self.ask_for_end(ctx);
            }
            return;
        };
        let mut distinct = Vec::new();
        match self.links.fate_of(&entry) {
            Fate::Blocked(reason) => return waiter.finish(Outcome::Blocked(reason)),
            Fate::To(partitions) if partitions.is_none() => return waiter.finish(Outcome::Ignored),
            Fate::To(partitions) => {
                partitions.for_each_distinct(|partition| distinct.push(partition));
            }
            Fate::Skipped(_) => {}
        }
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        stand_by.awaited.push((Awaited { cursor, partitions: distinct.into() }, waiter));
        self.look_hastily(ctx);
    }

    /// Asks where the log ends: those who wait for events that it did not hold want to know.
    fn ask_for_end(&mut self, ctx: &Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        if !std::mem::replace(&mut stand_by.asking, true) {
            self.links.log_actor.do_send(Head(ctx.address().recipient()));
        }
    }

    /// The log ends here now: events that were not in it may be.
    pub(super) fn watched_head(&mut self, head: Cursor, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        stand_by.asking = false;
        stand_by.head = head.max(std::mem::take(&mut stand_by.head));
        let appended = self.future.release(&stand_by.head);
        for (cursor, waiter) in appended {
            self.watch_for(cursor, waiter, ctx);
        }
        if !self.settled.is_empty() {
            self.look_hastily(ctx);
        }
    }

    /// Looks because somebody has begun to wait.
    fn look_hastily(&mut self, ctx: &mut Context<Self>) {
        if let Phase::StandingBy(stand_by) = &mut self.phase {
            stand_by.pause = self.links.config.stand_by_interval / HASTE;
        }
        self.look(ctx);
    }

    /// Asks the store how the reducer is doing: one question for all who wait.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        if stand_by.looking {
            stand_by.again = true;
            return;
        }
        (stand_by.looking, stand_by.again) = (true, false);
        if let Some(timer) = stand_by.timer.take() {
            ctx.cancel_future(timer);
        }
        stand_by.awaited.retain(|(_, waiter)| !waiter.is_gone());
        let awaited: Vec<_> = stand_by.awaited.iter().map(|(event, _)| event.clone()).collect();
        let (halts, reducer, me) =
            (!self.settled.is_empty(), Arc::clone(&self.links.name), ctx.address());
        self.links.persistence.do_send(Ask(Box::new(move |store| {
            me.do_send(Seen(Sight::take(store, &reducer, &awaited, halts)));
        })));
    }

    fn look_later(&mut self, delay: Duration, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        if let Some(timer) = stand_by.timer.take() {
            ctx.cancel_future(timer);
        }
        stand_by.timer = Some(ctx.run_later(delay, |this, ctx| {
            if let Phase::StandingBy(stand_by) = &mut this.phase {
                stand_by.timer = None;
            }
            if !this.future.is_empty() {
                this.ask_for_end(ctx);
            }
            this.look(ctx);
        }));
    }

    fn seen(&mut self, sight: Sight, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        if stand_by.attempts > 0 {
            stand_by.attempts = 0;
            self.links.store_health.set(None);
        }
        let asked = stand_by.awaited.len().min(sight.outcomes.len());
        let answered: Vec<_> = stand_by.awaited.drain(..asked).zip(sight.outcomes).collect();
        let mut waiting = Vec::new();
        for ((event, waiter), outcome) in answered {
            match outcome {
                Some(outcome) => waiter.finish(outcome),
                None => waiting.push((event, waiter)),
            }
        }
        stand_by.awaited.splice(..0, waiting);
        let Some(stored) = sight.stored else {
            // The one who takes over begins with nothing.
            self.open_free(ctx);
            return;
        };
        stand_by.watermark = stored.watermark;
        if let Some(halt) = &sight.halt {
            for (_, waiter) in self.settled.release(&stand_by.watermark) {
                match halt {
                    Some(halt) => waiter.finish(Outcome::Halted(Arc::clone(halt))),
                    None => waiter.done(),
                }
            }
        }
        let again = stand_by.again;
        let lives = |lease: &Lease| !lease.remaining.is_zero() && !has_died(&lease.owner);
        match stored.lease.filter(lives) {
            None => self.open_free(ctx),
            Some(Lease { owner, remaining }) => {
                let waits = !stand_by.awaited.is_empty() || !self.settled.is_empty();
                let interval = self.links.config.stand_by_interval;
                // Whoever has just appended something is likely to see it soon.
                let pause = if waits { stand_by.pause.min(interval) } else { interval };
                stand_by.pause = pause.saturating_mul(2);
                self.is_owned_by(owner.into(), Instant::now() + remaining);
                self.look_later(pause.min(remaining).max(Duration::from_millis(1)), ctx);
            }
        }
        if again {
            self.look(ctx);
        }
    }

    /// Nobody has the reducer.
    fn open_free(&mut self, ctx: &mut Context<Self>) {
        let Phase::StandingBy(stand_by) = &mut self.phase else { return };
        let under_way = std::mem::replace(&mut stand_by.opening, true);
        if !under_way {
            self.open(ctx);
        }
        self.look_later(self.links.config.stand_by_interval, ctx);
    }
}
