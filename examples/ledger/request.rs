//! What may be asked for: the bodies and queries of requests, checked.

use serde::Deserialize;
use serde_json::Value;

use crate::event::Posting;
use crate::problem::Problem;

/// Longest texts, in characters.
const LONGEST_ID: usize = 100;
const LONGEST_OWNER: usize = 200;
const LONGEST_MEMO: usize = 1000;

const DEFAULT_LIMIT: i64 = 100;
const LARGEST_LIMIT: i64 = 1000;

/// The body of `POST /accounts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    pub(crate) id: String,
    pub(crate) owner: String,
}

impl NewAccount {
    pub(crate) fn check(self) -> Result<Self, Problem> {
        check_text("id", &self.id, 1, LONGEST_ID)?;
        if self.id.chars().any(char::is_control) {
            return Err(Problem::refused("the id must not contain control characters"));
        }
        check_text("owner", &self.owner, 1, LONGEST_OWNER)?;
        Ok(self)
    }
}

/// The body of `POST /postings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPosting {
    from: String,
    to: String,
    /// Any JSON, so that a wrong amount is told from a malformed body.
    amount: Value,
    #[serde(default)]
    memo: Option<String>,
}

impl NewPosting {
    pub(crate) fn check(self) -> Result<Posting, Problem> {
        let Self { from, to, amount, memo } = self;
        let amount = amount.as_i64().filter(|amount| *amount > 0).ok_or_else(|| {
            let largest = i64::MAX;
            Problem::refused(format_args!(
                "the amount must be an integer from 1 to {largest}, not {amount}"
            ))
        })?;
        if from == to {
            return Err(Problem::refused(format_args!(
                "a posting needs two accounts: from and to are both {from:?}"
            )));
        }
        check_text("memo", memo.as_deref().unwrap_or_default(), 0, LONGEST_MEMO)?;
        Ok(Posting { from, to, amount, memo })
    }
}

/// The query of a list: what follows `after`, up to `limit` of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

impl Page {
    pub(crate) fn limit(&self) -> Result<i64, Problem> {
        let Some(limit) = &self.limit else { return Ok(DEFAULT_LIMIT) };
        limit.parse().ok().filter(|limit| (1..=LARGEST_LIMIT).contains(limit)).ok_or_else(|| {
            Problem::malformed(format_args!(
                "the limit must be an integer from 1 to {LARGEST_LIMIT}, not {limit:?}"
            ))
        })
    }

    /// `after` as the id of an account, which need not exist.
    pub(crate) fn after_id(self) -> Result<Option<String>, Problem> {
        match self.after {
            Some(after) if after.contains('\0') => {
                Err(Problem::malformed("`after` must not contain NUL"))
            }
            after => Ok(after),
        }
    }

    /// `after` as a cursor; every cursor comes after zero.
    pub(crate) fn after_cursor(&self) -> Result<i64, Problem> {
        let Some(after) = &self.after else { return Ok(0) };
        after.parse().ok().filter(|cursor| *cursor >= 0).ok_or_else(|| {
            Problem::malformed(format_args!("`after` must be a cursor, not {after:?}"))
        })
    }
}

fn check_text(name: &str, text: &str, shortest: usize, longest: usize) -> Result<(), Problem> {
    // PostgreSQL stores none. An event in the log that does not fit into a table would halt an account.
    if text.contains('\0') {
        return Err(Problem::refused(format_args!("the {name} must not contain NUL")));
    }
    let length = text.chars().count();
    if (shortest..=longest).contains(&length) {
        Ok(())
    } else {
        Err(Problem::refused(format_args!(
            "the {name} must have {shortest} to {longest} characters, not {length}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use serde_json::json;

    use super::*;

    fn status<T>(result: Result<T, Problem>) -> u16 {
        result.err().map_or(0, |problem| problem.status_code().as_u16())
    }

    #[test]
    fn an_amount_is_a_positive_integer_of_64_bits() {
        let check = |amount: Value| {
            let body = json!({ "from": "a", "to": "b", "amount": amount });
            serde_json::from_value::<NewPosting>(body).unwrap().check()
        };
        for amount in [json!(1), json!(i64::MAX)] {
            assert_eq!(check(amount.clone()).unwrap().amount, amount.as_i64().unwrap());
        }
        let beyond = i64::MAX.unsigned_abs() + 1;
        for amount in
            [json!(0), json!(-1), json!(1.5), json!("1"), json!(beyond), json!(1e30), json!(null)]
        {
            assert_eq!(status(check(amount.clone())), 422, "{amount}");
        }
    }

    #[test]
    fn a_posting_needs_two_accounts() {
        let body = json!({ "from": "a", "to": "a", "amount": 1 });
        assert_eq!(status(serde_json::from_value::<NewPosting>(body).unwrap().check()), 422);
    }

    #[test]
    fn no_text_has_nul_in_it() {
        let body = json!({ "from": "a", "to": "b", "amount": 1, "memo": "a\0" });
        assert_eq!(status(serde_json::from_value::<NewPosting>(body).unwrap().check()), 422);
        let account = NewAccount { id: "a".to_owned(), owner: "\0".to_owned() };
        assert_eq!(status(account.check()), 422);
        let page = Page { after: Some("a\0".to_owned()), limit: None };
        assert_eq!(status(page.after_id()), 400);
    }

    #[test]
    fn what_is_missing_or_unknown_is_malformed() {
        for body in [
            json!({ "from": "a", "to": "b" }),
            json!({ "from": "a", "to": 1, "amount": 1 }),
            json!({ "from": "a", "to": "b", "amount": 1, "meno": "x" }),
            json!([]),
        ] {
            assert!(serde_json::from_value::<NewPosting>(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_id_is_neither_empty_nor_endless_nor_invisible() {
        let check = |id: &str| NewAccount { id: id.to_owned(), owner: "O".to_owned() }.check();
        for id in ["a", "ä/ö ü", &"x".repeat(LONGEST_ID)] {
            assert!(check(id).is_ok(), "{id}");
        }
        for id in ["", "a\0b", "a\n", &"x".repeat(LONGEST_ID + 1)] {
            assert_eq!(status(check(id)), 422, "{id:?}");
        }
    }

    #[test]
    fn a_bad_page_is_refused() {
        let page = |after: Option<&str>, limit: Option<&str>| Page {
            after: after.map(str::to_owned),
            limit: limit.map(str::to_owned),
        };
        assert_eq!(page(None, None).limit().unwrap(), DEFAULT_LIMIT);
        assert_eq!(page(None, Some("1000")).limit().unwrap(), LARGEST_LIMIT);
        for limit in ["0", "-1", "1001", "x", "", "1.5", "99999999999999999999"] {
            assert_eq!(status(page(None, Some(limit)).limit()), 400, "{limit}");
        }
        assert_eq!(page(Some("12"), None).after_cursor().unwrap(), 12);
        for after in ["x", "-1", "", "99999999999999999999"] {
            assert_eq!(status(page(Some(after), None).after_cursor()), 400, "{after}");
        }
    }
}
