//! The writer of a faulty store.

use rederive_core::{CommitError, ReducerWrite, Revision, StoreError, Tentative, Writer};

use super::{CommitFault, StoreFaults};

pub(super) struct FaultyWriter {
    pub(super) inner: Box<dyn Writer>,
    pub(super) faults: StoreFaults,
}

impl Writer for FaultyWriter {
    fn prepare(&mut self) {
        self.inner.prepare();
    }

    fn commit(&mut self, writes: &[ReducerWrite<'_>]) -> Result<(), CommitError> {
        self.faulty(writes, |inner| inner.commit(writes))
    }

    fn commit_with(
        &mut self,
        writes: &[ReducerWrite<'_>],
        events: &[Tentative],
    ) -> Result<(), CommitError> {
        let early = events.iter().any(|events| events.outcome().is_none());
        self.faulty(writes, |inner| inner.commit_with(writes, events))
            .inspect(|()| self.faults.count(|counts| counts.early += usize::from(early)))
    }

    fn revision(&mut self, reducer: &str) -> Result<Option<Revision>, StoreError> {
        self.faults.at_revision()?;
        self.inner.revision(reducer)
    }
}

impl FaultyWriter {
    fn faulty(
        &mut self,
        writes: &[ReducerWrite<'_>],
        commit: impl FnOnce(&mut dyn Writer) -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        let (running, fault) = self.faults.at_commit();
        let lost = || CommitError::InDoubt("scripted: the answer is lost".to_owned());
        match &fault {
            Some(CommitFault::Transient) => {
                return Err(CommitError::Transient("scripted: not now".to_owned()));
            }
            Some(CommitFault::InDoubtLost) => return Err(lost()),
            Some(CommitFault::PanicBefore) => panic!("scripted: a panic before the commit"),
            Some(CommitFault::Stall(gate)) => gate.pass(),
            _ => {}
        }
        let result = self.faults.rejection(writes).and_then(|()| commit(&mut *self.inner));
        self.faults.count(|counts| match &result {
            Ok(()) => counts.committed += 1,
            Err(CommitError::Rejected { .. }) => counts.rejected += 1,
            Err(_) => {}
        });
        // What the store refused was not done: there is no answer that could be lost.
        if result.is_ok() {
            match &fault {
                Some(CommitFault::InDoubtDone) => return Err(lost()),
                Some(CommitFault::PanicAfter) => panic!("scripted: a panic after the commit"),
                Some(CommitFault::StallAfter(gate)) => gate.pass(),
                _ => {}
            }
        }
        drop(running);
        result
    }
}
