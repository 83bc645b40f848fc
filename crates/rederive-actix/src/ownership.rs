//! [`Ownership`]: whether this process is the one that a reducer was opened by last.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The epoch of the last opening of a reducer in this process. Its dispatchers share it, so that the
/// successor of one that died does not take the reducer away from an owner that came after us.
#[derive(Clone, Default)]
pub(crate) struct Ownership(Arc<AtomicU64>);

impl Ownership {
    /// `None` before the first opening: that takes the reducer over from whoever has it.
    pub(crate) fn epoch(&self) -> Option<u64> {
        // Openings raise the stored epoch, so that none has the epoch 0.
        Some(self.0.load(Ordering::Acquire)).filter(|epoch| *epoch > 0)
    }

    pub(crate) fn taken(&self, epoch: u64) {
        self.0.store(epoch, Ordering::Release);
    }
}
