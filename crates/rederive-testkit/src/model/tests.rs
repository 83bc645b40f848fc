use rederive_core::{Change, ColumnKind, MemoryLog, Ops, Partitions, ReduceError};

use super::*;

static COUNTS: Table =
    Table::new("counts", &[("id", ColumnKind::Text), ("n", ColumnKind::BigInt)], &[0]);

/// Events are (partitions, what to do).
struct Counts;

impl Reducer for Counts {
    type Event = (&'static [&'static str], &'static str);

    fn name(&self) -> &str {
        "counts"
    }

    fn partition(&self, event: &Self::Event) -> Partitions {
        Partitions::of(event.0.iter().copied())
    }

    fn reduce(&self, event: &Recorded<Self::Event>, ops: &mut Ops) -> Result<(), ReduceError> {
        let id = Value::from(ops.partition().as_str());
        match event.data.1 {
            "open" => ops.change(&COUNTS, [id], Change::Insert(vec![(1, 0.into())])),
            "count" => ops.change(&COUNTS, [id], Change::Increment(1, 1.into())),
            "fail" => Err(ReduceError::new("told to")),
            _ => Ok(()),
        }
    }
}

fn recorded(
    events: &[(&'static [&'static str], &'static str)],
) -> Vec<Recorded<(&'static [&'static str], &'static str)>> {
    let log = MemoryLog::new();
    log.append(events.iter().copied())
}

#[test]
fn each_partition_is_folded_until_it_fails() {
    let events = recorded(&[
        (&["a", "b", "a"], "open"),
        (&["a"], "count"),
        (&["c"], "count"),
        (&["b"], "fail"),
        (&["a", "b"], "count"),
        (&["c"], "open"),
        (&["a"], "rest"),
    ]);
    let fold = fold(&Counts, &events);
    let row = |id: &str, n: i64| vec![Value::from(id), n.into()];
    assert_eq!(fold.rows(&COUNTS), [row("a", 2), row("b", 0)]);
    let halted: Vec<_> = fold.halted().iter().map(|(id, at)| (id.as_str(), at.clone())).collect();
    let expected =
        [("b", (4.into(), FailureKind::Reduce)), ("c", (3.into(), FailureKind::Rejected))];
    assert_eq!(halted, expected);
    assert_eq!(fold.applied()["a"], [1, 2, 5].map(Cursor::from));
}

#[test]
fn an_event_that_the_store_would_reject_halts_its_partition() {
    let events = recorded(&[(&["a", "b"], "open"), (&["a", "b"], "count"), (&["a"], "count")]);
    let fold = Fold::rejecting(&Counts, &events, |partition, event| {
        partition.as_str() == "a" && event.cursor == Cursor::from(2)
    });
    assert_eq!(fold.halted().len(), 1);
    assert_eq!(fold.applied()["a"].len(), 1);
    assert_eq!(fold.applied()["b"].len(), 2);
}
