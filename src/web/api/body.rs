//! The bodies of requests, as JSON: what is missing, twice or too long is refused, and what nobody knows is
//! too.

use axum::body::Bytes;
use hyper::StatusCode;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::ipc::SecretText;

/// Longest text that a person types, in bytes.
const MAX_TYPED: usize = 1_024;

/// Reads a body.
///
/// # Errors
/// When it is not what is expected. The error repeats nothing of it: it has passwords.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad-body",
            format!(
                "the body is not the JSON object that is expected here, at line {line} column {column}"
            ),
            "/api/v1/openapi.json describes it",
        )
    })
}

/// What stands in place of a text that was left out.
pub(super) fn nothing() -> SecretText {
    SecretText::new(String::new())
}

/// A text that a person has typed.
///
/// # Errors
/// When it is longer than any that could be right.
pub(super) fn typed(text: SecretText) -> Result<SecretText, ApiError> {
    if text.expose().len() <= MAX_TYPED {
        return Ok(text);
    }
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        "too-long",
        format!("a name, a password or a code has at most {MAX_TYPED} bytes"),
        "type a shorter one",
    ))
}
