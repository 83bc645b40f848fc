//! [`Reservations`]: no balance may overflow, whatever arrives at the same time.
//!
//! An event in the log cannot be refused any more: if its amount did not fit into the balance, the
//! account would be halted for good. So the amounts of postings that are on their way into the
//! balances are reserved, and a posting is recorded only if it fits even if all of them arrive.

use std::collections::HashMap;

use crate::event::Posting;

/// The amounts on their way, by account.
#[derive(Debug, Default)]
pub(crate) struct Reservations(HashMap<String, OnTheWay>);

/// As wide as `i128`, so that no number of amounts overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OnTheWay {
    leaving: i128,
    arriving: i128,
}

/// One posting's part of the reservations, and what was reserved when it was made.
///
/// Read the balances *after* making the claim: a posting that was on its way before is then either
/// in the claim or in the balances, and a later one sees this claim. The other way round, one could
/// arrive in between and be in neither.
#[derive(Debug)]
pub(crate) struct Claim {
    posting: Posting,
    leaving: i128,
    arriving: i128,
}

impl Reservations {
    /// Reserves the posting's amount in both accounts.
    pub(crate) fn reserve(&mut self, posting: Posting) -> Claim {
        let amount = i128::from(posting.amount);
        let from = self.0.entry(posting.from.clone()).or_default();
        from.leaving += amount;
        let leaving = from.leaving;
        let to = self.0.entry(posting.to.clone()).or_default();
        to.arriving += amount;
        let arriving = to.arriving;
        Claim { posting, leaving, arriving }
    }

    /// Gives the amounts back: they have arrived, or never will.
    pub(crate) fn release(&mut self, claim: &Claim) {
        let amount = i128::from(claim.posting.amount);
        self.change(&claim.posting.from, |way| way.leaving -= amount);
        self.change(&claim.posting.to, |way| way.arriving -= amount);
    }

    fn change(&mut self, account: &str, change: impl FnOnce(&mut OnTheWay)) {
        let Some(way) = self.0.get_mut(account) else { return };
        change(way);
        if *way == OnTheWay::default() {
            self.0.remove(account);
        }
    }
}

impl Claim {
    pub(crate) fn posting(&self) -> &Posting {
        &self.posting
    }

    /// The account whose balance could overflow if the posting were recorded.
    ///
    /// What leaves an account is not set against what arrives there: who knows which comes first.
    pub(crate) fn overflowing(&self, from_balance: i64, to_balance: i64) -> Option<&str> {
        if i128::from(from_balance) - self.leaving < i64::MIN.into() {
            Some(&self.posting.from)
        } else if i128::from(to_balance) + self.arriving > i64::MAX.into() {
            Some(&self.posting.to)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(from: &str, to: &str, amount: i64) -> Posting {
        Posting { from: from.to_owned(), to: to.to_owned(), amount, memo: None }
    }

    #[test]
    fn an_amount_may_fill_a_balance_but_not_overflow_it() {
        let mut reservations = Reservations::default();
        let claim = reservations.reserve(posting("a", "b", i64::MAX));
        assert_eq!(claim.overflowing(0, 0), None);
        assert_eq!(claim.overflowing(-1, 0), None);
        assert_eq!(claim.overflowing(-2, 0), Some("a"));
        assert_eq!(claim.overflowing(0, 1), Some("b"));
        assert_eq!(claim.overflowing(0, -1), None);
    }

    #[test]
    fn what_is_on_its_way_counts_as_arrived() {
        let mut reservations = Reservations::default();
        let first = reservations.reserve(posting("a", "b", i64::MAX - 10));
        let second = reservations.reserve(posting("c", "b", 11));
        assert_eq!((first.overflowing(0, 0), second.overflowing(0, 0)), (None, Some("b")));
        reservations.release(&second);
        let third = reservations.reserve(posting("c", "b", 10));
        assert_eq!(third.overflowing(0, 0), None);
    }

    #[test]
    fn what_leaves_makes_no_room_before_it_has_left() {
        let mut reservations = Reservations::default();
        reservations.reserve(posting("b", "c", 5));
        let claim = reservations.reserve(posting("a", "b", 1));
        assert_eq!(claim.overflowing(0, i64::MAX), Some("b"));
    }

    #[test]
    fn no_number_of_reservations_overflows() {
        let mut reservations = Reservations::default();
        let claims: Vec<Claim> =
            (0..1000).map(|_| reservations.reserve(posting("a", "b", i64::MAX))).collect();
        assert_eq!(claims[1].overflowing(0, i64::MIN), Some("a"));
        assert_eq!(claims[1].overflowing(i64::MAX, i64::MIN), None);
        assert_eq!(claims[999].overflowing(i64::MAX, i64::MIN), Some("a"));
    }

    #[test]
    fn nothing_is_left_once_all_is_released() {
        let mut reservations = Reservations::default();
        let claims = [("a", "b"), ("b", "a"), ("b", "c")]
            .map(|(from, to)| reservations.reserve(posting(from, to, 7)));
        claims.iter().for_each(|claim| reservations.release(claim));
        assert!(reservations.0.is_empty(), "{reservations:?}");
    }
}
