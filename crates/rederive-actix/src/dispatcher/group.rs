//! [`Grouping`]: commits on their way from partition dispatchers to the store.

use std::{collections::HashMap, sync::Arc};

use rederive_core::{
    Cursor, Group, Halt, PartitionCommit, PartitionId, Repair, Revision, Settles, Skip, Tentative,
    Watermark,
};

use super::undecodable::Passing;

/// Collects commits while a group is under way, so that the next group holds all of them.
#[derive(Default)]
pub(super) struct Grouping {
    pending: Vec<Pending>,
    under_way: Option<Vec<UnderWay>>,
}

struct Pending {
    generation: u64,
    commit: PartitionCommit,
    settles: Settles,
}

/// What has to be known of a commit once it is answered.
pub(super) struct UnderWay {
    pub(super) partition: PartitionId,
    pub(super) generation: u64,
    pub(super) cursor: Cursor,
    pub(super) events: usize,
    pub(super) halt: Option<Arc<Halt>>,
    pub(super) skip: Option<Arc<Skip>>,
    pub(super) repair: Repair,
    pub(super) settles: Settles,
}

/// Where the reducer stands that a group is of.
pub(super) struct Stands<'d> {
    pub(super) reducer: &'d Arc<str>,
    pub(super) revision: Revision,
    pub(super) stored: &'d Cursor,
    pub(super) watermark: &'d Watermark,
    pub(super) passing: &'d Passing,
    pub(super) tentative: Option<Tentative>,
}

impl Grouping {
    pub(super) fn push(&mut self, generation: u64, commit: PartitionCommit, settles: Settles) {
        self.pending.push(Pending { generation, commit, settles });
    }

    /// True when nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.under_way.is_none()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Drops what this generation of a partition's actor wants committed and has not been sent.
    /// True when it has a commit under way.
    pub(super) fn forget(&mut self, partition: &PartitionId, generation: u64) -> bool {
        self.pending.retain(|pending| {
            pending.generation != generation || pending.commit.partition != *partition
        });
        self.under_way.iter().flatten().any(|under_way| {
            under_way.generation == generation && under_way.partition == *partition
        })
    }

    /// The next group of about `limit` events, unless one is under way; first in it is what was
    /// `gathered`. Without commits there is one only if `even_empty`: to store the watermark.
    pub(super) fn next(
        &mut self,
        of: &Stands<'_>,
        gathered: Option<(Vec<PartitionCommit>, Settles)>,
        limit: usize,
        even_empty: bool,
    ) -> Option<Group> {
        let nothing = self.pending.is_empty() && gathered.is_none();
        if self.under_way.is_some() || (nothing && !even_empty) {
            return None;
        }
        let (mut commits, gathered) = gathered.unwrap_or_default();
        let mut settles: HashMap<u64, usize> = gathered.into_iter().collect();
        let mut events: usize = settles.values().sum();
        let fitting = self.pending.iter().take_while(|pending| {
            let fits = events < limit;
            events += pending.commit.events();
            fits
        });
        let fitting = fitting.count();
        let mut under_way = Vec::with_capacity(fitting);
        for Pending { generation, commit, settles: of_commit } in self.pending.drain(..fitting) {
            for (slice, count) in &of_commit {
                *settles.entry(*slice).or_default() += count;
            }
            under_way.push(UnderWay {
                partition: commit.partition.clone(),
                generation,
                cursor: commit.cursor.clone(),
                events: commit.events(),
                halt: commit.halt.clone().map(Arc::new),
                skip: commit.skip.clone(),
                repair: commit.repair,
                settles: of_commit,
            });
            commits.push(commit);
        }
        self.under_way = Some(under_way);
        let watermark = of.watermark.with(&settles);
        Some(Group {
            reducer: Arc::clone(of.reducer),
            revision: of.revision,
            stored: of.stored.clone(),
            commits,
            skips: of.passing.up_to(&watermark),
            watermark,
            tentative: of.tentative.clone(),
        })
    }

    /// The commits of the group that was under way: it has been answered.
    pub(super) fn answered(&mut self) -> Vec<UnderWay> {
        self.under_way.take().unwrap_or_default()
    }
}
