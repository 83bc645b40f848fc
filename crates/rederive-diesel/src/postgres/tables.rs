//! What the database has where the program expects a table: its columns, and how they fit.

use diesel::QueryResult;
use rederive_core::{ColumnKind, Table, effect::OUTBOX, fold::STATES};

use super::sql::{Bind, Cells, Schema, Session, quoted};

/// Whether the table is one of Rederive's own that ops write to.
pub(crate) fn is_ours(table: &Table) -> bool {
    *table == OUTBOX || *table == STATES
}

/// The table's name in SQL.
pub(crate) fn name_of(table: &Table, schema: &Schema) -> String {
    match table.schema {
        _ if is_ours(table) => schema.sql(&format!("@{}", quoted(table.name))),
        Some(schema) => format!("{}.{}", quoted(schema), quoted(table.local_name())),
        None => quoted(table.name),
    }
}

/// A column of the database.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) not_null: bool,
    /// The type's name in SQL, without a limit.
    pub(crate) declared: String,
    /// The name of the type that a domain is made of, or of the type itself.
    base: String,
    category: String,
    /// The name of the type of an array's elements.
    element: String,
    /// The most characters that a text may have.
    pub(crate) most: Option<usize>,
    /// Whether the type has another limit, or is a domain.
    pub(crate) is_limited: bool,
    pub(crate) is_domain: bool,
    pub(crate) generated: bool,
    pub(crate) identity: String,
    pub(crate) default: Option<String>,
    /// Whether text that differs in any byte is told apart.
    pub(crate) exact: bool,
    /// Its place in the primary key.
    pub(crate) key: Option<i64>,
}

const COLUMNS: &str = "SELECT a.attname::text, a.attnotnull,
        pg_catalog.format_type(a.atttypid, -1)::text, b.typname::text, b.typcategory::text,
        coalesce(e.typname::text, ''), a.atttypmod::int8, t.typtype = 'd', a.attgenerated <> '',
        a.attidentity::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid)::text,
        coalesce(c.collisdeterministic, true),
        pg_catalog.array_position(i.indkey::int2[], a.attnum)::int8
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_type AS b
        ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = b.typelem AND b.typcategory = 'A'
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = pg_catalog.to_regclass(\0) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// The columns of the table, in order; none when there is no such table.
pub(crate) fn columns(session: &mut Session<'_>, name: &str) -> QueryResult<Vec<Column>> {
    session.rows(COLUMNS, &[Bind::text(name)])?.into_iter().map(column).collect()
}

fn column(mut row: Cells) -> QueryResult<Column> {
    let (name, not_null) = (row.text()?, row.bool()?);
    let (declared, base, category, element) = (row.text()?, row.text()?, row.text()?, row.text()?);
    let limit = row.integer()?;
    let is_domain = row.bool()?;
    // The limit of a text's length is stored with four more.
    let is_text = matches!(base.as_str(), "varchar" | "bpchar");
    let most = Some(limit).filter(|limit| *limit >= 4 && is_text && !is_domain);
    Ok(Column {
        name,
        not_null,
        declared,
        base,
        category,
        element,
        most: most.and_then(|limit| usize::try_from(limit - 4).ok()),
        is_limited: is_domain || limit >= 0 && most.is_none(),
        is_domain,
        generated: row.bool()?,
        identity: row.text()?,
        default: row.nullable_text()?,
        exact: row.bool()?,
        key: row.nullable_integer()?,
    })
}

impl Column {
    /// Whether the column holds values of this kind, as Diesel reads and writes them.
    fn holds(&self, kind: ColumnKind) -> bool {
        match kind {
            // Enums too: they are sent as their labels.
            ColumnKind::Text => matches!(self.category.as_str(), "S" | "E"),
            ColumnKind::Array(of) => self.category == "A" && fits(*of, &self.element),
            kind => fits(kind, &self.base),
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.base.as_str(), "text" | "varchar")
    }

    /// Whether the server may refuse a value of the kind that is not too long.
    pub(crate) fn parses(&self) -> bool {
        !matches!(
            self.base.as_str(),
            "bool" | "int2" | "int4" | "int8" | "float8" | "text" | "varchar" | "bytea"
        )
    }

    /// Whether keys that differ here differ in the database, and the other way round.
    pub(crate) fn tells_apart(&self) -> bool {
        self.exact
            && !self.is_domain
            && matches!(
                self.base.as_str(),
                "bool" | "int2" | "int4" | "int8" | "text" | "varchar" | "bytea" | "uuid" | "date"
            )
    }
}

/// Whether values of this kind are of the type with this name.
fn fits(kind: ColumnKind, name: &str) -> bool {
    let expected = match kind {
        ColumnKind::Bool => "bool",
        ColumnKind::SmallInt => "int2",
        ColumnKind::Integer => "int4",
        ColumnKind::BigInt => "int8",
        ColumnKind::Float => "float4",
        ColumnKind::Double => "float8",
        ColumnKind::Binary => "bytea",
        ColumnKind::Numeric => "numeric",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Timestamp => "timestamp",
        ColumnKind::Timestamptz => "timestamptz",
        ColumnKind::Date => "date",
        ColumnKind::Time => "time",
        ColumnKind::Json => "json",
        ColumnKind::Jsonb => "jsonb",
        ColumnKind::Text => return matches!(name, "text" | "varchar" | "bpchar" | "citext"),
        ColumnKind::Array(_) | ColumnKind::Custom(_) => return true,
    };
    name == expected
}

/// The column of that name. Names are told apart by every letter.
pub(crate) fn named<'c>(columns: &'c [Column], name: &str) -> Option<&'c Column> {
    columns.iter().find(|column| column.name == name)
}

/// What makes the table another one than the program believes, after its name.
pub(crate) fn mismatch(columns: &[Column], table: &Table) -> Option<String> {
    let missing = table.columns.iter().find(|(name, _)| named(columns, name).is_none());
    if let Some((name, _)) = missing {
        return Some(format!("has no column named {name}"));
    }
    let of_key = |name: &str| table.key.iter().any(|index| table.columns[*index].0 == name);
    let keys_agree = columns.iter().all(|column| column.key.is_some() == of_key(&column.name));
    let has_none = columns.iter().all(|column| column.key.is_none());
    if !keys_agree && !has_none {
        let mut stored: Vec<_> = columns.iter().filter(|column| column.key.is_some()).collect();
        stored.sort_by_key(|column| column.key);
        let stored: Vec<_> = stored.into_iter().map(|column| column.name.as_str()).collect();
        let used: Vec<_> = table.key.iter().map(|index| table.columns[*index].0).collect();
        return Some(format!(
            "has the primary key ({}) in the database, but ({}) in the program",
            stored.join(", "),
            used.join(", ")
        ));
    }
    table.columns.iter().find_map(|(name, kind)| {
        let column = named(columns, name).filter(|column| !column.holds(*kind))?;
        let (declared, expected) = (&column.declared, format!("{kind:?}").to_lowercase());
        Some(format!("has a column {name} of type {declared}, which cannot hold {expected} values"))
    })
}
