//! The client against servers and signers that lie.

use proptest::prelude::*;
use ssh_key::PrivateKey;

use super::*;
use crate::cert::SignatureError;
use crate::cert::testing::{CertSpec, ed25519, keys, p256, string};

/// A client that has been led to the given point by a well-behaved server.
fn client_after(key: &PrivateKey, packets: &[Vec<u8>]) -> ClientAuth {
    let blob = key.public_key().to_bytes().unwrap();
    let mut client = ClientAuth::new(SESSION.to_vec(), "deploy", "ssh-ed25519", blob, None);
    let mut out = Vec::new();
    client.start(&mut out);
    for packet in packets {
        client.on_packet(packet, &mut out).unwrap();
    }
    client
}

fn pk_ok(key: &PrivateKey) -> Vec<u8> {
    message::pk_ok("ssh-ed25519", &key.public_key().to_bytes().unwrap())
}

#[test]
fn a_server_cannot_lead_the_client_astray() {
    let (key, other) = (ed25519(), ed25519());
    let mut out = Vec::new();
    let queried = [service_accept()];
    let signing = [service_accept(), pk_ok(&key)];
    let info_request = [vec![60], string(b""), string(b""), string(b""), vec![0; 4]].concat();
    let table = [
        (&[][..], vec![52], AuthError::TrivialSuccess),
        (&queried, vec![52], AuthError::TrivialSuccess),
        (&signing, vec![52], AuthError::TrivialSuccess),
        (&queried, info_request.clone(), AuthError::DifferentRequest),
        (&queried, pk_ok(&other), AuthError::DifferentRequest),
        (&signing, pk_ok(&key), AuthError::DifferentRequest),
        (&[], failure_packet(), AuthError::Unexpected(51)),
        (&signing, failure_packet(), AuthError::Unexpected(51)),
        (&queried, vec![61], AuthError::Unexpected(61)),
        (&queried, vec![98], AuthError::Unexpected(98)),
        (&queried, service_accept(), AuthError::Unexpected(6)),
        (&queried, vec![], AuthError::Malformed),
        (&queried, vec![51, 0], AuthError::Malformed),
    ];
    for (before, packet, error) in table {
        let mut client = client_after(&key, before);
        out.clear();
        assert_eq!(
            client.on_packet(&packet, &mut out),
            Err(error),
            "{packet:?}"
        );
        assert!(out.is_empty());
    }

    let mut client = client_after(&key, &signing);
    let data = message::signed_data(SESSION, &client_request(&key));
    client.signed(&sign(&key, "", &data), &mut out).unwrap();
    assert_eq!(
        client.on_packet(&info_request, &mut out),
        Err(AuthError::DifferentRequest)
    );
}

fn client_request(key: &PrivateKey) -> Vec<u8> {
    let blob = key.public_key().to_bytes().unwrap();
    message::public_key_request("deploy", "ssh-ed25519", &blob, None, true)
}

/// Extensions that come after the service was asked for, and before it is accepted.
#[test]
fn what_is_announced_late_still_counts() {
    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    for host_key in [None, Some(HOST_KEY)] {
        let mut client = client_after(&key, &[]);
        client.offer("ssh-ed25519", host_key.map(<[u8]>::to_vec));
        let mut out = Vec::new();
        client.on_packet(&service_accept(), &mut out).unwrap();
        let query = message::public_key_request("deploy", "ssh-ed25519", &blob, host_key, false);
        assert_eq!(out, [query]);
        // What is offered stays as it is.
        client.offer("rsa-sha2-512", None);
        let event = client.on_packet(&pk_ok(&key), &mut out).unwrap();
        assert!(matches!(event, ClientAuthEvent::Sign { .. }), "{event:?}");
    }
}

#[test]
fn a_wrong_signature_is_not_sent() {
    let (key, other) = (ed25519(), ed25519());
    let signing = [service_accept(), pk_ok(&key)];
    let data = message::signed_data(SESSION, &client_request(&key));
    let good = sign(&key, "", &data);
    let trailing = [good.clone(), vec![0]].concat();
    let format = AuthError::WrongSignatureFormat("ssh-ed25519".to_owned());
    let wrong = AuthError::WrongSignature(SignatureError::Wrong);
    let table = [
        (sign(&other, "", &data), wrong),
        (
            sign(&key, "", b"x"),
            AuthError::WrongSignature(SignatureError::Wrong),
        ),
        (sign(&p256(), "", &data), format),
        (
            trailing,
            AuthError::WrongSignatureFormat("ssh-ed25519".to_owned()),
        ),
        (
            Vec::new(),
            AuthError::WrongSignatureFormat("ssh-ed25519".to_owned()),
        ),
    ];
    for (signature, error) in table {
        let mut client = client_after(&key, &signing);
        let mut out = Vec::new();
        assert_eq!(client.signed(&signature, &mut out), Err(error));
        assert_eq!(client.signed(&good, &mut out), Err(AuthError::Finished));
        assert!(out.is_empty());
    }
}

#[test]
fn failures_and_banners_reach_the_caller_within_bounds() {
    let key = ed25519();
    let mut out = Vec::new();
    let mut client = client_after(&key, &[service_accept()]);
    let partial = [vec![51], string(b"keyboard-interactive,password"), vec![1]].concat();
    assert_eq!(
        client.on_packet(&partial, &mut out),
        Ok(ClientAuthEvent::Failure {
            methods: vec!["keyboard-interactive".to_owned(), "password".to_owned()],
            partial: true,
        })
    );
    assert_eq!(
        client.on_packet(&partial, &mut out),
        Err(AuthError::Finished)
    );

    let mut client = client_after(&key, &[service_accept()]);
    let long = [vec![53], string(&[b'x'; 100_000]), string(b"")].concat();
    for round in 0..16 {
        let Ok(ClientAuthEvent::Banner(text)) = client.on_packet(&long, &mut out) else {
            panic!("no banner");
        };
        let left = [100_000, 128 * 1024 - 100_000];
        assert_eq!(text.shown().len(), left.get(round).copied().unwrap_or(0));
        assert_eq!(text.sent().len(), text.shown().len());
    }
    assert_eq!(
        client.on_packet(&long, &mut out),
        Err(AuthError::BannerFlood)
    );

    let mut client = client_after(&key, &[]);
    let sent = b"\x1b]0;x\x07hello\r\n\xff";
    let hostile = [vec![53], string(sent), string(b"")].concat();
    let Ok(ClientAuthEvent::Banner(text)) = client.on_packet(&hostile, &mut out) else {
        panic!("no banner");
    };
    assert_eq!(text.shown(), "]0;xhello\n\u{fffd}");
    assert_eq!(text.sent(), sent);
}

#[test]
fn rsa_certificates_are_presented_under_a_name_that_the_server_knows() {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let rsa = CertSpec::user(&keys()[4]).sign(&ed25519());
    let table = [
        (None, "rsa-sha2-512-cert-v01@openssh.com"),
        (
            Some(names(&["ssh-ed25519"])),
            "rsa-sha2-512-cert-v01@openssh.com",
        ),
        (
            Some(names(&["rsa-sha2-256"])),
            "rsa-sha2-256-cert-v01@openssh.com",
        ),
        (
            Some(names(&["rsa-sha2-256-cert-v01@openssh.com"])),
            "rsa-sha2-256-cert-v01@openssh.com",
        ),
        (
            Some(names(&["rsa-sha2-256", "rsa-sha2-512"])),
            "rsa-sha2-512-cert-v01@openssh.com",
        ),
    ];
    for (announced, name) in &table {
        let chosen = certificate_algorithms(&rsa, announced.as_deref(), false);
        assert_eq!(chosen, *name);
    }
    // Where SHA-1 may be used: only for a server that names nothing better.
    for (number, (announced, name)) in table.iter().enumerate() {
        let chosen = certificate_algorithms(&rsa, announced.as_deref(), true);
        let sha1 = "ssh-rsa-cert-v01@openssh.com";
        assert_eq!(chosen, if number < 2 { sha1 } else { *name });
    }
    let ed = CertSpec::user(&ed25519()).sign(&ed25519());
    assert_eq!(
        certificate_algorithms(&ed, None, true),
        "ssh-ed25519-cert-v01@openssh.com"
    );
}

proptest! {
    #[test]
    fn no_bytes_upset_the_client(packets in proptest::collection::vec(hostile_packet(), 0..8)) {
        let mut client = client_after(&ed25519(), &[]);
        let mut out = Vec::new();
        for packet in packets {
            let event = client.on_packet(&packet, &mut out);
            prop_assert!(!matches!(event, Ok(ClientAuthEvent::Success)));
        }
    }
}
