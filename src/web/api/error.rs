//! What the API says when it does not do what it was asked for.

use axum::body::Body;
use axum::response::IntoResponse;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A refusal, for programs by its code and for people by its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct ApiError {
    pub(in crate::web) status: StatusCode,
    /// A stable name.
    pub(in crate::web) code: &'static str,
    pub(in crate::web) message: String,
    /// What to do about it.
    pub(in crate::web) hint: String,
}

#[derive(Serialize)]
struct ErrorDocument<'e> {
    error: ErrorBody<'e>,
}

#[derive(Serialize)]
struct ErrorBody<'e> {
    code: &'e str,
    message: &'e str,
    hint: &'e str,
}

impl ApiError {
    /// What is refused, and what to do instead. Neither repeats what came from the client.
    pub(in crate::web) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        refusal(self.status, self.code, &self.message, &self.hint)
    }
}

/// The answer with a refusal.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str, hint: &str) -> Response<Body> {
    let document = ErrorDocument {
        error: ErrorBody {
            code,
            message,
            hint,
        },
    };
    // Three texts can always be written.
    let text = serde_json::to_vec(&document).unwrap_or_default();
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
