//! [`Changes`]: following a view.

use std::sync::Arc;

use rederive_core::PartitionId;
use tokio::sync::watch;

use super::{Shared, states::Seen};

/// Follows the states of all partitions of a [`View`](super::View).
///
/// Of each partition only the newest state is told, in the order of the last changes: whoever is
/// slow skips states, but ends with the newest one of each partition. It neither keeps the fold
/// waiting nor takes memory.
///
/// ```
/// # use rederive_actix::View;
/// let view: View<i64> = View::new();
/// // Follow first, then read: so that nothing falls between.
/// let mut changes = view.changes();
/// let all = view.all();
/// # assert!(all.is_empty());
/// assert!(changes.try_next().is_none()); // or `changes.next().await`
/// ```
pub struct Changes<S> {
    shared: Arc<Shared<S>>,
    seen: Seen,
    news: watch::Receiver<u64>,
}

/// What has become of a partition of a view.
#[derive(Debug)]
pub enum ViewChange<S> {
    /// This is its newest state.
    State(PartitionId, Arc<S>),
    /// It has no state any more.
    Removed(PartitionId),
    /// So many states were removed since that not all are remembered: read the view anew. What
    /// changes from now on is told as before.
    Missed,
}

impl<S: Send + Sync + 'static> Changes<S> {
    pub(super) fn new(shared: Arc<Shared<S>>) -> Self {
        let news = shared.news.subscribe();
        let seen = shared.write().follow();
        Self { shared, seen, news }
    }

    /// The next change; waits for one if there is none. Dropping the future loses nothing.
    pub async fn next(&mut self) -> ViewChange<S> {
        loop {
            self.news.mark_unchanged();
            if let Some(change) = self.try_next() {
                return change;
            }
            // The sender lives as long as we do.
            if self.news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next change, if there is one.
    pub fn try_next(&mut self) -> Option<ViewChange<S>> {
        self.shared.read().next(&mut self.seen)
    }
}
