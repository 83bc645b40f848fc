//! [`PartitionId`] and [`Partitions`]: which units of order and failure an event belongs to.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr};

/// The name of a partition: the unit of order and of failure.
///
/// Events of one partition are reduced in log order, one after the other; a failure halts its
/// partition and no other. Any text is a valid id, the empty one included: none is reserved. Ids of
/// up to 23 bytes are held in place, and cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(SmolStr);

impl PartitionId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PartitionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PartitionId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for PartitionId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<&String> for PartitionId {
    fn from(id: &String) -> Self {
        Self(id.into())
    }
}

impl From<Arc<str>> for PartitionId {
    fn from(id: Arc<str>) -> Self {
        Self(id.into())
    }
}

impl From<SmolStr> for PartitionId {
    fn from(id: SmolStr) -> Self {
        Self(id)
    }
}

impl From<&SmolStr> for PartitionId {
    fn from(id: &SmolStr) -> Self {
        Self(id.clone())
    }
}

macro_rules! partition_id_from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for PartitionId {
            /// The number in decimal digits.
            fn from(number: $number) -> Self {
                Self(number.to_smolstr())
            }
        }
    )*};
}
partition_id_from_number!(i32, i64, u32, u64);

/// The partitions that an event belongs to, as [`Reducer::partition`](crate::Reducer::partition)
/// answers them.
///
/// ```
/// use rederive_core::Partitions;
///
/// let one: Partitions = "alice".into();
/// let both = Partitions::of(["alice", "bob"]);
/// let none = Partitions::None; // not for this reducer
/// # assert_ne!(one, both); assert_ne!(both, none);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Partitions {
    /// The reducer ignores the event.
    #[default]
    None,
    /// The event belongs to one partition.
    One(PartitionId),
    /// The event belongs to several partitions and is reduced once for each of them; an id named
    /// twice counts once.
    Many(Vec<PartitionId>),
}

impl Partitions {
    /// The partitions of these ids.
    pub fn of<I>(ids: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<PartitionId>,
    {
        Partitions::Many(ids.into_iter().map(Into::into).collect())
    }

    /// True when there is no partition among them.
    pub fn is_none(&self) -> bool {
        match self {
            Partitions::None => true,
            Partitions::One(_) => false,
            Partitions::Many(ids) => ids.is_empty(),
        }
    }

    /// Calls `visit` once for each distinct partition, in the order given.
    pub fn for_each_distinct(self, mut visit: impl FnMut(PartitionId)) {
        match self {
            Partitions::None => {}
            Partitions::One(id) => visit(id),
            Partitions::Many(mut ids) => {
                let mut seen = std::collections::HashSet::new();
                ids.retain(|id| seen.insert(id.clone()));
                ids.into_iter().for_each(visit);
            }
        }
    }
}

impl<T: Into<PartitionId>> From<T> for Partitions {
    fn from(id: T) -> Self {
        Partitions::One(id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_named_twice_counts_once() {
        let mut seen = Vec::new();
        Partitions::of(["b", "a", "b"]).for_each_distinct(|id| seen.push(id));
        assert_eq!(seen, [PartitionId::from("b"), PartitionId::from("a")]);
    }

    #[test]
    fn no_partition_is_visited_for_an_ignored_event() {
        Partitions::None.for_each_distinct(|id| panic!("visited {id}"));
        Partitions::of(Vec::<String>::new()).for_each_distinct(|id| panic!("visited {id}"));
    }
}
