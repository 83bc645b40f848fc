//! Medians and spreads.

use std::fmt;

/// The median of some figures and how far they are apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of these figures; zeros if there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            0 => f64::midpoint(at(middle.saturating_sub(1)), at(middle)),
            _ => at(middle),
        };
        Self { median, least: at(0), most: at(figures.len().saturating_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, most] = [self.median, self.least, self.most].map(short);
        write!(f, "{median} ({least}–{most})")
    }
}

/// A number with as many digits as say something.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        large if large >= 1e6 => format!("{:.2}M", number / 1e6),
        large if large >= 1e4 => format!("{:.0}k", number / 1e3),
        large if large >= 1e3 => format!("{:.1}k", number / 1e3),
        some if some >= 10.0 => format!("{number:.0}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).to_string(), "2.00 (1.00–3.00)");
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([]).median, 0.0);
    }

    #[test]
    fn a_number_is_as_short_as_it_may_be() {
        let shown = [1_234_567.0, 34_425.0, 2_345.0, 58.4, 0.123].map(short);
        assert_eq!(shown, ["1.23M", "34k", "2.3k", "58", "0.12"]);
    }
}
