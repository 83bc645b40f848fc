//! [`Seed`] and [`Rng`]: random tests that can be repeated.

use std::{
    env, fmt,
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
    thread,
};

/// The environment variable that replays a random test.
pub const VARIABLE: &str = "REDERIVE_SEED";

/// Where a random test begins. Its text is `REDERIVE_SEED=…`, ready to be put before the command
/// that replays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed in `REDERIVE_SEED` if it is set, else a random one. It is printed, so that the output
    /// of a failed test shows it.
    ///
    /// # Panics
    /// When `REDERIVE_SEED` is set to something that is not a number.
    #[allow(clippy::print_stdout, reason = "a test's output is where its reader looks")]
    pub fn from_env() -> Self {
        let seed = Self::given().unwrap_or_else(Self::random);
        println!("{seed}");
        seed
    }

    /// A seed that no run had before, in all likelihood.
    pub fn random() -> Self {
        // Short enough to be typed.
        Self(RandomState::new().build_hasher().finish() % 1_000_000_000)
    }

    /// The numbers that follow from this seed.
    pub fn rng(self) -> Rng {
        Rng { state: self.0 }
    }

    fn given() -> Option<Self> {
        let text = env::var(VARIABLE).ok()?;
        match text.trim().parse() {
            Ok(number) => Some(Self(number)),
            Err(error) => panic!("{VARIABLE}={text} is not a seed: {error}"),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VARIABLE}={}", self.0)
    }
}

/// Runs a random test with the fixed seeds, which make it the same for everybody, and with `random`
/// ones, which find what nobody thought of; or only with the seed in `REDERIVE_SEED` if that is set.
/// When it fails, the seed is printed.
///
/// # Panics
/// When the test does.
pub fn for_each_seed(fixed: Range<u64>, random: usize, test: impl Fn(&mut Rng)) {
    let seeds: Vec<Seed> = match Seed::given() {
        Some(seed) => vec![seed],
        None => fixed.map(Seed).chain((0..random).map(|_| Seed::random())).collect(),
    };
    for seed in seeds {
        let _tell = TellOnPanic(seed);
        test(&mut seed.rng());
    }
}

struct TellOnPanic(Seed);

impl Drop for TellOnPanic {
    #[allow(clippy::print_stdout, reason = "a test's output is where its reader looks")]
    fn drop(&mut self) {
        if thread::panicking() {
            println!("failed with {}", self.0);
        }
    }
}

/// A small generator of random numbers (SplitMix64): the same numbers for the same seed, on every
/// machine.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The next number, any of them equally likely.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `range`; its start when the range is empty.
    pub fn range(&mut self, range: Range<usize>) -> usize {
        let span = range.end.saturating_sub(range.start).max(1);
        // The bias is far below what a test could notice.
        range.start + (self.number() % span as u64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what a double holds exactly.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = (self.number() >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < probability
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        assert!(!items.is_empty(), "nothing to pick from");
        &items[self.range(0..items.len())]
    }

    /// Puts the items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.range(0..last + 1));
        }
    }

    /// A generator of its own, for another thread or another part of a test.
    pub fn fork(&mut self) -> Rng {
        Rng { state: self.number() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed: Seed| {
            let mut rng = seed.rng();
            std::array::from_fn::<_, 8, _>(|_| rng.number())
        };
        assert_eq!(numbers(Seed(7)), numbers(Seed(7)));
        assert_ne!(numbers(Seed(7)), numbers(Seed(8)));
    }

    #[test]
    fn a_range_is_kept_to_and_filled() {
        let mut rng = Seed(1).rng();
        let drawn: std::collections::BTreeSet<usize> = (0..1000).map(|_| rng.range(3..7)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(rng.range(5..5), 5);
    }

    #[test]
    fn a_chance_of_none_never_comes_and_a_certain_one_always_does() {
        let mut rng = Seed(1).rng();
        assert!(!(0..1000).any(|_| rng.chance(0.0)));
        assert!((0..1000).all(|_| rng.chance(1.0)));
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_000..3_000).contains(&hits), "{hits} of 10000");
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<_> = (0..50).collect();
        Seed(1).rng().shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50));
    }
}
