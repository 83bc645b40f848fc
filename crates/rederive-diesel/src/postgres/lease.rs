//! The columns that say whose a reducer is, by the server's clock.

use std::time::Duration;

use diesel::QueryResult;
use rederive_core::{Claim, Lease};

use super::{
    sql::{Bind, Session},
    text::{escaped, unescaped},
};

/// Microseconds since 1970 by the server's clock, in SQL: of this moment, not of the transaction's
/// begin, as it may have waited since.
pub(crate) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::int8";

/// As long as a lease can be stored.
const LONGEST: i64 = i64::MAX / 4;

/// The lease that these columns hold, which ends so many microseconds from now.
pub(crate) fn held(owner: Option<String>, length: i64, remaining: i64) -> Option<Lease> {
    let length = Duration::from_micros(u64::try_from(length).unwrap_or(0));
    Some(Lease::ending_in(unescaped(owner?), length, remaining))
}

/// Gives the reducer to its new owner.
pub(crate) fn take(session: &mut Session<'_>, name: &str, claim: &Claim<'_>) -> QueryResult<()> {
    let length = i64::try_from(claim.lease.as_micros()).unwrap_or(LONGEST).min(LONGEST);
    let owner = Some(escaped(claim.owner)).filter(|_| length > 0);
    let text = format!(
        "UPDATE @rederive_reducers SET owner = \0, lease = \0, lease_until = {NOW} + \0
        WHERE name = \0"
    );
    let length = Bind::integer(length);
    let binds = [Bind::Text(owner), length.clone(), length, Bind::text(escaped(name))];
    session.execute(&text, &binds).map(drop)
}

/// Has the lease last its whole time from now on; false when another epoch is stored.
pub(crate) fn renew(session: &mut Session<'_>, name: &str, epoch: u64) -> QueryResult<bool> {
    let text = format!("UPDATE @rederive_reducers SET lease_until = {NOW} + lease");
    change(session, text, name, epoch)
}

/// Gives up the lease; false when another epoch is stored.
pub(crate) fn release(session: &mut Session<'_>, name: &str, epoch: u64) -> QueryResult<bool> {
    change(session, "UPDATE @rederive_reducers SET owner = NULL".to_owned(), name, epoch)
}

fn change(session: &mut Session<'_>, text: String, name: &str, epoch: u64) -> QueryResult<bool> {
    let Ok(epoch) = i64::try_from(epoch) else { return Ok(false) };
    let binds = [Bind::text(escaped(name)), Bind::integer(epoch)];
    let text = text + " WHERE name = \0 AND epoch = \0";
    session.execute(&text, &binds).map(|changed| changed == 1)
}
