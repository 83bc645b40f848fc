//! [`Undecodable`]: an event that cannot be decoded, and [`OnUndecodable`]: what a reducer wants done
//! about it.

use std::sync::Arc;

use crate::{Cursor, Partitions, Timestamp};

/// An event whose stored form could not be turned into the log's event type.
///
/// It is an error of that event, not of the log: each reducer that meets it decides what becomes of
/// it ([`Reducer::on_undecodable`](crate::Reducer::on_undecodable)), with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event at cursor {cursor} cannot be decoded: {message}")]
#[non_exhaustive]
pub struct Undecodable {
    /// Where it stands.
    pub cursor: Cursor,
    /// What the decoder said.
    pub message: String,
    /// When it was recorded, if the log knows.
    pub time: Option<Timestamp>,
    /// The stream that it belongs to, if the log has streams and it is of one.
    pub stream: Option<Arc<str>>,
    /// The name of its type, if the log stores it.
    pub event_type: Option<Arc<str>>,
    /// Its stored form, if that is text.
    pub raw: Option<Arc<str>>,
}

impl Undecodable {
    /// An event of which no more is known.
    pub fn new(cursor: Cursor, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { cursor, message, time: None, stream: None, event_type: None, raw: None }
    }
}

/// What becomes of an event that cannot be decoded; answered by
/// [`Reducer::on_undecodable`](crate::Reducer::on_undecodable). Other reducers of the log decide for
/// themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnUndecodable {
    /// The reducer stands before the event until it can be decoded, and says so. It is tried again
    /// from time to time, so a correction of what is stored is noticed; a correction of the code
    /// takes a restart.
    #[default]
    Block,
    /// The event does not concern the reducer, as it can tell from what is known of it: it is passed
    /// like an event without partitions, and nothing is recorded.
    Ignore,
    /// The event is passed by, and that is recorded in the transaction that passes it: as a skip of
    /// each of these partitions or, where they are [`Partitions::None`], of the reducer as a whole.
    /// Who waits for it is told so. It cannot be made up for other than by a rebuild.
    Skip(Partitions),
    /// These partitions halt just before the event, and hold what comes after it; others go on. Once
    /// it can be decoded, `retry` reads it again; `skip` passes it by.
    ///
    /// They must be those that [`Reducer::partition`](crate::Reducer::partition) will name when it can
    /// be decoded: any other will have passed it. Without a partition it counts as
    /// [`Block`](Self::Block), as nothing would remember the event.
    Halt(Partitions),
}
