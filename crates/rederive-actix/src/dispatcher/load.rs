//! Loading the stored states of partitions whose actors begin.
//!
//! An actor whose engine wants a row buffers what it is handed until it has it. What all actors that
//! began meanwhile want is read at once.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use rederive_core::{Notice, PartitionId, StoreError, StoredRow, Value};

use super::{Dispatcher, Phase, seen::Seen};
use crate::message::{Load, Loaded, ToPartition};

/// The rows that partitions want.
#[derive(Default)]
pub(super) struct Loads {
    /// To be asked for next.
    wanted: Vec<Wanted>,
    /// Asked for; at most one question at a time.
    asked: Vec<Wanted>,
    /// How many attempts failed in a row.
    attempts: u32,
    /// A failed question waits for its next attempt.
    delayed: bool,
    /// We are stopping, and the store cannot be read.
    given_up: bool,
    /// Every partition that can have a state, while they can be told.
    seen: Option<Seen>,
}

struct Wanted {
    partition: PartitionId,
    generation: u64,
    row: StoredRow,
}

impl Loads {
    /// Only these partitions have ever been committed.
    pub(super) fn only<'p>(&mut self, partitions: impl Iterator<Item = &'p PartitionId>) {
        let mut seen = Seen::default();
        for partition in partitions {
            seen.insert(partition);
        }
        self.seen = Some(seen);
    }

    /// An actor of the partition begins. True when it can have no stored state.
    pub(super) fn begins(&mut self, partition: &PartitionId) -> bool {
        self.seen.as_mut().is_some_and(|seen| seen.insert(partition))
    }

    pub(super) fn want(&mut self, partition: PartitionId, generation: u64, row: StoredRow) {
        self.wanted.push(Wanted { partition, generation, row });
    }

    /// True when what waits for a row need not be waited for.
    pub(super) fn given_up(&self) -> bool {
        self.given_up
    }

    /// We are stopping: true when a question waits for its next attempt, which is not made.
    pub(super) fn hurry(&mut self) {
        self.given_up |= self.delayed;
    }
}

impl<E: Send + Sync + 'static> Handler<Loaded> for Dispatcher<E> {
    type Result = ();

    fn handle(&mut self, Loaded(result): Loaded, ctx: &mut Context<Self>) {
        match result {
            Ok(rows) => self.loaded(rows, ctx),
            Err(error) => self.not_loaded(&error, ctx),
        }
    }
}

impl<E: Send + Sync + 'static> Dispatcher<E> {
    /// Asks for what is wanted, unless something is being asked already.
    pub(super) fn load(&mut self, ctx: &Context<Self>) {
        if self.loads.asked.is_empty() && !self.loads.wanted.is_empty() {
            self.loads.asked = std::mem::take(&mut self.loads.wanted);
            self.ask_for_states(ctx);
        }
    }

    fn ask_for_states(&self, ctx: &Context<Self>) {
        let rows = self.loads.asked.iter().map(|wanted| wanted.row.clone()).collect();
        self.links.persistence.do_send(Load { rows, reply: ctx.address().recipient() });
    }

    fn loaded(&mut self, rows: Vec<Option<Vec<Value>>>, ctx: &Context<Self>) {
        if self.loads.attempts > 0 {
            let attempts = std::mem::take(&mut self.loads.attempts);
            self.links.store_health.set(None);
            let reducer = Arc::clone(&self.links.name);
            self.links.observers.tell(&Notice::LoadResumed { reducer, attempts });
        }
        for (Wanted { partition, generation, .. }, row) in self.loads.asked.drain(..).zip(rows) {
            // Those that have been replaced or stopped meanwhile want it no more.
            let route = self.routes.of_generation(&partition, generation).map(|route| &route.addr);
            if let Some(addr) = route.or_else(|| self.repairs.addr(&partition, generation)) {
                self.residents.tell(addr, generation, ToPartition::StateLoaded(row));
            }
        }
        self.load(ctx);
    }

    fn not_loaded(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        if self.loads.asked.is_empty() {
            return;
        }
        if matches!(self.phase, Phase::Stopping(_)) {
            self.loads.given_up = true;
            self.stop_if_drained(ctx);
            return;
        }
        self.loads.attempts += 1;
        let (attempt, message) = (self.loads.attempts, error.to_string());
        let delay = self.links.config.backoff(attempt);
        self.links.store_health.delayed(attempt, &message);
        let reducer = Arc::clone(&self.links.name);
        self.links.observers.tell(&Notice::LoadDelayed { reducer, attempt, delay, error: message });
        self.loads.delayed = true;
        ctx.run_later(delay, |this, ctx| {
            this.loads.delayed = false;
            if !this.loads.asked.is_empty() {
                this.ask_for_states(ctx);
            }
        });
    }
}
