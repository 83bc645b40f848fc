//! Whatever happens in whatever order, each effect is delivered, and those of a partition in order.

use std::collections::BTreeMap;

use rederive_testkit::{Rng, for_each_seed};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A commit adds effects to a partition.
    Emit(usize, usize),
    /// The store answers: a question is asked if there is one, and answered, with success or not.
    Store(bool),
    /// A delivery ends: which of those under way, and how.
    Finish(usize, Ending),
    /// Deliveries begin.
    Begin,
    /// Time passes.
    Pass,
    /// The process ends, and another begins.
    Crash,
    /// An operator has everything that is parked delivered again.
    Redeliver,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Well,
    Badly,
    Refused,
}

fn step(rng: &mut Rng) -> Step {
    match rng.range(0..22) {
        0..3 => Step::Emit(rng.range(0..4), rng.range(1..4)),
        3..9 => Step::Store(rng.chance(0.7)),
        9..15 => {
            let endings = [(0.66, Ending::Well), (0.66, Ending::Badly), (1.0, Ending::Refused)];
            let ending = endings.into_iter().find(|(chance, _)| rng.chance(*chance));
            Step::Finish(rng.range(0..8), ending.map_or(Ending::Well, |(_, ending)| ending))
        }
        15..19 => Step::Begin,
        19 => Step::Pass,
        20 => Step::Crash,
        _ => Step::Redeliver,
    }
}

struct World {
    settings: DeliverySettings,
    queue: DeliveryQueue,
    outbox: BTreeMap<EffectKey, EffectRecord>,
    emitted: BTreeMap<String, u64>,
    under_way: Vec<EffectKey>,
    /// The last effect of each partition that was delivered.
    delivered: BTreeMap<String, u64>,
    now: Instant,
}

impl World {
    fn run(&mut self, step: &Step) {
        match step {
            Step::Emit(partition, count) => {
                let partition = format!("p{partition}");
                for _ in 0..*count {
                    let last = self.emitted.entry(partition.clone()).or_default();
                    *last += 1;
                    self.outbox.insert(key(&partition, *last), record(&partition, *last));
                }
                self.queue.wake();
            }
            Step::Store(works) => self.ask(*works),
            Step::Begin => self.begin(),
            Step::Pass => self.now += self.settings.max_backoff,
            Step::Finish(which, ending) => {
                if !self.under_way.is_empty() {
                    let key = self.under_way.swap_remove(which % self.under_way.len());
                    self.finish(&key, *ending);
                }
            }
            Step::Crash => {
                self.queue = DeliveryQueue::new(self.settings.clone());
                self.under_way.clear();
            }
            Step::Redeliver => {
                self.outbox.values_mut().for_each(|record| record.parked = None);
                self.queue.wake();
            }
        }
        assert!(self.queue.held <= self.settings.window, "{:?}", self.queue);
    }

    fn ask(&mut self, works: bool) {
        if let Some(marks) = self.queue.marks() {
            assert!(self.queue.read().is_none() && self.queue.marks().is_none());
            if works {
                for key in &marks.delivered {
                    self.outbox.remove(key);
                }
                for (key, parked) in &marks.parked {
                    if let Some(record) = self.outbox.get_mut(key) {
                        record.parked = Some(parked.clone());
                    }
                }
                self.queue.written();
            } else {
                self.queue.not_written();
            }
        } else if let Some(Read { after, limit }) = self.queue.read() {
            assert!(self.queue.read().is_none() && self.queue.marks().is_none());
            if works {
                let later = self.outbox.values().filter(|record| {
                    after.as_ref().is_none_or(|after| record.key.partition > *after)
                });
                let page = later.take(limit).cloned().collect();
                self.queue.found(page);
            } else {
                self.queue.not_read();
            }
        }
    }

    fn begin(&mut self) {
        while let Some(job) = self.queue.begin(self.now) {
            let partition = &job.key.partition;
            assert!(self.under_way.iter().all(|key| key.partition != *partition), "two at once");
            let Cursor::Integer(number) = job.key.cursor else { panic!("a number") };
            let last = self.delivered.get(partition.as_str()).copied().unwrap_or(0);
            assert!(number <= last + 1, "{number} before {}", last + 1);
            self.under_way.push(job.key);
            assert!(self.under_way.len() <= self.settings.concurrency);
        }
    }

    fn finish(&mut self, key: &EffectKey, ending: Ending) {
        let result = match ending {
            Ending::Well => {
                let Cursor::Integer(number) = key.cursor else { panic!("a number") };
                let last = self.delivered.entry(key.partition.to_string()).or_default();
                *last = number.max(*last);
                Ok(())
            }
            Ending::Badly => failed(),
            Ending::Refused => Err((DeliveryFailure::Refused, "no".to_owned())),
        };
        let outcome = self.queue.finished(&key.partition, result, self.now, Timestamp::default());
        assert!(outcome.is_some(), "it was under way");
    }
}

#[test]
fn every_effect_is_delivered_in_the_order_of_its_partition_whatever_happens() {
    for_each_seed(0..500, 100, |rng| {
        let settings = DeliverySettings {
            window: rng.range(1..8),
            concurrency: rng.range(1..4),
            attempts: 3,
            ..DeliverySettings::default()
        };
        let mut world = World {
            queue: DeliveryQueue::new(settings.clone()),
            settings,
            outbox: BTreeMap::new(),
            emitted: BTreeMap::new(),
            under_way: Vec::new(),
            delivered: BTreeMap::new(),
            now: Instant::now(),
        };
        for _ in 0..rng.range(0..200) {
            let step = step(rng);
            world.run(&step);
        }
        // In the end everything works.
        world.run(&Step::Redeliver);
        for _ in 0..10_000 {
            for step in [Step::Pass, Step::Begin, Step::Finish(0, Ending::Well), Step::Store(true)]
            {
                world.run(&step);
            }
            if world.outbox.values().any(|record| record.parked.is_some()) {
                world.run(&Step::Redeliver);
            }
            if world.outbox.is_empty() && world.queue.is_at_rest() && !world.queue.dirty {
                break;
            }
        }
        assert!(world.outbox.is_empty(), "{:?}", world.queue);
        assert_eq!(world.delivered, world.emitted);
        assert!(world.queue.lines.is_empty(), "{:?}", world.queue);
        assert_eq!(world.queue.held, 0);
    });
}
