//! What is asked of a CA, the rules it is held to, and the certificate that comes of it.

use std::time::Duration;

use rand::RngExt as _;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey, SigningKey};
use thiserror::Error;
use uuid::Uuid;

use super::host_extensions::HostExtensions;
use super::signature::check_signature;
use super::signature_error::SignatureError;
use super::{KeyError, SourceAddressError, SourceAddresses, key, shown};
use crate::model::{HostPrincipal, NameError, Principal, Serial, format_duration};

/// Longest life of a user certificate, unless the policy says otherwise.
pub const MAX_USER_TTL: Duration = Duration::from_secs(30 * 60 * 60);

/// A certificate starts this long before it is made, for hosts whose clocks are behind.
const BACKDATE_SECONDS: u64 = 60;

/// Most principals that OpenSSH reads (`SSHKEY_CERT_MAX_PRINCIPALS`).
pub(super) const MAX_PRINCIPALS: usize = 256;

/// The end of the year 9999: later, neither `ssh-keygen -L` nor RFC 3339 can write the time.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a user may do on a host: the set that ssh-keygen gives by default. Sorted, as the format wants.
const USER_EXTENSIONS: [&str; 5] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// The extension with the id of the sign-in that a user certificate was made for. Hosts do not know it: what
/// is unknown counts for them as an extension (OpenSSH's PROTOCOL.certkeys).
pub(super) const SIGN_IN_EXTENSION: &str = "sign-in@rproxy";

/// The critical option of a certificate by which a key of the host CA names its successor, and of no other one.
pub const SUCCESSOR_OPTION: &str = "host-ca-successor@rproxy";

/// The critical option of a certificate by which the host CA names a key of the user CA, and of no other one.
pub const USER_CA_OPTION: &str = "user-ca@rproxy";

/// Which key of a CA a certificate of the host CA names. No host can use such a certificate as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedKey {
    /// The key that follows the one that signs.
    HostCaSuccessor,
    /// A key of the user CA.
    UserCa,
}

impl NamedKey {
    /// The critical option of such a certificate, and of no other one.
    const fn option(self) -> &'static str {
        match self {
            Self::HostCaSuccessor => SUCCESSOR_OPTION,
            Self::UserCa => USER_CA_OPTION,
        }
    }

    /// The key id of such a certificate, and its principal up to the `@`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HostCaSuccessor => "host-ca-successor",
            Self::UserCa => "user-ca",
        }
    }
}

/// Why no certificate is made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// The text is no public key at all.
    #[error("the text is not an OpenSSH public key")]
    NotAKey,
    /// A public key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate, where a plain key is signed.
    #[error("the public key is already a certificate")]
    Certificate,
    /// RSA with too few bits.
    #[error("the RSA key has {0} bits, at least {min} are required", min = key::MIN_RSA_BITS)]
    WeakKey(usize),
    /// No principals: OpenSSH would read that as "any".
    #[error("no {0} given: a certificate without principals would be valid for all of them")]
    NoPrincipals(&'static str),
    /// The same principal twice.
    #[error("{0} is given twice")]
    DuplicatePrincipal(Principal),
    /// More principals than OpenSSH reads.
    #[error("{0} principals are given, OpenSSH reads at most {MAX_PRINCIPALS}")]
    TooManyPrincipals(usize),
    /// A lifetime under one second.
    #[error("the time to live is zero")]
    ZeroTtl,
    /// A user certificate that would live too long.
    #[error(
        "the time to live {} is too long, this certificate may live {} at most",
        format_duration(*ttl), format_duration(*most)
    )]
    TtlTooLong {
        /// What was asked for.
        ttl: Duration,
        /// What is allowed.
        most: Duration,
    },
    /// The end lies beyond the year 9999.
    #[error("the time to live reaches beyond the year 9999")]
    TtlOverflow,
    /// A bad network for the `source-address` option.
    #[error(transparent)]
    SourceAddress(#[from] SourceAddressError),
    /// A name of the cluster that leaves no room for what stands before it.
    #[error("the name of the cluster does not fit into a certificate")]
    Cluster(#[source] NameError),
}

impl RequestError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotAKey => {
                "give the .pub file of a key: its line starts like ssh-ed25519 AAAA...".to_owned()
            }
            Self::Key(error) => error.hint().to_owned(),
            Self::Certificate => {
                "give the key's plain .pub file, not the -cert.pub file".to_owned()
            }
            Self::WeakKey(_) => "make a new key: ssh-keygen -t ed25519".to_owned(),
            Self::NoPrincipals(_) => {
                "name them: --logins=LOGIN[,..] for a user, --host=NAME[,..] for a host".to_owned()
            }
            Self::DuplicatePrincipal(name) => format!("give {name} once"),
            Self::TooManyPrincipals(_) => "sign several certificates".to_owned(),
            Self::ZeroTtl => "give a time to live such as --ttl=12h".to_owned(),
            Self::TtlTooLong { most, .. } => {
                format!("give --ttl={} or less", format_duration(*most))
            }
            Self::TtlOverflow => "give a shorter time to live, such as --ttl=365d".to_owned(),
            Self::SourceAddress(_) => {
                "write networks as ADDRESS/LENGTH, such as 203.0.113.10/32".to_owned()
            }
            Self::Cluster(_) => "choose a shorter cluster_name, of 200 bytes at most".to_owned(),
        }
    }
}

/// Why a template did not become a certificate.
#[derive(Debug, Error)]
pub enum SignError {
    /// The CA key failed to sign.
    #[error("the CA key did not sign")]
    Key(#[source] ssh_key::Error),
    /// What came back does not verify with the CA key (an agent or a token that misbehaves).
    #[error("the CA key's signature does not verify")]
    Signature(#[source] SignatureError),
}

/// A user certificate, asked for.
#[derive(Clone, Debug)]
pub struct UserRequest {
    /// Who: becomes the key id.
    pub identity: Principal,
    /// The accounts that may be used: the principals.
    pub logins: Vec<Principal>,
    /// The key to certify.
    pub public_key: PublicKey,
    /// How long from now; more than zero.
    pub ttl: Duration,
    /// Networks for the `source-address` option; none for no such option.
    pub source_addresses: Vec<String>,
    /// The sign-in that it was made for, with which it ends at the proxy; `None` for one that was signed by
    /// an administrator, and for one that only a host is shown.
    pub sign_in: Option<Uuid>,
}

impl UserRequest {
    /// Applies the rules. `now` is in seconds since the epoch. `most` is the longest life that the policy
    /// allows: [`MAX_USER_TTL`], unless it says otherwise.
    ///
    /// # Errors
    /// The first rule that the request breaks.
    pub fn template(
        self,
        serial: Serial,
        now: u64,
        most: Duration,
    ) -> Result<CertTemplate, RequestError> {
        if self.ttl > most {
            return Err(RequestError::TtlTooLong {
                ttl: self.ttl,
                most,
            });
        }
        let source_address = match self.source_addresses.as_slice() {
            [] => None,
            networks => {
                let networks: Vec<&str> = networks.iter().map(|n| n.trim()).collect();
                Some(networks.join(",").parse::<SourceAddresses>()?)
            }
        };
        Ok(CertTemplate {
            kind: CertType::User,
            serial,
            key_id: self.identity.to_string(),
            principals: checked_principals(self.logins, "logins")?,
            public_key: fit_to_sign(self.public_key)?,
            validity: Validity::from_now(now, self.ttl)?,
            source_address,
            sign_in: self.sign_in,
            named_key: None,
            host: None,
        })
    }
}

/// A host certificate, asked for.
#[derive(Clone, Debug)]
pub struct HostRequest {
    /// The host's names and addresses: the principals. The first becomes the key id.
    pub names: Vec<HostPrincipal>,
    /// The key to certify.
    pub public_key: PublicKey,
    /// How long from now; more than zero.
    pub ttl: Duration,
    /// What it says about a node that has joined; `None` for other hosts.
    pub extensions: Option<HostExtensions>,
}

impl HostRequest {
    /// Applies the rules. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// The first rule that the request breaks.
    pub fn template(self, serial: Serial, now: u64) -> Result<CertTemplate, RequestError> {
        let names = self.names.into_iter().map(Principal::from).collect();
        let principals = checked_principals(names, "host names")?;
        Ok(CertTemplate {
            kind: CertType::Host,
            serial,
            key_id: principals
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
            principals,
            public_key: fit_to_sign(self.public_key)?,
            validity: Validity::from_now(now, self.ttl)?,
            source_address: None,
            sign_in: None,
            named_key: None,
            host: self.extensions,
        })
    }
}

/// A certificate that obeys every rule and lacks only the signature.
#[derive(Clone, Debug)]
pub struct CertTemplate {
    kind: CertType,
    serial: Serial,
    key_id: String,
    principals: Vec<Principal>,
    public_key: PublicKey,
    validity: Validity,
    source_address: Option<SourceAddresses>,
    sign_in: Option<Uuid>,
    /// The key of a CA that it names.
    named_key: Option<NamedKey>,
    host: Option<HostExtensions>,
}

impl CertTemplate {
    /// The certificate that names this key of a CA. It never expires, because nobody knows for how long a
    /// host may be off.
    pub(super) fn of_ca_key(
        named: NamedKey,
        serial: Serial,
        principal: Principal,
        public_key: PublicKey,
    ) -> Self {
        Self {
            kind: CertType::Host,
            serial,
            key_id: named.name().to_owned(),
            principals: vec![principal],
            public_key,
            validity: Validity {
                after: 0,
                before: LAST_SECOND,
            },
            source_address: None,
            sign_in: None,
            named_key: Some(named),
            host: None,
        }
    }

    /// User or host.
    #[must_use]
    pub fn kind(&self) -> CertType {
        self.kind
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// The identity of a user, the first name of a host.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The principals: at least one, each once.
    #[must_use]
    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }

    /// The key to certify.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// First second of validity, since the epoch.
    #[must_use]
    pub fn valid_after(&self) -> u64 {
        self.validity.after
    }

    /// First second that is no longer valid, since the epoch.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        self.validity.before
    }

    /// Has `ca` sign (Ed25519, ECDSA, or RSA with SHA-512) and verifies what came back.
    ///
    /// # Errors
    /// The key cannot sign, or its signature does not verify.
    pub fn sign(&self, ca: &impl SigningKey) -> Result<Certificate, SignError> {
        let certificate = self
            .builder()
            .and_then(|builder| builder.sign(ca))
            .map_err(SignError::Key)?;
        let signed = key::signed_part(&certificate).map_err(SignError::Key)?;
        check_signature(&ca.public_key(), &signed, certificate.signature())
            .map_err(SignError::Signature)?;
        Ok(certificate)
    }

    fn builder(&self) -> ssh_key::Result<Builder> {
        let mut builder = Builder::new_with_random_nonce(
            &mut rand::rng(),
            self.public_key.key_data().clone(),
            self.validity.after,
            self.validity.before,
        )?;
        builder.serial(self.serial.number())?;
        builder.cert_type(self.kind)?;
        builder.key_id(self.key_id.as_str())?;
        builder.comment(self.public_key.comment().clone())?;
        for principal in &self.principals {
            builder.valid_principal(principal.as_str())?;
        }
        if let Some(networks) = &self.source_address {
            builder.critical_option("source-address", networks.to_string())?;
        }
        if let Some(named) = self.named_key {
            builder.critical_option(named.option(), "")?;
        }
        if self.kind.is_user() {
            for extension in USER_EXTENSIONS {
                builder.extension(extension, "")?;
            }
        }
        if let Some(sign_in) = self.sign_in {
            builder.extension(SIGN_IN_EXTENSION, sign_in.to_string())?;
        }
        let about_host = self.host.iter().flat_map(HostExtensions::entries);
        for (name, value) in about_host {
            builder.extension(name, value)?;
        }
        Ok(builder)
    }
}

/// Reads a `.pub` file, which must hold one plain key fit to be certified.
///
/// # Errors
/// Says which it is: no key at all, a certificate, an unsupported algorithm, an RSA key too small.
pub fn parse_public_key(text: &str) -> Result<PublicKey, RequestError> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(RequestError::NotAKey);
    };
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(name), Some(_)) if key::is_certificate(name) => Err(RequestError::Certificate),
        (Some(name), Some(_)) if key::is_plain(name) => {
            fit_to_sign(PublicKey::from_openssh(line).map_err(KeyError::Malformed)?)
        }
        // Every encoded key starts with a length under 256.
        (Some(name), Some(base64)) if base64.starts_with("AAAA") => {
            Err(KeyError::Unsupported(shown::text(name)).into())
        }
        _ => Err(RequestError::NotAKey),
    }
}

/// A random serial number: unique without a counter, and nothing can be learnt from it.
#[must_use]
pub fn random_serial() -> Serial {
    loop {
        // 63 bits: some readers of certificates hold serials in signed integers.
        if let Some(serial) = Serial::new(rand::rng().random::<u64>() >> 1) {
            return serial;
        }
    }
}

/// Gives a key back that may be certified, or may certify: plain, supported, large enough.
///
/// # Errors
/// Says which it is not.
pub fn fit_to_sign(key: PublicKey) -> Result<PublicKey, RequestError> {
    match key.key_data() {
        KeyData::Certificate(_) => Err(RequestError::Certificate),
        KeyData::Dsa(_) | KeyData::Other(_) => {
            let name = shown::text(key.algorithm().as_str());
            Err(KeyError::Unsupported(name).into())
        }
        data => match key::weak_rsa_bits(data) {
            Some(bits) => Err(RequestError::WeakKey(bits)),
            None => Ok(key),
        },
    }
}

#[derive(Clone, Copy, Debug)]
struct Validity {
    after: u64,
    before: u64,
}

impl Validity {
    fn from_now(now: u64, ttl: Duration) -> Result<Self, RequestError> {
        if ttl.as_secs() == 0 {
            return Err(RequestError::ZeroTtl);
        }
        let before = now
            .checked_add(ttl.as_secs())
            .filter(|before| *before <= LAST_SECOND)
            .ok_or(RequestError::TtlOverflow)?;
        Ok(Self {
            after: now.saturating_sub(BACKDATE_SECONDS),
            before,
        })
    }
}

fn checked_principals(
    names: Vec<Principal>,
    what: &'static str,
) -> Result<Vec<Principal>, RequestError> {
    if names.is_empty() {
        return Err(RequestError::NoPrincipals(what));
    }
    if names.len() > MAX_PRINCIPALS {
        return Err(RequestError::TooManyPrincipals(names.len()));
    }
    for (i, name) in names.iter().enumerate() {
        if names.iter().skip(i + 1).any(|other| other == name) {
            return Err(RequestError::DuplicatePrincipal(name.clone()));
        }
    }
    Ok(names)
}
