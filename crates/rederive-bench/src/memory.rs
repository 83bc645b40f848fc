//! Both sides with log and state in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rederive::{
    MemoryLog, MemoryStore, Op, PartitionId, Table, Timestamp, Value, core::Slice, prelude::*,
};

use crate::{
    Failure,
    job::rate,
    ours::{
        clients::measure,
        rebuild::{LONG, config, registered, run},
    },
    reducers::{Accounts, Accounts2, Accounts3, Accounts4},
    tables::Sum,
    workload::{AccountEvent, events},
};

/// As much as a log is asked for at once.
const SLICE: usize = 10_000;

/// Has reducers catch up with a log of `n` events.
pub(crate) fn rebuild(n: u64, p: u64, reducers: usize, sum: &mut Sum) -> Result<f64, Failure> {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    log.append(events(n, p));
    let rederive = Rederive::new(log).config(config(false));
    let (rederive, caught_up) = registered(rederive, &store, reducers);
    let figure = rate(n, || run(rederive, caught_up))?;
    *sum = sum_of(&store, reducers)?;
    Ok(figure)
}

/// Builds maps from the same log by hand, one after the other.
pub(crate) fn floor_rebuild(n: u64, p: u64, maps: usize, sum: &mut Sum) -> Result<f64, Failure> {
    let log = MemoryLog::new();
    log.append(events(n, p));
    let state: Vec<State> = (0..maps).map(|_| State::default()).collect();
    let figure = rate(n, || {
        for state in &state {
            let mut after = Cursor::Start;
            loop {
                let Slice { events, end, at_head, .. } = log.fetch(&after, SLICE)?;
                state.apply(&events);
                after = end;
                if at_head {
                    break;
                }
            }
        }
        Ok(())
    })?;
    state.iter().for_each(|state| state.add_to(sum));
    Ok(figure)
}

/// Runs `n` events through clients that append and wait.
pub(crate) fn clients(n: u64, p: u64, clients: u64, sum: &mut Sum) -> Result<f64, Failure> {
    let (log, store) = (MemoryLog::new(), MemoryStore::new());
    log.append(events(p, p));
    let (rederive, caught_up) = registered(Rederive::new(log.clone()), &store, 1);
    let figure = actix_rt::System::new().block_on(async {
        let handle = rederive.start().await?;
        handle.wait(caught_up).await?;
        let rederive = handle.clone();
        let figure = measure(n, p, clients, move |event| {
            let (log, rederive) = (log.clone(), rederive.clone());
            async move {
                let recorded = log.append([event]);
                rederive.wait(Await::events("accounts", &recorded).within(LONG)).await?;
                Ok(())
            }
        });
        let figure = figure.await?;
        handle.stop().await;
        Ok::<f64, Failure>(figure)
    })?;
    *sum = sum_of(&store, 1)?;
    Ok(figure)
}

/// The same by hand: append, apply, done.
pub(crate) fn floor_clients(n: u64, p: u64, clients: u64, sum: &mut Sum) -> Result<f64, Failure> {
    let (log, state) = (MemoryLog::new(), Arc::new(State::default()));
    state.apply(&log.append(events(p, p)));
    let shared = Arc::clone(&state);
    let request = move |event| {
        shared.apply(&log.append([event]));
        async { Ok(()) }
    };
    let figure = actix_rt::System::new().block_on(measure(n, p, clients, request))?;
    state.add_to(sum);
    Ok(figure)
}

/// What is derived, behind a lock for those who read it.
#[derive(Default)]
struct State(Mutex<Derived>);

#[derive(Default)]
struct Derived {
    /// Balance and version of each account.
    accounts: HashMap<String, (i64, i64)>,
    cursor: Cursor,
}

impl State {
    fn apply(&self, events: &[Recorded<AccountEvent>]) {
        let Derived { accounts, cursor } =
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let id = event.data.account();
            if let Some((balance, version)) = accounts.get_mut(id) {
                *balance += event.data.change();
                *version += 1;
            } else {
                accounts.insert(id.to_owned(), (event.data.change(), 1));
            }
        }
        if let Some(last) = events.last() {
            *cursor = last.cursor.clone();
        }
    }

    fn add_to(&self, sum: &mut Sum) {
        let derived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        derived.accounts.values().for_each(|(balance, version)| sum.row(*balance, *version));
    }
}

fn sum_of(store: &MemoryStore, reducers: usize) -> Result<Sum, Failure> {
    let tables = [table(&Accounts)?, table(&Accounts2)?, table(&Accounts3)?, table(&Accounts4)?];
    let mut sum = Sum::default();
    for row in tables.iter().take(reducers).flat_map(|table| store.rows(table)) {
        match row.as_slice() {
            [_, Value::Integer(balance), Value::Integer(version)] => sum.row(*balance, *version),
            other => return Err(format!("a strange row: {other:?}").into()),
        }
    }
    Ok(sum)
}

/// The table that a reducer changes.
fn table(reducer: &impl Reducer<Event = AccountEvent>) -> Result<&'static Table, Failure> {
    let data = AccountEvent::Opened { account: String::new() };
    let event = Recorded { cursor: Cursor::from(1), time: Timestamp::default(), data };
    let mut ops = Ops::new(PartitionId::from(""));
    reducer.reduce(&event, &mut ops).map_err(|error| error.to_string())?;
    match ops.as_slice() {
        [Op::Row(op)] => Ok(op.table),
        other => Err(format!("strange ops: {other:?}").into()),
    }
}
