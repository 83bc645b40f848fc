//! Taking reducers over.

use std::time::Duration;

use diesel::{QueryResult, connection::SimpleConnection, result::Error};
use rederive_core::{Cursor, OpenError, Opened, Opening, StoreError, StoredReducer};

use super::{
    ddl, lease, lengths, owned,
    progress::{self, Which},
    silence, skips,
    sql::Session,
    text::escaped,
};

/// Why a reducer is not taken over.
pub(crate) enum Refused {
    Open(OpenError),
    Database(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Database(error)
    }
}

/// Takes the reducer over to go on.
pub(crate) fn open(session: &mut Session<'_>, opening: &Opening<'_>) -> Result<Opened, Refused> {
    let &Opening { reducer: name, version, kind, ref start, ref claim, .. } = opening;
    begin(session, opening)?;
    // Most are known already.
    let stored = match progress::locked(session, name)? {
        None if progress::create(session, name, version, start)? => None,
        None => Some(progress::locked(session, name)?.ok_or(Error::NotFound)?),
        stored => stored,
    };
    let mut held = None;
    if let Some(row) = stored {
        if row.version != i64::from(version) {
            return Err(Refused::Open(OpenError::VersionDiffers {
                reducer: name.to_owned(),
                stored: row.stored_version(),
                current: version,
            }));
        }
        progress::take_over(session, name, &row.watermark)?;
        held = row.lease;
    }
    let opened = opened(session, name)?;
    let mut cursors =
        std::iter::once(&opened.watermark).chain(opened.partitions.iter().map(|row| &row.cursor));
    let is_other = |cursor: &&Cursor| cursor.kind().is_some_and(|stored| stored != kind);
    if let Some(other) = cursors.find(is_other) {
        return Err(Refused::Open(OpenError::CursorKindDiffers {
            reducer: name.to_owned(),
            stored: other.clone(),
            current: kind,
        }));
    }
    // Only now, so that whoever is not to have it yet learns what else is wrong.
    claim.check(name, held.as_ref()).map_err(Refused::Open)?;
    lease::take(session, name, claim)?;
    owned::check_owner(session, opening)?;
    owned::open(session, opening)?;
    Ok(Opened { lease: claim.lease, ..opened })
}

/// Takes the reducer over to build its derived state anew.
pub(crate) fn reset(
    session: &mut Session<'_>,
    opening: &Opening<'_>,
    target: &Cursor,
) -> Result<Opened, Refused> {
    let &Opening { reducer: name, version, ref start, ref claim, .. } = opening;
    begin(session, opening)?;
    // A large table takes its time.
    session.conn.batch_execute("SET LOCAL statement_timeout = 0")?;
    if !progress::create(session, name, version, start)? {
        let row = progress::locked(session, name)?.ok_or(Error::NotFound)?;
        claim.check(name, row.lease.as_ref()).map_err(Refused::Open)?;
    }
    owned::check_owner(session, opening)?;
    owned::reset(session, opening)?;
    silence::before_reset(session, name, opening.kind)?;
    progress::begin_anew(session, name, version, start, target)?;
    lease::take(session, name, claim)?;
    Ok(Opened { lease: claim.lease, ..opened(session, name)? })
}

/// Refuses a name that cannot be stored, and has others wait that create tables, of whatever reducer:
/// two at once would both find none.
fn begin(session: &mut Session<'_>, opening: &Opening<'_>) -> Result<(), Refused> {
    if let Some(refusal) = lengths::name_too_long(&escaped(opening.reducer)) {
        return Err(Refused::Open(StoreError::new(refusal).into()));
    }
    if opening.tables.is_empty() { Ok(()) } else { Ok(ddl::lock(session.conn)?) }
}

/// What is stored of a reducer.
pub(crate) fn stored(session: &mut Session<'_>, name: &str) -> QueryResult<Option<StoredReducer>> {
    let Some(row) = progress::reducer(session, name)? else { return Ok(None) };
    let version = row.stored_version();
    let mut stored = StoredReducer::new(version, row.watermark, row.rebuilding);
    (stored.skips, stored.lease) = (skips::any(session, name)?, row.lease);
    Ok(Some(stored))
}

/// The progress of a reducer; what is known of its lease comes from the claim.
fn opened(session: &mut Session<'_>, name: &str) -> QueryResult<Opened> {
    let row = progress::reducer(session, name)?.ok_or(Error::NotFound)?;
    Ok(Opened {
        watermark: row.watermark,
        revision: row.revision,
        partitions: progress::records(session, name, Which::All)?,
        skips: skips::any(session, name)?,
        paused: row.paused,
        rebuilding: row.rebuilding,
        lease: Duration::ZERO,
    })
}
