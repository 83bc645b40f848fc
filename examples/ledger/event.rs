//! The events of the ledger: what its log holds, for good.

use serde::{Deserialize, Serialize};

/// Something that has happened in the ledger.
///
/// Both sides of a posting are one event: the log holds all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LedgerEvent {
    /// An account was opened, with a balance of zero.
    Opened { id: String, owner: String },
    /// The amount left one account and came to the other.
    Posted(Posting),
}

/// The amount is positive and the accounts are different ones that exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Posting {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memo: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_stays_readable() {
        let posting = |memo: Option<&str>| {
            LedgerEvent::Posted(Posting {
                from: "alice".to_owned(),
                to: "bob".to_owned(),
                amount: 250,
                memo: memo.map(str::to_owned),
            })
        };
        let opened = LedgerEvent::Opened { id: "alice".to_owned(), owner: "Alice".to_owned() };
        for (event, json) in [
            (opened, r#"{"opened":{"id":"alice","owner":"Alice"}}"#),
            (posting(None), r#"{"posted":{"from":"alice","to":"bob","amount":250}}"#),
            (
                posting(Some("rent")),
                r#"{"posted":{"from":"alice","to":"bob","amount":250,"memo":"rent"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            assert_eq!(serde_json::from_str::<LedgerEvent>(json).unwrap(), event);
        }
    }
}
