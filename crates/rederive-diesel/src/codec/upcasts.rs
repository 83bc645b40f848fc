//! [`Upcasts`]: how events that were stored in an old form become events of today.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rederive_core::{Cursor, Timestamp, error::panic_message};
use serde_json::{Map, Value};

/// The history of a log's event types: what was renamed and what was changed, in the order in which
/// it happened.
///
/// Each entry is written once, when the event type changes, and stays as long as the log holds
/// events from before. Each stored event carries the version of its type, which is one plus the
/// number of entries for it; so every entry is applied to exactly the events that were stored before
/// it was written. Events for which there is no entry are decoded as fast as without any.
///
/// Whatever appends to the log must know the same history as what reads it.
///
/// # A variant that was renamed, and one that gained a field
/// ```
/// use rederive_core::{Cursor, EventLog};
/// use rederive_diesel::{SqliteDatabase, Upcasts};
/// use serde::{Deserialize, Serialize};
///
/// // In the first release, this was stored.
/// #[derive(Serialize, Deserialize)]
/// enum First {
///     Opened { id: String },
///     Deposited { id: String, amount: i64 },
/// }
/// # let directory = tempfile::tempdir()?;
/// # let db = SqliteDatabase::open(directory.path().join("bank.db"))?;
/// db.event_log::<First>().append_blocking(vec![
///     First::Opened { id: "alice".into() },
///     First::Deposited { id: "alice".into(), amount: 5 },
/// ])?;
///
/// // Today, it is this.
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum Event {
///     AccountOpened { id: String },
///     Deposited { id: String, amount: i64, currency: String },
/// }
///
/// fn history() -> Upcasts {
///     Upcasts::new().rename("Opened", "AccountOpened").change("Deposited", |event, _| {
///         event["currency"] = "EUR".into();
///         Ok(())
///     })
/// }
///
/// let log = db.event_log::<Event>().upcast(history());
/// let events = log.fetch(&Cursor::Start, 10)?.events;
/// assert_eq!(events[0].data, Event::AccountOpened { id: "alice".into() });
/// let currency = "EUR".into();
/// assert_eq!(events[1].data, Event::Deposited { id: "alice".into(), amount: 5, currency });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Upcasts(HashMap<String, Vec<Step>>);

/// What is known of a stored event beside its data.
#[derive(Clone, Debug)]
pub struct StoredEvent<'e> {
    /// Where it stands.
    pub cursor: Cursor,
    /// When it was recorded.
    pub time: Timestamp,
    /// The stream it belongs to.
    pub stream: Option<&'e str>,
    /// The name of its type when it was stored.
    pub event_type: Option<&'e str>,
    /// The version of its type when it was stored.
    pub version: u32,
}

/// An event cannot be upcast: it is undecodable. Any error converts into it by `?`; for that it is,
/// on purpose, no [`Error`] itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcastError(String);

impl UpcastError {
    /// An error with this text.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl<E: Error> From<E> for UpcastError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

type Change = dyn Fn(&mut Value, &StoredEvent<'_>) -> Result<(), UpcastError> + Send + Sync;

/// What leads from one version of a type to the next.
#[derive(Clone)]
enum Step {
    /// To another type, at this version of it.
    Rename(String, u32),
    Change(Arc<Change>),
}

impl Upcasts {
    /// No history: all events are stored as they are today.
    pub fn new() -> Self {
        Self::default()
    }

    /// An event type got another name. The data stays what it was.
    pub fn rename(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        let (from, to) = (from.into(), to.into());
        let version = self.version_of(&to);
        self.0.entry(from).or_default().push(Step::Rename(to, version));
        self
    }

    /// The data of an event type changed. `change` turns the form that was stored until now into the
    /// one of today.
    ///
    /// It is given what the event holds: the fields of a struct variant as an object, the value of a
    /// newtype variant, `null` for a variant without data. For a log whose types are
    /// [named by a function](crate::SqliteEventLog::typed_by), it is given all that is stored. When
    /// it fails or panics, the event is undecodable.
    pub fn change(
        mut self,
        event_type: impl Into<String>,
        change: impl Fn(&mut Value, &StoredEvent<'_>) -> Result<(), UpcastError> + Send + Sync + 'static,
    ) -> Self {
        self.0.entry(event_type.into()).or_default().push(Step::Change(Arc::new(change)));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The version that is stored with events of this type today.
    pub(super) fn version_of(&self, event_type: &str) -> u32 {
        let steps = self.0.get(event_type).map_or(0, Vec::len);
        u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether anything is to be done about an event that was stored like this.
    pub(super) fn concern(&self, event_type: &str, version: u32) -> bool {
        self.step(event_type, version).is_some()
    }

    fn step(&self, event_type: &str, version: u32) -> Option<&Step> {
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        self.0.get(event_type)?.get(index)
    }

    /// What a type that was stored like this is called today.
    pub(super) fn name_today<'n>(&'n self, stored: &'n str, version: u32) -> &'n str {
        let (mut name, mut version) = (stored, version);
        // A step leads to a version that had no step when it was added, so this ends.
        while let Some(step) = self.step(name, version) {
            (name, version) = match step {
                Step::Rename(to, at) => (to.as_str(), *at),
                Step::Change(_) => (name, version.saturating_add(1)),
            };
        }
        name
    }

    /// All names under which events may be stored that have one of these names today.
    pub(super) fn stored_names(&self, today: &BTreeSet<Arc<str>>) -> Vec<String> {
        let former = self.0.iter().filter(|(stored, steps)| {
            let versions = 1..=u32::try_from(steps.len()).unwrap_or(u32::MAX);
            versions.into_iter().any(|version| today.contains(self.name_today(stored, version)))
        });
        let former = former.map(|(stored, _)| stored.clone());
        let names: BTreeSet<String> = today.iter().map(ToString::to_string).chain(former).collect();
        names.into_iter().collect()
    }

    /// Brings the stored form of an event up to date. `tagged` says that the type's name stands
    /// around what the event holds.
    ///
    /// # Errors
    /// What was wrong, as text.
    pub(super) fn apply(
        &self,
        stored: &StoredEvent<'_>,
        mut json: Value,
        tagged: bool,
    ) -> Result<Value, String> {
        let Some(first) = stored.event_type else { return Ok(json) };
        let was_unit = json.is_string();
        if tagged {
            json = untagged(json, first)?;
        }
        let (mut name, mut version) = (first, stored.version);
        while let Some(step) = self.step(name, version) {
            match step {
                Step::Rename(to, at) => (name, version) = (to, *at),
                Step::Change(change) => {
                    let changed = catch_unwind(AssertUnwindSafe(|| change(&mut json, stored)));
                    let failed = match changed {
                        Ok(Ok(())) => None,
                        Ok(Err(UpcastError(message))) => Some(message),
                        Err(panic) => Some(format!("a panic: {}", panic_message(&*panic))),
                    };
                    if let Some(message) = failed {
                        return Err(format!(
                            "upcasting {name:?} from version {version}: {message}"
                        ));
                    }
                    version = version.saturating_add(1);
                }
            }
        }
        Ok(match (tagged, was_unit && json.is_null()) {
            (false, _) => json,
            (true, true) => Value::String(name.to_owned()),
            (true, false) => Value::Object(Map::from_iter([(name.to_owned(), json)])),
        })
    }
}

/// What stands behind the name of the variant.
fn untagged(json: Value, name: &str) -> Result<Value, String> {
    match json {
        Value::String(variant) if variant == name => Ok(Value::Null),
        Value::Object(mut fields) if fields.len() == 1 => {
            fields.remove(name).ok_or_else(|| format!("it is stored as {name:?} and holds another"))
        }
        _ => Err(format!("it is stored as {name:?} and does not look like it")),
    }
}

impl fmt::Debug for Upcasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.0.iter().map(|(name, steps)| (name, steps.len()));
        f.write_str("Upcasts ")?;
        f.debug_map().entries(steps).finish()
    }
}

#[cfg(test)]
mod tests;
