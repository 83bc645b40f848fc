//! Every message between actors, in the order in which an event causes them.
//!
//! All of them go by `do_send`: the mailboxes live as long as the actors, and an actor that died is
//! replaced by one that resumes from what is stored. Requests carry the address for their answer.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::{Message, Recipient};
use rederive_core::{
    Backoff, Cursor, Delivery, EventTypes, Group, Next, OpenError, Opened, OwnedTable, PartitionId,
    Rejection, Settled, SkipRecord, Slice, Store, StoreError, StoredRow, Timestamp, Value,
};
use tokio::sync::oneshot;

use crate::{
    config::OnOwned, courier::CourierEnd, ownership::Ownership, pause::PauseError, rebuild::Job,
    repair::RepairError, stand_by::Sight, status::Surveyed, waiter::Waiter,
};

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident $(<$e:ident>)?;)*) => {$(
        impl$(<$e: Send + Sync + 'static>)? Message for $name$(<$e>)? {
            type Result = ();
        }
    )*};
}

/// dispatcher → persistence: take this reducer over.
pub(crate) struct Open {
    pub(crate) reducer: Arc<str>,
    pub(crate) version: u32,
    pub(crate) kind: rederive_core::CursorKind,
    /// Where it begins if the store does not know it.
    pub(crate) start: Cursor,
    pub(crate) tables: Arc<[OwnedTable]>,
    pub(crate) ownership: Ownership,
    /// The name of this process.
    pub(crate) instance: Arc<str>,
    pub(crate) lease: Duration,
    pub(crate) on_owned: OnOwned,
    /// Build the derived state anew, up to here.
    pub(crate) reset: Option<Cursor>,
    pub(crate) rebuild: Job,
    pub(crate) reply: Recipient<OpenDone>,
    pub(crate) lost: Recipient<LeaseLost>,
}

/// persistence → dispatcher. `None` when another owner has come after us: it keeps the reducer.
pub(crate) struct OpenDone(pub(crate) Result<Option<Opened>, OpenError>);

/// leases → dispatcher: somebody else owns the reducer, which you opened with this epoch.
pub(crate) struct LeaseLost {
    pub(crate) epoch: u64,
}

/// persistence → dispatcher, which stands by: what the store says.
pub(crate) struct Seen(pub(crate) Result<Sight, StoreError>);

/// dispatcher → persistence: nothing is to come; others may have the reducer at once.
pub(crate) struct Release {
    pub(crate) reducer: Arc<str>,
    pub(crate) ownership: Ownership,
    /// The name of this process.
    pub(crate) instance: Arc<str>,
}

/// dispatcher → event log: tell me of new events.
pub(crate) struct Follow(pub(crate) Recipient<NewEvents>);

/// the log (any thread) → event log: events may have been appended. The flag says that a `Woken` is
/// on its way, so that there is never more than one.
pub(crate) struct Woken(pub(crate) Arc<AtomicBool>);

/// event log → dispatchers: events may have been appended.
pub(crate) struct NewEvents;

/// dispatcher → event log: read what comes after a cursor.
pub(crate) struct Fetch<E: Send + Sync + 'static> {
    pub(crate) after: Cursor,
    /// Others may be left out.
    pub(crate) types: Arc<EventTypes>,
    /// Said again in the answer: for the repair of this partition by this generation of its actor, not to
    /// read on.
    pub(crate) repair: Option<(PartitionId, u64)>,
    /// How many events, at most.
    pub(crate) limit: usize,
    pub(crate) reply: Recipient<Fetched<E>>,
}

/// event log → dispatcher: a slice that goes on after the cursor asked for; it may begin earlier and
/// hold events of other types.
pub(crate) struct Fetched<E> {
    pub(crate) slice: Arc<Slice<E>>,
    /// The log held no more when it was read, and nothing has been heard since.
    pub(crate) at_head: bool,
    /// As in the request.
    pub(crate) repair: Option<(PartitionId, u64)>,
}

/// dispatcher → event log: read the event at exactly this cursor.
pub(crate) struct Find<E: Send + Sync + 'static> {
    pub(crate) cursor: Cursor,
    /// Said again in the answer: whether the one who asks stands by, and has not dispatched it.
    pub(crate) standing_by: bool,
    pub(crate) reply: Recipient<Found<E>>,
}

/// event log → dispatcher.
pub(crate) struct Found<E> {
    pub(crate) cursor: Cursor,
    /// As in the request.
    pub(crate) standing_by: bool,
    /// A slice in which it stands; `None` when there is no such event.
    pub(crate) slice: Option<Arc<Slice<E>>>,
}

/// dispatcher → event log: how many events are there after a cursor, up to another or to the end?
pub(crate) struct Measure {
    pub(crate) after: Cursor,
    pub(crate) until: Option<Cursor>,
    pub(crate) reply: Recipient<Measured>,
}

/// event log → dispatcher.
pub(crate) struct Measured {
    pub(crate) until: Cursor,
    pub(crate) events: u64,
}

/// dispatcher → event log: where does the log end now?
pub(crate) struct Head(pub(crate) Recipient<HeadIs>);

/// event log → dispatcher.
pub(crate) struct HeadIs(pub(crate) Cursor);

/// dispatcher → persistence: read the rows that partitions want before they reduce.
pub(crate) struct Load {
    pub(crate) rows: Vec<StoredRow>,
    pub(crate) reply: Recipient<Loaded>,
}

/// persistence → dispatcher: the rows, in the order asked for.
pub(crate) struct Loaded(pub(crate) Result<Vec<Option<Vec<Value>>>, StoreError>);

/// dispatcher → event log: how much comes after a low watermark? For a status: the answer is wanted
/// only as long as somebody waits for it, and not at all when the log cannot be read.
pub(crate) struct Survey {
    pub(crate) after: Cursor,
    /// When the first event after that was recorded, if that is known.
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) reply: oneshot::Sender<Surveyed>,
}

/// dispatcher → partition dispatcher: whatever a partition is told.
pub(crate) enum ToPartition<E> {
    /// Events to reduce.
    Deliver(Delivery<E>),
    /// The row that you want, if there is one.
    StateLoaded(Option<Vec<Value>>),
    /// What became of your commit.
    Answer(Result<(), Rejection>),
    /// Tell this waiter when you have passed the cursor.
    Wait { cursor: Cursor, waiter: Waiter },
    /// You have all that was held; be halted no more.
    Recover,
    /// Delete what is stored of you, and halt.
    Reset,
    /// The pause of this number is over (also from the partition dispatcher to itself).
    Resume(u64),
}

/// partition dispatcher → dispatcher: what its events were reduced to.
pub(crate) struct Reduced {
    pub(crate) partition: PartitionId,
    /// Which of the partition's dispatchers says so: one that has been replaced is not heard.
    pub(crate) generation: u64,
    /// Where the partition stands (without what `next` asks to commit).
    pub(crate) cursor: Cursor,
    pub(crate) next: Next,
}

/// partition dispatcher → dispatcher: an event failed and is tried again after a pause.
pub(crate) struct Retrying {
    pub(crate) partition: PartitionId,
    pub(crate) generation: u64,
    pub(crate) backoff: Backoff,
}

/// dispatcher → persistence: bring this into the store.
pub(crate) struct Commit {
    pub(crate) group: Group,
    pub(crate) reply: Recipient<Committed>,
}

/// persistence → dispatcher. `None` when it was given up because we are stopping.
pub(crate) struct Committed(pub(crate) Option<Settled>);

/// dispatcher → partition dispatcher: nothing is in flight; stop.
pub(crate) struct Passivate;

/// partition dispatcher → dispatcher: I ended without having been told to.
pub(crate) struct PartitionEnded {
    pub(crate) partition: PartitionId,
    pub(crate) generation: u64,
}

/// dispatcher, event log, persistence → supervisor: I ended without having been told to.
#[derive(Clone)]
pub(crate) struct ActorEnded {
    pub(crate) actor: ActorKind,
    pub(crate) generation: u64,
    /// A dispatcher whose reducer was taken over, and which another is to replace that stands by.
    pub(crate) fenced: bool,
    /// A dispatcher that was handed events that have not come into the log: no fault of anybody's.
    pub(crate) lost: bool,
}

/// Which actor ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ActorKind {
    Dispatcher(Arc<str>),
    EventLog(usize),
    Persistence(rederive_core::StoreIdentity),
}

/// whoever waits, supervisor → dispatcher: say so when this event is settled for your reducer.
pub(crate) struct WaitFor {
    pub(crate) until: Until,
    pub(crate) waiter: Waiter,
}

/// What a [`WaitFor`] waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The event at this cursor.
    Event(Cursor),
    /// Every event that is in the log now.
    Head,
}

/// dispatcher, supervisor → persistence: ask the store something, in turn with the transactions.
/// Whoever asks has the answer sent by what runs; it is lost if that panics.
pub(crate) struct Ask(pub(crate) Question);

type Question = Box<dyn FnOnce(&dyn Store) + Send>;

/// persistence → dispatcher: the skips of an event that this waiter waits for in these partitions.
pub(crate) struct SkipsFound {
    pub(crate) cursor: Cursor,
    pub(crate) partitions: Vec<PartitionId>,
    pub(crate) waiter: Waiter,
    pub(crate) found: Result<Vec<SkipRecord>, StoreError>,
}

/// supervisor → dispatcher: repair a halted partition.
pub(crate) struct RepairPartition {
    pub(crate) partition: PartitionId,
    /// Without the event that has halted it, which must be the one at this cursor.
    pub(crate) skip: Option<Cursor>,
    pub(crate) reply: oneshot::Sender<Result<(), RepairError>>,
}

/// supervisor → dispatcher: build a partition anew.
pub(crate) struct RebuildPartition {
    pub(crate) partition: PartitionId,
    pub(crate) reply: oneshot::Sender<Result<(), RepairError>>,
}

/// supervisor → dispatcher: pause, or go on.
pub(crate) struct SetPaused {
    pub(crate) paused: bool,
    pub(crate) reply: oneshot::Sender<Result<(), PauseError>>,
}

/// persistence → dispatcher: the store has noted a pause or its end.
pub(crate) struct PauseNoted {
    pub(crate) paused: bool,
    pub(crate) result: Result<(), StoreError>,
    pub(crate) reply: oneshot::Sender<Result<(), PauseError>>,
}

/// supervisor → dispatcher: the rebuild was cancelled.
pub(crate) struct StopRebuild;

/// supervisor → persistence: we are stopping, so make no more pauses between attempts: what cannot
/// be committed at once is given up.
pub(crate) struct Hurry;

/// supervisor → event log, dispatcher, persistence: finish what you have begun and stop.
pub(crate) struct Stop {
    /// Who is asked: to be said again in the answer.
    pub(crate) who: ActorKind,
    pub(crate) reply: Recipient<ActorStopped>,
}

impl Stop {
    pub(crate) fn answer(self) {
        self.reply.do_send(ActorStopped(self.who));
    }
}

/// event log, dispatcher, persistence → supervisor.
pub(crate) struct ActorStopped(pub(crate) ActorKind);

/// dispatcher, supervisor → dispatcher, courier: there may be effects to deliver.
pub(crate) struct WakeCourier;

/// courier → dispatcher: I have ended.
#[derive(Clone)]
pub(crate) struct CourierDone {
    pub(crate) end: CourierEnd,
    pub(crate) generation: u64,
}

/// supervisor → dispatcher, persistence; dispatcher → courier: end at once; another takes your place.
pub(crate) struct Abort;

messages! {
    Open; OpenDone; LeaseLost; Seen; Release; Follow; Woken; NewEvents; Fetch<E>; Fetched<E>; Find<E>; Found<E>; Head; HeadIs; Survey;
    Measure; Measured; StopRebuild;
    Load; Loaded; ToPartition<E>; Reduced; Retrying; Ask; SkipsFound; SetPaused; PauseNoted; Commit; Committed; Passivate; PartitionEnded; ActorEnded;
    WaitFor; RepairPartition; RebuildPartition; Hurry; Stop; ActorStopped; Abort; WakeCourier; CourierDone;
}
