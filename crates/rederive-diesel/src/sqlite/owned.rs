//! The tables that reducers declare: whose they are, whether they are as declared, creating and
//! emptying them.

use diesel::{
    QueryResult, connection::SimpleConnection, prelude::*, result::Error, sql_query,
    sql_types::Text, sqlite::SqliteConnection,
};
use rederive_core::{OpenError, Opening, OwnedTable};

use super::{
    fault::Fault,
    introspect::{Found, compare},
    rows::{local_name, quoted},
    store::Refused,
};
use crate::schema::{
    rederive_skips as skips, rederive_states as states, rederive_tables as tables,
};

/// Checks the tables that the reducer declares and creates those that are missing. The reducer has a
/// row.
pub(crate) fn open(conn: &mut SqliteConnection, opening: &Opening<'_>) -> Result<(), Refused> {
    for owned in opening.tables {
        match (compare(conn, owned.table())?, owned.statements()) {
            (Found::Nothing, Some(_)) => create(conn, opening, owned)?,
            (found, _) => check(opening, owned, found)?,
        }
    }
    Ok(claim(conn, opening)?)
}

/// Drops and creates the tables that the reducer creates, empties the others. The reducer has a row.
///
/// SQLite does either without looking at the rows, unless they are guarded by foreign keys or
/// triggers.
pub(crate) fn reset(conn: &mut SqliteConnection, opening: &Opening<'_>) -> Result<(), Refused> {
    // Rows of the reducer's tables may refer to each other: what is left is judged at the end.
    conn.batch_execute("PRAGMA defer_foreign_keys = ON")?;
    let declared = |name: &str| {
        opening.tables.iter().any(|owned| local_name(owned.table()).eq_ignore_ascii_case(name))
    };
    for name in created(conn, opening.reducer)?.into_iter().filter(|name| !declared(name)) {
        drop_table(conn, &name).map_err(refused(opening, &name, "cannot be dropped"))?;
    }
    for owned in opening.tables.iter().rev() {
        let name = local_name(owned.table());
        if owned.statements().is_some() {
            drop_table(conn, name).map_err(refused(opening, name, "cannot be dropped"))?;
        } else {
            check(opening, owned, compare(conn, owned.table())?)?;
            conn.batch_execute(&format!("DELETE FROM {}", quoted(name))).map_err(refused(
                opening,
                name,
                "cannot be emptied",
            ))?;
        }
    }
    for owned in opening.tables.iter().filter(|owned| owned.statements().is_some()) {
        create(conn, opening, owned)?;
    }
    diesel::delete(tables::table.filter(tables::reducer.eq(opening.reducer))).execute(conn)?;
    Ok(claim(conn, opening)?)
}

/// Drops the tables that the reducer has created.
pub(crate) fn drop_created(conn: &mut SqliteConnection, reducer: &str) -> QueryResult<()> {
    conn.batch_execute("PRAGMA defer_foreign_keys = ON")?;
    created(conn, reducer)?.iter().try_for_each(|name| drop_table(conn, name))
}

/// Deletes the rows of one partition and its stored state, and forgets what it skipped.
pub(crate) fn delete_partition(
    conn: &mut SqliteConnection,
    reducer: &str,
    partition: &str,
) -> QueryResult<()> {
    let state = states::table.filter(states::reducer.eq(reducer).and(states::id.eq(partition)));
    diesel::delete(state).execute(conn)?;
    let skipped =
        skips::table.filter(skips::reducer.eq(reducer).and(skips::partition_id.eq(partition)));
    diesel::delete(skipped).execute(conn)?;
    let partitioned: Vec<(String, String)> = tables::table
        .filter(tables::reducer.eq(reducer))
        .select((tables::name, tables::partition_column.assume_not_null()))
        .filter(tables::partition_column.is_not_null())
        .load(conn)?;
    for (table, column) in partitioned {
        let (table, column) = (quoted(&table), quoted(&column));
        // The second comparison tells "7" from "07", which are one number.
        let statement =
            format!("DELETE FROM {table} WHERE {column} = ?1 AND CAST({column} AS TEXT) = ?1");
        sql_query(statement).bind::<Text, _>(partition).execute(conn)?;
    }
    Ok(())
}

/// Refuses tables that are not the reducer's to have.
pub(crate) fn check_owner(
    conn: &mut SqliteConnection,
    opening: &Opening<'_>,
) -> Result<(), Refused> {
    OwnedTable::check_all(opening.reducer, opening.tables).map_err(Refused::Open)?;
    for owned in opening.tables {
        let name = local_name(owned.table());
        if name.len() >= 9 && name.as_bytes()[..9].eq_ignore_ascii_case(b"rederive_") {
            return Err(differs(opening, name, "is one of Rederive's own; take another name"));
        }
        let owner: Option<String> = tables::table
            .filter(tables::name.eq(name))
            .select(tables::reducer)
            .first(conn)
            .optional()?;
        if let Some(owner) = owner.filter(|owner| owner != opening.reducer) {
            let (reducer, table) = (opening.reducer.to_owned(), name.to_owned());
            return Err(Refused::Open(OpenError::TableTaken { reducer, table, owner }));
        }
    }
    Ok(())
}

/// Notes whose the tables are. Those that the reducer created and declares no longer stay its own
/// until it is rebuilt.
fn claim(conn: &mut SqliteConnection, opening: &Opening<'_>) -> QueryResult<()> {
    let of_reducer = tables::table.filter(tables::reducer.eq(opening.reducer));
    diesel::delete(of_reducer.filter(tables::created.eq(false))).execute(conn)?;
    for owned in opening.tables {
        let row = (
            tables::name.eq(local_name(owned.table())),
            tables::reducer.eq(opening.reducer),
            tables::created.eq(owned.statements().is_some()),
            tables::partition_column.eq(owned.partition_column()),
        );
        diesel::replace_into(tables::table).values(row).execute(conn)?;
    }
    Ok(())
}

fn created(conn: &mut SqliteConnection, reducer: &str) -> QueryResult<Vec<String>> {
    tables::table
        .filter(tables::reducer.eq(reducer).and(tables::created.eq(true)))
        .select(tables::name)
        .load(conn)
}

fn drop_table(conn: &mut SqliteConnection, name: &str) -> QueryResult<()> {
    conn.batch_execute(&format!("DROP TABLE IF EXISTS {}", quoted(name)))
}

fn create(
    conn: &mut SqliteConnection,
    opening: &Opening<'_>,
    owned: &OwnedTable,
) -> Result<(), Refused> {
    let (name, statements) = (local_name(owned.table()), owned.statements().unwrap_or_default());
    conn.batch_execute(statements).map_err(refused(
        opening,
        name,
        "cannot be created by the statements declared for it",
    ))?;
    match compare(conn, owned.table())? {
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
    let name = local_name(owned.table());
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
        Fault::Statement => differs(opening, table, format!("{what}: {error}")),
        _ => Refused::Database(error),
    }
}
