//! Which requests for the interface and its API are answered at all: one function, which looks at the line and
//! the headers of a request and at nothing else.
//!
//! A browser sends a cookie along with whatever a page asks for. So a request that changes something needs a
//! header that a page of another site cannot set without being asked for permission, which is never given
//! (CORS), and where the browser says which page asks, that has to be one of ours.

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri, Version};

use crate::web::api::{ApiError, PREFIX};
use crate::web::connection::{MAX_HEADERS, ServedConnection};
use crate::web::hosts::OwnHosts;

/// Longest body of a request, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// The header of every request that changes something, with the value "1".
const MARK: HeaderName = HeaderName::from_static("rproxy-request");
/// Which page a browser says that a request is from (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What some programs take for the method in its place.
const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];
/// Whose last part may have a slash, encoded: a fingerprint has some.
const WITH_SLASHES: &str = "/api/v1/account/keys/";

/// Whether a request only reads.
pub(super) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Judges a request.
///
/// # Errors
/// Why it is not answered.
pub(super) fn judge(
    parts: &Parts,
    own: &OwnHosts,
    info: &ServedConnection,
) -> Result<(), ApiError> {
    let headers = &parts.headers;
    if headers.len() > MAX_HEADERS {
        return Err(refusal(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too-many-headers",
            "the request has too many headers",
        ));
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this method is not served",
        ));
    }
    // What ends such a body is judged differently by different programs, so requests could be hidden in it.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(refusal(
            StatusCode::LENGTH_REQUIRED,
            "length-required",
            "a body has to say its length",
        ));
    }
    path(parts.uri.path())?;
    let host = host(parts)?;
    if !own.has(host_only(host), info) {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "other-host",
            "the request names a host that is not this proxy",
            "use the name of proxy_service.public_addr or web_public_addr, or one of the certificate",
        ));
    }
    if parts.uri.path().starts_with(PREFIX) {
        api(parts, host, info)?;
    }
    Ok(())
}

/// What holds for the API alone.
fn api(parts: &Parts, host: &str, info: &ServedConnection) -> Result<(), ApiError> {
    let headers = &parts.headers;
    if OVERRIDES.iter().any(|name| headers.contains_key(*name)) {
        return Err(bad("the method of a request is the one in its first line"));
    }
    let site = headers.get_all(FETCH_SITE);
    if site.iter().any(|site| site == "cross-site") {
        return Err(foreign());
    }
    let has_body = headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if reads(&parts.method) {
        return match has_body {
            true => Err(bad("a question has no body")),
            false => Ok(()),
        };
    }
    if only(headers, &MARK)? != Some("1") {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "not-marked",
            "a request that changes something needs the header Rproxy-Request",
            "send Rproxy-Request: 1",
        ));
    }
    if let Some(origin) = only(headers, &header::ORIGIN)?
        && !is_own_origin(origin, host, info)
    {
        return Err(foreign());
    }
    if only(headers, &FETCH_SITE)?.is_some_and(|site| site != "same-origin") {
        return Err(foreign());
    }
    let length = only(headers, &header::CONTENT_LENGTH)?;
    let length = length.map(str::parse::<u64>).transpose();
    if length.map_err(|_number| bad("the length of the body is no number"))? > Some(MAX_BODY as u64)
    {
        return Err(too_large());
    }
    let kind = only(headers, &header::CONTENT_TYPE)?;
    let is_json = kind.is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    });
    // HTTP/2 need not announce a body; what is sent then is not read without a type.
    if !is_json && (has_body || kind.is_some()) {
        return Err(refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "a body has to be of the type application/json",
        ));
    }
    Ok(())
}

/// The body is longer than it may be.
pub(super) fn too_large() -> ApiError {
    refusal(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "the body is longer than 64 KiB",
    )
}

/// A path is what it looks like: what others read as another path is none.
fn path(path: &str) -> Result<(), ApiError> {
    let lower = path.to_ascii_lowercase();
    let has = |what: &str| lower.contains(what);
    let is_odd_slash = has("%2f") && !path.starts_with(WITH_SLASHES);
    let dots = path.split('/').any(|part| part == "." || part == "..");
    if !path.starts_with('/')
        || dots
        || is_odd_slash
        || ["//", "\\", "%00", "%2e", "%5c", "%0a", "%0d", ";"]
            .iter()
            .any(|odd| has(odd))
    {
        return Err(bad("the path cannot be read in one way only"));
    }
    Ok(())
}

/// Which host a request is for: of its line if that has one (RFC 9112, 3.2.2), of its header otherwise, and
/// never two.
fn host(parts: &Parts) -> Result<&str, ApiError> {
    let unreadable = || bad("the request does not say for which host it is, or says several");
    let in_header = only(&parts.headers, &header::HOST).map_err(|_twice| unreadable())?;
    let in_line = authority(&parts.uri);
    let host = match (in_line, in_header) {
        (Some(line), Some(header)) if line != header => return Err(unreadable()),
        (Some(line), _) => line,
        (None, Some(header)) => header,
        (None, None) => return Err(unreadable()),
    };
    if parts.version < Version::HTTP_2 && parts.uri.scheme().is_some() && in_header.is_none() {
        return Err(unreadable());
    }
    // Neither a user, nor what begins another part of a URL.
    match host.contains(['@', '/', '?', '#', ' ', ',', '\\']) {
        true => Err(unreadable()),
        false => Ok(host),
    }
}

fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(|authority| authority.as_str())
}

/// A host without its port.
fn host_only(host: &str) -> &str {
    if host.starts_with('[') {
        return host
            .find(']')
            .and_then(|end| host.get(..=end))
            .unwrap_or(host);
    }
    host.rsplit_once(':').map_or(host, |(host, _port)| host)
}

/// Whether a page at this origin is one of the host that was asked. Behind a reverse proxy, pages are at https
/// although requests arrive by http.
fn is_own_origin(origin: &str, host: &str, info: &ServedConnection) -> bool {
    let origin = origin.to_ascii_lowercase();
    let is_at = |scheme: &str, port: &str| {
        let host = host.to_ascii_lowercase();
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_owned();
        origin.strip_prefix(scheme).map(bare) == Some(bare(&host))
    };
    is_at("https://", ":443") || (!info.is_tls() && is_at("http://", ":80"))
}

/// The value of a header that can be there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(bad("a header is there twice"));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_bytes| bad("a header has bytes that it cannot have"))
}

fn foreign() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "other-site",
        "the request is from a page of another site",
        "open the interface of this proxy, and try again there",
    )
}

fn bad(message: &str) -> ApiError {
    refusal(StatusCode::BAD_REQUEST, "bad-request", message)
}

fn refusal(status: StatusCode, code: &'static str, message: &str) -> ApiError {
    ApiError::new(status, code, message, "send another request")
}

#[cfg(test)]
mod tests;
