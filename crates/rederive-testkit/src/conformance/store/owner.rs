//! [`Owner`]: writes to a store as a reducer's owner does.

#![allow(clippy::expect_used, reason = "a check fails by panicking")]

use rederive_core::{
    Change, CommitError, Cursor, CursorKind, Failure, FailureKind, Halt, Op, Opened, Opening,
    PartitionId, PartitionWrite, ReducerWrite, Revision, Row, RowOp, Skip, SkippedBy, Store, Table,
    Timestamp, Value, WhereOp, Writer,
};

/// The owner of a reducer.
pub(super) struct Owner {
    pub(super) reducer: String,
    pub(super) revision: Revision,
    pub(super) watermark: Cursor,
    pub(super) writer: Box<dyn Writer>,
}

/// What is to be written for one partition.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) partition: PartitionId,
    pub(super) ops: Vec<Op>,
    pub(super) cursor: Cursor,
    pub(super) guard: Option<Cursor>,
    pub(super) halt: Option<Halt>,
    pub(super) skips: Vec<Skip>,
    pub(super) record: bool,
    pub(super) reset: bool,
}

/// A partition that stands at `cursor`, with a row of its own.
pub(super) fn part(partition: impl Into<PartitionId>, cursor: impl Into<Cursor>) -> Part {
    Part {
        partition: partition.into(),
        ops: Vec::new(),
        cursor: cursor.into(),
        guard: None,
        halt: None,
        skips: Vec::new(),
        record: true,
        reset: false,
    }
}

impl Part {
    pub(super) fn ops(self, ops: impl IntoIterator<Item = Op>) -> Self {
        Self { ops: ops.into_iter().collect(), ..self }
    }

    pub(super) fn guard(self, guard: impl Into<Cursor>) -> Self {
        Self { guard: Some(guard.into()), ..self }
    }

    pub(super) fn unrecorded(self) -> Self {
        Self { record: false, ..self }
    }

    /// The partition halts at the event at this cursor.
    pub(super) fn halted_at(self, cursor: impl Into<Cursor>) -> Self {
        let failure = Failure {
            cursor: cursor.into(),
            kind: FailureKind::Reduce,
            message: format!("{} cannot go on", self.partition),
        };
        Self { halt: Some(Halt::new(failure, 1, Timestamp::from_micros(7))), ..self }
    }

    /// The partition skips the events at these cursors.
    pub(super) fn skipping(self, cursors: impl IntoIterator<Item = u64>) -> Self {
        let skip = |cursor: u64| {
            let message = format!("{} skips {cursor}", self.partition);
            let failure = Failure { cursor: cursor.into(), kind: FailureKind::Panic, message };
            let time = Timestamp::from_micros(7);
            Skip::new(failure, 3, time, SkippedBy::Policy)
        };
        let skips = cursors.into_iter().map(skip).collect();
        Self { skips, ..self }
    }

    fn write(&self) -> PartitionWrite<'_> {
        PartitionWrite {
            partition: &self.partition,
            ops: &self.ops,
            cursor: &self.cursor,
            guard: self.guard.as_ref(),
            halt: self.halt.as_ref(),
            skips: self.skips.iter().collect(),
            record: self.record,
            reset: self.reset,
        }
    }
}

impl Owner {
    /// Takes over a reducer of version 1 that follows a log with numbers.
    pub(super) fn open(store: &impl Store, reducer: &str) -> Self {
        Self::open_kind(store, reducer, CursorKind::Integer)
    }

    pub(super) fn open_kind(store: &impl Store, reducer: &str, kind: CursorKind) -> Self {
        let opened = store.open(&Opening::new(reducer, 1, kind)).expect("it opens");
        Self::of(reducer, opened, store)
    }

    /// The owner by what an opening or a reset has answered.
    pub(super) fn of(reducer: &str, opened: Opened, store: &impl Store) -> Self {
        let writer = store.writer().expect("it gives a writer");
        let (revision, watermark) = (opened.revision, opened.watermark);
        Self { reducer: reducer.to_owned(), revision, watermark, writer }
    }

    pub(super) fn write<'w>(
        &'w self,
        watermark: &'w Cursor,
        parts: &'w [Part],
    ) -> ReducerWrite<'w> {
        ReducerWrite {
            reducer: &self.reducer,
            revision: self.revision,
            watermark,
            partitions: parts.iter().map(Part::write).collect(),
            skips: Vec::new(),
        }
    }

    /// Commits these partitions and the watermark.
    pub(super) fn commit(
        &mut self,
        watermark: impl Into<Cursor>,
        parts: &[Part],
    ) -> Result<(), CommitError> {
        self.commit_skipping(watermark, parts, &[])
    }

    /// The same, and skips of which no partition is known.
    pub(super) fn commit_skipping(
        &mut self,
        watermark: impl Into<Cursor>,
        parts: &[Part],
        skips: &[Skip],
    ) -> Result<(), CommitError> {
        let watermark = watermark.into();
        let write = ReducerWrite {
            reducer: &self.reducer,
            revision: self.revision,
            watermark: &watermark,
            partitions: parts.iter().map(Part::write).collect(),
            skips: skips.iter().collect(),
        };
        self.writer.commit(&[write])?;
        self.revision = self.revision.next();
        self.watermark = watermark;
        Ok(())
    }

    /// Commits these ops, of some partition, and moves the watermark by one.
    pub(super) fn apply(&mut self, ops: impl IntoIterator<Item = Op>) -> Result<(), CommitError> {
        let next = match self.watermark {
            Cursor::Integer(last) => Cursor::from(last + 1),
            _ => Cursor::from(1),
        };
        let part = part("some partition", next.clone()).unrecorded().ops(ops);
        self.commit(next, &[part])
    }

    /// Applies ops that must be rejected, with nothing done.
    #[track_caller]
    pub(super) fn is_refused(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.refusal(ops);
    }

    /// Applies ops that must be rejected, with nothing done, and answers why they were.
    #[track_caller]
    pub(super) fn refusal(&mut self, ops: impl IntoIterator<Item = Op>) -> (FailureKind, String) {
        let before = self.stored_revision();
        let result = self.apply(ops);
        assert_eq!(self.stored_revision(), before, "a rejected transaction left something");
        match result {
            Err(CommitError::Rejected { kind, message }) => (kind, message),
            other => panic!("not rejected: {other:?}"),
        }
    }

    pub(super) fn stored_revision(&mut self) -> Option<Revision> {
        self.writer.revision(&self.reducer).expect("it tells")
    }
}

/// An op on the row of `table` with this key.
pub(super) fn op<K: Into<Value>>(
    table: &'static Table,
    key: impl IntoIterator<Item = K>,
    change: Change,
) -> Op {
    Op::Row(RowOp { table, key: key.into_iter().map(Into::into).collect(), change })
}

/// An op on the rows of `table` that have these values.
pub(super) fn op_where(table: &'static Table, filter: Row, change: Change) -> Op {
    Op::Where(WhereOp { table, filter, change })
}

/// The values of the columns of these names.
pub(super) fn set<const N: usize>(
    table: &Table,
    values: [(&str, Value); N],
) -> Vec<(usize, Value)> {
    values.into_iter().map(|(name, value)| (column(table, name), value)).collect()
}

pub(super) fn column(table: &Table, name: &str) -> usize {
    table.column(name).expect("a column of the suite's tables")
}

/// The result of a commit whose reducer is not ours any more.
pub(super) fn fenced(reducer: &str) -> Result<(), CommitError> {
    Err(CommitError::Fenced { reducer: reducer.to_owned() })
}
