//! The triggers that have the writers of a table lock.

use diesel::{QueryResult, connection::SimpleConnection, pg::PgConnection, result::Error};

use super::{
    super::{
        PostgresDatabase, ddl,
        sql::{Bind, Schema, Sql, quoted},
    },
    QueryLogError,
    check::{self, Table},
};

/// Before the first number is taken, a statement that inserts waits for all other transactions that
/// have inserted. Afterwards it is checked that the numbers were taken meanwhile: one that was taken
/// before, and one that the sequence has not given, would come before rows that were read already.
///
/// The functions run as whoever has made them, so that writers need no rights but those to insert.
const FUNCTIONS: &str = "
    CREATE OR REPLACE FUNCTION @rederive_guard_lock() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(1919247465, (TG_RELID::int8 - 2147483648)::int4);
            PERFORM set_config('rederive.given_' || TG_RELID || '_' || pg_trigger_depth(),
                coalesce(pg_sequence_last_value(pg_get_serial_sequence(
                    TG_RELID::regclass::text, TG_ARGV[0])::regclass), 0)::text, true);
            RETURN NULL;
        END
    $$;
    CREATE OR REPLACE FUNCTION @rederive_guard_check() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            before int8 := current_setting(
                'rederive.given_' || TG_RELID || '_' || pg_trigger_depth())::int8;
            lowest int8;
            highest int8;
        BEGIN
            EXECUTE format('SELECT min(%1$I), max(%1$I) FROM inserted', TG_ARGV[0])
                INTO lowest, highest;
            IF lowest <= before OR highest > coalesce(pg_sequence_last_value(
                pg_get_serial_sequence(TG_RELID::regclass::text, TG_ARGV[0])::regclass), 0)
            THEN
                RAISE EXCEPTION 'the numbers in column % of % must be taken from its sequence by the '
                    'statement that inserts the rows: they would come before rows that were read '
                    'already', quote_ident(TG_ARGV[0]), TG_RELID::regclass
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NULL;
        END
    $$;";

impl PostgresDatabase {
    /// Has all who insert into a table of yours wait for each other until their transactions end, so
    /// that its rows become visible in the order of their numbers: what
    /// [`TableOrder::locked`](crate::TableOrder::locked) needs. Once done, it does nothing; it may be
    /// called at each start.
    ///
    /// Two triggers are installed, and the numbers are no longer taken ahead by sessions (`CACHE 1`).
    /// It waits until the transactions have ended that write to the table at the moment. Each
    /// statement that inserts then takes about a tenth of a millisecond longer, beside the wait. A
    /// statement is refused when it gives rows numbers that were taken from the sequence before it
    /// began, or not from there at all.
    ///
    /// Only the owner of the table can do this, who also needs the right to create functions in the
    /// schema of Rederive's tables.
    ///
    /// # Errors
    /// [`QueryLogError::Unordered`] when the column cannot be followed; the message says what to do.
    /// Nothing was changed.
    pub fn guard_appends(&self, table: &str, column: &str) -> Result<(), QueryLogError> {
        let schema = &self.0.connections.schema;
        let mut problems = Vec::new();
        let done = self.write(|conn| {
            let Some(found) = Table::find(conn, table, &mut problems)? else { return Ok(()) };
            if !stands(conn, schema, &found, column)? {
                ddl::lock(conn)?;
                install(conn, schema, &found, column)?;
            }
            problems.extend(check::numbering(conn, &found, column)?);
            if problems.is_empty() { Ok(()) } else { Err(Error::RollbackTransaction) }
        });
        if !problems.is_empty() {
            return Err(QueryLogError::Unordered { table: table.to_owned(), problems });
        }
        Ok(done?)
    }
}

fn install(
    conn: &mut PgConnection,
    schema: &Schema,
    table: &Table<'_>,
    column: &str,
) -> QueryResult<()> {
    conn.batch_execute(&schema.sql(FUNCTIONS))?;
    let (name, literal) = (table.name, column.replace('\'', "''"));
    // Triggers of other sessions' statements that are under way are not: those have to end first.
    conn.batch_execute(&schema.sql(&format!(
        "LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE;
        DROP TRIGGER IF EXISTS rederive_guard_lock ON {name};
        DROP TRIGGER IF EXISTS rederive_guard_check ON {name};
        CREATE TRIGGER rederive_guard_lock BEFORE INSERT ON {name}
            FOR EACH STATEMENT EXECUTE FUNCTION @rederive_guard_lock('{literal}');
        CREATE TRIGGER rederive_guard_check AFTER INSERT ON {name}
            REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION @rederive_guard_check('{literal}');"
    )))?;
    if let Some(sequence) = table.sequence(conn, column)? {
        conn.batch_execute(&format!("ALTER SEQUENCE {sequence} CACHE 1"))?;
        // Rows that were given numbers of their own are behind it, or new ones would be.
        let text = format!(
            "SELECT pg_catalog.setval(\0::pg_catalog.regclass, pg_catalog.max({0})) FROM {name}
             HAVING pg_catalog.max({0}) >
                coalesce(pg_catalog.pg_sequence_last_value(\0::pg_catalog.regclass), 0)",
            quoted(column)
        );
        let binds = [Bind::text(&sequence), Bind::text(&sequence)];
        Sql { text: &text, binds: &binds }.rows(conn)?;
    }
    Ok(())
}

/// Whether both triggers are there, are of ours, and fire for every writer that is not a replica's.
pub(super) fn stands(
    conn: &mut PgConnection,
    schema: &Schema,
    table: &Table<'_>,
    column: &str,
) -> QueryResult<bool> {
    // Bits of `tgtype`: 2 for BEFORE, 4 for INSERT, and none for each statement.
    let text = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger AS t
            JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
            JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = \0
        WHERE t.tgrelid = \0::pg_catalog.oid AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL
            AND t.tgnargs = 1 AND t.tgargs = pg_catalog.convert_to(\0, pg_catalog.getdatabaseencoding()) || '\\x00'::pg_catalog.bytea
            AND (p.proname, t.tgtype) IN (('rederive_guard_lock', 6), ('rederive_guard_check', 4))";
    let binds = [Bind::text(&schema.name), Bind::integer(table.oid()), Bind::text(column)];
    let count = Sql { text, binds: &binds }.row(conn)?;
    Ok(count.map_or(Ok(0), |mut row| row.integer())? == 2)
}
