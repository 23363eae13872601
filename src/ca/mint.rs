//! The running proxy's host identities: one key for its lifetime, and a short-lived certificate for
//! each name that a client asks for.
//!
//! They are not in the ledger: they never reach a disk, outlive the process by an hour at most, and
//! their number follows the traffic. Their serials are random and not zero.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::{Algorithm, Certificate, PrivateKey, PublicKey, Signature};

use super::error::CaError;
use super::remote::SignsHosts;
use crate::cert::{HostRequest, MAX_PROXY_HOST_TTL, random_serial};
use crate::model::HostPrincipal;

/// How long a minted certificate is good for.
const VALIDITY: Duration = MAX_PROXY_HOST_TTL;
/// How much of that may be left before it is made anew.
const RENEW_BELOW: u64 = VALIDITY.as_secs() / 2;
/// With how much left it is shown no more: a login that has begun must still find it good.
const UNUSABLE_BELOW: u64 = 300;
/// How long after an attempt to make it anew the next one may follow, in seconds.
const RETRY: u64 = 10;
/// How many certificates are kept; the one unused for longest goes first.
const CAPACITY: usize = 4096;

/// A host key with a certificate for it.
#[derive(Clone)]
pub struct HostIdentity {
    /// The private host key.
    pub key: Arc<PrivateKey>,
    /// Its certificate.
    pub certificate: Arc<Certificate>,
}

impl fmt::Debug for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostIdentity")
            .field("principals", &self.certificate.valid_principals())
            .finish_non_exhaustive()
    }
}

/// What a mint has without signing.
#[derive(Debug)]
pub enum Cached {
    /// An identity, good for long.
    Fresh(HostIdentity),
    /// An identity that is still valid, and is to be made anew by the caller. Other callers are given
    /// `Fresh` for the next ten seconds.
    Aging(HostIdentity),
    /// None: it has to be made.
    Nothing,
}

/// Mints the proxy's host certificates. Shared by all connections.
pub struct HostCertIssuer {
    authority: Arc<dyn SignsHosts>,
    key: Arc<PrivateKey>,
    cache: Mutex<HostCertCache>,
}

impl fmt::Debug for HostCertIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostMint").finish_non_exhaustive()
    }
}

impl HostCertIssuer {
    /// A mint with a fresh Ed25519 host key, which is in memory only.
    ///
    /// # Errors
    /// When the key library cannot make a key.
    pub fn new(host_authority: Arc<dyn SignsHosts>) -> Result<Self, CaError> {
        let key =
            PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(CaError::HostKey)?;
        Ok(Self {
            authority: host_authority,
            key: Arc::new(key),
            cache: Mutex::default(),
        })
    }

    /// The host key that all its certificates are for.
    #[must_use]
    pub fn host_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// Signs with the host key what a client of another proxy signs to authenticate (RFC 4252, section 7); the
    /// signature is encoded as there.
    ///
    /// # Errors
    /// When the key library cannot sign.
    pub fn sign_as_client(&self, request: &[u8]) -> Result<Vec<u8>, CaError> {
        let signed: Result<Signature, _> = self.key.try_sign(request);
        let signed = signed.map_err(ssh_key::Error::from);
        let encoded = signed.and_then(|signature| Ok(signature.encode_vec()?));
        encoded.map_err(CaError::HostKey)
    }

    /// The CA's key that signs.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.authority.public_key()
    }

    /// Whether the CA's key is within reach. Blocks for ten seconds at most.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_key(&self) -> Result<(), CaError> {
        self.authority.check()
    }

    /// A mint with the same host key, whose certificates another CA signs, or the same one with
    /// another key.
    #[must_use]
    pub fn under(&self, host_authority: Arc<dyn SignsHosts>) -> Self {
        Self {
            authority: host_authority,
            key: Arc::clone(&self.key),
            cache: Mutex::default(),
        }
    }

    /// The identity for these names, as far as nothing has to be signed for it. Never blocks. `now` is
    /// in seconds since the epoch.
    #[must_use]
    pub fn at_hand(&self, names: &[HostPrincipal], now: u64) -> Cached {
        let found = self.cache().find(names, now);
        match found {
            CacheLookup::Fresh(certificate) => Cached::Fresh(self.identity(certificate)),
            CacheLookup::Aging(certificate) => Cached::Aging(self.identity(certificate)),
            CacheLookup::Nothing => Cached::Nothing,
        }
    }

    /// Makes the identity for these names: the one that the client asked for, or the listener's own.
    /// Blocks for as long as the CA's key takes, ten seconds at most. `now` is in seconds since
    /// the epoch.
    ///
    /// # Errors
    /// Without any name, with more than a certificate can have, or when signing fails.
    pub fn mint(&self, names: &[HostPrincipal], now: u64) -> Result<HostIdentity, CaError> {
        let request = HostRequest {
            public_key: self.key.public_key().clone(),
            names: names.to_vec(),
            ttl: VALIDITY,
            extensions: None,
        };
        // Signed outside the lock: threads may sign for the same name.
        let template = request.template(random_serial(), now)?;
        let certificate = Arc::new(self.authority.sign(&template)?);
        self.cache().keep(names, &certificate);
        Ok(self.identity(certificate))
    }

    fn identity(&self, certificate: Arc<Certificate>) -> HostIdentity {
        HostIdentity {
            key: Arc::clone(&self.key),
            certificate,
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HostCertCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The certificates that were used last.
#[derive(Default)]
struct HostCertCache {
    entries: HashMap<Vec<HostPrincipal>, CacheEntry>,
    uses: u64,
}

struct CacheEntry {
    certificate: Arc<Certificate>,
    last_use: u64,
    /// When it may be made anew, in seconds since the epoch.
    renewable: u64,
}

enum CacheLookup {
    Fresh(Arc<Certificate>),
    Aging(Arc<Certificate>),
    Nothing,
}

impl HostCertCache {
    fn find(&mut self, names: &[HostPrincipal], now: u64) -> CacheLookup {
        self.uses += 1;
        let Some(entry) = self.entries.get_mut(names) else {
            return CacheLookup::Nothing;
        };
        let left = entry.certificate.valid_before().saturating_sub(now);
        // A clock that was set back must not meet a certificate from its future.
        if entry.certificate.valid_after() > now || left < UNUSABLE_BELOW {
            return CacheLookup::Nothing;
        }
        entry.last_use = self.uses;
        let certificate = Arc::clone(&entry.certificate);
        if left >= RENEW_BELOW || now < entry.renewable {
            return CacheLookup::Fresh(certificate);
        }
        entry.renewable = now.saturating_add(RETRY);
        CacheLookup::Aging(certificate)
    }

    fn keep(&mut self, names: &[HostPrincipal], certificate: &Arc<Certificate>) {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(names) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            if let Some(names) = oldest.map(|(names, _)| names.clone()) {
                self.entries.remove(&names);
            }
        }
        let entry = CacheEntry {
            certificate: Arc::clone(certificate),
            last_use: self.uses,
            renewable: 0,
        };
        self.entries.insert(names.to_vec(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::CaKind;
    use crate::ca::testing::{CaHome, NOW};

    fn mint() -> (CaHome, HostCertIssuer) {
        let home = CaHome::new();
        let authorities = home.open().unwrap();
        let mint = HostCertIssuer::new(authorities.of(CaKind::Host).clone()).unwrap();
        (home, mint)
    }

    fn name(text: &str) -> [HostPrincipal; 1] {
        [text.parse().unwrap()]
    }

    #[test]
    fn a_certificate_is_for_exactly_the_name_and_for_an_hour() {
        let (home, mint) = mint();
        let HostIdentity { key, certificate } = mint.mint(&name("db1"), NOW).unwrap();
        assert!(certificate.cert_type().is_host());
        assert_eq!(certificate.valid_principals(), ["db1"]);
        assert_eq!(certificate.valid_before(), NOW + 3_600);
        assert_ne!(certificate.serial(), 0);
        assert_eq!(certificate.public_key(), key.public_key().key_data());
        assert_eq!(certificate.signature_key(), mint.public_key().key_data());
        assert!(!home.data_dir().ledger().exists());
    }

    #[test]
    fn a_certificate_is_reused_until_it_is_about_to_end_and_renewed_from_half_its_life_on() {
        let (_home, mint) = mint();
        let db1 = name("db1");
        assert!(matches!(mint.at_hand(&db1, NOW), Cached::Nothing));
        let first = mint.mint(&db1, NOW).unwrap().certificate.serial();
        let at_hand = |now| match mint.at_hand(&db1, now) {
            Cached::Fresh(identity) => ("fresh", identity.certificate.serial()),
            Cached::Aging(identity) => ("aging", identity.certificate.serial()),
            Cached::Nothing => ("nothing", 0),
        };
        assert_eq!(at_hand(NOW + 1_800), ("fresh", first));
        assert_eq!(at_hand(NOW + 1_801), ("aging", first));
        assert_eq!(at_hand(NOW + 1_801), ("fresh", first), "one renews it");
        assert_eq!(at_hand(NOW + 1_811), ("aging", first), "who has failed");
        assert_eq!(at_hand(NOW + 3_300), ("aging", first));
        assert_eq!(at_hand(NOW + 3_301), ("nothing", 0));
        assert_eq!(
            at_hand(NOW - 86_400),
            ("nothing", 0),
            "the clock was set back"
        );
        let second = mint.mint(&db1, NOW + 1_801).unwrap().certificate.serial();
        assert_ne!(second, first);
        assert_eq!(at_hand(NOW + 1_801), ("fresh", second));
    }

    #[test]
    fn the_listener_has_all_its_names_and_nobody_has_none() {
        let (_home, mint) = mint();
        let names = ["proxy.example.com", "10.0.0.1"].map(|name| name.parse().unwrap());
        let identity = mint.mint(&names, NOW).unwrap();
        assert_eq!(
            identity.certificate.valid_principals(),
            ["proxy.example.com", "10.0.0.1"]
        );
        assert!(mint.mint(&[], NOW).is_err());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let (_home, mint) = mint();
        let certificate = mint.mint(&name("used"), NOW).unwrap().certificate;
        let mut cache = HostCertCache::default();
        cache.keep(&name("used"), &certificate);
        for number in 0..CAPACITY + 10 {
            assert!(matches!(
                cache.find(&name("used"), NOW),
                CacheLookup::Fresh(_)
            ));
            cache.keep(&name(&format!("n{number}")), &certificate);
        }
        assert_eq!(cache.entries.len(), CAPACITY);
        assert!(matches!(
            cache.find(&name("used"), NOW),
            CacheLookup::Fresh(_)
        ));
        assert!(matches!(cache.find(&name("n0"), NOW), CacheLookup::Nothing));
    }

    #[test]
    fn threads_share_one_mint() {
        let (_home, mint) = mint();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..20 {
                        let host = format!("db{number}");
                        let identity = mint.mint(&name(&host), NOW).unwrap();
                        assert_eq!(identity.certificate.valid_principals(), [host]);
                    }
                });
            }
        });
    }
}
