//! [`Ownership`]: whether this process is the one that a reducer was opened by last.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rederive_core::TakeFrom;

use crate::config::OnOwned;

/// What this process knows of whose a reducer is. Its dispatchers share it, so that the successor of
/// one that died does not take the reducer away from an owner that came after us.
#[derive(Clone, Default)]
pub(crate) struct Ownership(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Of the last opening; `None` when the reducer is not ours.
    epoch: Option<u64>,
    /// It was ours and was taken over.
    lost: bool,
    /// An opening was not answered: it may have been done.
    in_doubt: bool,
    /// Whom it is waited for.
    owner: Option<Arc<str>>,
    lease_ends: Option<Instant>,
}

impl Ownership {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` before the first opening, and while somebody else has the reducer.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.lock().epoch
    }

    /// From whom the next opening takes the reducer.
    pub(crate) fn takes_from(&self, on_owned: OnOwned) -> TakeFrom<'static> {
        let state = self.lock();
        match on_owned {
            // A dispatcher died, and its lease with it; somebody else's stays.
            _ if state.epoch.is_some() => TakeFrom::Namesake,
            OnOwned::TakeOver => TakeFrom::Anybody,
            // Of two processes of one name, one has lost: they do not take it in turns.
            _ if state.lost && !state.in_doubt => TakeFrom::Nobody,
            OnOwned::StandBy | OnOwned::Refuse => TakeFrom::Namesake,
        }
    }

    /// An opening begins, of which nothing is known before it is answered.
    pub(crate) fn opening(&self) {
        self.lock().in_doubt = true;
    }

    /// The opening was refused: nothing was done.
    pub(crate) fn refused(&self) {
        self.lock().in_doubt = false;
    }

    /// Whether an opening may have been done of which that is not known.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.lock().in_doubt
    }

    /// An opening that was not answered was done: the reducer has been ours since, by this epoch.
    pub(crate) fn found_done(&self, epoch: u64) {
        self.lock().epoch = Some(epoch);
    }

    pub(crate) fn taken(&self, epoch: u64, lease: Duration) {
        let lease_ends = Some(Instant::now() + lease).filter(|_| !lease.is_zero());
        *self.lock() = State { epoch: Some(epoch), lease_ends, ..State::default() };
    }

    /// The lease of that epoch lasts until then.
    pub(crate) fn renewed(&self, epoch: u64, ends: Instant) {
        let mut state = self.lock();
        if state.epoch == Some(epoch) {
            state.lease_ends = Some(ends);
        }
    }

    /// Somebody else has taken the reducer over, and we stand by.
    pub(crate) fn lost(&self) {
        *self.lock() = State { lost: true, ..State::default() };
    }

    /// Somebody else has the reducer.
    pub(crate) fn stands_by(&self, owner: &Arc<str>, lease_ends: Instant) {
        let mut state = self.lock();
        (state.owner, state.lease_ends) = (Some(Arc::clone(owner)), Some(lease_ends));
    }

    /// Who has the reducer while we stand by.
    pub(crate) fn standing_by(&self) -> Option<Arc<str>> {
        self.lock().owner.clone()
    }

    /// How long the owner's lease lasts, as far as is known here; `None` where there is none.
    pub(crate) fn lease_remaining(&self) -> Option<Duration> {
        Some(self.lock().lease_ends?.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_opening_takes_what_the_settings_say() {
        let ownership = Ownership::default();
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Namesake);
        assert_eq!(ownership.takes_from(OnOwned::Refuse), TakeFrom::Namesake);
        assert_eq!(ownership.takes_from(OnOwned::TakeOver), TakeFrom::Anybody);
    }

    #[test]
    fn a_dispatcher_that_follows_one_that_died_takes_the_reducer_from_nobody_else() {
        let ownership = Ownership::default();
        ownership.taken(7, Duration::from_secs(1));
        assert_eq!(ownership.epoch(), Some(7));
        for on_owned in [OnOwned::StandBy, OnOwned::Refuse, OnOwned::TakeOver] {
            assert_eq!(ownership.takes_from(on_owned), TakeFrom::Namesake);
        }
    }

    #[test]
    fn what_was_lost_is_not_taken_back_from_a_namesake() {
        let ownership = Ownership::default();
        ownership.taken(7, Duration::from_secs(1));
        ownership.lost();
        assert_eq!(ownership.epoch(), None);
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Nobody);
        ownership.stands_by(&"bob".into(), Instant::now());
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Nobody);
        assert_eq!(ownership.standing_by().as_deref(), Some("bob"));
        ownership.taken(9, Duration::from_secs(1));
        assert_eq!((ownership.epoch(), ownership.standing_by()), (Some(9), None));
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Namesake);
    }

    #[test]
    fn an_opening_that_was_not_answered_is_known_by_its_name() {
        let ownership = Ownership::default();
        ownership.taken(7, Duration::from_secs(1));
        ownership.lost();
        ownership.opening();
        assert!(ownership.is_in_doubt());
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Namesake);
        // Whoever takes from anybody may not have got it yet.
        assert_eq!(ownership.takes_from(OnOwned::TakeOver), TakeFrom::Anybody);
        ownership.refused();
        assert_eq!(ownership.takes_from(OnOwned::StandBy), TakeFrom::Nobody);
        ownership.opening();
        ownership.taken(9, Duration::from_secs(1));
        assert!(!ownership.is_in_doubt());
    }

    #[test]
    fn a_late_renewal_of_an_earlier_epoch_says_nothing() {
        let ownership = Ownership::default();
        ownership.taken(7, Duration::ZERO);
        assert_eq!(ownership.lease_remaining(), None);
        ownership.renewed(6, Instant::now() + Duration::from_secs(60));
        assert_eq!(ownership.lease_remaining(), None);
        ownership.renewed(7, Instant::now() + Duration::from_secs(60));
        assert!(ownership.lease_remaining().is_some_and(|left| left > Duration::from_secs(30)));
    }
}
