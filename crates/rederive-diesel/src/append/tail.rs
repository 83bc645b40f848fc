//! [`Tail`]: the events that were appended last, for those who follow close behind.

use std::sync::{Arc, Mutex, PoisonError};

use rederive_core::{Cursor, Slice, Tentative, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{Appended, Request};
use crate::{
    AppendError,
    codec::{Codec, Encoded},
    read::{Decoded, Name, Read, cursor_of, id_of},
};

/// A group of more events or bytes is not kept: to decode it would take longer than a moment.
const MOST_EVENTS: usize = 512;
const MOST_BYTES: usize = 256 << 10;

/// Keeps the last group that was appended by this process, as it is stored. Reducers that have seen all
/// before it need not read it from the database.
#[derive(Default)]
pub(crate) struct Tail(Mutex<Option<Arc<Group>>>);

/// Events whose ids stand next to each other.
pub(crate) struct Group {
    ids: Vec<i64>,
    time: Timestamp,
    /// Of one request after the other.
    events: Vec<Arc<[Encoded]>>,
    /// Set when they were handed out before they were committed.
    tentative: Option<Tentative>,
}

impl Tail {
    /// Keeps a group, or none.
    pub(super) fn keep(&self, group: Option<Group>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = group.map(Arc::new);
    }

    /// All that is here after `after`, if nothing can stand in between and it can be decoded.
    pub(crate) fn slice<E>(
        &self,
        codec: &Codec<E>,
        after: &Cursor,
        limit: usize,
    ) -> Option<Slice<E>>
    where
        E: Serialize + DeserializeOwned + 'static,
    {
        // What is not today's form is read with all that is stored beside it.
        if codec.upcasts() {
            return None;
        }
        let group = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let tentative = match &group.tentative {
            Some(tentative) => match tentative.outcome() {
                None => Some(tentative.clone()),
                Some(true) => None,
                Some(false) => return None,
            },
            None => None,
        };
        let passed = group.passed(id_of(after).ok()?)?;
        let ids = &group.ids[passed..];
        if ids.is_empty() || ids.len() > limit {
            return None;
        }
        let time = group.time.as_micros();
        let events = group.events.iter().flat_map(|events| &**events).skip(passed);
        let rows = events.zip(ids).map(|(event, id)| {
            Ok((*id, time, event.event_type.as_deref().map(Name::new), Decoded::new(&event.data)))
        });
        let read = Read::of_decoded(codec, rows).ok()?;
        let end = cursor_of(read.last()?);
        let slice = Slice { tentative, ..read.into_slice(end, true) };
        slice.undecodable.is_empty().then_some(slice)
    }
}

impl Group {
    /// What was appended for a group of requests, unless it is not to be kept.
    pub(super) fn of(
        group: &[Request],
        replies: &[Result<Appended, AppendError>],
        tentative: Option<Tentative>,
    ) -> Option<Self> {
        let mut done = Vec::with_capacity(group.len());
        for (request, reply) in group.iter().zip(replies) {
            if let Ok(appended) = reply {
                done.push((request, appended));
            }
        }
        let events = done.iter().flat_map(|(request, _)| &*request.events);
        let (count, bytes) =
            events.fold((0, 0), |(count, bytes), event| (count + 1, bytes + event.data.len()));
        if count > MOST_EVENTS || bytes > MOST_BYTES {
            return None;
        }
        let time = done.first()?.1.time;
        let ids: Vec<i64> =
            done.iter().flat_map(|(_, appended)| appended.ids.iter().copied()).collect();
        let in_line = |pair: &[i64]| pair[0].checked_add(1) == Some(pair[1]);
        if ids.len() != count || !ids.windows(2).all(in_line) {
            return None;
        }
        let events = done.iter().map(|(request, _)| Arc::clone(&request.events)).collect();
        Some(Self { ids, time, events, tentative })
    }

    /// How many of the events stand at or before `after`, if it stands at one of them or right before
    /// the first.
    fn passed(&self, after: i64) -> Option<usize> {
        let first = self.ids.first()?;
        let passed = usize::try_from(after.checked_sub(*first)?.checked_add(1)?).ok()?;
        (passed <= self.ids.len()).then_some(passed)
    }
}
