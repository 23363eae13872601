//! The headers of every answer: what a browser may do with it, and what nobody else may.

use axum::body::Body;
use hyper::Response;
use hyper::header::HeaderValue;

/// What a page may load, send and be framed by (CSP level 3). Pages with a policy of their own keep it.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// For a year, this name is asked over HTTPS only (RFC 6797). Other names below it may be other machines.
const ONLY_HTTPS: &str = "max-age=31536000";

/// What no page of ours needs.
const NO_FEATURES: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), \
    gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

/// Those that do not depend on the request.
const ALWAYS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", NO_FEATURES),
    // Where nothing else is said, no cache keeps it.
    ("cache-control", "no-store"),
];

/// Adds them, where an answer has none of its own.
pub(super) fn protect(answer: &mut Response<Body>, is_tls: bool) {
    let headers = answer.headers_mut();
    let hsts = is_tls.then_some(("strict-transport-security", ONLY_HTTPS));
    for (name, value) in ALWAYS.iter().copied().chain(hsts) {
        if !headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
