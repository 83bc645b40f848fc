//! [`Problem`]: why a request is not answered as hoped, as JSON.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use rederive::diesel::{AppendError, PostgresError, SqliteError};
use rederive::{AwaitError, Outcome, Reply};
use serde::Serialize;

/// An error reply: `{"error": "..."}`, with the cursor of the event if one was recorded all the same.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    what: String,
    cursor: Option<i64>,
}

#[derive(Serialize)]
struct Body<'p> {
    error: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<i64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, what: impl fmt::Display) -> Self {
        Self { status, what: what.to_string(), cursor: None }
    }

    /// 400: the request cannot be understood.
    pub(crate) fn malformed(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    /// 404: there is no such account.
    pub(crate) fn no_account(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format_args!("there is no account {id:?}"))
    }

    /// 422: understood, but not to be done.
    pub(crate) fn refused(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    }

    /// 500: something is wrong here that will not go away by itself.
    pub(crate) fn broken(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what)
    }

    /// 503: not now.
    pub(crate) fn unavailable(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what)
    }

    /// 500 or 503: the log did not take an event. The error says whether that is certain.
    pub(crate) fn not_recorded(error: &AppendError) -> Self {
        match error {
            AppendError::Unavailable { .. } | AppendError::InDoubt { .. } => {
                Self::unavailable(error)
            }
            _ => Self::broken(error),
        }
    }

    /// 500 or 503: the log has taken the event at `cursor`, but the tables do not show it.
    pub(crate) fn not_visible(error: &AwaitError, cursor: i64) -> Self {
        let stands =
            |reply: &Reply| matches!(reply.outcome, Outcome::Halted(_) | Outcome::Blocked(_));
        let status = match error {
            // Nobody need wait: it takes a repair.
            AwaitError::Incomplete(awaited) if awaited.replies.iter().any(stands) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let what = format_args!("recorded at cursor {cursor}, but not visible yet: {error}");
        Self::new(status, what).recorded_at(cursor)
    }

    /// The same, where an event was recorded at this cursor.
    pub(crate) fn recorded_at(self, cursor: i64) -> Self {
        Self { cursor: Some(cursor), ..self }
    }
}

impl From<SqliteError> for Problem {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::Locked { .. } | SqliteError::Unavailable { .. } => {
                Self::unavailable(error)
            }
            _ => Self::broken(error),
        }
    }
}

impl From<PostgresError> for Problem {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Unreachable { .. }
            | PostgresError::Busy { .. }
            | PostgresError::ReadOnly { .. }
            | PostgresError::Unavailable { .. } => Self::unavailable(error),
            _ => Self::broken(error),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        if self.status.is_server_error() {
            log::error!("{}", self.what);
        }
        HttpResponse::build(self.status).json(Body { error: &self.what, cursor: self.cursor })
    }
}
