//! What is known of the provider: its metadata and its keys, fetched when needed and kept for a while.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openidconnect::core::CoreJsonWebKeySet;
use openidconnect::url::Url;
use openidconnect::{DiscoveryError, IssuerUrl};

use super::error::{ProviderError, shown};
use super::http::Errand;
use super::keys;
use super::messages::Metadata;

/// How long metadata and keys are kept.
const KEPT: Duration = Duration::from_mins(10);
/// How long keys are not fetched again, whatever a token names.
const KEYS_KEPT: Duration = Duration::from_secs(30);
/// How long a failure is kept: those who wait for the same answer do not wait one after the other.
const FAILURE_KEPT: Duration = Duration::from_secs(3);

/// What a provider says about itself, at one time.
#[derive(Clone, Debug)]
pub(super) struct KnownProvider {
    pub(super) metadata: Metadata,
    /// The keys that may sign.
    pub(super) keys: CoreJsonWebKeySet,
}

/// The metadata and the keys of a provider.
pub(super) struct Discovery {
    issuer: IssuerUrl,
    /// The time since some moment.
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    kept: Mutex<KeptDiscovery>,
}

#[derive(Default)]
struct KeptDiscovery {
    known: Option<(Arc<KnownProvider>, Duration)>,
    keys_at: Duration,
    failure: Option<(ProviderError, Duration)>,
}

impl Discovery {
    pub(super) fn new(
        issuer: IssuerUrl,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            issuer,
            elapsed: Box::new(elapsed),
            kept: Mutex::default(),
        }
    }

    /// What is known, fetched if it is older than ten minutes. Callers that come meanwhile wait.
    pub(super) fn known(&self, http: &Errand<'_>) -> Result<Arc<KnownProvider>, ProviderError> {
        let mut kept = self.kept();
        let now = (self.elapsed)();
        if let Some((known, at)) = &kept.known
            && now.saturating_sub(*at) < KEPT
        {
            return Ok(Arc::clone(known));
        }
        if let Some((failure, at)) = &kept.failure
            && now.saturating_sub(*at) < FAILURE_KEPT
        {
            return Err(failure.clone());
        }
        self.fetch(&mut kept, http)
    }

    /// What the provider says now.
    pub(super) fn fetched(&self, http: &Errand<'_>) -> Result<Arc<KnownProvider>, ProviderError> {
        self.fetch(&mut self.kept(), http)
    }

    /// Newer keys than those that have been used, for a token that these do not fit. `None` if they
    /// were fetched less than 30 seconds ago.
    pub(super) fn with_newer_keys(
        &self,
        used: &Arc<KnownProvider>,
        http: &Errand<'_>,
    ) -> Result<Option<Arc<KnownProvider>>, ProviderError> {
        let mut kept = self.kept();
        if let Some((known, _)) = &kept.known
            && !Arc::ptr_eq(known, used)
        {
            return Ok(Some(Arc::clone(known)));
        }
        let now = (self.elapsed)();
        if now.saturating_sub(kept.keys_at) < KEYS_KEPT {
            return Ok(None);
        }
        kept.keys_at = now;
        let keys = CoreJsonWebKeySet::fetch(used.metadata.jwks_uri(), http);
        let keys = keys.map_err(|error| unusable("keys", error))?;
        let known = Arc::new(KnownProvider {
            metadata: used.metadata.clone(),
            keys: keys::fit(&keys),
        });
        // The metadata are as old as they were.
        let at = kept.known.as_ref().map_or(now, |(_, at)| *at);
        kept.known = Some((Arc::clone(&known), at));
        Ok(Some(known))
    }

    fn fetch(
        &self,
        kept: &mut KeptDiscovery,
        http: &Errand<'_>,
    ) -> Result<Arc<KnownProvider>, ProviderError> {
        let fetched = self.discover(http).map(Arc::new);
        let now = (self.elapsed)();
        match &fetched {
            Ok(known) => {
                kept.known = Some((Arc::clone(known), now));
                kept.keys_at = now;
                kept.failure = None;
            }
            Err(failure) => kept.failure = Some((failure.clone(), now)),
        }
        fetched
    }

    fn discover(&self, http: &Errand<'_>) -> Result<KnownProvider, ProviderError> {
        let metadata = Metadata::discover(&self.issuer, http);
        let metadata = metadata.map_err(|error| unusable("metadata", error))?;
        let Some(token) = metadata.token_endpoint() else {
            return Err(bad("metadata", "it names no token_endpoint"));
        };
        let userinfo = metadata.userinfo_endpoint().map(|endpoint| endpoint.url());
        let endpoints = [metadata.authorization_endpoint().url(), token.url()];
        for url in endpoints.into_iter().chain(userinfo) {
            if !may_be_asked(url, http) {
                return Err(bad("metadata", &format!("{url} is not an https URL")));
            }
        }
        let keys = keys::fit(metadata.jwks());
        if keys.keys().is_empty() {
            return Err(bad(
                "keys",
                "none can be used: RSA of at least 2048 bits, P-256, P-384 or Ed25519 is needed",
            ));
        }
        Ok(KnownProvider { metadata, keys })
    }

    fn kept(&self) -> MutexGuard<'_, KeptDiscovery> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

fn may_be_asked(url: &Url, http: &Errand<'_>) -> bool {
    http.may_ask(url) && url.username().is_empty() && url.fragment().is_none()
}

fn bad(of: &'static str, what: &str) -> ProviderError {
    ProviderError::BadAnswer {
        of,
        what: shown(what),
    }
}

fn unusable(of: &'static str, error: DiscoveryError<ProviderError>) -> ProviderError {
    match error {
        DiscoveryError::Request(ProviderError::BadAnswer { what, .. }) => bad(of, &what),
        DiscoveryError::Request(error) => error,
        DiscoveryError::Parse(error) => bad(of, &format!("{} at {}", error.inner(), error.path())),
        DiscoveryError::Response(status, _, _) if status.as_u16() != 200 => {
            bad(of, &format!("HTTP status {}", status.as_u16()))
        }
        DiscoveryError::Response(..) => bad(of, "it is no JSON (Content-Type)"),
        // A URL that fits in no request.
        DiscoveryError::Other(_) => bad(of, "it names a URL that is not https"),
        // It names both issuers.
        DiscoveryError::Validation(what) => bad(of, &what),
        other => bad(of, &other.to_string()),
    }
}
