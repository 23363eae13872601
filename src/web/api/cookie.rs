//! The cookie with which a browser says in which sign-in it is. Its name's prefix has browsers take it only
//! by TLS, from this very host, and for all paths, so that no other host can set it.

use axum::http::HeaderMap;
use hyper::header::{self, HeaderValue};

use super::error::ApiError;
use super::people::PeopleError;
use crate::ipc::SecretText;

/// Its name.
pub(super) const NAME: &str = "__Host-rproxy-session";
/// What it is always set with.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";
/// Longest token that is passed on, in bytes: one has 64.
const MAX_TOKEN: usize = 128;

/// The token of a request. A browser sends the cookie once: of several, nobody can tell which is meant.
///
/// # Errors
/// When there is none, or more than one.
pub(super) fn token(headers: &HeaderMap) -> Result<SecretText, PeopleError> {
    let lines = headers.get_all(header::COOKIE).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';'));
    let mut ours = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == NAME).then_some(value.trim())
    });
    match (ours.next(), ours.next()) {
        (Some(token), None) if !token.is_empty() && token.len() <= MAX_TOKEN => {
            Ok(SecretText::new(token.to_owned()))
        }
        _ => Err(PeopleError::not_signed_in()),
    }
}

/// The header that sets the cookie, for so many seconds.
///
/// # Errors
/// When the token is none that a cookie can have.
pub(super) fn set(token: &SecretText, seconds: u64) -> Result<HeaderValue, ApiError> {
    let text = format!("{NAME}={}; {ATTRIBUTES}; Max-Age={seconds}", token.expose());
    let value = HeaderValue::from_str(&text);
    let mut value = value.map_err(|_no_text| {
        ApiError::new(
            hyper::StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the sign-in cannot be told to your browser",
            "try again",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The header that removes the cookie.
pub(super) fn clear() -> HeaderValue {
    // The attributes have to be the same.
    HeaderValue::from_static(
        "__Host-rproxy-session=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        token(&headers).ok().map(|token| token.expose().to_owned())
    }

    #[test]
    fn a_cookie_is_taken_once_by_its_very_name() {
        let cookie = "__Host-rproxy-session=abc";
        assert_eq!(of(&[cookie]).as_deref(), Some("abc"));
        assert_eq!(
            of(&["a=b; __Host-rproxy-session=abc; c"]).as_deref(),
            Some("abc")
        );
        let twice = format!("{cookie}; __Host-rproxy-session=def");
        let long = format!("{NAME}={}", "a".repeat(MAX_TOKEN + 1));
        for lines in [
            &[][..],
            &[""],
            &[&twice],
            &[cookie, cookie],
            &["rproxy-session=abc"],
            &["__host-rproxy-session=abc"],
            &["__Host-rproxy-session="],
            &["__Host-rproxy-session"],
            &[&long],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn it_is_set_for_this_host_alone_and_cleared_alike() {
        let set = set(&SecretText::new("abc".to_owned()), 60).unwrap();
        assert_eq!(
            set.to_str().unwrap(),
            "__Host-rproxy-session=abc; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60"
        );
        assert!(set.is_sensitive());
        let cleared = clear();
        let cleared = cleared.to_str().unwrap();
        assert_eq!(cleared, format!("{NAME}=; {ATTRIBUTES}; Max-Age=0"));
    }
}
