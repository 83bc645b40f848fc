//! [`decide`]: which requests of a group go through, and what is inserted for them.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

use super::Request;
use crate::{AppendError, codec::Encoded};

/// An event to insert.
pub(crate) struct Row<'g> {
    pub(crate) event: &'g Encoded,
    /// The stream, and the version that the event has in it.
    pub(crate) stream: Option<(&'g str, i64)>,
}

/// What becomes of a group.
pub(crate) struct Decided<'g> {
    /// For each request: which of the rows are its own, or why it is refused.
    pub(crate) replies: Vec<Result<Range<usize>, AppendError>>,
    pub(crate) rows: Vec<Row<'g>>,
}

/// Decides on all requests in order. `version` tells where a stream stands; there is room for `room`
/// further events.
///
/// # Errors
/// What `version` answers.
pub(crate) fn decide<'g, Error>(
    group: &'g [Request],
    room: i64,
    mut version: impl FnMut(&str) -> Result<i64, Error>,
) -> Result<Decided<'g>, Error> {
    let mut versions: HashMap<&str, i64> = HashMap::new();
    let (mut replies, mut rows) = (Vec::with_capacity(group.len()), Vec::new());
    for request in group {
        let end = rows.len() + request.events.len();
        if i64::try_from(end).unwrap_or(i64::MAX) > room {
            let message = "the ids of events are used up".to_owned();
            replies.push(Err(AppendError::Rejected { message }));
            continue;
        }
        let place = match &request.stream {
            None => None,
            Some((stream, expected)) => {
                let known = match versions.entry(stream) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(version(stream)?),
                };
                let actual = u64::try_from(*known).unwrap_or(0);
                if !expected.admits(actual) {
                    let (stream, expected) = (stream.clone(), *expected);
                    replies.push(Err(AppendError::Conflict { stream, expected, actual }));
                    continue;
                }
                let before = *known;
                *known += i64::try_from(request.events.len()).unwrap_or(i64::MAX);
                Some((stream.as_str(), before))
            }
        };
        replies.push(Ok(rows.len()..end));
        rows.extend(request.events.iter().zip(1..).map(|(event, nth)| {
            let stream = place.map(|(stream, before)| (stream, before + nth));
            Row { event, stream }
        }));
    }
    Ok(Decided { replies, rows })
}
