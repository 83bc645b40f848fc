//! [`Seen`]: a set of partitions in a fixed amount of memory.

use std::hash::{BuildHasher, RandomState};

use rederive_core::PartitionId;

/// A Bloom filter: it may take a partition for one that it has seen, but never the other way round.
#[derive(Default)]
pub(crate) struct Seen {
    /// Empty until the first partition comes.
    bits: Vec<u64>,
    hasher: RandomState,
}

/// 512 KiB: of a million partitions, five in six are still known to be new.
const WORDS: usize = 1 << 16;

impl Seen {
    /// Adds the partition; true when it is new for certain.
    pub(crate) fn insert(&mut self, partition: &PartitionId) -> bool {
        if self.bits.is_empty() {
            self.bits = vec![0; WORDS];
        }
        let hash = self.hasher.hash_one(partition);
        let mut new = false;
        for part in [hash, hash >> 32] {
            let bit = usize::try_from(part % (WORDS as u64 * 64)).unwrap_or(0);
            let word = &mut self.bits[bit / 64];
            let mask = 1 << (bit % 64);
            new |= *word & mask == 0;
            *word |= mask;
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_never_new_and_most_of_the_rest_is() {
        let mut seen = Seen::default();
        let id = |number: u32| PartitionId::from(number);
        let new = (0..100_000).filter(|number| seen.insert(&id(*number))).count();
        assert!(new > 98_000, "{new} of 100,000 were known to be new");
        assert!((0..100_000).all(|number| !seen.insert(&id(number))));
    }
}
