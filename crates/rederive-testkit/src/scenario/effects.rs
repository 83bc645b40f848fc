//! What a scenario says of effects.

use rederive_core::{Cursor, EffectRecord, PartitionId};
use serde::Serialize;
use serde_json::Value;

use super::Scenario;
use crate::ReadableStore;

impl<E: Send + Sync + 'static, S: ReadableStore> Scenario<E, S> {
    /// The last events led to exactly these effects, in the order of the events and, for an event of
    /// several partitions, of their ids. Those of an event that failed or was rejected do not count,
    /// as they are not written.
    ///
    /// Nothing is delivered in a scenario: what becomes of an effect is a matter of its `deliver`,
    /// which can be called by itself.
    ///
    /// ```
    /// use rederive_core::{Ops, Partitions, Recorded, ReduceError, Reducer};
    /// use rederive_testkit::given;
    ///
    /// struct Orders;
    ///
    /// impl Reducer for Orders {
    ///     type Event = &'static str;
    ///     fn name(&self) -> &str { "orders" }
    ///     fn partition(&self, order: &&'static str) -> Partitions { (*order).into() }
    ///     fn reduce(&self, order: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
    ///         if order.data == "nothing" { return Ok(()) }
    ///         ops.effect(&("ship", order.data))
    ///     }
    /// }
    ///
    /// given(&Orders, ["books", "shoes"])
    ///     .then_effects([("ship", "books"), ("ship", "shoes")])
    ///     .when(["nothing"])
    ///     .then_no_effects();
    /// ```
    ///
    /// # Panics
    /// When they led to others, with the differences.
    #[track_caller]
    pub fn then_effects<T: Serialize>(self, expected: impl IntoIterator<Item = T>) -> Self {
        let json = |effect: T| match serde_json::to_value(effect) {
            Ok(json) => json,
            Err(error) => panic!("an expected effect has no JSON: {error}"),
        };
        let expected: Vec<Value> = expected.into_iter().map(json).collect();
        let emitted = self.effects();
        let found: Vec<&Value> = emitted.iter().map(|(_, effect)| effect).collect();
        if !found.iter().copied().eq(&expected) {
            panic!(
                "{}the effects are expected to be{}\nbut are{}",
                self.halts_text(),
                lines(expected.iter().map(ToString::to_string)),
                lines(emitted.iter().map(|(of, effect)| format!("{effect}    ({})", of.key)))
            );
        }
        self
    }

    /// The last events led to no effects.
    ///
    /// # Panics
    /// When they led to some, with these.
    #[track_caller]
    pub fn then_no_effects(self) -> Self {
        self.then_effects::<()>([])
    }

    /// Those that are written, each with its JSON.
    fn effects(&self) -> Vec<(EffectRecord, Value)> {
        let failed = self.failed();
        let emitted = self.last.ops.iter().filter_map(EffectRecord::emitted);
        let written = emitted.filter(|effect| {
            let at = (&effect.key.partition, &effect.key.cursor);
            !failed.iter().any(|(partition, cursor)| (partition, cursor) == at)
        });
        let with_json = |effect: EffectRecord| match serde_json::from_str(&effect.effect) {
            Ok(json) => (effect, json),
            Err(error) => panic!("{} is no JSON: {error}", effect.key),
        };
        written.map(with_json).collect()
    }

    /// The events that halted a partition or were skipped.
    fn failed(&self) -> Vec<(PartitionId, Cursor)> {
        let halts = self.halted().into_iter().filter_map(|row| {
            let halt = row.halt?;
            Some((row.partition, halt.cursor))
        });
        let skips = match self.store.skips(self.engine.name(), None, usize::MAX) {
            Ok(skips) => skips,
            Err(error) => panic!("{error}"),
        };
        let skips = skips.into_iter().filter_map(|row| Some((row.partition?, row.skip.cursor)));
        halts.chain(skips).collect()
    }
}

fn lines(of: impl Iterator<Item = String>) -> String {
    let text: String = of.map(|line| format!("\n  {line}")).collect();
    if text.is_empty() { "\n  (none)".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
