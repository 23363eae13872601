//! For tests of the parts of the auth process: CAs on disk, and what an attacker would have signed.

use std::path::Path;
use std::sync::Arc;

use ssh_key::PublicKey;
use ssh_key::certificate::{Builder, CertType};

use super::authorities::CurrentAuthorities;
use super::ground::{self, Ground, Purpose};
use super::people::PeopleGround;
use crate::ca::testing::CaHome;
use crate::ca::{Authorities, CaKind};
use crate::cert::testing::ed25519;
use crate::config::Config;
use crate::sys::clock::Clock;
use crate::sys::files::Direct;

/// A configuration whose data directory is inside this directory, and does not exist yet.
pub(super) fn parsed(directory: &Path, text: &str) -> Config {
    let data = directory.join("data");
    let loaded = crate::config::parse(Path::new("f"), text, Some(&data));
    loaded.unwrap().config
}

/// What the services of a new installation use.
pub(super) fn laid(config: &Config) -> PeopleGround {
    let ground = ground::lay(config, Purpose::Serve(Arc::new(Direct))).unwrap();
    let Ground {
        state,
        records,
        authorities,
        audit,
        provider,
        certificate: _,
    } = ground.unwrap();
    PeopleGround {
        state,
        records,
        authorities,
        audit,
        meters: Arc::default(),
        provider,
    }
}

/// CAs with keys of their own, in a directory that goes with them.
pub(super) struct OpenCas {
    _ca: CaHome,
    authorities: Arc<Authorities>,
    pub(super) current: CurrentAuthorities,
}

impl OpenCas {
    pub(super) fn new() -> Self {
        let ca = CaHome::new();
        let current = CurrentAuthorities::new(ca.open().unwrap());
        Self {
            _ca: ca,
            authorities: current.now(),
            current,
        }
    }

    pub(super) fn key(&self, kind: CaKind) -> &PublicKey {
        self.authorities.of(kind).public_key()
    }
}

/// What an attacker in a worker would like to have signed: a certificate of any kind, as its signer
/// would see it, for this CA.
pub(super) fn unsigned(kind: CertType, seconds: u64, authority: &PublicKey) -> Vec<u8> {
    let now = Clock::System.unix_seconds();
    let subject = ed25519().public_key().key_data().clone();
    let mut builder = Builder::new(vec![1; 32], subject, now - 1, now + seconds).unwrap();
    builder.serial(7).unwrap();
    builder.cert_type(kind).unwrap();
    builder.key_id("root").unwrap();
    builder.valid_principal("root").unwrap();
    let other = ed25519();
    let signed = builder.sign(&other).unwrap();
    // The same with the CA's key in the place of the one that it was made with.
    let bytes = signed.to_bytes().unwrap();
    let own = other.public_key().to_bytes().unwrap();
    let at = bytes.windows(own.len()).rposition(|part| part == own);
    let mut data = bytes[..at.unwrap() - 4].to_vec();
    let blob = authority.to_bytes().unwrap();
    data.extend(u32::try_from(blob.len()).unwrap().to_be_bytes());
    data.extend(blob);
    data
}

/// What an attacker in a worker may not have signed, each with the key that is asked to.
pub(super) fn forbidden(cas: &OpenCas) -> Vec<(PublicKey, Vec<u8>)> {
    let (user, host) = (cas.key(CaKind::User), cas.key(CaKind::Host));
    let wanted = [
        // Certificates for people, by either key.
        (user, unsigned(CertType::User, 3_600, user)),
        (host, unsigned(CertType::User, 3_600, host)),
        (host, unsigned(CertType::User, 3_600, user)),
        // Host certificates that outlive the discovery of the attack.
        (host, unsigned(CertType::Host, 365 * 86_400, host)),
        (host, unsigned(CertType::Host, u64::from(u32::MAX), host)),
        // The user CA is asked for a host, or a host certificate claims to be its own.
        (user, unsigned(CertType::Host, 3_600, user)),
        (host, unsigned(CertType::Host, 3_600, user)),
        // Other signatures.
        (host, b"SSHSIG\0\0\0\x04file".to_vec()),
        (host, vec![0; 200]),
        (host, Vec::new()),
    ];
    wanted
        .into_iter()
        .map(|(key, data)| (key.clone(), data))
        .collect()
}
