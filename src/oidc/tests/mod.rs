//! The client against a provider that behaves, and one that does not.

mod answers;
mod finding;
mod tls;
mod tokens;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::http::Patience;
use super::testing::{Behaviour, CLIENT_ID, CLIENT_SECRET, Callback, HostileProvider};
use super::{
    Authorization, ClaimToRoles, ClientSecret, Provider, ProviderError, ProviderSettings, Roots,
    TokenFault, VerifiedSubject,
};
use crate::sys::clock::Clock;

/// The time of the tests.
const NOW: u64 = 1_800_000_000;
const BACK: &str = "https://proxy.example.com:3080/webapi/oidc/callback";

/// A provider and its client.
struct OidcFixture {
    provider: HostileProvider,
    client: Provider,
    /// The seconds that have passed for what the client keeps.
    passed: Arc<AtomicU64>,
}

impl OidcFixture {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut ProviderSettings)) -> Self {
        Self::of(HostileProvider::start(now), Patience::default(), change)
    }

    /// One whose answers have to come at once.
    fn impatient() -> Self {
        let patience = Patience {
            whole: Duration::from_millis(300),
            connect: Duration::from_millis(200),
            together: Duration::from_secs(25),
        };
        Self::of(HostileProvider::start(now), patience, |_| ())
    }

    fn of(
        provider: HostileProvider,
        patience: Patience,
        change: impl FnOnce(&mut ProviderSettings),
    ) -> Self {
        let mut settings = settings(&provider.issuer());
        change(&mut settings);
        let passed = Arc::<AtomicU64>::default();
        let elapsed = Arc::clone(&passed);
        let elapsed = move || Duration::from_secs(elapsed.load(Ordering::SeqCst));
        let client = Provider::with(settings, Clock::Fixed(NOW), patience, elapsed).unwrap();
        Self {
            provider,
            client,
            passed,
        }
    }

    /// Changes how the provider behaves.
    fn when(self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.provider.behaviour());
        self
    }

    fn pass(&self, seconds: u64) {
        self.passed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A person follows the link and signs in.
    fn at_provider(&self) -> Result<(Authorization, Callback), ProviderError> {
        let pending = self.client.authorization()?;
        let back = self.provider.sign_in(&self.client.url_of(&pending)?);
        assert_eq!((&back.state, &*back.redirect_url), (&*pending.state, BACK));
        Ok((pending, back))
    }

    /// The whole way.
    fn sign_in(&self) -> Result<VerifiedSubject, ProviderError> {
        let (pending, back) = self.at_provider()?;
        self.client.redeem(&pending, &back.code, Some(&back.iss))
    }

    /// The check that the ID token of a sign-in fails.
    fn fault(&self) -> TokenFault {
        match self.sign_in() {
            Err(ProviderError::Token(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }
}

fn now() -> i64 {
    i64::try_from(NOW).unwrap()
}

fn settings(issuer: &str) -> ProviderSettings {
    let row = |value: &str, roles: &[&str]| ClaimToRoles {
        claim: "groups".to_owned(),
        value: value.to_owned(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
    };
    ProviderSettings {
        issuer: issuer.parse().unwrap(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(ClientSecret::parse(CLIENT_SECRET).unwrap()),
        redirect_url: BACK.to_owned(),
        scopes: ["openid", "profile"].map(str::to_owned).to_vec(),
        name_claim: "preferred_username".to_owned(),
        claims_to_roles: vec![row("dba", &["dba"]), row("ops", &["ops"])],
        roots: Roots::none(),
    }
}
