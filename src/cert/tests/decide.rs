//! The decisions about certificates and host keys.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ssh_key::certificate::CertType;
use ssh_key::public::{EcdsaPublicKey, KeyData, SkEcdsaSha2NistP256, SkEd25519};
use ssh_key::{Certificate, HashAlg, PrivateKey, PublicKey};

use super::*;
use crate::cert::testing::{
    CertSpec, KEY_TYPES, NOW, blob_signed_by, ed25519, keys, p256, ssh_keygen, string,
};
use crate::model::Login;

#[test]
fn a_good_user_certificate_counts() {
    let (ca, key) = (ed25519(), ed25519());
    let cert = CertSpec::user(&key).sign(&ca);
    let verified = verify_user(&cert, &trust(&ca), None, NOW).unwrap();
    assert_eq!(verified.key_id(), "alice");
    assert_eq!(verified.serial(), 42);
    assert_eq!(verified.principals(), ["alice", "deploy"]);
    assert_eq!(verified.valid_before(), NOW + 3600);
    assert_eq!(verified.fingerprint(), key.fingerprint(HashAlg::Sha256));
    assert!(verified.allows_login(&"deploy".parse::<Login>().unwrap()));
    for other in ["root", "DEPLOY", "deploy,alice", "deplo"] {
        assert!(!verified.allows_login(&other.parse::<Login>().unwrap()));
    }
}

#[test]
fn each_fault_of_a_user_certificate_is_named() {
    type SpecEdit = fn(&mut CertSpec);
    let option = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let unknown = UserCertError::Fault(CertFault::UnknownCriticalOption("no-such".to_owned()));
    let table: Vec<(SpecEdit, UserCertError, &str)> = vec![
        (
            |c| c.kind = CertType::Host,
            UserCertError::HostCertificate,
            "a host certificate was presented, expected a user certificate",
        ),
        (
            |c| c.validity = (0, NOW),
            UserCertError::Fault(CertFault::Expired(NOW)),
            "the user certificate has expired: it ended at 2027-01-15T08:00:00Z",
        ),
        (
            |c| c.validity = (NOW + 1, u64::MAX),
            UserCertError::Fault(CertFault::NotYetValid(NOW + 1)),
            "the user certificate is not yet valid: it starts at 2027-01-15T08:00:01Z",
        ),
        (
            |c| c.key_id = " ".to_owned(),
            UserCertError::NoKeyId,
            "the user certificate has an empty key id",
        ),
        (
            |c| c.principals.clear(),
            UserCertError::Fault(CertFault::NoPrincipals),
            "the user certificate lacks a principal list",
        ),
        (
            |c| c.critical = vec![("no-such".to_owned(), String::new())],
            unknown,
            "the user certificate has an unknown critical option \"no-such\"",
        ),
        (
            |c| c.critical = vec![("verify-required".to_owned(), "x".to_owned())],
            UserCertError::CorruptFlag,
            "the user certificate's verify-required option has a value, which is corrupt",
        ),
    ];
    let (ca, key) = (ed25519(), ed25519());
    for (change, error, text) in table {
        let cert = CertSpec::user(&key).with(change).sign(&ca);
        let found = verify_user(&cert, &trust(&ca), None, NOW).unwrap_err();
        assert_eq!(found, error);
        assert_eq!(found.to_string(), text);
        assert!(!found.hint().is_empty());
    }

    let other_ca = ed25519();
    let cert = CertSpec::user(&key).sign(&ca);
    assert_eq!(
        verify_user(&cert, &trust(&other_ca), None, NOW),
        Err(CertFault::UnknownAuthority(ca.fingerprint(HashAlg::Sha256)).into())
    );
    assert!(verify_user(&cert, &TrustedKeys::default(), None, NOW).is_err());

    for (name, value) in [("force-command", "uptime"), ("verify-required", "")] {
        let cert = CertSpec::user(&key).with(|c| c.critical = option(name, value));
        assert!(verify_user(&cert.sign(&ca), &trust(&ca), None, NOW).is_ok());
    }
}

#[test]
fn source_address_is_enforced_against_the_peer() {
    let ca = ed25519();
    let with_networks = |list: &str| {
        let critical = vec![("source-address".to_owned(), list.to_owned())];
        CertSpec::user(&ed25519())
            .with(|c| c.critical = critical)
            .sign(&ca)
    };
    let cert = with_networks("10.0.0.0/8,2001:db8::/32");
    let at = |peer: &str| verify_user(&cert, &trust(&ca), Some(peer.parse().unwrap()), NOW);
    assert!(at("10.9.8.7").is_ok());
    assert!(at("::ffff:10.9.8.7").is_ok());
    assert!(at("2001:db8::7").is_ok());
    assert_eq!(
        at("192.0.2.1").unwrap_err().to_string(),
        "the user certificate may be used from 10.0.0.0/8,2001:db8::/32 only, not from 192.0.2.1"
    );
    assert!(verify_user(&cert, &trust(&ca), None, NOW).is_ok());
    assert!(matches!(
        verify_user(&with_networks("10.*"), &trust(&ca), None, NOW),
        Err(UserCertError::MalformedSourceAddress(_))
    ));
}

#[test]
fn validity_has_inclusive_start_and_exclusive_end() {
    let ca = ed25519();
    let cert = CertSpec::user(&ed25519()).sign(&ca);
    let at = |now| verify_user(&cert, &trust(&ca), None, now).is_ok();
    assert!(!at(NOW - 61) && at(NOW - 60) && at(NOW + 3599) && !at(NOW + 3600));
}

#[test]
fn small_rsa_keys_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "small"];
    ssh_keygen(dir.path(), &args);
    let small = PrivateKey::read_openssh_file(dir.path().join("small")).unwrap();
    let ca = ed25519();
    assert_eq!(
        verify_user(&CertSpec::user(&small).sign(&ca), &trust(&ca), None, NOW),
        Err(CertFault::WeakKey(1024).into())
    );
    let line = fs::read_to_string(dir.path().join("small.pub")).unwrap();
    assert_eq!(parse_public_key(&line), Err(RequestError::WeakKey(1024)));
    assert_eq!(rsa_bits(keys()[4].public_key().key_data()), Some(2048));
}

#[test]
fn a_good_host_certificate_counts_under_each_of_its_names() {
    let ca = ed25519();
    let host = certificate(CertSpec::host(&ed25519()).sign(&ca));
    assert_eq!(check_host(&host, &ca, "db1"), Ok(()));
    assert_eq!(check_host(&host, &ca, "DB1"), Ok(()));
    assert_eq!(check_host(&host, &ca, "10.0.0.5"), Ok(()));
    assert_eq!(
        check_host(&host, &ca, "db2").unwrap_err().to_string(),
        "remote host's certificate is for db1, 10.0.0.5, not for db2"
    );

    let principals = names(&["db1", "$(reboot)", "--ttl=1"]);
    let hostile = CertSpec::host(&ed25519()).with(|c| c.principals = principals);
    assert_eq!(
        check_host(&certificate(hostile.sign(&ca)), &ca, "db2")
            .unwrap_err()
            .hint(),
        "use one of the names in the certificate; or copy /etc/ssh/ssh_host_ed25519_key.pub from \
         db2 to the proxy; on the proxy: rproxy auth sign --host=db2,db1 \
         --public-key=ssh_host_ed25519_key.pub; copy ssh_host_ed25519_key-cert.pub to /etc/ssh on \
         db2; on db2: `HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub` in \
         /etc/ssh/sshd_config, then `systemctl reload ssh`"
    );
}

#[test]
fn each_fault_of_a_host_key_is_named() {
    type SpecEdit = fn(&mut CertSpec);
    let table: Vec<(SpecEdit, &str)> = vec![
        (
            |c| c.kind = CertType::User,
            "remote host presented a user certificate, expected a host certificate",
        ),
        (
            |c| c.validity = (0, NOW),
            "remote host's certificate has expired: it ended at 2027-01-15T08:00:00Z",
        ),
        (
            |c| c.validity = (NOW + 1, u64::MAX),
            "remote host's certificate is not yet valid: it starts at 2027-01-15T08:00:01Z",
        ),
        (
            |c| c.principals.clear(),
            "remote host's certificate lacks a principal list",
        ),
        (
            |c| c.principals = vec!["*".to_owned(), "db?".to_owned()],
            "remote host's certificate is for *, db?, not for db1",
        ),
        (
            |c| c.critical = vec![("source-address".to_owned(), "0.0.0.0/0".to_owned())],
            "remote host's certificate has an unknown critical option \"source-address\"",
        ),
    ];
    let (ca, key) = (ed25519(), ed25519());
    for (change, text) in table {
        let host = certificate(CertSpec::host(&key).with(change).sign(&ca));
        let error = check_host(&host, &ca, "db1").unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(!error.hint().is_empty());
    }
    let foreign = ed25519();
    let host = certificate(CertSpec::host(&key).sign(&foreign));
    assert_eq!(
        check_host(&host, &ca, "db1").unwrap_err().to_string(),
        format!(
            "remote host's certificate is signed by {}, which is not a trusted CA key",
            foreign.fingerprint(HashAlg::Sha256)
        )
    );
}

#[test]
fn plain_host_keys_are_refused_unless_admitted() {
    let (ca, key) = (ed25519(), p256());
    let plain = PresentedKey::Plain(key.public_key().clone());
    let error = check_host(&plain, &ca, "db1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "remote host presented a public key, expected a host certificate"
    );
    assert_eq!(
        error.hint(),
        "copy /etc/ssh/ssh_host_ecdsa_key.pub from db1 to the proxy; on the proxy: rproxy auth sign \
         --host=db1 --public-key=ssh_host_ecdsa_key.pub; copy ssh_host_ecdsa_key-cert.pub to \
         /etc/ssh on db1; on db1: `HostCertificate /etc/ssh/ssh_host_ecdsa_key-cert.pub` in \
         /etc/ssh/sshd_config, then `systemctl reload ssh`"
    );

    let trusted = trust(&ca);
    let lax = HostPolicy {
        trusted: &trusted,
        accept_plain_keys: true,
    };
    let admitted = verify_host(&plain, lax, &names(&["db1"]), NOW).unwrap();
    assert!(!admitted.is_checked());
    assert_eq!(admitted.fingerprint(), key.fingerprint(HashAlg::Sha256));
    let good = certificate(CertSpec::host(&key).sign(&ca));
    assert!(
        verify_host(&good, lax, &names(&["db1"]), NOW)
            .unwrap()
            .is_checked()
    );
    let foreign = certificate(CertSpec::host(&key).sign(&ed25519()));
    assert!(verify_host(&foreign, lax, &names(&["db1"]), NOW).is_err());
}

#[test]
fn nested_certificates_are_refused_as_nested() {
    let ca = ed25519();
    let inner = CertSpec::user(&ed25519()).sign(&ca);
    let blob = blob_signed_by(&inner.to_bytes().unwrap());
    let nested = "ssh-ed25519-cert-v01@openssh.com".to_owned();
    assert_eq!(
        PresentedKey::decode(&blob),
        Err(KeyError::NestedCertificate(nested))
    );

    // The decoder of the library takes it; the decision must not.
    let decoded = Certificate::from_bytes(&blob).unwrap();
    assert!(decoded.signature_key().is_certificate());
    assert_eq!(
        verify_user(&decoded, &trust(&ca), None, NOW),
        Err(CertFault::NestedCertificate.into())
    );
    let inner_key = PublicKey::from(KeyData::Certificate(Box::new(inner)));
    assert!(!TrustedKeys::from(vec![inner_key.clone()]).contains(inner_key.key_data()));

    for name in [
        "rsa-sha2-512-cert-v01@openssh.com",
        "ssh-dss-cert-v01@openssh.com",
        "ssh-rsa-cert-v00@openssh.com",
    ] {
        assert_eq!(
            PresentedKey::decode(&blob_signed_by(&string(name.as_bytes()))),
            Err(KeyError::NestedCertificate(name.to_owned()))
        );
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let mut blob = blob_signed_by(&string(b"ssh-ed25519"));
    while blob.len() < 200_000 {
        blob = blob_signed_by(&blob);
    }
    assert!(matches!(
        PresentedKey::decode(&blob),
        Err(KeyError::NestedCertificate(_))
    ));
}

#[test]
fn keys_that_are_not_supported_or_not_canonical_are_refused() {
    let unsupported = |name: &str| Err(KeyError::Unsupported(name.to_owned()));
    for name in [
        "ssh-dss",
        "ssh-dss-cert-v01@openssh.com",
        "x@example.com",
        "rsa-sha2-512",
        "rsa-sha2-512-cert-v01@openssh.com",
    ] {
        assert_eq!(
            PresentedKey::decode(&string(name.as_bytes())),
            unsupported(name)
        );
    }
    assert_eq!(
        PresentedKey::decode(&blob_signed_by(&string(b"ssh-dss"))),
        Err(KeyError::UnsupportedCa("ssh-dss".to_owned()))
    );

    let plain = ed25519().public_key().to_bytes().unwrap();
    let cert = CertSpec::user(&ed25519())
        .sign(&ed25519())
        .to_bytes()
        .unwrap();
    for blob in [plain, cert] {
        assert!(PresentedKey::decode(&blob).is_ok());
        let trailing = [blob.as_slice(), b"\0"].concat();
        assert!(matches!(
            PresentedKey::decode(&trailing),
            Err(KeyError::Malformed(_))
        ));
        for end in 0..blob.len() {
            assert!(PresentedKey::decode(&blob[..end]).is_err());
        }
    }
}

#[test]
fn certificates_made_by_ssh_keygen_verify() {
    let dir = tempfile::tempdir().unwrap();
    let pub_file = dir.path().join("key.pub");
    for (ca, (ca_kind, ca_bits)) in keys().iter().zip(KEY_TYPES) {
        let ca_file = dir.path().join(format!("ca-{ca_kind}{ca_bits}"));
        ca.write_openssh_file(&ca_file, ssh_key::LineEnding::LF)
            .unwrap();
        for key in keys() {
            fs_write(&pub_file, &key.public_key().to_openssh().unwrap());
            let ca_path = ca_file.to_str().unwrap();
            ssh_keygen(
                dir.path(),
                &[
                    "-q",
                    "-s",
                    ca_path,
                    "-I",
                    "bob",
                    "-n",
                    "bob,ops",
                    "-z",
                    "7",
                    "-V",
                    "-1m:+1h",
                    "-O",
                    "source-address=127.0.0.0/8",
                    "-O",
                    "force-command=uptime",
                    "key.pub",
                ],
            );
            let verified = verify_line(&dir.path().join("key-cert.pub"), ca);
            assert_eq!(verified.key_id(), "bob");
            assert_eq!(verified.serial(), 7);
            assert_eq!(verified.principals(), ["bob", "ops"]);
            assert_eq!(verified.public_key(), key.public_key().key_data());
        }
    }
}

#[test]
fn certificates_valid_forever_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let ca = &keys()[0];
    let ca_file = dir.path().join("ca");
    ca.write_openssh_file(&ca_file, ssh_key::LineEnding::LF)
        .unwrap();
    let line = ed25519().public_key().to_openssh().unwrap();
    fs_write(&dir.path().join("key.pub"), &line);
    ssh_keygen(
        dir.path(),
        &["-q", "-s", "ca", "-I", "bob", "-n", "bob", "key.pub"],
    );
    let verified = verify_line(&dir.path().join("key-cert.pub"), ca);
    assert_eq!(verified.valid_before(), u64::MAX);
}

#[test]
fn rsa_signatures_of_the_ca_with_sha1_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = &keys()[4];
    let ca_file = dir.path().join("ca");
    ca.write_openssh_file(&ca_file, ssh_key::LineEnding::LF)
        .unwrap();
    let line = ed25519().public_key().to_openssh().unwrap();
    fs_write(&dir.path().join("key.pub"), &line);
    ssh_keygen(
        dir.path(),
        &[
            "-q", "-s", "ca", "-t", "ssh-rsa", "-I", "bob", "-n", "bob", "key.pub",
        ],
    );
    let text = fs::read_to_string(dir.path().join("key-cert.pub")).unwrap();
    let cert = Certificate::from_openssh(&text).unwrap();
    assert_eq!(
        verify_user(&cert, &trust(ca), None, NOW),
        Err(CertFault::Signature(SignatureError::Sha1).into())
    );
}

#[test]
fn security_keys_can_be_certified() {
    let ca = ed25519();
    let ed = ed25519()
        .public_key()
        .key_data()
        .ed25519()
        .copied()
        .unwrap();
    let point = match p256().public_key().key_data() {
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => *point,
        other => panic!("not a P-256 key: {other:?}"),
    };
    for key in [
        KeyData::from(SkEd25519::new(ed, "ssh:")),
        KeyData::from(SkEcdsaSha2NistP256::new(point, "ssh:")),
    ] {
        let spec = CertSpec::user(&ed25519()).with(|c| c.key = key.clone());
        let blob = spec.sign(&ca).to_bytes().unwrap();
        let presented = PresentedKey::decode(&blob).unwrap();
        assert_eq!(presented.key_data(), &key);
        let cert = presented.certificate().unwrap();
        assert!(verify_user(cert, &trust(&ca), None, NOW).is_ok());
        let nested = blob_signed_by(&blob);
        assert!(matches!(
            PresentedKey::decode(&nested),
            Err(KeyError::NestedCertificate(_))
        ));
    }
}

proptest! {
    #[test]
    fn no_flipped_byte_verifies(which in 0..5_usize, at in any::<proptest::sample::Index>(), mask in 1..=255_u8) {
        let (key, ca) = (&keys()[which], &keys()[(which + 3) % 5]);
        let mut blob = CertSpec::user(key).sign(ca).to_bytes().unwrap();
        let at = at.index(blob.len());
        blob[at] ^= mask;
        if let Ok(PresentedKey::Certificate(cert)) = PresentedKey::decode(&blob) {
            prop_assert!(verify_user(&cert, &trust(ca), None, NOW).is_err());
        }
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(PresentedKey::decode(&bytes).is_err());
    }
}

fn verify_line(file: &Path, ca: &PrivateKey) -> VerifiedUserCert {
    let text = fs::read_to_string(file).unwrap();
    let cert = Certificate::from_openssh(&text).unwrap();
    let presented = PresentedKey::decode(&cert.to_bytes().unwrap()).unwrap();
    let cert = presented.certificate().unwrap();
    let peer = "127.0.0.1".parse().unwrap();
    let now = crate::sys::clock::Clock::System.unix_seconds();
    verify_user(cert, &trust(ca), Some(peer), now).unwrap()
}

#[test]
fn a_host_certificate_is_to_be_renewed_in_its_last_third_or_month() {
    let ca = ed25519();
    let is_ending = |life: u64, left: u64| {
        let mut spec = CertSpec::host(&ed25519());
        spec.validity = (NOW + left - life, NOW + left);
        let policy = HostPolicy {
            trusted: &trust(&ca),
            accept_plain_keys: false,
        };
        let names = ["db1".to_owned()];
        let host = verify_host(&certificate(spec.sign(&ca)), policy, &names, NOW).unwrap();
        host.ending(NOW).is_some()
    };
    const DAY: u64 = 86_400;
    for (life, left, expected) in [
        (365 * DAY, 30 * DAY, false),
        (365 * DAY, 30 * DAY - 1, true),
        (365 * DAY, 1, true),
        (3 * DAY, DAY, false),
        (3 * DAY, DAY - 1, true),
        (90 * DAY, 29 * DAY, true),
    ] {
        assert_eq!(is_ending(life, left), expected, "{life} {left}");
    }
    let mut forever = CertSpec::host(&ed25519());
    forever.validity = (0, u64::MAX);
    let policy = HostPolicy {
        trusted: &trust(&ca),
        accept_plain_keys: true,
    };
    let names = ["db1".to_owned()];
    for presented in [
        certificate(forever.sign(&ca)),
        PresentedKey::Plain(ed25519().public_key().clone()),
    ] {
        let host = verify_host(&presented, policy, &names, NOW).unwrap();
        assert_eq!(host.ending(NOW), None);
    }
}
