//! Appending to a log in a database: requests that arrive while a transaction runs are written together
//! in the next one, by a thread of the database's.

mod appender;
mod blocking;
mod crowd;
mod decide;
mod followers;
mod methods;
mod seldom;
mod tail;

use std::{sync::Arc, thread, time::Duration};

use rederive_core::{AppendOnceError, Recorded, Timestamp};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub(crate) use appender::{Appender, Failure, Replies, WriteEvents};
pub(crate) use crowd::{Crowd, Furthest, Written};
pub(crate) use decide::{Decided, Row, decide};
pub(crate) use followers::Followers;
pub(crate) use methods::append_methods;
pub(crate) use seldom::Seldom;
pub(crate) use tail::{Group, Tail};

use self::blocking::{Waiting, block_on};
use crate::{
    AppendError, Expected,
    codec::{Codec, Encoded},
    read::cursor_of,
};

/// One call of `append`: all of its events are appended, next to each other, or none.
pub(crate) struct Request {
    pub(crate) stream: Option<(String, Expected)>,
    pub(crate) events: Arc<[Encoded]>,
    reply: Reply,
}

/// To whoever waits, which may have gone: it has been served all the same.
enum Reply {
    Async(oneshot::Sender<Result<Appended, AppendError>>),
    Blocking(std::sync::mpsc::SyncSender<Result<Appended, AppendError>>),
}

impl Request {
    /// The stream that it appends to.
    #[cfg(feature = "postgres")]
    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_ref().map(|(stream, _)| stream.as_str())
    }

    /// Answers it.
    fn answer(self, result: Result<Appended, AppendError>) {
        match self.reply {
            Reply::Async(reply) => drop(reply.send(result)),
            Reply::Blocking(reply) => drop(reply.send(result)),
        }
    }
}

/// Where the events of a request stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Appended {
    /// Their ids, in order.
    pub(crate) ids: Vec<i64>,
    pub(crate) time: Timestamp,
}

/// Has events appended, and waits for the answer.
pub(crate) async fn request<E: Serialize>(
    appender: &Appender,
    codec: &Codec<E>,
    stream: Option<(String, Expected)>,
    events: Vec<E>,
) -> Result<Vec<Recorded<E>>, AppendError> {
    let Some(encoded) = encode(codec, stream.is_some(), &events)? else { return Ok(Vec::new()) };
    let (reply, answer) = oneshot::channel();
    let request = Request { stream, events: encoded.into(), reply: Reply::Async(reply) };
    appender.queue()?.send(request).await.map_err(|_| not_queued())?;
    let appended = answer.await.map_err(|_| unanswered())??;
    Ok(recorded(appended, events))
}

/// The same for a thread that may block.
pub(crate) fn request_blocking<E: Serialize>(
    appender: &Appender,
    codec: &Codec<E>,
    stream: Option<(String, Expected)>,
    events: Vec<E>,
) -> Result<Vec<Recorded<E>>, AppendError> {
    let Some(encoded) = encode(codec, stream.is_some(), &events)? else { return Ok(Vec::new()) };
    let (reply, answer) = Waiting::new();
    let request = Request { stream, events: encoded.into(), reply: Reply::Blocking(reply) };
    let queue = appender.queue()?;
    match queue.try_send(request) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(request)) => {
            block_on(queue.send(request)).map_err(|_| not_queued())?;
        }
        Err(mpsc::error::TrySendError::Closed(_)) => return Err(not_queued()),
    }
    drop(queue);
    let appended = answer.wait().ok_or_else(unanswered)??;
    Ok(recorded(appended, events))
}

/// The events as they are stored; `None` when there is nothing to do.
fn encode<E: Serialize>(
    codec: &Codec<E>,
    to_stream: bool,
    events: &[E],
) -> Result<Option<Vec<Encoded>>, AppendError> {
    if events.is_empty() && !to_stream {
        return Ok(None);
    }
    let encoded = events.iter().enumerate().map(|(index, event)| {
        let encoded = codec.encode(event);
        encoded.map_err(|error| AppendError::Encode { index, message: error.to_string() })
    });
    encoded.collect::<Result<Vec<_>, _>>().map(Some)
}

fn recorded<E>(Appended { ids, time }: Appended, events: Vec<E>) -> Vec<Recorded<E>> {
    let recorded = |(id, data)| Recorded { cursor: cursor_of(id), time, data };
    ids.into_iter().zip(events).map(recorded).collect()
}

fn ended() -> String {
    "the thread that appends has ended unexpectedly".to_owned()
}

fn not_queued() -> AppendError {
    AppendError::Unavailable { message: ended(), waited: Duration::ZERO }
}

fn unanswered() -> AppendError {
    AppendError::InDoubt { message: ended() }
}

/// Reads on a thread of its own, as reading blocks: it is seldom needed.
pub(crate) async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (reply, answer) = oneshot::channel();
    thread::Builder::new()
        .name("rederive-once".to_owned())
        .spawn(move || {
            // Whoever asked may have gone.
            let _ = reply.send(read());
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    answer.await.unwrap_or_else(|_| Err("reading has panicked".to_owned()))
}

/// Where the events of a key stand.
pub(crate) fn stream_of(key: &str) -> String {
    format!("once/{key}")
}

/// Whether it is worth trying again to append once.
pub(crate) fn not_once(error: AppendError) -> AppendOnceError {
    match error {
        AppendError::Encode { .. } | AppendError::Rejected { .. } => {
            AppendOnceError::Refused(error.to_string())
        }
        other => AppendOnceError::Unavailable(other.to_string()),
    }
}
