//! What a log has at hand of what was appended to it, whichever database it is in.

use std::ops::Range;

use rederive_core::{Cursor, EventLog, Recorded};

/// How a test appends.
pub(crate) type Append<L> = fn(&L, Range<u64>) -> Vec<Recorded<u64>>;

/// It is served to those who have seen all before it. The log is empty so far.
pub(crate) fn served_to_those_who_have_seen_all_before<L>(log: &L, append: Append<L>)
where
    L: EventLog<Event = u64>,
{
    assert!(log.recent(&Cursor::Start, 10).is_none());
    let first = append(log, 0..3);
    let slice = log.recent(&Cursor::Start, 10).unwrap();
    assert_eq!((&slice.events, &slice.end, slice.at_head), (&first, &first[2].cursor, true));
    assert_eq!(log.recent(&first[0].cursor, 2).unwrap().events, first[1..]);
    assert!(log.recent(&Cursor::Start, 2).is_none(), "it is read in slices");
    assert!(log.recent(&first[2].cursor, 10).is_none());
    let second = append(log, 3..4);
    assert_eq!(log.recent(&first[2].cursor, 10).unwrap().events, second);
    assert!(log.recent(&Cursor::Start, 10).is_none(), "only the last is kept");
    append(log, 0..600);
    assert!(log.recent(&second[0].cursor, 1000).is_none(), "so many take long to decode");
}

/// Others append to the same log `elsewhere`, in between.
pub(crate) fn nothing_is_served_behind_others<L>(log: &L, elsewhere: &L, append: Append<L>)
where
    L: EventLog<Event = u64>,
{
    let first = append(log, 0..1);
    let others = append(elsewhere, 1..2);
    let third = append(log, 2..3);
    assert!(log.recent(&first[0].cursor, 10).is_none());
    assert_eq!(log.recent(&others[0].cursor, 10).unwrap().events, third);
}
