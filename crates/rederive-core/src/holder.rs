//! [`Holder`]: an open transaction that holds a log back.

use std::{fmt, time::Duration};

/// What an open transaction holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Events that were committed are not served yet, because it may still add an event before them.
    Reads,
    /// Appends wait for a lock that it holds.
    Appends,
}

/// An open transaction that holds a log back, as far as the database tells us; see
/// [`EventLog::held_back`](crate::EventLog::held_back).
///
/// Nothing is lost by it: all goes on once it has ended. When that takes long, this says whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What it holds back.
    pub holds: Holds,
    /// The number of the database's process that serves it; `None` for a prepared transaction, which
    /// has none.
    pub process: Option<u32>,
    /// The name of the application that runs it, or of the prepared transaction.
    pub application: Option<String>,
    /// How long it has been open.
    pub age: Option<Duration>,
    /// What it is doing, in the database's words, such as `idle in transaction`.
    pub state: Option<String>,
    /// The statement that it runs, or ran last.
    pub query: Option<String>,
}

impl Holder {
    /// A transaction of which no more is known.
    pub fn new(holds: Holds) -> Self {
        Self { holds, process: None, application: None, age: None, state: None, query: None }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process}")?,
            None => f.write_str("a prepared transaction")?,
        }
        if let Some(application) = self.application.as_deref().filter(|name| !name.is_empty()) {
            write!(f, " of {application:?}")?;
        }
        f.write_str(match self.holds {
            Holds::Reads => " holds back reading",
            Holds::Appends => " holds back appending",
        })?;
        if let Some(age) = self.age {
            write!(f, ", open for {age:.1?}")?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(query) = &self.query {
            write!(f, ": {query}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_told_in_a_line_with_what_is_known_of_it() {
        let unknown = Holder::new(Holds::Reads);
        assert_eq!(unknown.to_string(), "a prepared transaction holds back reading");
        let known = Holder {
            process: Some(4711),
            application: Some("psql".into()),
            age: Some(Duration::from_millis(42_500)),
            state: Some("idle in transaction".into()),
            query: Some("UPDATE accounts".into()),
            ..Holder::new(Holds::Appends)
        };
        assert_eq!(
            known.to_string(),
            "process 4711 of \"psql\" holds back appending, open for 42.5s, idle in transaction: \
             UPDATE accounts"
        );
    }
}
