//! [`SqlExplanation`]: the statements that a store would run.

use std::fmt;

use rederive_core::{Explanation, Value};

/// What would become of events on a store in a database. Its [`Display`](fmt::Display) is for people.
#[derive(Clone, Debug)]
pub struct SqlExplanation {
    /// What the reducer makes of the events.
    pub reduced: Explanation,
    /// What the store would run for all that is reduced, if it were one transaction: the changes of
    /// derived state, in order. The statements for the progress of the reducer are left out.
    pub statements: Vec<SqlStatement>,
    /// Why the store would reject the transaction, as far as the schema tells.
    pub rejected: Option<String>,
}

/// A statement that a store would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlStatement {
    /// Its text; empty when it is not known before.
    pub sql: String,
    /// The values bound to it, in order.
    pub values: Vec<Value>,
    /// What is to be said about it.
    pub note: Option<String>,
}

impl SqlStatement {
    pub(crate) fn unknown(note: String) -> Self {
        Self { sql: String::new(), values: Vec::new(), note: Some(note) }
    }

    pub(crate) fn with(self, note: &str) -> Self {
        Self { note: Some(note.to_owned()), ..self }
    }
}

impl fmt::Display for SqlExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reduced)?;
        if let Some(message) = &self.rejected {
            writeln!(f, "the store would reject it: {message}")?;
        }
        for statement in &self.statements {
            writeln!(f, "{statement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SqlStatement {
    /// The text, then what is bound and noted as comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sql, values, note } = self;
        if let Some(note) = note {
            write!(f, "-- {note}")?;
            if sql.is_empty() {
                return Ok(());
            }
            writeln!(f, ":")?;
        }
        write!(f, "{sql};")?;
        for (index, value) in values.iter().enumerate() {
            write!(f, "{}{value}", if index == 0 { " -- " } else { ", " })?;
        }
        Ok(())
    }
}
