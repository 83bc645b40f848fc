//! [`Codec`]: from an event to what is stored of it, and back.

mod tag;
mod upcasts;

use std::{borrow::Cow, sync::Arc};

use rederive_core::EventTypes;
use serde::{Serialize, de::DeserializeOwned};

pub use upcasts::{StoredEvent, UpcastError, Upcasts};

type TypeOf<E> = dyn for<'e> Fn(&'e E) -> &'e str + Send + Sync;

/// Names, writes and reads the events of one log.
pub(crate) struct Codec<E> {
    /// Names the type of an event; without it, that is the variant of the enum.
    type_of: Option<Arc<TypeOf<E>>>,
    upcasts: Upcasts,
}

/// An event as it is stored.
pub(crate) struct Encoded {
    pub(crate) data: String,
    pub(crate) event_type: Option<Cow<'static, str>>,
    pub(crate) version: u32,
}

impl<E> Codec<E> {
    pub(crate) fn with_type_of(&self, type_of: Arc<TypeOf<E>>) -> Self {
        Self { type_of: Some(type_of), upcasts: self.upcasts.clone() }
    }

    pub(crate) fn with_upcasts(&self, upcasts: Upcasts) -> Self {
        Self { type_of: self.type_of.clone(), upcasts }
    }

    /// Whether the stored form has to be looked at before it can be decoded.
    pub(crate) fn upcasts(&self) -> bool {
        !self.upcasts.is_empty()
    }

    /// The names under which events of these types may be stored; `None` for all.
    pub(crate) fn stored_names(&self, types: &EventTypes) -> Option<Vec<String>> {
        match types {
            EventTypes::All => None,
            EventTypes::Only(names) => Some(self.upcasts.stored_names(names)),
        }
    }

    /// Today's name of a stored type.
    pub(crate) fn name_today<'n>(&'n self, stored: &'n str, version: u32) -> &'n str {
        self.upcasts.name_today(stored, version)
    }
}

impl<E: Serialize> Codec<E> {
    pub(crate) fn type_of<'e>(&self, event: &'e E) -> Option<&'e str> {
        match &self.type_of {
            Some(type_of) => Some(type_of(event)),
            None => tag::variant_of(event),
        }
    }

    /// Checks that an event is of the type that it was stored as: else a reducer that wants some
    /// types only would be served it or not, depending on how it was read.
    ///
    /// # Errors
    /// What to do about it.
    pub(crate) fn agrees(&self, stored: Option<&str>, event: &E) -> Result<(), String> {
        let Some(stored) = stored else { return Ok(()) };
        match self.type_of(event) {
            Some(decoded) if decoded == stored => Ok(()),
            Some(decoded) => Err(format!(
                "it is stored as {stored:?} and decodes as {decoded:?}; if it was renamed, say so \
                 with Upcasts::rename({stored:?}, {decoded:?})"
            )),
            None => Err(format!(
                "it is stored as {stored:?} and decodes as an event without a type; name the types \
                 with `typed_by`"
            )),
        }
    }

    pub(crate) fn encode(&self, event: &E) -> serde_json::Result<Encoded> {
        let event_type = match &self.type_of {
            Some(type_of) => Some(Cow::Owned(type_of(event).to_owned())),
            None => tag::variant_of(event).map(Cow::Borrowed),
        };
        let version = event_type.as_deref().map_or(1, |name| self.upcasts.version_of(name));
        Ok(Encoded { data: serde_json::to_string(event)?, event_type, version })
    }
}

impl<E: DeserializeOwned> Codec<E> {
    /// Decodes an event, upcast if it is of an old form.
    ///
    /// # Errors
    /// What was wrong with it, as text.
    pub(crate) fn decode(&self, stored: &StoredEvent<'_>, data: &str) -> Result<E, String> {
        let Some(event_type) = stored.event_type else { return decode(data) };
        if !self.upcasts.concern(event_type, stored.version) {
            return decode(data).map_err(|message| match self.upcasts.version_of(event_type) {
                known if known < stored.version => format!(
                    "{message}; it was stored in version {} of {event_type:?}, of which version \
                     {known} is known here",
                    stored.version
                ),
                _ => message,
            });
        }
        let json = serde_json::from_str(data).map_err(|error| error.to_string())?;
        // With names of the user's own, it is not known where the name stands in the stored form.
        let json = self.upcasts.apply(stored, json, self.type_of.is_none())?;
        serde_json::from_value(json).map_err(|error| format!("after upcasting: {error}"))
    }
}

fn decode<E: DeserializeOwned>(data: &str) -> Result<E, String> {
    serde_json::from_str(data).map_err(|error| error.to_string())
}

impl<E> Default for Codec<E> {
    fn default() -> Self {
        Self { type_of: None, upcasts: Upcasts::default() }
    }
}
