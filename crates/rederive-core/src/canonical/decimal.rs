//! [`Decimal`]: decimal numbers, exactly.

use std::{borrow::Cow, cmp::Ordering, fmt};

/// As many digits as PostgreSQL's `numeric` has before and after the point.
const MOST_WHOLE: i64 = 131_072;
const MOST_FRACTION: i64 = 16_383;

/// A decimal number. Its [`Display`](fmt::Display) is canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Values from 0 to 9, the most significant first; neither the first nor the last of them is a
    /// zero that says nothing. Zero has none.
    digits: Vec<u8>,
    /// How many of the digits, or of zeros before them, come after the point. Less than zero: so many
    /// zeros come after the digits.
    scale: i64,
}

pub(super) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    if is_canonical(text) {
        return Some(Cow::Borrowed(text));
    }
    Decimal::parse(text).map(|decimal| Cow::Owned(decimal.to_string()))
}

fn is_canonical(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = whole.len() as i64 <= MOST_WHOLE
        && fraction.is_none_or(|fraction| fraction.len() as i64 <= MOST_FRACTION);
    fits && is_number(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(|fraction| is_number(fraction) && !fraction.ends_with('0'))
        && text != "-0"
}

impl Decimal {
    pub(crate) const ZERO: Self = Self { negative: false, digits: Vec::new(), scale: 0 };

    /// Reads a decimal number, perhaps with an exponent; `None` also when it has more digits than a
    /// database could hold.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                // A sign must have digits after it, which is what the parsing of `i64` asks for.
                (mantissa, exponent.parse::<i64>().ok()?)
            }
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Self { negative, digits, scale }.normal()
    }

    /// The sum; `None` when it has more digits than a database could hold.
    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let (a, b) = (self.aligned(scale), other.aligned(scale));
        let (negative, digits) = match (self.negative == other.negative, compare(&a, &b)) {
            (true, _) => (self.negative, sum(&a, &b)),
            (false, Ordering::Less) => (other.negative, difference(&b, &a)),
            (false, _) => (self.negative, difference(&a, &b)),
        };
        Self { negative, digits, scale }.normal()
    }

    /// The digits, the least significant first, of this number times ten to the `scale`, which is at
    /// least its own.
    fn aligned(&self, scale: i64) -> Vec<u8> {
        let zeros = usize::try_from(scale - self.scale).unwrap_or(0);
        std::iter::repeat_n(0, zeros).chain(self.digits.iter().rev().copied()).collect()
    }

    fn normal(mut self) -> Option<Self> {
        let leading = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..leading);
        let trailing = self.digits.iter().rev().take_while(|digit| **digit == 0).count();
        self.digits.truncate(self.digits.len() - trailing);
        if self.digits.is_empty() {
            return Some(Self::ZERO);
        }
        self.scale = self.scale.checked_sub(i64::try_from(trailing).ok()?)?;
        let whole = i64::try_from(self.digits.len()).ok()?.checked_sub(self.scale)?;
        (whole <= MOST_WHOLE && self.scale <= MOST_FRACTION).then_some(self)
    }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let significant =
        |digits: &[u8]| digits.iter().rposition(|digit| *digit != 0).map_or(0, |at| at + 1);
    let (long, short) = (significant(a), significant(b));
    long.cmp(&short).then_with(|| a[..long].iter().rev().cmp(b[..short].iter().rev()))
}

/// Of digits whose least significant comes first; of the result, it comes last.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = (0..a.len().max(b.len()))
        .map(|at| {
            let digit = a.get(at).unwrap_or(&0) + b.get(at).unwrap_or(&0) + carry;
            carry = digit / 10;
            digit % 10
        })
        .collect();
    digits.push(carry);
    digits.reverse();
    digits
}

/// The same for `a - b`, where `a` is not the smaller.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = (0..a.len())
        .map(|at| {
            let digit = 10 + a[at] - b.get(at).unwrap_or(&0) - borrow;
            borrow = 1 - digit / 10;
            digit % 10
        })
        .collect();
    digits.reverse();
    digits
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        let scale = usize::try_from(self.scale).unwrap_or(0);
        let digits = self.digits.iter().map(|digit| char::from(b'0' + digit));
        if let Some(whole) = self.digits.len().checked_sub(scale).filter(|whole| *whole > 0) {
            text.extend(digits.clone().take(whole));
            let zeros = usize::try_from(-self.scale).unwrap_or(0);
            text.extend(std::iter::repeat_n('0', zeros));
            if scale > 0 {
                text.push('.');
                text.extend(digits.skip(whole));
            }
        } else if self.digits.is_empty() {
            text.push('0');
        } else {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', scale - self.digits.len()));
            text.extend(digits);
        }
        f.write_str(&text)
    }
}
