//! The certificate rules against tables, against ssh-keygen, and against arbitrary damage.

mod decide;
mod issue;
mod successor;
mod webauthn;

use std::fs;
use std::path::Path;

use ssh_key::{Certificate, PrivateKey};

use super::testing::NOW;
use super::*;

fn trust(ca: &PrivateKey) -> TrustedKeys {
    TrustedKeys::from(vec![ca.public_key().clone()])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn check_host(presented: &PresentedKey, ca: &PrivateKey, name: &str) -> Result<(), HostKeyError> {
    let trusted = trust(ca);
    let policy = HostPolicy {
        trusted: &trusted,
        accept_plain_keys: false,
    };
    verify_host(presented, policy, &names(&[name]), NOW).map(|_| ())
}

fn certificate(cert: Certificate) -> PresentedKey {
    PresentedKey::Certificate(Box::new(cert))
}

pub(super) fn fs_write(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
