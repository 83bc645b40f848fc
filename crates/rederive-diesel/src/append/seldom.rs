//! [`Seldom`]: whether something is tried that may lead to nothing.

/// Something that costs time when it leads to nothing: then it is tried ever more seldom.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// How often in a row it has led to nothing, and how often it is not to be tried for that.
    pub(super) misses: u32,
    pub(super) skip: u32,
}

/// It is left out at most two to the power of this many times in a row.
const MOST_MISSES: u32 = 8;

impl Seldom {
    /// Whether it is its turn.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        due
    }

    /// It was tried, and has led to something or not.
    pub(crate) fn tried(&mut self, to_something: bool) {
        if to_something {
            self.misses = 0;
        } else {
            self.misses = (self.misses + 1).min(MOST_MISSES);
            self.skip = 1 << self.misses;
        }
    }

    /// It has done harm: it is not tried for as long as ever.
    #[cfg(feature = "sqlite")]
    pub(crate) fn harmed(&mut self) {
        self.misses = MOST_MISSES;
        self.skip = 1 << MOST_MISSES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(seldom: &mut Seldom, of: usize, to_something: bool) -> usize {
        let due = |seldom: &mut Seldom| {
            let due = seldom.is_due();
            if due {
                seldom.tried(to_something);
            }
            due
        };
        (0..of).filter(|_| due(seldom)).count()
    }

    #[test]
    fn what_leads_to_nothing_is_tried_ever_more_seldom_but_never_given_up() {
        let mut seldom = Seldom::default();
        assert_eq!(tries(&mut seldom, 100, true), 100);
        // After 2, 4, 8, … others.
        assert_eq!(tries(&mut seldom, 1000, false), 10);
        assert!(tries(&mut seldom, 257, true) >= 1);
        assert_eq!(tries(&mut seldom, 100, true), 100, "it leads to something again");
        #[cfg(feature = "sqlite")]
        {
            seldom.harmed();
            assert_eq!((tries(&mut seldom, 256, true), tries(&mut seldom, 1, true)), (0, 1));
        }
    }
}
