//! [`Claim`] and [`Lease`]: whose a reducer is, and for how long.

use std::time::Duration;

use crate::OpenError;

/// What somebody wants who opens a reducer.
///
/// A lease keeps others from taking the reducer over while its owner lives. It protects nothing: what
/// keeps two owners from spoiling each other's work is [`Revision::epoch`](crate::Revision::epoch),
/// whatever the clocks say. So an owner whose lease has run out may go on as long as nobody has taken
/// the reducer over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The name of the new owner, for people, and to be known by again: see
    /// [`TakeFrom::Namesake`].
    pub owner: &'a str,
    /// How long the reducer is to be its own without a renewal or a commit, by the store's clock.
    /// Zero for no lease: then anybody may take it over at any time.
    pub lease: Duration,
    /// From whom the reducer is taken whose lease is still valid.
    pub from: TakeFrom<'a>,
}

/// From whom a reducer is taken although its lease is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakeFrom<'a> {
    /// From nobody: who has a valid lease keeps it.
    #[default]
    Nobody,
    /// From an owner of the same name, which is taken for an earlier life of the new one.
    Namesake,
    /// From the owner of this name, which is known to have died; and from a namesake.
    Dead(&'a str),
    /// From anybody.
    Anybody,
}

/// Whose a reducer is, as its store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name of its owner.
    pub owner: String,
    /// How long the lease is valid if it is not renewed; zero when it has run out.
    pub remaining: Duration,
}

impl Lease {
    /// For stores: a lease of this length that ends so many microseconds from now by the store's
    /// clock, negative for the past.
    ///
    /// One that would last more than twice its length was written before the clock was set back by
    /// more than that. It counts as run out: its owner, if it lives, is going to renew it.
    pub fn ending_in(owner: String, length: Duration, micros: i64) -> Self {
        let remaining = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        let is_possible = remaining <= length.saturating_mul(2);
        Self { owner, remaining: if is_possible { remaining } else { Duration::ZERO } }
    }
}

impl Claim<'_> {
    /// For stores: whether the reducer may be taken that is held by this lease.
    ///
    /// # Errors
    /// [`OpenError::Owned`] when it may not.
    pub fn check(&self, reducer: &str, held: Option<&Lease>) -> Result<(), OpenError> {
        let Some(lease) = held.filter(|lease| !lease.remaining.is_zero()) else { return Ok(()) };
        let takes = match self.from {
            TakeFrom::Nobody => false,
            TakeFrom::Namesake => lease.owner == self.owner,
            TakeFrom::Dead(owner) => lease.owner == owner || lease.owner == self.owner,
            TakeFrom::Anybody => true,
        };
        if takes {
            return Ok(());
        }
        Err(OpenError::Owned {
            reducer: reducer.to_owned(),
            by: lease.owner.clone(),
            remaining: lease.remaining,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>(owner: &'a str, from: TakeFrom<'a>) -> Claim<'a> {
        Claim { owner, lease: Duration::from_secs(1), from }
    }

    fn taken(claim: Claim<'_>, micros: i64) -> bool {
        let held = Lease::ending_in("alice".to_owned(), Duration::from_secs(10), micros);
        claim.check("accounts", Some(&held)).is_ok()
    }

    #[test]
    fn a_valid_lease_is_taken_only_from_whom_the_claim_says() {
        use TakeFrom::{Anybody, Dead, Namesake, Nobody};
        for (owner, from, takes) in [
            ("bob", Nobody, false),
            ("bob", Namesake, false),
            ("bob", Dead("alice"), true),
            ("bob", Dead("carol"), false),
            ("bob", Anybody, true),
            ("alice", Nobody, false),
            ("alice", Namesake, true),
            ("alice", Dead("carol"), true),
            ("alice", Anybody, true),
        ] {
            assert_eq!(taken(claim(owner, from), 1), takes, "{owner} from {from:?}");
            assert!(taken(claim(owner, from), 0), "{owner} from {from:?}, run out");
        }
    }

    #[test]
    fn a_lease_of_a_clock_that_was_set_back_has_run_out() {
        let bob = claim("bob", TakeFrom::Nobody);
        assert!(!taken(bob, 20_000_000));
        assert!(taken(bob, 20_000_001));
        assert!(taken(bob, i64::MAX));
        assert!(taken(bob, i64::MIN));
    }

    #[test]
    fn who_is_refused_learns_whose_it_is_and_for_how_long() {
        let held = Lease::ending_in("alice".to_owned(), Duration::from_secs(10), 2_500_000);
        let refused = claim("bob", TakeFrom::Namesake).check("accounts", Some(&held));
        let said = refused.expect_err("it is held").to_string();
        assert!(said.contains("\"alice\"") && said.contains("2.5s"), "{said}");
    }
}
