//! [`FoldEffects`]: collects the effects of a fold.

use serde::Serialize;

use crate::{Ops, PartitionId, ReduceError};

/// Collects the effects of one event, for [`Fold::effects`](super::Fold::effects).
#[derive(Debug)]
pub struct FoldEffects<'o>(&'o mut Ops);

impl<'o> FoldEffects<'o> {
    pub(super) fn new(ops: &'o mut Ops) -> Self {
        Self(ops)
    }

    /// Adds an effect: of the type that the fold's [`Deliver`](crate::Deliver) expects.
    ///
    /// # Errors
    /// As for [`Ops::effect`].
    pub fn push<T: Serialize + ?Sized>(&mut self, effect: &T) -> Result<(), ReduceError> {
        self.0.effect(effect)
    }

    /// The partition that they are collected for.
    pub fn partition(&self) -> &PartitionId {
        self.0.partition()
    }
}
