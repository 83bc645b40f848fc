//! Stores how far a reducer has come, in every transaction that commits for it.

use std::borrow::Cow;

use diesel::QueryResult;
use rederive_core::{Halt, PartitionWrite, ReducerWrite};

use super::{
    ids,
    lease::NOW,
    progress::encode,
    sql::{Bind, Session},
    text::escaped,
};

/// From so many partitions on, it is asked first whether the reducer has any rows of partitions: one
/// that catches up has none as a rule, and nothing that each of its partitions would have to be
/// compared with.
const MANY: usize = 500;

/// Stores the watermark, raises the revision, renews the lease and writes the rows of the partitions
/// that need one. `false` when somebody else owns the reducer, or when a partition of the write stands
/// at or above its guard: then the transaction must not be committed.
///
/// All of it is one statement, whose parts see the rows as they were before. If the reducer's row was
/// waited for, they may see the rows of partitions as they were before that; but then the revision is
/// another one. With very many partitions, it is two: from the first one on, the reducer's row is
/// locked, and nobody else writes rows of its partitions.
pub(crate) fn advance(session: &mut Session<'_>, write: &ReducerWrite<'_>) -> QueryResult<bool> {
    let (Ok(epoch), Ok(number)) =
        (i64::try_from(write.revision.epoch), i64::try_from(write.revision.number))
    else {
        return Ok(false);
    };
    let guarded: Vec<_> = write.partitions.iter().filter(|partition| !partition.reset).collect();
    let recorded: Vec<_> = write.partitions.iter().filter(|partition| partition.record).collect();
    let mut statement = Statement::of(write.reducer);
    statement.fence(encode(write.watermark), epoch, number);
    if guarded.len() < MANY {
        statement.guard(&guarded);
        statement.record(&recorded);
        let (is_owned, is_stale) = statement.run(session)?;
        return Ok(is_owned && !is_stale);
    }
    statement.ask_for_rows();
    let (is_owned, has_rows) = statement.run(session)?;
    if !is_owned || !has_rows && recorded.is_empty() {
        return Ok(is_owned);
    }
    let mut statement = Statement::of(write.reducer);
    if has_rows {
        statement.guard(&guarded);
    }
    statement.record(&recorded);
    let (_, is_stale) = statement.run(session)?;
    Ok(!is_stale)
}

/// A statement of parts that all see the same.
#[derive(Default)]
struct Statement<'a> {
    reducer: Cow<'a, str>,
    parts: Vec<Cow<'static, str>>,
    binds: Vec<Bind<'a>>,
    /// What it answers; `true` and `false` if nothing is asked.
    is_owned: Option<&'static str>,
    finds_rows: Option<(&'static str, Option<Bind<'a>>)>,
}

impl<'a> Statement<'a> {
    fn of(reducer: &'a str) -> Self {
        Self { reducer: escaped(reducer), ..Self::default() }
    }

    /// Whether the reducer still has the revision; its row is changed then.
    fn fence(&mut self, watermark: String, epoch: i64, number: i64) {
        self.parts.push(Cow::Owned(format!(
            "advanced AS (
                UPDATE @rederive_reducers SET cursor = \0, revision = revision + 1,
                    lease_until = {NOW} + lease,
                    rebuild_to = CASE WHEN rebuild_to > \0 THEN rebuild_to END
                WHERE name = \0 AND epoch = \0 AND revision = \0 RETURNING 1)"
        )));
        self.binds.extend([
            Bind::text(watermark.clone()),
            Bind::text(watermark),
            Bind::text(self.reducer.clone()),
            Bind::integer(epoch),
            Bind::integer(number),
        ]);
        self.is_owned = Some("EXISTS (SELECT FROM advanced)");
    }

    /// Whether one of the partitions stands at or above its guard.
    fn guard(&mut self, guarded: &[&PartitionWrite<'a>]) {
        if guarded.is_empty() {
            return;
        }
        self.parts.push(Cow::Borrowed(
            "stale AS (
                SELECT FROM unnest(\0, \0, \0) AS v (id, bound, is_guard)
                JOIN @rederive_partitions AS p ON p.reducer = \0 AND p.id = v.id
                    AND (p.cursor > v.bound OR v.is_guard AND p.cursor = v.bound))",
        ));
        let bound = |write: &&PartitionWrite<'a>| encode(write.guard.unwrap_or(write.cursor));
        self.binds.extend([
            Bind::texts(guarded.iter().map(|write| ids::key(write.partition.as_str()))),
            Bind::texts(guarded.iter().map(bound)),
            // Where only a halt is written, the cursor may stay where it is.
            Bind::Bools(guarded.iter().map(|write| Some(write.guard.is_some())).collect()),
            Bind::text(self.reducer.clone()),
        ]);
        self.finds_rows = Some(("EXISTS (SELECT FROM stale)", None));
    }

    /// Whether the reducer has rows of partitions.
    fn ask_for_rows(&mut self) {
        let text = "EXISTS (SELECT FROM @rederive_partitions WHERE reducer = \0)";
        self.finds_rows = Some((text, Some(Bind::text(self.reducer.clone()))));
    }

    /// Writes rows of partitions.
    fn record(&mut self, recorded: &[&PartitionWrite<'a>]) {
        if recorded.is_empty() {
            return;
        }
        self.parts.push(Cow::Borrowed(
            "recorded AS (
                INSERT INTO @rederive_partitions AS p (reducer, id, cursor, halt_cursor, halt_kind,
                    halt_message, halt_attempts, halt_time)
                SELECT \0, v.* FROM unnest(\0, \0, \0, \0, \0, \0, \0) AS v
                ON CONFLICT (reducer, id) DO UPDATE SET cursor = excluded.cursor,
                    halt_cursor = excluded.halt_cursor, halt_kind = excluded.halt_kind,
                    halt_message = excluded.halt_message, halt_attempts = excluded.halt_attempts,
                    halt_time = excluded.halt_time)",
        ));
        let halts = || recorded.iter().map(|write| write.halt);
        let texts = |text: fn(&Halt) -> Cow<'_, str>| {
            Bind::Texts(halts().map(|halt| halt.map(text)).collect())
        };
        let numbers = |number: fn(&Halt) -> i64| {
            Bind::BigInts(halts().map(|halt| halt.map(number)).collect())
        };
        self.binds.extend([
            Bind::text(self.reducer.clone()),
            Bind::texts(recorded.iter().map(|write| ids::key(write.partition.as_str()))),
            Bind::texts(recorded.iter().map(|write| encode(write.cursor))),
            texts(|halt| encode(&halt.cursor).into()),
            texts(|halt| halt.kind.as_str().into()),
            texts(|halt| escaped(&halt.message)),
            numbers(|halt| i64::from(halt.attempts)),
            numbers(|halt| halt.time.as_micros()),
        ]);
    }

    /// Whether the reducer has the revision, and whether rows were found that were asked for.
    fn run(self, session: &mut Session<'_>) -> QueryResult<(bool, bool)> {
        let Self { parts, mut binds, is_owned, finds_rows, .. } = self;
        let is_owned = is_owned.unwrap_or("true");
        let (finds_rows, bind) = finds_rows.unwrap_or(("false", None));
        binds.extend(bind);
        let text = format!("WITH {} SELECT {is_owned}, {finds_rows}", parts.join(", "));
        let row = session.row(&text, &binds)?;
        row.map_or(Ok((false, false)), |mut row| Ok((row.bool()?, row.bool()?)))
    }
}
