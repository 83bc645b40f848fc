//! [`append_methods`]: what both logs offer to append by.

/// The methods of a log that has a `database` with an appender and a `codec`, and reads its streams.
macro_rules! append_methods {
    ($log:ident) => {
        impl<E> $log<E>
        where
            E: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
        {
            /// Appends events, all of them next to each other, or none. Returns them with their
            /// cursors once they are durable. Works on any async runtime, and without one.
            ///
            /// Waits while the queue of appends is full. Dropping the future does not take back what
            /// has been queued: it may be appended all the same.
            ///
            /// # Errors
            /// [`AppendError`](crate::AppendError): each variant says whether the events were
            /// appended.
            pub async fn append(
                &self,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, crate::AppendError> {
                // The thread does not hold a handle, so that it can end with the last one: this one,
                // until the answer has come.
                let database = self.database.clone();
                crate::append::request(&database.0.appender, &self.codec, None, events).await
            }

            /// Appends events to a stream, if it stands where it is expected to: optimistic
            /// concurrency for code that has decided on these events from the stream's earlier ones.
            ///
            /// # Errors
            /// [`AppendError::Conflict`](crate::AppendError::Conflict) when the stream stands
            /// elsewhere: nothing was appended. Others as for [`append`](Self::append).
            pub async fn append_to(
                &self,
                stream: impl Into<String>,
                expected: crate::Expected,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, crate::AppendError> {
                let (database, stream) = (self.database.clone(), Some((stream.into(), expected)));
                crate::append::request(&database.0.appender, &self.codec, stream, events).await
            }

            /// [`append`](Self::append) for threads that may block. In async code it works too, but
            /// keeps all others on its thread waiting meanwhile.
            ///
            /// # Errors
            /// As for [`append`](Self::append).
            pub fn append_blocking(
                &self,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, crate::AppendError> {
                let database = self.database.clone();
                crate::append::request_blocking(&database.0.appender, &self.codec, None, events)
            }

            /// [`append_to`](Self::append_to) for threads that may block, as
            /// [`append_blocking`](Self::append_blocking) is.
            ///
            /// # Errors
            /// As for [`append_to`](Self::append_to).
            pub fn append_to_blocking(
                &self,
                stream: impl Into<String>,
                expected: crate::Expected,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, crate::AppendError> {
                let (database, stream) = (self.database.clone(), Some((stream.into(), expected)));
                crate::append::request_blocking(&database.0.appender, &self.codec, stream, events)
            }

            /// Appends events, unless events were appended under this key before: then those are
            /// returned, as they were recorded, and nothing is appended. Safe to repeat after a crash
            /// or an answer that was lost.
            ///
            /// With [`Due::key`](rederive_core::Due::key), what an effect leads to is recorded exactly
            /// once though the effect is delivered at least once; a
            /// [`Service`](rederive_core::Service) does so. The events stand in a stream of their own,
            /// named by the key. An empty list leaves no trace.
            ///
            /// # Errors
            /// As for [`append`](Self::append). With
            /// [`AppendError::Unavailable`](crate::AppendError::Unavailable), events of an earlier
            /// call may be there and could not be read; ask again, as with every error that may pass.
            pub async fn append_once(
                &self,
                key: &str,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, crate::AppendError> {
                let stream = crate::append::stream_of(key);
                match self.append_to(stream.clone(), crate::Expected::NoStream, events).await {
                    Err(crate::AppendError::Conflict { .. }) => {
                        let log = self.clone();
                        let read = move || {
                            let read = log.read_stream(&stream, 0, usize::MAX);
                            read.map_err(|error| error.to_string())
                        };
                        let waited = std::time::Duration::ZERO;
                        crate::append::aside(read)
                            .await
                            .map_err(|message| crate::AppendError::Unavailable { message, waited })
                    }
                    other => other,
                }
            }
        }

        impl<E> rederive_core::AppendOnce for $log<E>
        where
            E: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
        {
            async fn append_once(
                &self,
                key: &str,
                events: Vec<E>,
            ) -> Result<Vec<rederive_core::Recorded<E>>, rederive_core::AppendOnceError> {
                let appended = $log::append_once(self, key, events).await;
                appended.map_err(crate::append::not_once)
            }

            async fn has_appended(&self, key: &str) -> Result<bool, rederive_core::LogError> {
                let (log, stream) = (self.clone(), crate::append::stream_of(key));
                let read = move || {
                    let version = log.stream_version(&stream);
                    version.map_err(|error| error.to_string())
                };
                let version = crate::append::aside(read).await;
                Ok(version.map_err(rederive_core::LogError::new)? > 0)
            }
        }
    };
}

pub(crate) use append_methods;
