//! [`EventTypes`]: which types of events a reducer wants.

use std::{collections::BTreeSet, sync::Arc};

/// The types of events that somebody wants, by the names that the log gives them.
///
/// ```
/// use rederive_core::EventTypes;
///
/// let types = EventTypes::only(["Opened", "Deposited"]);
/// assert!(types.contains("Opened"));
/// assert!(!types.contains("Closed"));
/// assert!(EventTypes::All.contains("Closed"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventTypes {
    /// All of them, and events whose type the log does not know.
    #[default]
    All,
    /// Those of these names, and events whose type the log does not know.
    Only(BTreeSet<Arc<str>>),
}

impl EventTypes {
    /// The types of these names.
    pub fn only<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
    {
        EventTypes::Only(names.into_iter().map(Into::into).collect())
    }

    /// Whether events of this type are wanted.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            EventTypes::All => true,
            EventTypes::Only(names) => names.contains(name),
        }
    }

    /// Whether an event is wanted whose type is this, or is not known.
    pub fn admits(&self, name: Option<&str>) -> bool {
        name.is_none_or(|name| self.contains(name))
    }

    /// Whether everything is wanted that the other wants.
    pub fn covers(&self, other: &EventTypes) -> bool {
        match (self, other) {
            (EventTypes::All, _) => true,
            (EventTypes::Only(_), EventTypes::All) => false,
            (EventTypes::Only(names), EventTypes::Only(others)) => others.is_subset(names),
        }
    }

    /// What either of them wants.
    #[must_use]
    pub fn or(&self, other: &EventTypes) -> EventTypes {
        match (self, other) {
            (EventTypes::Only(names), EventTypes::Only(others)) => EventTypes::Only(names | others),
            _ => EventTypes::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_wants_covers_both_and_nothing_more() {
        let (a, b) = (EventTypes::only(["x", "y"]), EventTypes::only(["y", "z"]));
        let both = a.or(&b);
        assert!(both.covers(&a) && both.covers(&b) && !a.covers(&b));
        assert_eq!(both, EventTypes::only(["x", "y", "z"]));
        assert_eq!(a.or(&EventTypes::All), EventTypes::All);
        assert!(EventTypes::All.covers(&both) && !both.covers(&EventTypes::All));
    }

    #[test]
    fn an_event_of_unknown_type_is_always_wanted() {
        let none = EventTypes::only(Vec::<String>::new());
        assert!(none.admits(None));
        assert!(!none.admits(Some("x")));
    }
}
