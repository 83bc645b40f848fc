//! Appending to a [`SqliteEventLog`].

use std::time::Duration;

use rederive_core::Recorded;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

use super::{
    SqliteEventLog,
    appender::{Appended, Reply, Request},
    blocking::{Waiting, block_on},
    read::cursor_of,
};
use crate::{AppendError, Expected, codec::Encoded};

impl<E> SqliteEventLog<E>
where
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Appends events, all of them next to each other, or none. Returns them with their cursors once
    /// they are durable. Works on any async runtime, and without one.
    ///
    /// Waits while the queue of appends is full. Dropping the future does not take back what has
    /// been queued: it may be appended all the same.
    ///
    /// # Errors
    /// [`AppendError`]: each variant says whether the events were appended.
    pub async fn append(&self, events: Vec<E>) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request(None, events).await
    }

    /// Appends events to a stream, if it stands where it is expected to: optimistic concurrency for
    /// code that has decided on these events from the stream's earlier ones.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when the stream stands elsewhere: nothing was appended. Others as
    /// for [`append`](Self::append).
    pub async fn append_to(
        &self,
        stream: impl Into<String>,
        expected: Expected,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request(Some((stream.into(), expected)), events).await
    }

    /// [`append`](Self::append) for threads that may block. In async code it works too, but keeps
    /// all others on its thread waiting meanwhile.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_blocking(&self, events: Vec<E>) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request_blocking(None, events)
    }

    /// [`append_to`](Self::append_to) for threads that may block, as
    /// [`append_blocking`](Self::append_blocking) is.
    ///
    /// # Errors
    /// As for [`append_to`](Self::append_to).
    pub fn append_to_blocking(
        &self,
        stream: impl Into<String>,
        expected: Expected,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        self.request_blocking(Some((stream.into(), expected)), events)
    }

    async fn request(
        &self,
        stream: Option<(String, Expected)>,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        let Some(encoded) = self.encode(stream.is_some(), &events)? else { return Ok(Vec::new()) };
        // The thread does not hold a handle, so that it can end with the last one: this one, until
        // the answer has come.
        let database = self.database.clone();
        let (reply, answer) = oneshot::channel();
        let request = Request { stream, events: encoded, reply: Reply::Async(reply) };
        database.0.appender.queue()?.send(request).await.map_err(|_| not_queued())?;
        let appended = answer.await.map_err(|_| unanswered())??;
        Ok(recorded(appended, events))
    }

    fn request_blocking(
        &self,
        stream: Option<(String, Expected)>,
        events: Vec<E>,
    ) -> Result<Vec<Recorded<E>>, AppendError> {
        let Some(encoded) = self.encode(stream.is_some(), &events)? else { return Ok(Vec::new()) };
        let database = self.database.clone();
        let (reply, answer) = Waiting::new();
        let request = Request { stream, events: encoded, reply: Reply::Blocking(reply) };
        let queue = database.0.appender.queue()?;
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
    fn encode(&self, to_stream: bool, events: &[E]) -> Result<Option<Vec<Encoded>>, AppendError> {
        if events.is_empty() && !to_stream {
            return Ok(None);
        }
        let encoded = events.iter().enumerate().map(|(index, event)| {
            let encoded = self.codec.encode(event);
            encoded.map_err(|error| AppendError::Encode { index, message: error.to_string() })
        });
        encoded.collect::<Result<Vec<_>, _>>().map(Some)
    }
}

fn recorded<E>(Appended { first, time }: Appended, events: Vec<E>) -> Vec<Recorded<E>> {
    let recorded = |(data, nth)| Recorded { cursor: cursor_of(first + nth), time, data };
    events.into_iter().zip(0..).map(recorded).collect()
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
