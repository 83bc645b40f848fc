//! [`OUTBOX`]: the table of effects, and what it says of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Change, ColumnKind, Cursor, Halt, Key, Op, PartitionId, ReduceError, RowOp, StoreError, Table,
    Timestamp, Value,
};

/// The table in which a store keeps effects until they are delivered.
pub static OUTBOX: Table = Table::new(
    "rederive_outbox",
    &[
        ("reducer", ColumnKind::Text),
        ("id", ColumnKind::Text),
        ("cursor", ColumnKind::Text),
        ("number", ColumnKind::BigInt),
        ("effect", ColumnKind::Text),
        ("parked_kind", ColumnKind::Text),
        ("parked_message", ColumnKind::Text),
        ("parked_attempts", ColumnKind::BigInt),
        ("parked_time", ColumnKind::BigInt),
    ],
    &[0, 1, 2, 3],
);

/// Which effect of a reducer: the `number`th, from zero, that it emitted for the event at `cursor`
/// in this partition.
///
/// It is the same whenever the event is reduced. Keys are ordered by partition, then by cursor, then
/// by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectKey {
    /// The partition.
    pub partition: PartitionId,
    /// The event.
    pub cursor: Cursor,
    /// Which of the event's effects in that partition.
    pub number: u32,
}

impl EffectKey {
    /// The idempotency key of this effect of this reducer: other text for every other effect of a
    /// store.
    ///
    /// It consists of ASCII letters, digits and `-._~%/`, so that it can stand in a URL or a header.
    ///
    /// ```
    /// use rederive_core::{Cursor, EffectKey};
    ///
    /// let key = EffectKey { partition: "a/b".into(), cursor: Cursor::from(7), number: 0 };
    /// assert_eq!(key.text("mails"), "mails/a%2Fb/i00000000000000000007/0");
    /// ```
    pub fn text(&self, reducer: &str) -> String {
        let mut text = String::new();
        for part in [reducer, self.partition.as_str(), &self.cursor.encode()] {
            for byte in part.bytes() {
                match byte {
                    b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
                    _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
                    _ => text.push_str(&format!("%{byte:02X}")),
                }
            }
            text.push('/');
        }
        text.push_str(&self.number.to_string());
        text
    }

    /// The key of its row in [`OUTBOX`].
    pub fn row(&self, reducer: &str) -> Key {
        let Self { partition, cursor, number } = self;
        let texts = [reducer.into(), partition.as_str().into(), cursor.encode().into()];
        texts.into_iter().chain([Value::from(*number)]).collect()
    }

    /// The op that writes this effect, which is JSON. One that is there already, from before the
    /// derived state was built anew, stays as it is.
    pub(crate) fn insert(&self, reducer: &str, effect: String) -> Op {
        let change = Change::InsertNew(vec![(4, effect.into())]);
        Op::Row(RowOp { table: &OUTBOX, key: self.row(reducer), change })
    }
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, cursor, number } = self;
        write!(f, "effect {number} of the event at cursor {cursor} in partition {partition}")
    }
}

/// An effect as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRecord {
    /// Which it is.
    pub key: EffectKey,
    /// The effect as JSON.
    pub effect: String,
    /// Set when it was given up.
    pub parked: Option<Parked>,
}

impl EffectRecord {
    /// The effect that this op of a reducer emits, if it emits one.
    pub fn emitted(op: &Op) -> Option<Self> {
        let Op::Row(RowOp { table, key, change: Change::InsertNew(values) }) = op else {
            return None;
        };
        let (Some((_, Value::Text(effect))), true) = (values.first(), *table == &OUTBOX) else {
            return None;
        };
        let [_, Value::Text(id), Value::Text(cursor), Value::Integer(number)] = &key[..] else {
            return None;
        };
        let (cursor, number) = (Cursor::decode(cursor).ok()?, u32::try_from(*number).ok()?);
        let key = EffectKey { partition: id.into(), cursor, number };
        Some(Self { key, effect: effect.to_string(), parked: None })
    }

    /// Reads a row of [`OUTBOX`].
    ///
    /// # Errors
    /// [`ReduceError`] when somebody else wrote it.
    pub fn read(row: &[Value]) -> Result<Self, ReduceError> {
        let strange = || ReduceError::new("a row of rederive_outbox is none of Rederive's");
        let [
            _,
            Value::Text(id),
            Value::Text(cursor),
            Value::Integer(number),
            Value::Text(effect),
            parked @ ..,
        ] = row
        else {
            return Err(strange());
        };
        let number = u32::try_from(*number).map_err(|_| strange())?;
        let key = EffectKey { partition: id.into(), cursor: Cursor::decode(cursor)?, number };
        let parked = match parked {
            [Value::Null, ..] => None,
            [
                Value::Text(kind),
                Value::Text(message),
                Value::Integer(attempts),
                Value::Integer(time),
            ] => Some(Parked {
                kind: DeliveryFailure::parse(kind),
                message: message.to_string(),
                attempts: u32::try_from(*attempts).unwrap_or(u32::MAX),
                time: Timestamp::from_micros(*time),
            }),
            _ => return Err(strange()),
        };
        Ok(Self { key, effect: effect.to_string(), parked })
    }
}

/// Why an effect is not tried again: stored with it. It holds up the later effects of its partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What went wrong at last.
    pub kind: DeliveryFailure,
    /// What was said, at most [`Halt::MESSAGE_LIMIT`] bytes of it.
    pub message: String,
    /// How often it was tried since the courier began.
    pub attempts: u32,
    /// When it was parked.
    pub time: Timestamp,
}

impl Parked {
    /// Parked for this reason. The message is cut where it is too long.
    pub fn new(kind: DeliveryFailure, message: &str, attempts: u32, time: Timestamp) -> Self {
        let mut end = message.len().min(Halt::MESSAGE_LIMIT);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Self { kind, message: message[..end].to_owned(), attempts, time }
    }

    /// As it is stored: the values of the last four columns of [`OUTBOX`].
    pub fn values(&self) -> [Value; 4] {
        let Self { kind, message, attempts, time } = self;
        [kind.as_str().into(), message.into(), (*attempts).into(), time.as_micros().into()]
    }
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (attempts: {}): {}", self.kind, self.attempts, self.message)
    }
}

/// What went wrong with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryFailure {
    /// It answered [`DeliverError::Retry`](super::DeliverError::Retry).
    Failed,
    /// It answered [`DeliverError::Refuse`](super::DeliverError::Refuse).
    Refused,
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
    /// What is stored is no effect of the type that is delivered.
    Unreadable,
}

impl DeliveryFailure {
    const ALL: [Self; 5] =
        [Self::Failed, Self::Refused, Self::Panicked, Self::TimedOut, Self::Unreadable];

    /// The kind as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Unreadable => "unreadable",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote. A kind that a later version has added counts as
    /// the most general one.
    pub fn parse(stored: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == stored).unwrap_or(Self::Failed)
    }
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "could not be delivered",
            Self::Refused => "was refused",
            Self::Panicked => "made the delivery panic",
            Self::TimedOut => "took too long to deliver",
            Self::Unreadable => "cannot be read",
        })
    }
}

/// What became of effects: written by [`Outbox::mark`](crate::store::Outbox::mark).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectMarks {
    /// These were delivered: they are deleted.
    pub delivered: Vec<EffectKey>,
    /// These are given up.
    pub parked: Vec<(EffectKey, Parked)>,
}

impl EffectMarks {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.parked.is_empty()
    }
}

/// How many effects of a reducer are in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Those that are still to be delivered, behind parked ones or not.
    pub pending: u64,
    /// Those that are parked.
    pub parked: u64,
}

/// Effects could not be read or marked; nothing was changed unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectsError {
    /// The stored epoch of the reducer is another one: somebody else has taken it over.
    #[error("the reducer has been taken over by another owner")]
    Fenced,
    /// The store cannot be used now. What was to be marked may be marked all the same; to mark it
    /// again does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_key_tells_effects_apart_whatever_their_names_hold() {
        let key = |partition: &str, cursor: Cursor, number| EffectKey {
            partition: partition.into(),
            cursor,
            number,
        };
        let texts = [
            key("a", 1.into(), 0).text("r"),
            key("a", 1.into(), 1).text("r"),
            key("a", 2.into(), 0).text("r"),
            key("b", 1.into(), 0).text("r"),
            key("a", 1.into(), 0).text("r/a"),
            key("a/a", 1.into(), 0).text("r"),
            key("a%2Fa", 1.into(), 0).text("r"),
            key("a", "1".into(), 0).text("r"),
            key("a", "1/0".into(), 0).text("r"),
            key("", 1.into(), 0).text("r"),
            key("ü\r\n", 1.into(), 0).text("r"),
        ];
        let distinct: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte);
        assert!(texts.iter().all(|text| text.bytes().all(safe)), "{texts:?}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let parked = Parked::new(
            DeliveryFailure::Refused,
            &"ü".repeat(Halt::MESSAGE_LIMIT),
            1,
            Timestamp::default(),
        );
        assert_eq!(parked.message.len(), Halt::MESSAGE_LIMIT);
        let odd = format!("x{}", "ü".repeat(Halt::MESSAGE_LIMIT));
        let parked = Parked::new(DeliveryFailure::Refused, &odd, 1, Timestamp::default());
        assert_eq!(parked.message.len(), Halt::MESSAGE_LIMIT - 1);
    }

    #[test]
    fn every_kind_reads_back_as_itself() {
        for kind in DeliveryFailure::ALL {
            assert_eq!(DeliveryFailure::parse(kind.as_str()), kind);
        }
    }
}
