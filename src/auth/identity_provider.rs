//! The identity provider of the configuration. The threads that decide about people never wait for it: a
//! thread of its own finds out whether it can be used.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use crate::config::{Config, Oidc};
use crate::oidc::{
    Authorization, ClientSecret, ClientSecretError, Provider, ProviderError, ProviderSettings,
    ProviderStatus, Roots, RootsError, VerifiedSubject,
};
use crate::people::{BrowserSignIn, IdentityProvider};
use crate::sys::clock::{Clock, monotonic};
use crate::sys::fs::FsError;

/// The path below the proxy's address to which the provider sends browsers back.
const CALLBACK: &str = "/webapi/oidc/callback";
/// How long it is believed that the provider can be used, or cannot.
const WORKS: Duration = Duration::from_secs(5 * 60);
const FAILS: Duration = Duration::from_secs(5);
/// How long a person's request waits for news of a provider that was not known to work.
const NEWS: Duration = Duration::from_secs(1);
/// How many requests wait at a time; others take what is known.
const MAX_WAITING: usize = 4;

/// Why the identity provider of the configuration cannot be used, whatever it answers.
#[derive(Debug, Error)]
pub enum IdentityProviderError {
    /// The file with the client secret cannot be read.
    #[error("cannot read client_secret_file")]
    SecretFile(#[source] FsError),
    /// There is no secret in it.
    #[error("client_secret_file cannot be used")]
    Secret(#[from] ClientSecretError),
    /// There are no authorities that could vouch for its certificate.
    #[error("cannot verify its certificate")]
    Roots(#[from] RootsError),
    /// A setting cannot be used, or the provider cannot when it was asked.
    #[error(transparent)]
    Settings(#[from] ProviderError),
    /// Browsers do not find the proxy.
    #[error(
        "proxy_service.web_listen_addr and a public address are needed: browsers come back there"
    )]
    NoOrigin,
}

impl IdentityProviderError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SecretFile(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0600 {}", path.display()))
            }
            Self::Settings(error) => Some(error.hint().to_owned()),
            _ => None,
        }
    }
}

/// The provider with everything that is read from files, and where browsers find this proxy. `None` where
/// people do not sign in with a browser. Asks nothing of the provider.
///
/// # Errors
/// What is wrong with the configuration or its files.
pub(super) fn read(config: &Config) -> Result<Option<ReadProvider>, IdentityProviderError> {
    let authentication = &config.auth.authentication;
    let Some(oidc) = authentication
        .oidc
        .as_ref()
        .filter(|_| authentication.has_oidc())
    else {
        return Ok(None);
    };
    let origin = config.proxy.web_origin();
    let origin = origin.ok_or(IdentityProviderError::NoOrigin)?;
    let provider = Provider::new(settings(oidc, &origin)?, Clock::System)?;
    Ok(Some(ReadProvider { provider, origin }))
}

/// Asks the provider of the configuration how it is; `None` where people do not sign in with a browser.
///
/// # Errors
/// What is wrong with the configuration or its files, or why the provider cannot be used.
pub fn check_provider(config: &Config) -> Result<Option<ProviderStatus>, IdentityProviderError> {
    let read = read(config)?;
    Ok(read.map(|read| read.provider.check()).transpose()?)
}

/// A provider that was read, and nothing was asked of yet.
#[derive(Debug)]
pub(super) struct ReadProvider {
    provider: Provider,
    origin: String,
}

impl ReadProvider {
    /// Follows it from now on.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(super) fn follow(self) -> io::Result<BrowserSignIn> {
        let followed = FollowedProvider::start(Arc::new(self.provider))?;
        Ok(BrowserSignIn {
            provider: Arc::new(followed),
            origin: self.origin,
        })
    }
}

fn settings(oidc: &Oidc, origin: &str) -> Result<ProviderSettings, IdentityProviderError> {
    let text = oidc.client_secret();
    let text = text.map_err(IdentityProviderError::SecretFile)?;
    let client_secret = text.map(|text| ClientSecret::parse(&text)).transpose()?;
    let is_tls = oidc.issuer.as_str().starts_with("https:");
    Ok(ProviderSettings {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret,
        redirect_url: format!("{origin}{CALLBACK}"),
        scopes: oidc.scopes.clone(),
        name_claim: oidc.name_claim.clone(),
        claims_to_roles: oidc.claims_to_roles.clone(),
        roots: match is_tls {
            true => Roots::read(oidc.ca_file.as_deref())?,
            false => Roots::none(),
        },
    })
}

/// A provider, and whether it can be used.
struct FollowedProvider<P = Provider> {
    provider: Arc<P>,
    standing: Arc<Followed>,
}

/// What of a provider is followed.
trait Checked: Send + Sync + 'static {
    /// Whether it can be used; it may wait for it for as long as a request takes.
    fn check(&self) -> Result<(), ProviderError>;
}

impl Checked for Provider {
    fn check(&self) -> Result<(), ProviderError> {
        self.authorization().map(|_unused| ())
    }
}

#[derive(Default)]
struct Followed {
    standing: Mutex<Standing>,
    changed: Condvar,
}

/// What is known of a provider.
#[derive(Debug, Default)]
struct Standing {
    /// Whether it was ever found out.
    is_known: bool,
    /// Until when that is believed, by the monotonic clock.
    until: Duration,
    /// Why it cannot be used.
    failure: Option<ProviderError>,
    /// Whether it has to be found out anew.
    is_asked: bool,
    /// How many wait for that.
    waiting: usize,
    has_ended: bool,
}

impl Standing {
    fn is_old(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// Whether the provider is not known to work.
    fn is_bad(&self) -> bool {
        !self.is_known || self.failure.is_some()
    }
}

impl Followed {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out whenever that is asked for, until the end.
    fn follow(&self, provider: &impl Checked) {
        loop {
            let mut standing = self.lock();
            while !standing.is_asked && !standing.has_ended {
                let waited = self.changed.wait(standing);
                standing = waited.unwrap_or_else(PoisonError::into_inner);
            }
            if standing.has_ended {
                return;
            }
            drop(standing);
            let failure = provider.check().err();
            if let Some(error) = &failure {
                tracing::warn!(%error, "people cannot sign in with a browser");
            }
            let mut standing = self.lock();
            let life = if failure.is_some() { FAILS } else { WORKS };
            standing.is_known = true;
            standing.until = monotonic() + life;
            standing.failure = failure;
            standing.is_asked = false;
            self.changed.notify_all();
        }
    }

    /// Whether the provider can be used, as far as that is known. If it is not known to work, waits for
    /// news for a moment.
    fn look(&self) -> Result<(), ProviderError> {
        let mut standing = self.lock();
        if standing.is_old(monotonic()) {
            standing.is_asked = true;
            self.changed.notify_all();
            if standing.is_bad() && standing.waiting < MAX_WAITING {
                standing.waiting += 1;
                let is_awaited = |standing: &mut Standing| standing.is_asked;
                let waited = self.changed.wait_timeout_while(standing, NEWS, is_awaited);
                (standing, _) = waited.unwrap_or_else(PoisonError::into_inner);
                standing.waiting -= 1;
            }
        }
        // One of which nothing is known yet may work.
        standing.failure.clone().map_or(Ok(()), Err)
    }
}

impl<P: Checked> FollowedProvider<P> {
    fn start(provider: Arc<P>) -> io::Result<Self> {
        let standing = Arc::<Followed>::default();
        standing.lock().is_asked = true;
        let (followed, of) = (Arc::clone(&standing), Arc::clone(&provider));
        std::thread::Builder::new()
            .name("provider".to_owned())
            .spawn(move || followed.follow(&*of))?;
        Ok(Self { provider, standing })
    }
}

impl<P> Drop for FollowedProvider<P> {
    fn drop(&mut self) {
        self.standing.lock().has_ended = true;
        self.standing.changed.notify_all();
    }
}

impl<P> fmt::Debug for FollowedProvider<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FollowedProvider(..)")
    }
}

impl IdentityProvider for FollowedProvider {
    fn begin(&self) -> Result<Authorization, ProviderError> {
        self.standing.look()?;
        Ok(Authorization::random())
    }

    fn url_of(&self, pending: &Authorization) -> Result<String, ProviderError> {
        self.provider.url_of(pending)
    }

    fn redeem(
        &self,
        pending: &Authorization,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedSubject, ProviderError> {
        self.provider.redeem(pending, code, iss)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    /// A provider whose checks come out as a test says, one by one.
    struct Told {
        asked: Mutex<Sender<()>>,
        results: Mutex<Receiver<Result<(), ProviderError>>>,
    }

    impl Checked for Told {
        fn check(&self) -> Result<(), ProviderError> {
            self.asked.lock().unwrap().send(()).unwrap();
            let result = self.results.lock().unwrap().recv();
            result.unwrap_or(Ok(()))
        }
    }

    fn down() -> ProviderError {
        ProviderError::Unreachable {
            host: "id.example.com:443".to_owned(),
            reason: "Connection refused".to_owned(),
        }
    }

    #[test]
    fn nobody_waits_long_for_a_provider_and_a_failure_is_remembered() {
        let (asked, asks) = channel();
        let (say, results) = channel();
        let told = Told {
            asked: Mutex::new(asked),
            results: Mutex::new(results),
        };
        let followed = FollowedProvider::start(Arc::new(told)).unwrap();
        // It is asked at once, and does not answer: it may work.
        asks.recv().unwrap();
        followed.standing.look().unwrap();
        say.send(Err(down())).unwrap();
        while !followed.standing.lock().is_known {
            std::thread::yield_now();
        }
        for _ in 0..10 {
            assert_eq!(followed.standing.look(), Err(down()));
        }
        assert!(asks.try_recv().is_err(), "asked once");
        // After a while it is asked again, and those who wait read what it says then.
        followed.standing.lock().until = Duration::ZERO;
        say.send(Ok(())).unwrap();
        followed.standing.look().unwrap();
        asks.recv().unwrap();
        followed.standing.look().unwrap();
        assert!(asks.try_recv().is_err());
        // One that has worked is believed until the news is there.
        followed.standing.lock().until = Duration::ZERO;
        followed.standing.look().unwrap();
        asks.recv().unwrap();
        say.send(Err(down())).unwrap();
        while followed.standing.lock().failure.is_none() {
            std::thread::yield_now();
        }
        assert_eq!(followed.standing.look(), Err(down()));
    }

    fn configured(directory: &Path, rest: &str) -> Config {
        let text = format!(
            "cluster_name: example.test\nroles: [{{ name: dba, allow: [{{ logins: [x] }}] }}]\n\
             proxy_service: {{ web_listen_addr: \"127.0.0.1:3080\", web_plain_http: yes, \
             public_addr: \"proxy.example.test:3022\" }}\n\
             auth_service: {{ authentication: {{ type: oidc, oidc: {{ \
             issuer: \"https://id.example.com\", client_id: rproxy, \
             claims_to_roles: [{{ claim: g, value: v, roles: [dba] }}], {rest} }} }} }}\n"
        );
        let loaded = crate::config::parse(Path::new("f"), &text, Some(&directory.join("data")));
        loaded.unwrap().config
    }

    #[test]
    fn what_is_wrong_with_its_files_is_told_before_a_start() {
        let directory = crate::sys::fs::private_tempdir();
        let pem = "ca_file: FILE";
        let secret = "client_secret_file: FILE";
        let cases = [
            (secret, None, "client_secret_file"),
            (secret, Some(" \n"), "client_secret_file"),
            (secret, Some("a\nb\n"), "client_secret_file"),
            (pem, None, "certificate"),
            (pem, Some("nothing"), "certificate"),
        ];
        for (number, (key, content, said)) in cases.into_iter().enumerate() {
            let file = directory.path().join(number.to_string());
            if let Some(content) = content {
                write_whole(&file, content.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
            }
            let rest = key.replace("FILE", &file.display().to_string());
            let error = read(&configured(directory.path(), &rest)).unwrap_err();
            assert!(
                error.to_string().contains(said),
                "{key} {content:?}: {error}"
            );
        }
        let without = "cluster_name: example.test\n";
        let loaded = crate::config::parse(Path::new("f"), without, Some(directory.path()));
        assert!(read(&loaded.unwrap().config).unwrap().is_none());
    }
}
