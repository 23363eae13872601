//! Keys and certificates for tests: made here, or by the real ssh-keygen.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, EcdsaCurve, PrivateKey};

pub(crate) use super::browser::{Browser, string};

/// A moment inside the validity of [`CertSpec`].
pub(crate) const NOW: u64 = 1_800_000_000;

/// Runs ssh-keygen in `dir`; panics with its output if it fails.
pub(crate) fn ssh_keygen(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("ssh-keygen")
        .args(args)
        .current_dir(dir)
        .env("TZ", "UTC")
        .output()
        .expect("ssh-keygen is missing: install the package openssh-client");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "ssh-keygen {args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// One key of every type that can sign in software, by the name that `ssh-keygen -t` has.
pub(crate) const KEY_TYPES: [(&str, &str); 5] = [
    ("ed25519", "256"),
    ("ecdsa", "256"),
    ("ecdsa", "384"),
    ("ecdsa", "521"),
    ("rsa", "2048"),
];

/// A private key of each of [`KEY_TYPES`], made by ssh-keygen once per test process.
pub(crate) fn keys() -> &'static [PrivateKey] {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let make = |(kind, bits): (&str, &str)| {
            let name = format!("{kind}{bits}");
            let args = [
                "-q", "-t", kind, "-b", bits, "-N", "", "-C", &name, "-f", &name,
            ];
            let path = dir.path().join(&name);
            readable(&path, || {
                ssh_keygen(dir.path(), &args);
            })
        };
        KEY_TYPES.map(make).to_vec()
    })
}

/// A private key that `make` writes and ssh-key can read: one P-256 key of ssh-keygen in 256 is too
/// short for it.
pub(crate) fn readable(path: &Path, make: impl Fn()) -> PrivateKey {
    loop {
        make();
        match PrivateKey::read_openssh_file(path) {
            Ok(key) => return key,
            Err(ssh_key::Error::Encoding(ssh_encoding::Error::Length)) => {
                std::fs::remove_file(path).unwrap();
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// A fresh Ed25519 key.
pub(crate) fn ed25519() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

/// A fresh P-256 key.
pub(crate) fn p256() -> PrivateKey {
    let curve = EcdsaCurve::NistP256;
    PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap()
}

/// The fields of a certificate, to be made wrong one at a time.
#[derive(Clone)]
pub(crate) struct CertSpec {
    pub(crate) kind: CertType,
    pub(crate) key: KeyData,
    pub(crate) key_id: String,
    pub(crate) principals: Vec<String>,
    pub(crate) validity: (u64, u64),
    pub(crate) critical: Vec<(String, String)>,
    pub(crate) extensions: Vec<String>,
}

impl CertSpec {
    pub(crate) fn user(key: &PrivateKey) -> Self {
        Self {
            kind: CertType::User,
            key: key.public_key().key_data().clone(),
            key_id: "alice".to_owned(),
            principals: vec!["alice".to_owned(), "deploy".to_owned()],
            validity: (NOW - 60, NOW + 3600),
            critical: Vec::new(),
            extensions: vec!["permit-pty".to_owned()],
        }
    }

    pub(crate) fn host(key: &PrivateKey) -> Self {
        Self {
            kind: CertType::Host,
            key_id: "db1".to_owned(),
            principals: vec!["db1".to_owned(), "10.0.0.5".to_owned()],
            extensions: Vec::new(),
            ..Self::user(key)
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn sign(self, ca: &PrivateKey) -> Certificate {
        let (after, before) = self.validity;
        let mut builder = Builder::new(vec![7; 16], self.key, after, before).unwrap();
        builder.serial(42).unwrap();
        builder.cert_type(self.kind).unwrap();
        builder.key_id(self.key_id).unwrap();
        builder.all_principals_valid().unwrap();
        for principal in self.principals {
            builder.valid_principal(principal).unwrap();
        }
        for (name, value) in self.critical {
            builder.critical_option(name, value).unwrap();
        }
        for name in self.extensions {
            builder.extension(name, "").unwrap();
        }
        builder.sign(ca).unwrap()
    }
}

/// An Ed25519 certificate blob around an arbitrary signature key blob; the signature is nonsense.
pub(crate) fn blob_signed_by(signature_key: &[u8]) -> Vec<u8> {
    let mut blob = string(b"ssh-ed25519-cert-v01@openssh.com");
    blob.extend(string(&[1; 32])); // nonce
    blob.extend(string(&[2; 32])); // public key
    blob.extend(42_u64.to_be_bytes());
    blob.extend(1_u32.to_be_bytes());
    blob.extend(string(b"alice"));
    blob.extend(string(&string(b"alice")));
    blob.extend((NOW - 60).to_be_bytes());
    blob.extend((NOW + 60).to_be_bytes());
    blob.extend(string(b"")); // critical options
    blob.extend(string(b"")); // extensions
    blob.extend(string(b"")); // reserved
    blob.extend(string(signature_key));
    let mut signature = string(b"ssh-ed25519");
    signature.extend(string(&[3; 64]));
    blob.extend(string(&signature));
    blob
}
