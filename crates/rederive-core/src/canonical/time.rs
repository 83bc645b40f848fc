//! Dates and times as text: ISO 8601, of years from 1 to 9999.

const MICROS_OF_DAY: i64 = 86_400_000_000;

pub(super) fn date(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    reader.0.is_empty().then(|| date_text(days)).flatten()
}

pub(super) fn time(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let micros = reader.time()?;
    reader.0.is_empty().then(|| time_text(micros))
}

pub(super) fn timestamp(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let micros = reader.timestamp()?;
    if reader.0.is_empty() { timestamp_text(micros) } else { None }
}

pub(super) fn timestamptz(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let local = reader.timestamp()?;
    let offset = reader.offset()?;
    if !reader.0.is_empty() {
        return None;
    }
    let mut text = timestamp_text(local - offset)?;
    text.push('Z');
    Some(text)
}

/// Reads from the front.
struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn take(&mut self, expected: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        expected.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digit(&mut self) -> Option<i64> {
        self.take(b"0123456789").map(|digit| i64::from(digit - b'0'))
    }

    /// A number of exactly so many digits, up to the largest that makes sense.
    fn number(&mut self, digits: usize, most: i64) -> Option<i64> {
        let mut number = 0;
        for _ in 0..digits {
            number = number * 10 + self.digit()?;
        }
        (number <= most).then_some(number)
    }

    /// Days since 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4, 9999)?;
        self.take(b"-")?;
        let month = self.number(2, 12)?;
        self.take(b"-")?;
        let day = self.number(2, 31)?;
        let days = days_of(year, month, day);
        // A day that the month does not have is another date.
        (year > 0 && civil_of(days) == (year, month, day)).then_some(days)
    }

    /// Microseconds since midnight; seconds and their parts may be missing.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2, 23)?;
        self.take(b":")?;
        let minute = self.number(2, 59)?;
        let second = if self.take(b":").is_some() { self.number(2, 59)? } else { 0 };
        let mut micros = 0;
        if self.take(b".").is_some() {
            micros = self.digit()? * 100_000;
            let mut unit = 10_000;
            while let Some(digit) = self.digit() {
                micros += digit * unit;
                unit /= 10;
            }
        }
        Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
    }

    /// Microseconds since 1970-01-01, wherever that is.
    fn timestamp(&mut self) -> Option<i64> {
        let days = self.date()?;
        self.take(b"Tt ")?;
        Some(days * MICROS_OF_DAY + self.time()?)
    }

    /// An offset from UTC, in microseconds; nothing is none. A time zone's name may follow in brackets.
    fn offset(&mut self) -> Option<i64> {
        self.take(b" ");
        if self.0.is_empty() || self.take(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.take(b"+-")? == b'-' { -1 } else { 1 };
        let mut seconds = self.number(2, 23)? * 3600;
        for unit in [60, 1] {
            let has_colon = self.take(b":").is_some();
            if !has_colon && !self.0.first().is_some_and(u8::is_ascii_digit) {
                break;
            }
            seconds += self.number(2, 59)? * unit;
        }
        if self.0.first() == Some(&b'[') && self.0.last() == Some(&b']') {
            self.0 = &[];
        }
        Some(sign * seconds * 1_000_000)
    }
}

/// Days from 1970-01-01 to this date of the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// The date of a day since 1970-01-01: year, month and day.
fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn date_text(days: i64) -> Option<String> {
    let (year, month, day) = civil_of(days);
    (1..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn time_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => text,
        part if part % 1000 == 0 => format!("{text}.{:03}", part / 1000),
        part => format!("{text}.{part:06}"),
    }
}

fn timestamp_text(micros: i64) -> Option<String> {
    let date = date_text(micros.div_euclid(MICROS_OF_DAY))?;
    Some(format!("{date}T{}", time_text(micros.rem_euclid(MICROS_OF_DAY))))
}
