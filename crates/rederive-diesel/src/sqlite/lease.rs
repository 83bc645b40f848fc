//! The columns that say whose a reducer is, by the machine's clock.

use std::time::{Duration, SystemTime};

use diesel::{QueryResult, prelude::*, sqlite::SqliteConnection};
use rederive_core::{Claim, Lease, Timestamp};

use crate::schema::rederive_reducers as reducers;

/// Microseconds since 1970, as leases are stored.
pub(crate) fn now() -> i64 {
    Timestamp::from(SystemTime::now()).as_micros()
}

/// The lease that these columns hold.
pub(crate) fn held(owner: Option<String>, lease: i64, until: i64) -> Option<Lease> {
    let length = Duration::from_micros(u64::try_from(lease).unwrap_or(0));
    Some(Lease::ending_in(owner?, length, until.saturating_sub(now())))
}

/// Gives the reducer to its new owner.
pub(crate) fn take(conn: &mut SqliteConnection, name: &str, claim: &Claim<'_>) -> QueryResult<()> {
    let length = i64::try_from(claim.lease.as_micros()).unwrap_or(i64::MAX);
    diesel::update(reducers::table.filter(reducers::name.eq(name)))
        .set((
            reducers::owner.eq(Some(claim.owner).filter(|_| length > 0)),
            reducers::lease.eq(length),
            reducers::lease_until.eq(now().saturating_add(length)),
        ))
        .execute(conn)
        .map(drop)
}

/// Has the lease last its whole time from now on; false when another epoch is stored.
pub(crate) fn renew(conn: &mut SqliteConnection, name: &str, epoch: u64) -> QueryResult<bool> {
    let Ok(epoch) = i64::try_from(epoch) else { return Ok(false) };
    diesel::update(reducers::table.filter(reducers::name.eq(name).and(reducers::epoch.eq(epoch))))
        .set(reducers::lease_until.eq(reducers::lease + now()))
        .execute(conn)
        .map(|changed| changed == 1)
}

/// Gives up the lease; false when another epoch is stored.
pub(crate) fn release(conn: &mut SqliteConnection, name: &str, epoch: u64) -> QueryResult<bool> {
    let Ok(epoch) = i64::try_from(epoch) else { return Ok(false) };
    diesel::update(reducers::table.filter(reducers::name.eq(name).and(reducers::epoch.eq(epoch))))
        .set(reducers::owner.eq(None::<String>))
        .execute(conn)
        .map(|changed| changed == 1)
}
