//! Stores how far a reducer has come, in every transaction that commits for it.

use std::borrow::Cow;

use diesel::{QueryResult, pg::PgConnection};
use rederive_core::{Halt, PartitionWrite, ReducerWrite};

use super::{
    ids,
    lease::NOW,
    progress::encode,
    sql::{Bind, Schema, Session, Sql},
    text::escaped,
};

/// From so many partitions on, it is asked first whether the reducer has any rows of partitions: one
/// that catches up has none as a rule, and nothing that each of its partitions would have to be
/// compared with.
pub(super) const MANY: usize = 500;

/// What the server says of a commit that cannot be made at once: administrators read it.
const OTHERWISE: &str = "rederive: this commit is made step by step";

/// Stores the watermark, raises the revision, renews the lease and writes the rows of the partitions
/// that need one. `false` when somebody else owns the reducer, or when a partition of the write stands
/// at or above its guard: then the transaction must not be committed.
///
/// All of it is one statement, whose parts see the rows as they were before. If the reducer's row was
/// waited for, they may see the rows of partitions as they were before that; but then the revision is
/// another one. With very many partitions, it is two: from the first one on, the reducer's row is
/// locked, and nobody else writes rows of its partitions.
pub(crate) fn advance(session: &mut Session<'_>, write: &ReducerWrite<'_>) -> QueryResult<bool> {
    let guarded = guarded(write);
    if guarded.len() < MANY {
        let Some(statement) = Statement::advancing(session.schema, write) else { return Ok(false) };
        let (is_owned, is_stale) = statement.run(session)?;
        return Ok(is_owned && !is_stale);
    }
    let recorded = recorded(write);
    let mut statement = Statement::of(session.schema, write.reducer);
    if !statement.fence(write) {
        return Ok(false);
    }
    statement.ask_for_rows();
    let (is_owned, has_rows) = statement.run(session)?;
    if !is_owned || !has_rows && recorded.is_empty() {
        return Ok(is_owned);
    }
    let mut statement = Statement::of(session.schema, write.reducer);
    if has_rows {
        statement.guard(&guarded);
    }
    statement.record(&recorded);
    let (_, is_stale) = statement.run(session)?;
    Ok(!is_stale)
}

fn guarded<'w, 'a>(write: &'w ReducerWrite<'a>) -> Vec<&'w PartitionWrite<'a>> {
    write.partitions.iter().filter(|partition| !partition.reset).collect()
}

fn recorded<'w, 'a>(write: &'w ReducerWrite<'a>) -> Vec<&'w PartitionWrite<'a>> {
    write.partitions.iter().filter(|partition| partition.record).collect()
}

/// A statement of parts that all see the same.
pub(super) struct Statement<'a> {
    schema: &'a Schema,
    reducer: Cow<'a, str>,
    parts: Vec<String>,
    binds: Vec<Bind<'a>>,
    /// What it answers; `true` and `false` if nothing is asked.
    is_owned: Option<&'static str>,
    finds_rows: Option<(&'static str, Option<Bind<'a>>)>,
    /// What has to hold besides.
    conditions: Vec<(String, Vec<Bind<'a>>)>,
}

impl<'a> Statement<'a> {
    fn of(schema: &'a Schema, reducer: &'a str) -> Self {
        let (parts, binds) = (Vec::new(), Vec::new());
        let reducer = escaped(reducer);
        let conditions = Vec::new();
        Self { schema, reducer, parts, binds, is_owned: None, finds_rows: None, conditions }
    }

    /// All that is stored of progress with a write of fewer than [`MANY`] partitions; `None` if nobody
    /// can have that revision.
    pub(super) fn advancing(schema: &'a Schema, write: &'a ReducerWrite<'a>) -> Option<Self> {
        let mut statement = Self::of(schema, write.reducer);
        let is_possible = statement.fence(write);
        statement.guard(&guarded(write));
        statement.record(&recorded(write));
        is_possible.then_some(statement)
    }

    /// A further part, whose text holds no names of Rederive's tables.
    pub(super) fn add(
        &mut self,
        name: &str,
        part: &str,
        binds: impl IntoIterator<Item = Bind<'a>>,
    ) {
        self.parts.push(format!("{name} AS ({part})"));
        self.binds.extend(binds);
    }

    /// A further condition of [`insist`](Self::insist).
    pub(super) fn require(&mut self, condition: String, binds: impl IntoIterator<Item = Bind<'a>>) {
        self.conditions.push((condition, binds.into_iter().collect()));
    }

    fn part(&mut self, text: &str, binds: impl IntoIterator<Item = Bind<'a>>) {
        self.parts.push(self.schema.sql(text));
        self.binds.extend(binds);
    }

    /// Whether the reducer still has the revision; its row is changed then. False when it cannot have it.
    fn fence(&mut self, write: &ReducerWrite<'_>) -> bool {
        let (Ok(epoch), Ok(number)) =
            (i64::try_from(write.revision.epoch), i64::try_from(write.revision.number))
        else {
            return false;
        };
        let watermark = Bind::text(encode(write.watermark));
        let reducer = Bind::text(self.reducer.clone());
        self.part(
            &format!(
                "advanced AS (
                UPDATE @rederive_reducers SET cursor = \0, revision = revision + 1,
                    lease_until = {NOW} + lease,
                    rebuild_to = CASE WHEN rebuild_to > \0 THEN rebuild_to END
                WHERE name = \0 AND epoch = \0 AND revision = \0 RETURNING 1)"
            ),
            [watermark.clone(), watermark, reducer, Bind::integer(epoch), Bind::integer(number)],
        );
        self.is_owned = Some("EXISTS (SELECT FROM advanced)");
        true
    }

    /// Whether one of the partitions stands at or above its guard.
    fn guard(&mut self, guarded: &[&PartitionWrite<'a>]) {
        if guarded.is_empty() {
            return;
        }
        let text = "stale AS (
                SELECT FROM unnest(\0, \0, \0) AS v (id, bound, is_guard)
                JOIN @rederive_partitions AS p ON p.reducer = \0 AND p.id = v.id
                    AND (p.cursor > v.bound OR v.is_guard AND p.cursor = v.bound))";
        let bound = |write: &&PartitionWrite<'a>| encode(write.guard.unwrap_or(write.cursor));
        let binds = [
            Bind::texts(guarded.iter().map(|write| ids::key(write.partition.as_str()))),
            Bind::texts(guarded.iter().map(bound)),
            // Where only a halt is written, the cursor may stay where it is.
            Bind::Bools(guarded.iter().map(|write| Some(write.guard.is_some())).collect()),
            Bind::text(self.reducer.clone()),
        ];
        self.part(text, binds);
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
        let text = "recorded AS (
                INSERT INTO @rederive_partitions AS p (reducer, id, cursor, halt_cursor, halt_kind,
                    halt_message, halt_attempts, halt_time)
                SELECT \0, v.* FROM unnest(\0, \0, \0, \0, \0, \0, \0) AS v
                ON CONFLICT (reducer, id) DO UPDATE SET cursor = excluded.cursor,
                    halt_cursor = excluded.halt_cursor, halt_kind = excluded.halt_kind,
                    halt_message = excluded.halt_message, halt_attempts = excluded.halt_attempts,
                    halt_time = excluded.halt_time)";
        let halts = || recorded.iter().map(|write| write.halt);
        let texts = |text: fn(&Halt) -> Cow<'_, str>| {
            Bind::Texts(halts().map(|halt| halt.map(text)).collect())
        };
        let numbers = |number: fn(&Halt) -> i64| {
            Bind::BigInts(halts().map(|halt| halt.map(number)).collect())
        };
        let binds = [
            Bind::text(self.reducer.clone()),
            Bind::texts(recorded.iter().map(|write| ids::key(write.partition.as_str()))),
            Bind::texts(recorded.iter().map(|write| encode(write.cursor))),
            texts(|halt| encode(&halt.cursor).into()),
            texts(|halt| halt.kind.as_str().into()),
            texts(|halt| escaped(&halt.message)),
            numbers(|halt| i64::from(halt.attempts)),
            numbers(|halt| halt.time.as_micros()),
        ];
        self.part(text, binds);
    }

    /// Whether the reducer has the revision, and whether rows were found that were asked for.
    fn run(mut self, session: &mut Session<'_>) -> QueryResult<(bool, bool)> {
        let is_owned = self.is_owned.unwrap_or("true");
        let (finds_rows, bind) = self.finds_rows.take().unwrap_or(("false", None));
        let finds_rows = self.schema.sql(finds_rows);
        self.binds.extend(bind);
        let text = format!("{} SELECT {is_owned}, {finds_rows}", self.with());
        let row = Sql { text: &text, binds: &self.binds }.row(session.conn)?;
        row.map_or(Ok((false, false)), |mut row| Ok((row.bool()?, row.bool()?)))
    }

    /// Runs it. It is an error, which leaves nothing behind, if the reducer has another revision, a
    /// partition stands at or above its guard, or one of the further conditions does not hold.
    pub(super) fn insist(mut self, conn: &mut PgConnection) -> QueryResult<()> {
        // First the reducer's row, which whoever takes the reducer over locks first, too.
        let mut conditions: Vec<_> = self.is_owned.map(str::to_owned).into_iter().collect();
        conditions
            .extend(self.finds_rows.take().map(|(finds_rows, _)| format!("NOT {finds_rows}")));
        for (condition, binds) in std::mem::take(&mut self.conditions) {
            conditions.push(condition);
            self.binds.extend(binds);
        }
        let text = format!(
            "{} SELECT CAST(CASE WHEN {} THEN '1' ELSE '{OTHERWISE}' END AS pg_catalog.int4)",
            self.with(),
            conditions.join(" AND ")
        );
        Sql { text: &text, binds: &self.binds }.execute(conn).map(drop)
    }

    fn with(&self) -> String {
        format!("WITH {}", self.parts.join(", "))
    }
}
