//! Host certificates for connections, signed by a key that may be slow or missing, because it may
//! be in an agent.
//!
//! A certificate in the cache is used at once. A missing one is signed on a thread of its own, a few
//! at a time; other connections wait in a queue for a limited time, and no packets wait meanwhile. The
//! queue is fair between users: many names of one user delay another user by no more than the
//! signatures that are being made.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::trust::{CurrentTrust, Trust};
use crate::ca::{CaError, Cached, HostIdentity};
use crate::model::{HostPrincipal, NameError, chain};
use crate::net::{FairQueue, QueueFull, QueueOwner};
use crate::sys::clock::Clock;
use crate::wire::{self, HostKey, ServerConfig};

/// How many certificates are signed at a time.
const AT_ONCE: usize = 4;
/// How many connections may wait for a certificate. Beyond that, the user with the most waiting
/// connections loses one.
const MAX_WAITING: usize = 512;
/// How long a connection waits for its certificate: in the queue and for the signature together.
const LIMIT: Duration = Duration::from_secs(15);
/// How long a connection waits for the keys of a rotation that the process with the CA's key knows of
/// already. They are on their way then.
const NEW_KEYS: Duration = Duration::from_secs(2);
/// How often it looks for them.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no certificate. The sources are for the administrator.
#[derive(Debug, Error)]
pub(crate) enum MintError {
    /// The host's name cannot be in a certificate.
    #[error("its name cannot be in one")]
    Name(#[from] NameError),
    /// The address that the client has connected to is not known.
    #[error("the listener's address is not known")]
    Address(#[source] io::Error),
    /// Too many connections wait already.
    #[error("too many connections wait for one")]
    Busy(#[source] QueueFull),
    /// The signature took too long.
    #[error("the host CA's key did not sign within {} seconds", LIMIT.as_secs())]
    Slow,
    /// The CA refused or failed to sign.
    #[error("the host CA's key does not sign")]
    Authority(#[from] CaError),
    /// The thread that signs has exited: the proxy is stopping.
    #[error("the proxy is stopping")]
    Stopping,
    /// The certificate cannot be used by the transport.
    #[error("it cannot be used")]
    Key(#[from] wire::Error),
}

/// The queue at the host CA's key.
#[derive(Clone, Debug)]
struct SigningQueue(FairQueue<()>);

impl Default for SigningQueue {
    fn default() -> Self {
        Self(FairQueue::new(AT_ONCE, MAX_WAITING))
    }
}

/// Makes and caches the host certificates that clients see. Clones share the queue at the CA's key.
#[derive(Clone, Debug)]
pub(crate) struct HostCertificates {
    trust: CurrentTrust,
    queue: SigningQueue,
    clock: Clock,
}

impl HostCertificates {
    /// Certificates are signed by the CA that is in force at that time.
    #[must_use]
    pub(crate) fn new(trust: CurrentTrust, clock: Clock) -> Self {
        Self {
            trust,
            queue: SigningQueue::default(),
            clock,
        }
    }

    /// The server configuration for these names. Waits until the CA has signed, for at most
    /// [`LIMIT`].
    ///
    /// # Errors
    /// Why there is no certificate.
    pub(crate) async fn server_config(
        &self,
        whose: &QueueOwner,
        names: Vec<HostPrincipal>,
    ) -> Result<Arc<ServerConfig>, MintError> {
        config(self.identity(whose, names).await?)
    }

    /// The server configuration for these names, if no signature is needed for it.
    pub(crate) fn config_at_hand(&self, names: &[HostPrincipal]) -> Option<Arc<ServerConfig>> {
        config(self.at_hand(names)?).ok()
    }

    async fn identity(
        &self,
        whose: &QueueOwner,
        names: Vec<HostPrincipal>,
    ) -> Result<HostIdentity, MintError> {
        if let Some(identity) = self.at_hand(&names) {
            return Ok(identity);
        }
        let minted = tokio::time::timeout(LIMIT, self.mint(whose, names)).await;
        minted.unwrap_or(Err(MintError::Slow))
    }

    /// An identity from the cache. An ageing one is renewed in the background, so that no
    /// connection waits for a slow CA, and a missing CA affects connections only when the
    /// certificate expires.
    fn at_hand(&self, names: &[HostPrincipal]) -> Option<HostIdentity> {
        let now = self.clock.unix_seconds();
        match self.trust.now().mint.at_hand(names, now) {
            Cached::Fresh(identity) => Some(identity),
            Cached::Aging(identity) => {
                self.renew(names.to_vec());
                Some(identity)
            }
            Cached::Nothing => None,
        }
    }

    fn renew(&self, names: Vec<HostPrincipal>) {
        // Without a free slot, the next request tries again, ten seconds later.
        let Some(turn) = self.queue.0.try_turn(()) else {
            return;
        };
        let (trust, clock) = (self.trust.clone(), self.clock);
        tokio::task::spawn_blocking(move || {
            let now = clock.unix_seconds();
            if let Err(error) = trust.now().mint.mint(&names, now) {
                tracing::warn!(
                    error = %chain(&error),
                    "cannot make a host certificate anew; the one from before is shown until it ends"
                );
            }
            drop(turn);
        });
    }

    async fn mint(
        &self,
        whose: &QueueOwner,
        names: Vec<HostPrincipal>,
    ) -> Result<HostIdentity, MintError> {
        let turn = self.queue.0.turn((), whose).await;
        let mut turn = turn.map_err(MintError::Busy)?;
        loop {
            // The connection that had the slot before may have asked for the same names.
            if let Some(identity) = self.at_hand(&names) {
                return Ok(identity);
            }
            let (trust, now) = (self.trust.now(), self.clock.unix_seconds());
            let asked = (Arc::clone(&trust), names.clone());
            let minted = tokio::task::spawn_blocking(move || {
                let (trust, names) = asked;
                // The slot comes back with the result: if the connection has given up, both are dropped
                // when the signature is made.
                (trust.mint.mint(&names, now), turn)
            });
            let minted = minted.await.map_err(|_gone| MintError::Stopping)?;
            match minted.0 {
                Err(error) if error.is_of_a_replaced_key() && self.has_new_keys(&trust).await => {
                    turn = minted.1;
                }
                minted => return Ok(minted?),
            }
        }
    }

    /// Waits until another host CA key is in force than in `before`; whether one is.
    async fn has_new_keys(&self, before: &Trust) -> bool {
        let replaced = async {
            while self.trust.now().mint.public_key() == before.mint.public_key() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(NEW_KEYS, replaced).await.is_ok()
    }
}

fn config(identity: HostIdentity) -> Result<Arc<ServerConfig>, MintError> {
    let HostIdentity { key, certificate } = identity;
    let host_key = HostKey::new(key.as_ref().clone(), Some(certificate.as_ref().clone()))?;
    Ok(Arc::new(ServerConfig::new(vec![host_key])))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ssh_key::PublicKey;

    use super::*;
    use crate::ca::{HostCertIssuer, RemoteHostKey, SignsHosts as _};
    use crate::cert::testing::NOW;
    use crate::ipc::{CaKeyLine, CallError, Signing, SigningAnswer, SigningRequest};
    use crate::ssh::testing::SshFixture;

    fn name(text: &str) -> Vec<HostPrincipal> {
        vec![text.parse().unwrap()]
    }

    fn alice() -> QueueOwner {
        QueueOwner::Person("alice".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_signed_once_and_at_hand_then() {
        let proxy = SshFixture::new();
        let certificates = proxy.certificates();
        assert!(certificates.config_at_hand(&name("db1")).is_none());
        for _ in 0..3 {
            certificates
                .server_config(&alice(), name("db1"))
                .await
                .unwrap();
        }
        assert!(certificates.config_at_hand(&name("db1")).is_some());
        assert_eq!(proxy.host_ca.signatures(), 1);
        certificates
            .server_config(&alice(), name("db2"))
            .await
            .unwrap();
        assert_eq!(proxy.host_ca.signatures(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_signature_there_is_none_and_what_is_at_hand_stays() {
        let proxy = SshFixture::new();
        let certificates = proxy.certificates();
        certificates
            .server_config(&alice(), name("db1"))
            .await
            .unwrap();
        proxy.host_ca.is_broken(true);
        let failed = certificates.server_config(&alice(), name("db2")).await;
        assert!(matches!(failed, Err(MintError::Authority(_))), "{failed:?}");
        certificates
            .server_config(&alice(), name("db1"))
            .await
            .unwrap();
    }

    /// Half an hour later no connection waits for the new one.
    #[tokio::test(start_paused = true)]
    async fn one_that_ages_is_shown_and_made_anew_meanwhile() {
        let proxy = SshFixture::new();
        let at_first = proxy.certificates();
        at_first.server_config(&alice(), name("db1")).await.unwrap();
        let later = HostCertificates::new(proxy.trust.clone(), Clock::Fixed(NOW + 1_801));
        proxy.host_ca.hold(true);
        assert!(later.config_at_hand(&name("db1")).is_some());
        proxy.host_ca.hold(false);
        while proxy.host_ca.signatures() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(later.config_at_hand(&name("db1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_key_is_given_up_and_has_few_signatures_to_make() {
        let proxy = SshFixture::new();
        let certificates = proxy.certificates();
        proxy.host_ca.hold(true);
        let ask = |number: usize| {
            let certificates = certificates.clone();
            let name = name(&format!("db{number}"));
            tokio::spawn(async move { certificates.server_config(&alice(), name).await })
        };
        let asked: Vec<_> = (0..10).map(ask).collect();
        while proxy.host_ca.signatures() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(LIMIT).await;
        for asked in asked {
            let failed = asked.await.unwrap();
            assert!(matches!(failed, Err(MintError::Slow)), "{failed:?}");
        }
        assert_eq!(
            proxy.host_ca.signatures(),
            AT_ONCE,
            "the others were not begun"
        );
        // The signatures in work still have their turns; what is asked now gets one after them.
        let next = ask(99);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(proxy.host_ca.signatures(), AT_ONCE);
        proxy.host_ca.hold(false);
        next.await.unwrap().unwrap();
        assert_eq!(proxy.host_ca.signatures(), AT_ONCE + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_what_another_has_asked_for_is_given_the_same() {
        let proxy = SshFixture::new();
        let certificates = proxy.certificates();
        proxy.host_ca.hold(true);
        let ask = |text: &str| {
            let (certificates, name) = (certificates.clone(), name(text));
            tokio::spawn(async move { certificates.server_config(&alice(), name).await })
        };
        // One name for all: whichever signature is done first, the waiting ones find it.
        let others: Vec<_> = (0..AT_ONCE).map(|_| ask("db1")).collect();
        while proxy.host_ca.signatures() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        let waiting = [ask("db1"), ask("db1")];
        tokio::task::yield_now().await;
        proxy.host_ca.hold(false);
        for asked in others.into_iter().chain(waiting) {
            asked.await.unwrap().unwrap();
        }
        assert_eq!(proxy.host_ca.signatures(), AT_ONCE);
    }

    /// The process with the host CA's key, after a rotation that the worker has not heard of.
    #[derive(Debug)]
    struct AfterRotation {
        key: PublicKey,
        refused: AtomicUsize,
    }

    impl Signing for AfterRotation {
        fn ask(&self, _request: SigningRequest) -> Result<SigningAnswer, CallError> {
            self.refused.fetch_add(1, Ordering::SeqCst);
            Ok(SigningAnswer::Refused(Some(CaKeyLine(self.key.clone()))))
        }
    }

    /// A proxy whose host CA's key has been replaced by that of the second one, and is not told yet.
    fn before_it_is_told() -> (SshFixture, SshFixture, Arc<AfterRotation>) {
        let (proxy, next) = (SshFixture::new(), SshFixture::new());
        let signing = Arc::new(AfterRotation {
            key: next.host_ca.public_key().clone(),
            refused: AtomicUsize::new(0),
        });
        let old = RemoteHostKey::new(proxy.host_ca.public_key().clone(), signing.clone());
        let mint = proxy.trust.now().mint.under(Arc::new(old));
        replace(&proxy, mint);
        (proxy, next, signing)
    }

    fn replace(proxy: &SshFixture, mint: HostCertIssuer) {
        let now = proxy.trust.now();
        proxy.trust.replace(Trust {
            users: now.users.clone(),
            hosts: now.hosts.clone(),
            mint,
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_signature_that_is_asked_for_while_the_key_is_replaced_is_asked_for_again() {
        let (proxy, next, signing) = before_it_is_told();
        let certificates = proxy.certificates();
        let asked =
            tokio::spawn(async move { certificates.server_config(&alice(), name("db1")).await });
        while signing.refused.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        replace(&proxy, proxy.trust.now().mint.under(next.host_ca.clone()));
        asked.await.unwrap().unwrap();
        assert_eq!(signing.refused.load(Ordering::SeqCst), 1);
        assert_eq!(next.host_ca.signatures(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_another_for_good_does_not_sign() {
        let (proxy, _, signing) = before_it_is_told();
        let begun = tokio::time::Instant::now();
        let failed = proxy
            .certificates()
            .server_config(&alice(), name("db1"))
            .await;
        assert!(matches!(failed, Err(MintError::Authority(_))), "{failed:?}");
        assert_eq!(begun.elapsed(), NEW_KEYS);
        assert_eq!(signing.refused.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rotation_the_new_ca_signs() {
        let (proxy, next) = (SshFixture::new(), SshFixture::new());
        let certificates = proxy.certificates();
        certificates
            .server_config(&alice(), name("db1"))
            .await
            .unwrap();
        replace(&proxy, proxy.trust.now().mint.under(next.host_ca.clone()));
        assert!(certificates.config_at_hand(&name("db1")).is_none());
        certificates
            .server_config(&alice(), name("db1"))
            .await
            .unwrap();
        assert_eq!(
            (proxy.host_ca.signatures(), next.host_ca.signatures()),
            (1, 1)
        );
    }
}
