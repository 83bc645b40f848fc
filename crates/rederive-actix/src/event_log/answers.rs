//! What a log tells when it is asked for something else than its next events.

use rederive_core::{Cursor, Entry, EventLog, LogError, ReadError, Slice};

use crate::{
    message::{Measure, Measured, Survey},
    status::Surveyed,
};

/// Up to where, and how many events there are until then.
pub(super) fn measured<E: Send + Sync + 'static>(
    log: &dyn EventLog<Event = E>,
    Measure { after, until, .. }: &Measure,
) -> Result<Measured, LogError> {
    let (until, later) = match until {
        Some(until) => (until.clone(), log.count(until)?),
        None => (log.head()?, 0),
    };
    Ok(Measured { until, events: log.count(after)?.saturating_sub(later) })
}

/// What stands at a cursor, as a slice.
pub(super) fn found<E: Send + Sync + 'static>(
    log: &dyn EventLog<Event = E>,
    cursor: &Cursor,
) -> Result<Option<Slice<E>>, LogError> {
    let mut slice = Slice::new(Vec::new(), cursor.clone(), false);
    match log.find(cursor) {
        Ok(None) => return Ok(None),
        Ok(Some(event)) => slice.events.push(event),
        Err(ReadError::Undecodable(event)) => slice.undecodable.push(event),
        Err(ReadError::Log(error)) => return Err(error),
    }
    Ok(Some(slice))
}

/// Looks at the end of the log, as cheaply as can be.
pub(super) fn surveyed<E: Send + Sync + 'static>(
    log: &dyn EventLog<Event = E>,
    Survey { after, oldest, .. }: &Survey,
) -> Result<Surveyed, LogError> {
    let head = log.head()?;
    // Also at the head, which is short of what is held back.
    let held_back = log.held_back().unwrap_or_default();
    if head <= *after {
        return Ok(Surveyed { head, events: 0, oldest: Some(None), held_back });
    }
    let events = log.count(after)?.max(1);
    let oldest = match oldest {
        Some(time) => Some(Some(*time)),
        None => {
            let slice = log.fetch(after, 1)?;
            match slice.entries(after).next() {
                Some(Entry::Event(_, event)) => Some(Some(event.time)),
                Some(Entry::Undecodable(..)) => None,
                None => Some(None),
            }
        }
    };
    Ok(Surveyed { head, events, oldest, held_back })
}
