//! [`OpTable`]: from a table of `table!` to the [`Table`] that ops carry.

use std::{
    any::TypeId,
    cell::RefCell,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use diesel::{Column, associations::HasTable, query_builder::QueryFragment};
use rederive_core::{ColumnKind, ReduceError, Table};

use super::ColumnType;

/// For which database Diesel writes names, to be read here: any will do.
#[cfg(not(feature = "sqlite"))]
type AnyBackend = diesel::pg::Pg;
#[cfg(feature = "sqlite")]
type AnyBackend = diesel::sqlite::Sqlite;

/// A table that `table!` has declared and whose columns hold what ops can carry: each has a SQL type
/// that is a [`ColumnType`].
#[diagnostic::on_unimplemented(
    message = "ops cannot change the table `{Self}`",
    note = "it must be a `table` of `table!`, with at most 32 columns, each of a SQL type that is a \
            `ColumnType`"
)]
pub trait OpTable: diesel::Table + Default + 'static {
    /// The names and kinds of the columns, and the names of the key's columns. What you see here is
    /// made by `table!`; do not implement it.
    #[doc(hidden)]
    fn describe() -> Description;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Description {
    /// The schema, if there is one, and the name.
    name: Vec<String>,
    columns: Vec<(&'static str, ColumnKind)>,
    key: Vec<String>,
}

impl<T> OpTable for T
where
    T: diesel::Table + HasTable<Table = T> + QueryFragment<AnyBackend> + Default + 'static,
    T::AllColumns: Columns,
    T::PrimaryKey: QueryFragment<AnyBackend>,
{
    fn describe() -> Description {
        let table = T::default();
        let key = identifiers(&table.primary_key()).into_iter();
        Description {
            name: identifiers(&table).pop().unwrap_or_default(),
            columns: T::AllColumns::list(),
            key: key.filter_map(|mut parts| parts.pop()).collect(),
        }
    }
}

/// The parts of each name in a list as Diesel writes it: "`t`.`a`, `t`.`b`", for PostgreSQL with
/// double quotes.
fn identifiers<Q: QueryFragment<AnyBackend>>(names: &Q) -> Vec<Vec<String>> {
    let text = diesel::debug_query::<AnyBackend, Q>(names).to_string();
    let text = text.rsplit_once(" -- binds").map_or(text.as_str(), |(names, _)| names);
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut chars = text.chars().peekable();
    let mut continues = false;
    while let Some(next) = chars.next() {
        match next {
            quote @ ('`' | '"') => {
                let mut name = String::new();
                while let Some(inner) = chars.next() {
                    // A quote within the name is doubled.
                    if inner == quote && chars.next_if_eq(&quote).is_none() {
                        break;
                    }
                    name.push(inner);
                }
                match found.last_mut() {
                    Some(parts) if continues => parts.push(name),
                    _ => found.push(vec![name]),
                }
                continues = false;
            }
            '.' => continues = true,
            _ => {}
        }
    }
    found
}

/// All columns of a table.
#[doc(hidden)]
pub trait Columns {
    fn list() -> Vec<(&'static str, ColumnKind)>;
}

macro_rules! column_types {
    ($($name:ident)*) => {
        impl<$($name: Column),*> Columns for ($($name,)*)
        where
            $($name::SqlType: ColumnType,)*
        {
            fn list() -> Vec<(&'static str, ColumnKind)> {
                vec![$(($name::NAME, <$name::SqlType as ColumnType>::KIND)),*]
            }
        }
    };
}
macro_rules! column_types_up_to {
    ([$($done:ident)*]) => {};
    ([$($done:ident)*] $next:ident $($rest:ident)*) => {
        column_types!($($done)* $next);
        column_types_up_to!([$($done)* $next] $($rest)*);
    };
}
column_types_up_to!([] C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19 C20
    C21 C22 C23 C24 C25 C26 C27 C28 C29 C30 C31 C32);

/// One [`Table`] per type of table, made at first use and never freed: there are as many as `table!`
/// declarations that ops are written against.
static TABLES: Mutex<Option<HashMap<TypeId, &'static Table>>> = Mutex::new(None);

thread_local! {
    /// The same, without a lock: looked up for every op.
    static RECENT: RefCell<Vec<(TypeId, &'static Table)>> = const { RefCell::new(Vec::new()) };
}

/// The [`Table`] of this type.
pub(super) fn of<T: OpTable>() -> Result<&'static Table, ReduceError> {
    let id = TypeId::of::<T>();
    let recent = RECENT
        .with_borrow(|tables| tables.iter().find(|(of, _)| *of == id).map(|(_, table)| *table));
    if let Some(table) = recent {
        return Ok(table);
    }
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let tables = tables.get_or_insert_default();
    let table = match tables.get(&id) {
        Some(table) => table,
        None => {
            let table: &'static Table = Box::leak(Box::new(build(T::describe())?));
            tables.insert(id, table);
            table
        }
    };
    RECENT.with_borrow_mut(|recent| recent.push((id, table)));
    Ok(table)
}

fn build(described: Description) -> Result<Table, ReduceError> {
    let Description { name, columns, key } = described;
    let find = |name: &String| columns.iter().position(|(column, _)| column == name);
    let keys: Option<Vec<usize>> = key.iter().map(find).collect();
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        let name = name.join(".");
        return Err(ReduceError::new(format!("table {name} has no primary key among its columns")));
    };
    let schema = match name.as_slice() {
        [schema, _] => Some(&*schema.clone().leak()),
        _ => None,
    };
    Ok(Table { schema, ..Table::new(name.join(".").leak(), columns.leak(), keys.leak()) })
}

/// The index of the column, which `table!` has declared.
pub(super) fn column(table: &Table, name: &str) -> Result<usize, ReduceError> {
    table
        .column(name)
        .ok_or_else(|| ReduceError::new(format!("table {} has no column named {name}", table.name)))
}
