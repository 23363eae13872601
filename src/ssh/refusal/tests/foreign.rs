//! Refusals whose sentence and hint are those of another room.

use std::net::IpAddr;

use super::{Expected, row, target};
use crate::access::{Denial, LoginPermit};
use crate::audit::Party::{Client, HostCertificate};
use crate::cert::testing::ed25519;
use crate::cert::{
    CertFault, HostKeyError, KeyError, OfferError, SignatureError, SourceAddressError,
    UserCertError,
};
use crate::ssh::refusal::*;

/// The constructors that pass on what another room says: sentence and hint are that room's.
pub(super) fn foreign_rows(permit: &LoginPermit) -> Vec<Expected> {
    let mut rows = Vec::new();
    for (fault, name) in faults() {
        let error = HostKeyError::Fault {
            name: "db1".to_owned(),
            fault: fault.clone(),
        };
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_host_key(&error), HostCertificate, name, text));
        let error = UserCertError::Fault(fault);
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_certificate(&error), Client, name, text));
    }
    for (error, name) in [
        (
            UserCertError::HostCertificate,
            "user-certificate-of-type-host",
        ),
        (UserCertError::NoKeyId, "no-key-id"),
        (
            UserCertError::SourceAddress {
                allowed: "192.0.2.0/24".parse().unwrap(),
                peer: IpAddr::from([198, 51, 100, 1]),
            },
            "source-address",
        ),
        (
            UserCertError::MalformedSourceAddress(SourceAddressError::Empty),
            "malformed-source-address",
        ),
        (UserCertError::CorruptFlag, "corrupt-critical-option"),
    ] {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_certificate(&error), Client, name, text));
    }
    let name = "db1".to_owned();
    for (error, reason) in [
        (
            HostKeyError::PlainKey {
                name: name.clone(),
                algorithm: "ssh-ed25519".to_owned(),
            },
            "plain-host-key",
        ),
        (
            HostKeyError::UserCertificate { name: name.clone() },
            "host-certificate-of-type-user",
        ),
        (
            HostKeyError::WrongName {
                has: vec![],
                wanted: vec![name],
            },
            "name-not-in-principals",
        ),
    ] {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_host_key(&error), HostCertificate, reason, text));
    }
    for (error, name) in key_errors() {
        let text = format!("{error}\non db1.example.com: {}", error.hint());
        let refusal = malformed_host_key(&target(), &error);
        rows.push(row(refusal, HostCertificate, name, text));
        let error = OfferError::Key(error);
        let text = format!("{error}\non your machine: {}", error.hint());
        rows.push(row(unusable_key(&error), Client, name, text));
    }
    for (error, name) in offer_errors() {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(unusable_key(&error), Client, name, text));
    }
    for denial in [
        Denial::OtherIdentity {
            outer: "alice".to_owned(),
            inner: "bob".to_owned(),
        },
        Denial::OtherKey,
        Denial::OtherProof {
            outer: "a certificate",
            inner: "a key without a certificate",
        },
        Denial::LoginOfUser {
            login: "root".to_owned(),
            logins: vec!["deploy".to_owned()],
        },
        Denial::Login {
            login: "root".to_owned(),
            principals: vec!["deploy".to_owned()],
        },
    ] {
        let text = format!("{denial}\n{}", denial.hint());
        rows.push(row(Refusal::from(&denial), Client, denial.reason(), text));
    }
    let short = short_host_key(permit.route(), 1024);
    let text = "the host's RSA key has 1024 bits, at least 2048 are required";
    let hint = crate::cert::short_host_key_hint("db1");
    rows.push(row(
        short,
        HostCertificate,
        "weak-key",
        format!("{text}\n{hint}"),
    ));
    rows
}

pub(super) fn faults() -> [(CertFault, &'static str); 8] {
    let fingerprint = ed25519().public_key().fingerprint(Default::default());
    [
        (CertFault::NestedCertificate, "nested-certificate"),
        (
            CertFault::UnknownAuthority(fingerprint),
            "unknown-authority",
        ),
        (
            CertFault::Signature(SignatureError::Wrong),
            "bad-ca-signature",
        ),
        (CertFault::WeakKey(1024), "weak-key"),
        (CertFault::NotYetValid(1), "certificate-not-yet-valid"),
        (CertFault::Expired(1), "certificate-expired"),
        (CertFault::NoPrincipals, "no-principals"),
        (
            CertFault::UnknownCriticalOption("x".to_owned()),
            "unknown-critical-option",
        ),
    ]
}

pub(super) fn key_errors() -> [(KeyError, &'static str); 4] {
    let name = || "ssh-dss".to_owned();
    [
        (
            KeyError::Malformed(ssh_key::Error::FormatEncoding),
            "malformed-key",
        ),
        (KeyError::Unsupported(name()), "unsupported-key"),
        (KeyError::UnsupportedCa(name()), "unsupported-ca-key"),
        (KeyError::NestedCertificate(name()), "nested-certificate"),
    ]
}

pub(super) fn offer_errors() -> [(OfferError, &'static str); 8] {
    [
        (
            OfferError::Algorithm("ssh-rsa".to_owned()),
            "unsupported-algorithm",
        ),
        (
            OfferError::Mismatch("ssh-rsa".to_owned()),
            "unsupported-algorithm",
        ),
        (OfferError::OtherHostKey, "other-host-key"),
        (OfferError::MalformedSignature, "bad-signature"),
        (
            OfferError::Signature(SignatureError::Wrong),
            "bad-signature",
        ),
        (OfferError::ShortKey(1024), "weak-key"),
        (OfferError::NoTouch, "security-key-not-touched"),
        (OfferError::NotVerified, "security-key-not-verified"),
    ]
}
