//! The workload: events of bank accounts, the same ones for the same numbers.

use serde::{Deserialize, Serialize};

/// What happens to an account. Stored as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened { account: String },
    Deposited { account: String, amount: i64 },
    Withdrawn { account: String, amount: i64 },
}

impl AccountEvent {
    pub(crate) fn account(&self) -> &str {
        match self {
            Self::Opened { account }
            | Self::Deposited { account, .. }
            | Self::Withdrawn { account, .. } => account,
        }
    }

    /// What it does to the balance.
    pub(crate) fn change(&self) -> i64 {
        match self {
            Self::Opened { .. } => 0,
            Self::Deposited { amount, .. } => *amount,
            Self::Withdrawn { amount, .. } => -amount,
        }
    }
}

/// `n` events: one opening for each of `p` accounts, then deposits and withdrawals at random.
pub(crate) fn events(n: u64, p: u64) -> impl Iterator<Item = AccountEvent> {
    let openings = (0..p.min(n)).map(|number| AccountEvent::Opened { account: id(number) });
    openings.chain(movements(1, p).take(usize::try_from(n.saturating_sub(p)).unwrap_or(usize::MAX)))
}

/// Deposits and withdrawals at random on `p` accounts that are open, without an end.
pub(crate) fn movements(seed: u64, p: u64) -> impl Iterator<Item = AccountEvent> {
    let mut random = Random(seed);
    std::iter::repeat_with(move || {
        let account = id(random.below(p));
        let amount = i64::try_from(random.below(1000)).unwrap_or(0) + 1;
        match random.below(2) {
            0 => AccountEvent::Deposited { account, amount },
            _ => AccountEvent::Withdrawn { account, amount },
        }
    })
}

fn id(number: u64) -> String {
    format!("account-{number}")
}

/// `SplitMix64`: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
