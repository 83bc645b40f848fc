//! [`OpTable`]: from a table of `table!` to the [`Table`] that ops carry.

use std::{
    any::TypeId,
    cell::RefCell,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use diesel::{
    Expression,
    associations::HasTable,
    query_builder::QueryFragment,
    sql_types::{Bool, Nullable},
    sqlite::{Sqlite, SqliteType},
};
use rederive_core::{ColumnKind, ReduceError, Table};

/// A table that `table!` has declared and whose columns hold what ops can carry.
pub trait OpTable: diesel::Table + QueryFragment<Sqlite> + Default + 'static {
    /// The names and kinds of the columns, and the names of the key's columns. What you see here is
    /// made by `table!`; do not implement it.
    #[doc(hidden)]
    fn describe() -> Description;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Description {
    name: String,
    columns: Vec<String>,
    kinds: Vec<ColumnKind>,
    key: Vec<String>,
}

impl<T> OpTable for T
where
    T: diesel::Table + HasTable<Table = T> + QueryFragment<Sqlite> + Default + 'static,
    T::AllColumns: QueryFragment<Sqlite> + Expression,
    <T::AllColumns as Expression>::SqlType: ColumnTypes,
    T::PrimaryKey: QueryFragment<Sqlite>,
{
    fn describe() -> Description {
        let table = T::default();
        Description {
            name: identifiers(&table).pop().unwrap_or_default(),
            columns: identifiers(&T::all_columns()),
            kinds: <T::AllColumns as Expression>::SqlType::kinds(),
            key: identifiers(&table.primary_key()),
        }
    }
}

/// The last identifier of each part of a list of names as Diesel writes it: "`t`.`a`, `t`.`b`".
fn identifiers<Q: QueryFragment<Sqlite>>(names: &Q) -> Vec<String> {
    let text = diesel::debug_query::<Sqlite, Q>(names).to_string();
    let text = text.rsplit_once(" -- binds").map_or(text.as_str(), |(names, _)| names);
    let mut found: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    let mut continues = false;
    while let Some(next) = chars.next() {
        match next {
            '`' => {
                let mut name = String::new();
                while let Some(inner) = chars.next() {
                    // A quote within the name is doubled.
                    if inner == '`' && chars.next_if_eq(&'`').is_none() {
                        break;
                    }
                    name.push(inner);
                }
                if continues {
                    found.pop();
                }
                found.push(name);
                continues = false;
            }
            '.' => continues = true,
            _ => {}
        }
    }
    found
}

/// The SQL types of all columns.
#[doc(hidden)]
pub trait ColumnTypes {
    fn kinds() -> Vec<ColumnKind>;
}

fn kind<ST: 'static>(metadata: SqliteType) -> ColumnKind {
    let id = TypeId::of::<ST>();
    if id == TypeId::of::<Bool>() || id == TypeId::of::<Nullable<Bool>>() {
        return ColumnKind::Bool;
    }
    match metadata {
        SqliteType::Binary => ColumnKind::Binary,
        SqliteType::Text => ColumnKind::Text,
        SqliteType::Float => ColumnKind::Float,
        SqliteType::Double => ColumnKind::Double,
        SqliteType::SmallInt => ColumnKind::SmallInt,
        SqliteType::Integer => ColumnKind::Integer,
        SqliteType::Long => ColumnKind::BigInt,
    }
}

macro_rules! column_types {
    ($($name:ident)*) => {
        impl<$($name),*> ColumnTypes for ($($name,)*)
        where
            $($name: 'static, Sqlite: diesel::sql_types::HasSqlType<$name>,)*
        {
            fn kinds() -> Vec<ColumnKind> {
                vec![$({
                    let metadata =
                        <Sqlite as diesel::sql_types::HasSqlType<$name>>::metadata(&mut ());
                    kind::<$name>(metadata)
                }),*]
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
    let Description { name, columns, kinds, key } = described;
    let find = |column: &String| columns.iter().position(|other| other == column);
    let keys: Option<Vec<usize>> = key.iter().map(find).collect();
    let keys = keys.filter(|keys| !keys.is_empty() && columns.len() == kinds.len());
    let Some(keys) = keys else {
        return Err(ReduceError::new(format!("table {name} has no primary key among its columns")));
    };
    let columns = columns.into_iter().map(|column| &*column.leak());
    let named: Vec<(&'static str, ColumnKind)> = columns.zip(kinds).collect();
    Ok(Table::new(name.leak(), named.leak(), keys.leak()))
}

/// The index of the column, which `table!` has declared.
pub(super) fn column(table: &Table, name: &str) -> Result<usize, ReduceError> {
    table
        .column(name)
        .ok_or_else(|| ReduceError::new(format!("table {} has no column named {name}", table.name)))
}
