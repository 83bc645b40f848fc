//! [`ListParked`], [`Redeliver`] and [`DropEffect`]: what operators do about effects that were given
//! up.

use actix::{Handler, Message, ResponseFuture};
use rederive_core::{EffectKey, EffectRecord, OutboxCounts};

use crate::{listing::ListError, message::WakeCourier, supervisor::Supervisor};

/// Lists parked effects of a reducer in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParked {
    /// The reducer.
    pub reducer: String,
    /// Only those after this one; `None` begins with the first.
    pub after: Option<EffectKey>,
    /// At most so many.
    pub limit: usize,
}

impl Message for ListParked {
    type Result = Result<Vec<EffectRecord>, ListError>;
}

/// Asks how many effects of a reducer are still to be delivered, and how many are parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountEffects {
    /// The reducer.
    pub reducer: String,
}

impl Message for CountEffects {
    type Result = Result<OutboxCounts, ListError>;
}

/// Has a parked effect delivered again, and after it the later ones of its partition. False when
/// there is no parked effect of that key.
///
/// With an error, it may have been done all the same; to do it again does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeliver {
    /// The reducer.
    pub reducer: String,
    /// Which effect.
    pub key: EffectKey,
}

impl Message for Redeliver {
    type Result = Result<bool, ListError>;
}

/// Deletes a parked effect without delivering it; its partition goes on with the later ones. False
/// when there is no parked effect of that key.
///
/// With an error, it may have been done all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropEffect {
    /// The reducer.
    pub reducer: String,
    /// Which effect.
    pub key: EffectKey,
}

impl Message for DropEffect {
    type Result = Result<bool, ListError>;
}

impl Handler<ListParked> for Supervisor {
    type Result = ResponseFuture<Result<Vec<EffectRecord>, ListError>>;

    fn handle(&mut self, request: ListParked, _: &mut Self::Context) -> Self::Result {
        let ListParked { reducer, after, limit } = request;
        self.list(reducer, move |store, reducer| {
            store.outbox().parked(reducer, after.as_ref(), limit)
        })
    }
}

impl Handler<CountEffects> for Supervisor {
    type Result = ResponseFuture<Result<OutboxCounts, ListError>>;

    fn handle(
        &mut self,
        CountEffects { reducer }: CountEffects,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.list(reducer, |store, reducer| store.outbox().counts(reducer, u64::MAX))
    }
}

impl Handler<Redeliver> for Supervisor {
    type Result = ResponseFuture<Result<bool, ListError>>;

    fn handle(
        &mut self,
        Redeliver { reducer, key }: Redeliver,
        _: &mut Self::Context,
    ) -> Self::Result {
        let courier = self.dispatcher_of(&reducer).flatten().map(|lines| lines.wake_courier);
        let done =
            self.list(reducer, move |store, reducer| store.outbox().redeliver(reducer, &key));
        Box::pin(waking(done, courier))
    }
}

impl Handler<DropEffect> for Supervisor {
    type Result = ResponseFuture<Result<bool, ListError>>;

    fn handle(
        &mut self,
        DropEffect { reducer, key }: DropEffect,
        _: &mut Self::Context,
    ) -> Self::Result {
        let courier = self.dispatcher_of(&reducer).flatten().map(|lines| lines.wake_courier);
        let done =
            self.list(reducer, move |store, reducer| store.outbox().drop_effect(reducer, &key));
        Box::pin(waking(done, courier))
    }
}

/// Has the courier look again once the store is changed.
async fn waking(
    done: ResponseFuture<Result<bool, ListError>>,
    courier: Option<actix::Recipient<WakeCourier>>,
) -> Result<bool, ListError> {
    let done = done.await;
    if let Some(courier) = courier {
        courier.do_send(WakeCourier);
    }
    done
}
