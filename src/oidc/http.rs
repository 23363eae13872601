//! Requests to the provider: each bounded in time and in size, none redirected.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::DateTime;
use openidconnect::http::header::DATE;
use openidconnect::http::{HeaderMap, Response};
use openidconnect::url::Url;
use openidconnect::{HttpRequest, HttpResponse, SyncHttpClient};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{CertificateError, Error as TlsError};
use ureq::tls::TlsConfig;
use ureq::{Agent, Error};

use super::error::{ProviderError, shown};
use super::issuer::{IssuerUrl, is_protected};
use super::roots::Roots;
use crate::sys::clock::{Clock, monotonic};

/// Largest answer, in bytes, and what of it may be its header.
const MAX_ANSWER: u64 = 256 * 1024;
const MAX_HEADER: usize = 16 * 1024;
/// No `Date` has been seen.
const UNKNOWN: i64 = i64::MIN;

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the lookup of the name to the last byte of the answer.
    pub(super) whole: Duration,
    /// The lookup, and again the connection.
    pub(super) connect: Duration,
    /// All requests that one answer needs: who asks waits no longer.
    pub(super) together: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            whole: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            together: Duration::from_secs(25),
        }
    }
}

/// The requests that one answer needs.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    http: &'a Http,
    /// When it has to be done, by the monotonic clock.
    until: Duration,
}

/// The HTTP client of one provider.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    /// Whether `http` to this machine is allowed.
    plain: bool,
    patience: Patience,
    clock: Clock,
    /// By how many seconds the provider's clock was ahead at its last answer.
    ahead: AtomicI64,
}

impl Http {
    pub(super) fn new(issuer: &IssuerUrl, roots: &Roots, clock: Clock, patience: Patience) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(roots.for_client())
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(!issuer.is_plain())
            // The environment is not asked: what it names would see every request.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(MAX_HEADER)
            // Requests are rare: a connection of before would be closed by then.
            .max_idle_connections(0)
            .timeout_global(Some(patience.whole))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .user_agent("rproxy")
            .build();
        Self {
            agent: config.new_agent(),
            plain: issuer.is_plain(),
            patience,
            clock,
            ahead: AtomicI64::new(UNKNOWN),
        }
    }

    /// The requests for one answer, from now on.
    pub(super) fn errand(&self) -> Errand<'_> {
        Errand {
            http: self,
            until: monotonic() + self.patience.together,
        }
    }

    /// By how many seconds the provider's clock was ahead of this machine's at its last answer, if that
    /// has said.
    pub(super) fn ahead(&self) -> Option<i64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }

    fn note_clock(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let now = i64::try_from(self.clock.unix_seconds()).unwrap_or(i64::MAX);
        let ahead = date.map_or(UNKNOWN, |date| date.timestamp().saturating_sub(now));
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    fn fault(&self, host: String, error: Error) -> ProviderError {
        let too_big = |what: String| ProviderError::BadAnswer { of: "answer", what };
        match error {
            Error::Timeout(_) => ProviderError::TooSlow {
                host,
                seconds: self.patience.whole.as_secs(),
            },
            Error::HostNotFound => unreachable_host(host, "its name has no address"),
            Error::Io(error) => match of_tls(&error) {
                Some(error) => untrusted(host, error),
                None => unreachable_host(host, &error.to_string()),
            },
            Error::Rustls(error) => untrusted(host, &error),
            Error::Tls(reason) => ProviderError::Untrusted {
                host,
                reason: reason.to_owned(),
            },
            Error::BodyExceedsLimit(_) => {
                too_big(format!("it is larger than {} KiB", MAX_ANSWER / 1024))
            }
            Error::LargeResponseHeader(..) => too_big(format!(
                "its header is larger than {} KiB",
                MAX_HEADER / 1024
            )),
            Error::Http(_) | Error::Protocol(_) => too_big("it is no HTTP".to_owned()),
            other => unreachable_host(host, &other.to_string()),
        }
    }
}

impl Errand<'_> {
    /// Whether a browser or this program may send something to a URL that the provider has named.
    pub(super) fn may_ask(&self, url: &Url) -> bool {
        url.scheme() == "https" || (self.http.plain && is_protected(url))
    }
}

impl SyncHttpClient for Errand<'_> {
    type Error = ProviderError;

    fn call(&self, request: HttpRequest) -> Result<HttpResponse, Self::Error> {
        let url = Url::parse(&request.uri().to_string()).ok();
        let Some(url) = url.filter(|url| self.may_ask(url)) else {
            return Err(ProviderError::BadAnswer {
                of: "metadata",
                what: "it names a URL that is not https".to_owned(),
            });
        };
        let (http, host) = (self.http, host_of(&url));
        let left = self.until.saturating_sub(monotonic());
        let request = http.agent.configure_request(request);
        // Zero would be no limit.
        let left = left.clamp(Duration::from_millis(1), http.patience.whole);
        let answer = http.agent.run(request.timeout_global(Some(left)).build());
        let mut answer = answer.map_err(|error| http.fault(host.clone(), error))?;
        http.note_clock(answer.headers());
        let status = answer.status();
        if status.is_redirection() {
            return Err(ProviderError::BadAnswer {
                of: "answer",
                what: format!("{host} redirects to somewhere else, which is not followed"),
            });
        }
        if status.is_server_error() {
            return Err(unreachable_host(
                host,
                &format!("HTTP status {}", status.as_u16()),
            ));
        }
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec();
        let body = body.map_err(|error| http.fault(host, error))?;
        let (parts, _read) = answer.into_parts();
        Ok(Response::from_parts(parts, body))
    }
}

/// The host and the port of a URL, for people.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => shown(&format!("{host}:{port}")),
        None => shown(host),
    }
}

fn of_tls(error: &std::io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

fn unreachable_host(host: String, reason: &str) -> ProviderError {
    ProviderError::Unreachable {
        host,
        reason: shown(reason),
    }
}

fn untrusted(host: String, error: &TlsError) -> ProviderError {
    let reason = match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no authority that is trusted has signed its certificate".to_owned()
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name".to_owned(),
        TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired, or the proxy's clock is ahead".to_owned(),
        TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid yet, or the proxy's clock is behind".to_owned(),
        other => shown(&other.to_string()),
    };
    ProviderError::Untrusted { host, reason }
}
