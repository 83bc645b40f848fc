//! Opening a reducer as its owner, once or again.

use rederive_core::{Claim, OpenError, Opened, Opening, Store, StoreError, Writer};

use crate::{message::Open, persistence::open_writer};

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
    let claim = Claim {
        owner: &open.instance,
        lease: open.lease,
        from: open.ownership.takes_from(open.on_owned),
    };
    let opening = Opening {
        tables: &open.tables,
        start: open.start.clone(),
        claim,
        ..Opening::new(&open.reducer, open.version, open.kind)
    };
    let opened = match &open.reset {
        Some(target) => store.reset(&opening, target),
        None => store.open(&opening),
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
