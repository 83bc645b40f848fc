use std::time::Duration;

use super::*;
use crate::{Change, ColumnKind, Fold, Folded, MemoryLog, Ops, ReduceError, Table};

static COUNTS: Table =
    Table::new("counts", &[("id", ColumnKind::Text), ("n", ColumnKind::BigInt)], &[0]);

/// Events are `partition,partition:what`.
struct Counts;

impl Reducer for Counts {
    type Event = &'static str;

    fn name(&self) -> &str {
        "counts"
    }

    fn partition(&self, event: &&'static str) -> Partitions {
        assert_ne!(*event, "whose?", "nobody's");
        let (ids, _) = event.split_once(':').unwrap_or(("", ""));
        Partitions::of(ids.split(',').filter(|id| !id.is_empty()))
    }

    fn reduce(&self, event: &Recorded<&'static str>, ops: &mut Ops) -> Result<(), ReduceError> {
        let id = || ops_id(ops);
        let key = [id()];
        match event.data.split_once(':').map(|(_, what)| what) {
            Some("open") => {
                ops.change(&COUNTS, key.clone(), Change::Insert(vec![(1, 0.into())]))?;
                ops.change(&COUNTS, key, Change::Increment(1, 1.into()))
            }
            Some("count") => ops.change(&COUNTS, key, Change::Increment(1, 1.into())),
            Some("nothing") => Ok(()),
            Some("panic") => panic!("of a bug"),
            Some(other) => Err(ReduceError::new(other)),
            None => Ok(()),
        }
    }

    fn on_failure(
        &self,
        event: &Recorded<&'static str>,
        failure: &Failure,
        attempt: u32,
    ) -> OnFailure {
        match failure.message.as_str() {
            "skip" => OnFailure::retry(attempt, 3).unwrap_or(OnFailure::Skip),
            "hope" => OnFailure::Retry(Duration::from_secs(1)),
            "decide" => panic!("{event:?}"),
            _ => OnFailure::Halt,
        }
    }
}

fn ops_id(ops: &Ops) -> crate::Value {
    ops.partition().as_str().into()
}

fn told(events: &[&'static str]) -> String {
    explain(&Counts, &MemoryLog::new().append(events.iter().copied())).to_string()
}

#[test]
fn each_partition_of_an_event_has_its_own_ops() {
    let told = told(&["a,b:open", "b:nothing", ":open"]);
    let expected = "\
event 1
  partition \"a\":
    insert counts 'a': n = 0
    increment counts 'a': n by 1
  partition \"b\":
    insert counts 'b': n = 0
    increment counts 'b': n by 1
event 2
  partition \"b\": no ops
event 3
  ignored
";
    assert_eq!(told, expected);
}

#[test]
fn a_failure_is_followed_by_what_the_reducer_decides() {
    let told = told(&["a:skip", "a:count", "a:panic", "a:count", "b:hope", "b:count", "c:decide"]);
    let expected = "\
event 1
  partition \"a\" skips it: it could not be reduced: skip
event 2
  partition \"a\": increment counts 'a': n by 1
event 3
  partition \"a\" halts: the reducer panicked: of a bug
event 4
  partition \"a\": held
event 5
  partition \"b\" tries again and again: it could not be reduced: hope
event 6
  partition \"b\": held
event 7
  partition \"c\" halts: it could not be reduced: decide
";
    assert_eq!(told, expected);
}

#[test]
fn an_event_that_is_nobodys_blocks_what_comes_after_it() {
    let events = MemoryLog::new().append(["a:count", "whose?", "a:count"]);
    let explanation = explain(&Counts, &events);
    assert_eq!(explanation.events.len(), 1);
    let text = explanation.to_string();
    assert!(text.contains("event 2\n  blocks the reducer"), "{text}");
    assert!(text.contains("nobody's"), "{text}");
}

#[test]
fn the_ops_of_a_partition_are_gathered_without_those_of_failures() {
    let events = MemoryLog::new().append(["a,b:open", "b:no", "a:count", "b:count"]);
    let explanation = explain(&Counts, &events);
    let ops: Vec<_> =
        explanation.ops().into_iter().map(|(id, ops)| (id.as_str(), ops.len())).collect();
    assert_eq!(ops, [("a", 3), ("b", 2)]);
}

#[test]
fn a_fold_is_explained_from_its_beginning() {
    struct Sums;
    impl Fold for Sums {
        type Event = u64;
        type State = u64;

        fn name(&self) -> &str {
            "sums"
        }

        fn partition(&self, _: &u64) -> Partitions {
            "all".into()
        }

        fn fold(
            &self,
            state: &mut u64,
            event: &Recorded<u64>,
            _: &PartitionId,
        ) -> Result<(), ReduceError> {
            *state += event.data;
            Ok(())
        }
    }
    let events = MemoryLog::new().append([5, 7]);
    let text = explain_engine(&Folded::new(Sums), &events).to_string();
    assert!(text.contains("'12'"), "{text}");
}
