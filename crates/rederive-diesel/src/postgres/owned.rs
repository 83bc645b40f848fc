//! The tables that reducers declare: whose they are, whether they are as declared, creating and
//! emptying them.

use diesel::{QueryResult, connection::SimpleConnection, result::Error};
use rederive_core::{OpenError, Opening, OwnedTable};

use super::{
    execute::said,
    fault::Fault,
    introspect::{Found, compare},
    opening::Refused,
    sql::{Bind, Session, quoted},
    tables::name_of,
    text::{escaped, unescaped},
};

/// Checks the tables that the reducer declares and creates those that are missing. The reducer has a
/// row.
pub(crate) fn open(session: &mut Session<'_>, opening: &Opening<'_>) -> Result<(), Refused> {
    for owned in opening.tables {
        match (compare(session, owned.table())?, owned.statements()) {
            (Found::Nothing, Some(_)) => create(session, opening, owned)?,
            (found, _) => check(opening, owned, found)?,
        }
    }
    Ok(claim(session, opening)?)
}

/// Drops and creates the tables that the reducer creates, empties the others. The reducer has a row.
pub(crate) fn reset(session: &mut Session<'_>, opening: &Opening<'_>) -> Result<(), Refused> {
    // Rows of the reducer's tables may refer to each other: what is left is judged at the end, as far
    // as the constraints let us.
    session.conn.batch_execute("SET CONSTRAINTS ALL DEFERRED")?;
    let declared = |name: &str| opening.tables.iter().any(|owned| owned.table().name == name);
    let mut dropped = created(session, opening.reducer)?;
    dropped.retain(|(name, _)| !declared(name));
    for owned in opening.tables.iter().rev() {
        let table = owned.table();
        let name = name_of(table, session.schema);
        if owned.statements().is_some() {
            dropped.push((table.name.to_owned(), name));
        }
    }
    // All at once, so that none is in the way of another.
    if let Some((first, _)) = dropped.first() {
        let names: Vec<_> = dropped.iter().map(|(_, sql)| sql.as_str()).collect();
        let done = session.conn.batch_execute(&drop_all(&names));
        done.map_err(refused(opening, first, "cannot be dropped"))?;
    }
    for owned in opening.tables.iter().rev().filter(|owned| owned.statements().is_none()) {
        let table = owned.table();
        check(opening, owned, compare(session, table)?)?;
        let name = name_of(table, session.schema);
        empty(session, &name).map_err(refused(opening, table.name, "cannot be emptied"))?;
    }
    for owned in opening.tables.iter().filter(|owned| owned.statements().is_some()) {
        create(session, opening, owned)?;
    }
    session.execute(
        "DELETE FROM @rederive_tables WHERE reducer = \0",
        &[Bind::text(escaped(opening.reducer))],
    )?;
    Ok(claim(session, opening)?)
}

/// Drops the tables that the reducer has created.
pub(crate) fn drop_created(session: &mut Session<'_>, reducer: &str) -> QueryResult<()> {
    let created = created(session, reducer)?;
    let names: Vec<_> = created.iter().map(|(_, sql)| sql.as_str()).collect();
    if names.is_empty() { Ok(()) } else { session.conn.batch_execute(&drop_all(&names)) }
}

fn drop_all(names: &[&str]) -> String {
    format!("DROP TABLE IF EXISTS {}", names.join(", "))
}

/// Deletes all rows: without looking at them, if nobody watches and the user may.
fn empty(session: &mut Session<'_>, name: &str) -> QueryResult<()> {
    let text = "SELECT c.relkind IN ('r', 'p')
            AND pg_catalog.has_table_privilege(c.oid, 'TRUNCATE')
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = c.oid
                AND NOT g.tgisinternal)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'f'
                AND k.confrelid = c.oid)
        FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass(\0)";
    let row = session.row(text, &[Bind::text(name)])?;
    let at_once = row.map_or(Ok(false), |mut row| row.bool())?;
    let statement = if at_once { "TRUNCATE" } else { "DELETE FROM" };
    session.conn.batch_execute(&format!("{statement} {name}"))
}

/// Deletes the rows of one partition and its stored state, and forgets what it skipped.
pub(crate) fn delete_partition(
    session: &mut Session<'_>,
    reducer: &str,
    partition: &str,
) -> QueryResult<()> {
    let binds = [Bind::text(escaped(reducer)), Bind::text(super::ids::key(partition))];
    session.execute("DELETE FROM @rederive_states WHERE reducer = \0 AND id = \0", &binds)?;
    session
        .execute("DELETE FROM @rederive_skips WHERE reducer = \0 AND partition_id = \0", &binds)?;
    let text = "SELECT t.sql_name, t.partition_column,
            pg_catalog.format_type(a.atttypid, -1)::text, y.typcategory::text
        FROM @rederive_tables AS t
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(t.sql_name)
            AND a.attname = t.partition_column
        JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
        WHERE t.reducer = \0";
    let partitioned = session.rows(text, &[Bind::text(escaped(reducer))])?;
    for mut row in partitioned {
        let (table, column) = (row.text()?, quoted(&row.text()?));
        let (declared, category) = (row.text()?, row.text()?);
        // What cannot be a value of the column stands in no row of it. Of whole numbers, "7" is told
        // from "07".
        let equals = match category.as_str() {
            "N" if partition.parse::<i64>().is_ok_and(|it| it.to_string() == partition) => {
                format!("{column} = CAST(\0 AS text)::int8")
            }
            "S" => format!("{column} = CAST(\0 AS text)::{declared}"),
            _ => format!("{column}::text = \0"),
        };
        if !partition.contains('\0') {
            let text = format!("DELETE FROM {table} WHERE {equals}");
            session.execute(&text, &[Bind::text(partition)])?;
        }
    }
    Ok(())
}

/// Refuses tables that are not the reducer's to have.
pub(crate) fn check_owner(session: &mut Session<'_>, opening: &Opening<'_>) -> Result<(), Refused> {
    OwnedTable::check_all(opening.reducer, opening.tables).map_err(Refused::Open)?;
    for owned in opening.tables {
        let table = owned.table();
        if table.local_name().starts_with("rederive_") {
            let problem = "is one of Rederive's own; take another name";
            return Err(differs(opening, table.name, problem));
        }
        let text = "SELECT reducer FROM @rederive_tables WHERE name = \0";
        let owner = session.row(text, &[Bind::text(escaped(table.name))])?;
        let owner = owner.map(|mut row| row.text()).transpose()?.map(unescaped);
        if let Some(owner) = owner.filter(|owner| owner != opening.reducer) {
            let (reducer, table) = (opening.reducer.to_owned(), table.name.to_owned());
            return Err(Refused::Open(OpenError::TableTaken { reducer, table, owner }));
        }
    }
    Ok(())
}

/// Notes whose the tables are. Those that the reducer created and declares no longer stay its own
/// until it is rebuilt.
fn claim(session: &mut Session<'_>, opening: &Opening<'_>) -> QueryResult<()> {
    let reducer = || Bind::text(escaped(opening.reducer));
    let text = "DELETE FROM @rederive_tables WHERE reducer = \0 AND NOT created";
    session.execute(text, &[reducer()])?;
    let text = "INSERT INTO @rederive_tables (name, sql_name, reducer, created, partition_column)
        VALUES (\0, \0, \0, \0, \0)
        ON CONFLICT (name) DO UPDATE SET sql_name = excluded.sql_name, reducer = excluded.reducer,
            created = excluded.created, partition_column = excluded.partition_column";
    for owned in opening.tables {
        let table = owned.table();
        let name = name_of(table, session.schema);
        let binds = [
            Bind::text(escaped(table.name)),
            Bind::text(name),
            reducer(),
            Bind::Bool(owned.statements().is_some()),
            Bind::Text(owned.partition_column().map(Into::into)),
        ];
        session.execute(text, &binds)?;
    }
    Ok(())
}

/// The names of the tables that the reducer has created, and what they are called in SQL.
fn created(session: &mut Session<'_>, reducer: &str) -> QueryResult<Vec<(String, String)>> {
    let text = "SELECT name, sql_name FROM @rederive_tables WHERE reducer = \0 AND created";
    let rows = session.rows(text, &[Bind::text(escaped(reducer))])?;
    rows.into_iter().map(|mut row| Ok((unescaped(row.text()?), row.text()?))).collect()
}

fn create(
    session: &mut Session<'_>,
    opening: &Opening<'_>,
    owned: &OwnedTable,
) -> Result<(), Refused> {
    let (name, statements) = (owned.table().name, owned.statements().unwrap_or_default());
    let what = "cannot be created by the statements declared for it";
    session.conn.batch_execute(statements).map_err(refused(opening, name, what))?;
    match compare(session, owned.table())? {
        Found::AsExpected => Ok(()),
        Found::Nothing => {
            Err(differs(opening, name, "is not created by the statements declared for it"))
        }
        Found::Other(problem) => {
            let problem =
                format!("{problem}: the statements declared for it do not fit its declaration");
            Err(differs(opening, name, problem))
        }
    }
}

fn check(opening: &Opening<'_>, owned: &OwnedTable, found: Found) -> Result<(), Refused> {
    let name = owned.table().name;
    match (found, owned.statements()) {
        (Found::AsExpected, _) => Ok(()),
        (Found::Nothing, _) => Err(differs(
            opening,
            name,
            "does not exist: create it before the reducer is started, or declare by which \
             statements it is created",
        )),
        (Found::Other(problem), Some(_)) => {
            let advice = "raise the reducer's version and rebuild it, which creates the table anew";
            Err(differs(opening, name, format!("{problem}: {advice}")))
        }
        (Found::Other(problem), None) => {
            let advice = "correct the table by a migration, or what the program declares";
            Err(differs(opening, name, format!("{problem}: {advice}")))
        }
    }
}

fn differs(opening: &Opening<'_>, table: &str, problem: impl Into<String>) -> Refused {
    let (reducer, table) = (opening.reducer.to_owned(), table.to_owned());
    Refused::Open(OpenError::TableDiffers { reducer, table, problem: problem.into() })
}

/// An error of the statement's own refuses the reducer; any other may pass.
fn refused<'o>(
    opening: &'o Opening<'_>,
    table: &'o str,
    what: &'o str,
) -> impl FnOnce(Error) -> Refused + use<'o> {
    move |error| match Fault::of(&error) {
        Fault::Statement => differs(opening, table, format!("{what}: {}", said(&error))),
        _ => Refused::Database(error),
    }
}
