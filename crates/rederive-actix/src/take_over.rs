//! Opening a reducer as its owner, once or again.

use rederive_core::{Claim, OpenError, Opened, Opening, Store, StoreError, TakeFrom, Writer};

use crate::{instance, message::Open, persistence::open_writer};

/// Opens the reducer; `None` when it was ours and somebody else has taken it over since.
pub(crate) fn take_over(
    open: &Open,
    writer: &mut Option<Box<dyn Writer>>,
    store: &dyn Store,
) -> Result<Option<Opened>, OpenError> {
    let was_ours = open.ownership.epoch();
    if let Some(epoch) = was_ours {
        let writer = open_writer(writer, store).map_err(StoreError::new)?;
        let stored = writer.revision(&open.reducer)?;
        if stored.is_none_or(|revision| revision.epoch != epoch) {
            return Ok(None);
        }
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
    match &open.reset {
        Some(target) => store.reset(&opening, target),
        None => store.open(&opening),
    }
}
