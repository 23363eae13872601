//! What is asked of a CA and what it signs.

use std::time::Duration;

use proptest::prelude::*;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use uuid::Uuid;

use super::*;
use crate::cert::testing::{CertSpec, NOW, ed25519, keys, ssh_keygen};
use crate::model::{HostPrincipal, NodeId, Principal, Serial};

#[test]
fn ssh_keygen_reads_what_a_template_signs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key-cert.pub");
    for ca in keys() {
        for key in keys() {
            let request = user_request(key.public_key().clone());
            let serial = Serial::new(u64::MAX >> 1).unwrap();
            let template = request.template(serial, NOW, MAX_USER_TTL).unwrap();
            let cert = template.sign(ca).unwrap();
            fs_write(&file, &cert.to_openssh().unwrap());
            let listing = ssh_keygen(dir.path(), &["-L", "-f", "key-cert.pub"]);
            for expected in [
                "user certificate",
                "Key ID: \"alice\"",
                "Serial: 9223372036854775807",
                "Valid: from 2027-01-15T07:59:00 to 2027-01-15T20:00:00",
                "source-address 203.0.113.10/32,10.0.0.0/8",
                "permit-X11-forwarding",
                "permit-user-rc",
                " deploy",
            ] {
                assert!(
                    listing.contains(expected),
                    "{expected:?} is not in {listing}"
                );
            }
            let peer = "10.1.2.3".parse().unwrap();
            assert!(verify_user(&cert, &trust(ca), Some(peer), NOW).is_ok());
        }
    }
    let request = HostRequest {
        names: hosts(&["db1", "10.0.0.5"]),
        public_key: ed25519().public_key().clone(),
        ttl: Duration::from_secs(365 * 86400),
        extensions: None,
    };
    let ca = &keys()[0];
    let cert = request
        .template(random_serial(), NOW)
        .unwrap()
        .sign(ca)
        .unwrap();
    fs_write(&file, &cert.to_openssh().unwrap());
    let listing = ssh_keygen(dir.path(), &["-L", "-f", "key-cert.pub"]);
    for expected in ["host certificate", "Key ID: \"db1\"", "Extensions: (none)"] {
        assert!(
            listing.contains(expected),
            "{expected:?} is not in {listing}"
        );
    }
    assert_eq!(check_host(&certificate(cert), ca, "10.0.0.5"), Ok(()));
}

/// ssh-keygen shows what it does not know, and a host with such a certificate is verified as any other.
#[test]
fn the_certificate_of_a_node_says_which_node_it_is() {
    let node_id = NodeId::new();
    let extensions = HostExtensions {
        node_id,
        node_name: "db1".parse().unwrap(),
        cluster: "example.com".parse().unwrap(),
    };
    let request = HostRequest {
        names: hosts(&["db1", "db1.example.com"]),
        public_key: ed25519().public_key().clone(),
        ttl: Duration::from_secs(30 * 86400),
        extensions: Some(extensions),
    };
    let ca = &keys()[0];
    let cert = request
        .template(random_serial(), NOW)
        .unwrap()
        .sign(ca)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs_write(
        &dir.path().join("key-cert.pub"),
        &cert.to_openssh().unwrap(),
    );
    let listing = ssh_keygen(dir.path(), &["-L", "-f", "key-cert.pub"]);
    for (name, value) in [
        ("cluster@rproxy", "example.com".to_owned()),
        ("node-id@rproxy", node_id.to_string()),
        ("node-name@rproxy", "db1".to_owned()),
        ("role@rproxy", "node".to_owned()),
    ] {
        assert!(listing.contains(name), "{name:?} is not in {listing}");
        assert_eq!(cert.extensions().get(name), Some(&value));
    }
    let verified = |cert| {
        let presented = certificate(cert);
        let policy = HostPolicy {
            trusted: &trust(ca),
            accept_plain_keys: false,
        };
        verify_host(&presented, policy, &names(&["db1"]), NOW).unwrap()
    };
    assert_eq!(verified(cert).node_id(), Some(node_id));
    let by_hand = CertSpec::host(&ed25519());
    assert_eq!(verified(by_hand.sign(ca)).node_id(), None);
    // What is no id is that of no node.
    let broken = CertSpec::host(&ed25519());
    let broken = broken.with(|spec| spec.extensions = vec!["node-id@rproxy".to_owned()]);
    let id = verified(broken.sign(ca)).node_id();
    assert_eq!(id, Some(NodeId::from(Uuid::nil())));
}

#[test]
fn requests_that_break_a_rule_are_refused() {
    type RequestEdit = fn(&mut UserRequest);
    let certified = CertSpec::user(&ed25519()).sign(&ed25519());
    let table: Vec<(RequestEdit, &str)> = vec![
        (
            |r| r.logins.clear(),
            "no logins given: a certificate without principals would be valid for all of them",
        ),
        (
            |r| r.logins = principals(&["a", "b", "a"]),
            "a is given twice",
        ),
        (
            |r| r.ttl = Duration::from_millis(999),
            "the time to live is zero",
        ),
        (
            |r| r.ttl = MAX_USER_TTL + Duration::from_secs(1),
            "the time to live 1d6h1s is too long, this certificate may live 1d6h at most",
        ),
        (
            |r| r.source_addresses = vec!["10.0.0.1/8".to_owned()],
            "\"10.0.0.1/8\" has address bits beyond its mask",
        ),
        (
            |r| r.source_addresses = vec![String::new()],
            "the source-address list has an empty entry",
        ),
    ];
    let serial = random_serial();
    for (change, text) in table {
        let mut request = user_request(ed25519().public_key().clone());
        change(&mut request);
        let error = request.template(serial, NOW, MAX_USER_TTL).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(!error.hint().is_empty());
    }
    let certified = PublicKey::from(KeyData::Certificate(Box::new(certified)));
    assert_eq!(
        user_request(certified)
            .template(serial, NOW, MAX_USER_TTL)
            .unwrap_err(),
        RequestError::Certificate
    );
    let for_ever = HostRequest {
        names: hosts(&["db1"]),
        public_key: ed25519().public_key().clone(),
        ttl: Duration::MAX,
        extensions: None,
    };
    assert_eq!(
        for_ever.template(serial, NOW).unwrap_err(),
        RequestError::TtlOverflow
    );
}

#[test]
fn public_key_files_are_read_and_what_is_not_one_is_named() {
    let key = ed25519();
    let line = key.public_key().to_openssh().unwrap();
    assert_eq!(
        parse_public_key(&format!("{line} alice@laptop\n"))
            .unwrap()
            .key_data(),
        key.public_key().key_data()
    );
    let cert = CertSpec::user(&key).sign(&ed25519()).to_openssh().unwrap();
    assert_eq!(parse_public_key(&cert), Err(RequestError::Certificate));
    let private = key.to_openssh(ssh_key::LineEnding::LF).unwrap();
    for text in [
        "",
        "hello",
        "hello world",
        private.as_str(),
        "\0\0",
        &format!("{line}\n{line}"),
    ] {
        assert_eq!(
            parse_public_key(text),
            Err(RequestError::NotAKey),
            "{text:?}"
        );
    }
    assert_eq!(
        parse_public_key("ssh-dss AAAAB3NzaC1kc3M="),
        Err(RequestError::Key(KeyError::Unsupported(
            "ssh-dss".to_owned()
        )))
    );
    let broken = &line[..line.len() - 8];
    assert!(matches!(
        parse_public_key(broken),
        Err(RequestError::Key(KeyError::Malformed(_)))
    ));
}

proptest! {
    #[test]
    fn templates_always_verify(ttl in 1..=MAX_USER_TTL.as_secs(), now in 0..200_000_000_000_u64) {
        let mut request = user_request(ed25519().public_key().clone());
        request.ttl = Duration::from_secs(ttl);
        request.source_addresses.clear();
        let ca = ed25519();
        let template = request.template(random_serial(), now, MAX_USER_TTL).unwrap();
        let cert = template.sign(&ca).unwrap();
        prop_assert!(verify_user(&cert, &trust(&ca), None, now).is_ok());
        prop_assert!(verify_user(&cert, &trust(&ca), None, now + ttl).is_err());
    }
}

fn principals(names: &[&str]) -> Vec<Principal> {
    names.iter().map(|n| n.parse().unwrap()).collect()
}

fn hosts(names: &[&str]) -> Vec<HostPrincipal> {
    names.iter().map(|n| n.parse().unwrap()).collect()
}

fn user_request(public_key: PublicKey) -> UserRequest {
    UserRequest {
        identity: "alice".parse().unwrap(),
        logins: principals(&["alice", "deploy"]),
        public_key,
        ttl: Duration::from_secs(12 * 3600),
        source_addresses: names(&["203.0.113.10/32", " 10.0.0.0/8 "]),
        sign_in: None,
    }
}
