//! Opening a reducer as its owner, once or again, and giving it up.

use rederive_core::{Claim, OpenError, Opened, Opening, Store, StoreError, TakeFrom, Writer};

use crate::{
    instance,
    message::{Open, Release},
    persistence::open_writer,
};

/// Opens the reducer; `None` when it was ours and somebody else has taken it over since.
pub(crate) fn take_over(
    open: &Open,
    writer: &mut Option<Box<dyn Writer>>,
    store: &dyn Store,
) -> Result<Option<Opened>, OpenError> {
    let was_ours = open.ownership.epoch();
    if let Some(epoch) = was_ours
        && !is_ours(open, epoch, open_writer(writer, store).map_err(StoreError::new)?, store)?
    {
        return Ok(None);
    }
    let opened = match open_from(open.ownership.takes_from(open.on_owned), open, store) {
        // Nobody is going to renew that lease. If somebody else has it by now, the store refuses.
        Err(OpenError::Owned { by, .. }) if was_ours.is_none() && instance::has_died(&by) => {
            open_from(TakeFrom::Dead(&by), open, store)
        }
        opened => opened,
    };
    let opened = match opened {
        // Between the look and the opening.
        Err(OpenError::Owned { .. }) if was_ours.is_some() => return Ok(None),
        opened => opened?,
    };
    if open.reset.is_some() {
        open.rebuild.stored();
    }
    open.ownership.taken(opened.revision.epoch, opened.lease);
    Ok(Some(opened))
}

fn open_from(from: TakeFrom<'_>, open: &Open, store: &dyn Store) -> Result<Opened, OpenError> {
    let opening = Opening {
        tables: &open.tables,
        start: open.start.clone(),
        claim: Claim { owner: &open.instance, lease: open.lease, from },
        ..Opening::new(&open.reducer, open.version, open.kind)
    };
    open.ownership.opening();
    let opened = match &open.reset {
        Some(target) => store.reset(&opening, target),
        None => store.open(&opening),
    };
    if !matches!(opened, Ok(_) | Err(OpenError::Store(_))) {
        open.ownership.refused();
    }
    opened
}

/// Whether nobody else has opened the reducer since we did so by this epoch.
fn is_ours(
    open: &Open,
    epoch: u64,
    writer: &mut dyn Writer,
    store: &dyn Store,
) -> Result<bool, StoreError> {
    // It waits for an opening that is still being done.
    let Some(stored) = writer.revision(&open.reducer)? else { return Ok(false) };
    if stored.epoch == epoch {
        return Ok(true);
    }
    // It may be ourselves whose last opening was not answered.
    let is_next = open.ownership.is_in_doubt() && stored.epoch == epoch + 1;
    if !is_next {
        return Ok(false);
    }
    let ours = Some(&*open.instance).filter(|_| !open.lease.is_zero());
    let is_ours = owner(&open.reducer, store)?.as_deref() == ours;
    if is_ours {
        open.ownership.found_done(stored.epoch);
    }
    Ok(is_ours)
}

fn owner(reducer: &str, store: &dyn Store) -> Result<Option<String>, StoreError> {
    Ok(store.stored(reducer)?.and_then(|stored| stored.lease).map(|lease| lease.owner))
}

/// Gives up the lease of a reducer that is ours, or may have become so without our having been told.
pub(crate) fn give_up(
    release: &Release,
    writer: &mut Option<Box<dyn Writer>>,
    store: &dyn Store,
) -> Result<(), StoreError> {
    let Release { reducer, ownership, instance } = release;
    let mut epoch = ownership.epoch();
    if ownership.is_in_doubt() {
        let stored = open_writer(writer, store).map_err(StoreError::new)?.revision(reducer)?;
        if owner(reducer, store)?.is_some_and(|owner| *owner == **instance) {
            epoch = stored.map(|stored| stored.epoch);
        }
    }
    epoch.map_or(Ok(false), |epoch| store.release(reducer, epoch)).map(drop)
}
