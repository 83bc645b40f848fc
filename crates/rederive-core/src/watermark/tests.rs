use rederive_testkit::{Rng, for_each_seed};

use super::*;

/// What a watermark is by definition: the end of the last slice before the first unfinished one.
#[derive(Default)]
struct Naive {
    slices: Vec<(Cursor, usize)>,
}

impl Naive {
    fn cursor(&self) -> Cursor {
        let finished = self.slices.iter().take_while(|(_, unsettled)| *unsettled == 0);
        finished.last().map_or(Cursor::Start, |(end, _)| end.clone())
    }

    fn unfinished(&self) -> Vec<(u64, usize)> {
        let numbered = self.slices.iter().enumerate();
        numbered.filter(|(_, (_, n))| *n > 0).map(|(i, (_, n))| (i as u64, *n)).collect()
    }

    fn settle(&mut self, slice: u64, count: usize) -> bool {
        let unsettled = &mut self.slices[slice as usize].1;
        *unsettled -= count;
        *unsettled == 0
    }
}

/// Deliveries to settle by slice: of each unfinished slice none, some or all.
fn random_settles(rng: &mut Rng, naive: &Naive) -> HashMap<u64, usize> {
    let mut settles = HashMap::new();
    for (slice, unsettled) in naive.unfinished() {
        let count = if rng.chance(0.5) { unsettled } else { rng.range(0..unsettled + 1) };
        if count > 0 {
            settles.insert(slice, count);
        }
    }
    settles
}

#[test]
fn it_is_what_a_naive_count_says_whatever_is_settled_when() {
    for_each_seed(0..50, 20, |rng| {
        let mut naive = Naive::default();
        let mut watermark = Watermark::new(Cursor::Start);
        let mut end = 0;
        for _ in 0..rng.range(10..400) {
            if rng.chance(0.4) {
                end += rng.range(1..5) as u64;
                let unsettled = if rng.chance(0.3) { 0 } else { rng.range(1..6) };
                let number = watermark.track(end.into(), unsettled);
                assert_eq!(number, naive.slices.len() as u64);
                naive.slices.push((end.into(), unsettled));
            } else if let unfinished = naive.unfinished()
                && !unfinished.is_empty()
            {
                let (slice, unsettled) = *rng.pick(&unfinished);
                let count = rng.range(1..unsettled + 1);
                assert_eq!(watermark.settle(slice, count), naive.settle(slice, count));
            }
            assert_eq!(*watermark.cursor(), naive.cursor());
            assert_eq!(watermark.is_settled(), naive.unfinished().is_empty());

            let settles = random_settles(rng, &naive);
            let foreseen = watermark.with(&settles);
            let mut then = Naive { slices: naive.slices.clone() };
            settles.iter().for_each(|(slice, count)| {
                then.settle(*slice, *count);
            });
            assert_eq!(foreseen, then.cursor(), "with {settles:?}");
        }
    });
}

#[test]
fn with_foresees_what_settling_does_in_any_order() {
    for_each_seed(0..50, 20, |rng| {
        let mut naive = Naive::default();
        let mut watermark = Watermark::new(Cursor::Start);
        for end in 1..=rng.range(1..30) as u64 {
            let unsettled = rng.range(0..4);
            watermark.track(end.into(), unsettled);
            naive.slices.push((end.into(), unsettled));
        }
        let settles = random_settles(rng, &naive);
        let foreseen = watermark.with(&settles);
        // One delivery at a time, in an order of its own for each slice.
        let mut single: Vec<u64> =
            settles.iter().flat_map(|(slice, count)| vec![*slice; *count]).collect();
        rng.shuffle(&mut single);
        single.into_iter().for_each(|slice| {
            watermark.settle(slice, 1);
        });
        assert_eq!(*watermark.cursor(), foreseen);
    });
}

#[test]
fn an_unfinished_slice_holds_it_back_and_memory_stays_bounded_meanwhile() {
    const LATER: u64 = 100_000;
    const IN_FLIGHT: usize = 8;
    for_each_seed(0..1, 1, |rng| {
        let mut watermark = Watermark::new(Cursor::from(7));
        let slow = watermark.track(10.into(), 2);
        let mut in_flight = Vec::new();
        for end in 11..=10 + LATER {
            in_flight.push(watermark.track(end.into(), 1));
            while in_flight.len() > IN_FLIGHT {
                let number = in_flight.swap_remove(rng.range(0..in_flight.len()));
                watermark.settle(number, 1);
            }
            // Every unfinished slice, and a run of finished ones behind each.
            assert!(watermark.spans.len() <= 2 * (IN_FLIGHT + 1));
        }
        in_flight.into_iter().for_each(|number| {
            watermark.settle(number, 1);
        });
        assert_eq!(watermark.spans.len(), 2);
        assert_eq!(*watermark.cursor(), Cursor::from(7));
        assert!(!watermark.settle(slow, 1));
        assert_eq!(*watermark.cursor(), Cursor::from(7));
        assert!(watermark.settle(slow, 1));
        assert_eq!(*watermark.cursor(), Cursor::from(LATER + 10));
        assert!(watermark.is_settled());
    });
}

#[test]
fn a_long_stretch_of_ignored_events_moves_it() {
    let mut watermark = Watermark::new(Cursor::Start);
    for end in 1..=1000_u64 {
        watermark.track(end.into(), 0);
        assert_eq!(*watermark.cursor(), Cursor::from(end));
    }
    let slow = watermark.track(1001.into(), 1);
    (1002..=2000_u64).for_each(|end| {
        watermark.track(end.into(), 0);
    });
    assert_eq!(watermark.spans.len(), 2);
    assert_eq!(*watermark.cursor(), Cursor::from(1000));
    watermark.settle(slow, 1);
    assert_eq!(*watermark.cursor(), Cursor::from(2000));
}

#[test]
fn settling_nothing_or_what_is_finished_changes_nothing() {
    let mut watermark = Watermark::new(Cursor::Start);
    let first = watermark.track(1.into(), 1);
    assert!(!watermark.settle(first, 0));
    assert!(watermark.settle(first, 1));
    assert!(!watermark.settle(first, 1), "it was finished before");
    assert_eq!(watermark.with(&HashMap::from([(first, 1)])), Cursor::from(1));
}
