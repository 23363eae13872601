//! Security keys that sign by way of a browser, both roles (PROTOCOL.u2f), and kinds of keys that are not
//! known.

use ssh_encoding::Encode as _;

use super::*;
use crate::cert::testing::{Browser, blob_signed_by, p256};
use crate::cert::{KeyError, SignatureError, WEBAUTHN, WEBAUTHN_CERTIFICATE};

const SK: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const SK_CERTIFICATE: &str = "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";

fn certified(browser: &Browser, change: fn(&mut CertSpec)) -> Vec<u8> {
    let spec = CertSpec::user(&ed25519()).with(|c| c.key = browser.public());
    spec.with(change).sign(&ed25519()).to_bytes().unwrap()
}

/// What a server makes of a request with a signature.
fn judged(
    name: &str,
    blob: &[u8],
    host_key: Option<&[u8]>,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> ServerAuthEvent {
    let mut request = message::public_key_request("deploy", name, blob, host_key, true);
    let signature = sign(&message::signed_data(SESSION, &request));
    message::put_string(&mut request, &signature);
    feed(&mut started_server(), &request).0.unwrap()
}

fn reason(event: ServerAuthEvent) -> Option<OfferError> {
    match event {
        ServerAuthEvent::Attempt(..) => None,
        ServerAuthEvent::Refused { reason, .. } => Some(reason),
        other => panic!("{other:?}"),
    }
}

/// As in OpenSSH's auth2-pubkey.c: the request's name says the kind of key, and either form of
/// signature will do.
#[test]
fn either_name_takes_either_form_of_signature() {
    let browser = Browser::new();
    let plain = browser.public().encode_vec().unwrap();
    let certificate = certified(&browser, |_| {});
    let names = [
        (SK, &plain),
        (WEBAUTHN, &plain),
        (SK_CERTIFICATE, &certificate),
        (WEBAUTHN_CERTIFICATE, &certificate),
    ];
    for (name, blob) in names {
        for host_key in [None, Some(HOST_KEY)] {
            for sign in [Browser::sign, Browser::sign_plainly] {
                let event = judged(name, blob, host_key, |data| sign(&browser, data));
                assert_eq!(reason(event), None, "{name}");
            }
        }
        let event = judged(name, blob, None, |_| browser.sign(b"another request"));
        assert_eq!(
            reason(event),
            Some(OfferError::Signature(SignatureError::ClientData))
        );
        let trailing = judged(name, blob, None, |data| {
            [browser.sign(data), vec![0]].concat()
        });
        assert_eq!(reason(trailing), Some(OfferError::MalformedSignature));
        let other = if *blob == plain { &certificate } else { &plain };
        let mismatch = judged(name, other, None, |data| browser.sign(data));
        assert_eq!(
            reason(mismatch),
            Some(OfferError::Mismatch(name.to_owned()))
        );
    }
    // It is no algorithm of other keys, nor of other names.
    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    let event = judged("ssh-ed25519", &blob, None, |data| browser.sign(data));
    assert_eq!(reason(event), Some(OfferError::MalformedSignature));
    let event = judged(WEBAUTHN, &blob, None, |data| browser.sign(data));
    assert_eq!(
        reason(event),
        Some(OfferError::Mismatch(WEBAUTHN.to_owned()))
    );
}

#[test]
fn the_flags_of_a_browsers_signature_count_as_any_security_keys() {
    let browser = Browser::new();
    let plain = browser.public().encode_vec().unwrap();
    let certificate = certified(&browser, |_| {});
    let no_touch = certified(&browser, |c| {
        c.extensions.insert(0, "no-touch-required".to_owned());
    });
    let verify = certified(&browser, |c| {
        c.critical = vec![("verify-required".to_owned(), String::new())];
    });
    let table = [
        (WEBAUTHN, &plain, 0, Some(OfferError::NoTouch)),
        (WEBAUTHN, &plain, Browser::TOUCHED, None),
        (
            WEBAUTHN_CERTIFICATE,
            &certificate,
            Browser::VERIFIED,
            Some(OfferError::NoTouch),
        ),
        (WEBAUTHN_CERTIFICATE, &no_touch, 0, None),
        (
            SK_CERTIFICATE,
            &verify,
            Browser::TOUCHED,
            Some(OfferError::NotVerified),
        ),
        (
            SK_CERTIFICATE,
            &verify,
            Browser::TOUCHED | Browser::VERIFIED,
            None,
        ),
    ];
    for (name, blob, flags, refused) in table {
        let browser = browser.clone().with(|b| b.flags = flags);
        let event = judged(name, blob, None, |data| browser.sign(data));
        assert_eq!(reason(event), refused, "{name} {flags}");
    }
}

/// What an agent has a browser sign goes to the host as it came, under either name.
#[test]
fn the_client_passes_a_browsers_signature_on() {
    let browser = Browser::new();
    let blob = certified(&browser, |_| {});
    for name in [SK_CERTIFICATE, WEBAUTHN_CERTIFICATE] {
        for (change, sent) in [
            ((|_| {}) as fn(&mut Browser), true),
            (|b| b.client_data = |_| b"{}".to_vec(), false),
            (|b| b.key = p256(), false),
        ] {
            let signer = browser.clone().with(change);
            let mut client = ClientAuth::new(SESSION.to_vec(), "deploy", name, blob.clone(), None);
            let mut out = Vec::new();
            client.start(&mut out);
            client.on_packet(&service_accept(), &mut out).unwrap();
            let event = client.on_packet(&message::pk_ok(name, &blob), &mut out);
            let Ok(ClientAuthEvent::Sign { data }) = event else {
                panic!("{event:?}");
            };
            out.clear();
            let signature = signer.sign(&data);
            let verdict = client.signed(&signature, &mut out);
            assert_eq!(verdict.is_ok(), sent, "{verdict:?}");
            match out.as_slice() {
                [packet] => assert!(sent && packet.ends_with(&string(&signature))),
                packets => assert!(!sent && packets.is_empty()),
            }
        }
    }
}

/// OpenSSH before 10.3 does not list the browsers' name unless it is told to; a server that lists it alone
/// is given it.
#[test]
fn a_server_is_offered_the_name_that_it_knows() {
    let certificate = certified(&Browser::new(), |_| {});
    let PresentedKey::Certificate(certificate) = PresentedKey::decode(&certificate).unwrap() else {
        panic!("not a certificate");
    };
    let offered = |lists: Option<&[&str]>| {
        let lists: Option<Vec<String>> =
            lists.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        certificate_algorithms(&certificate, lists.as_deref(), false)
    };
    assert_eq!(offered(None), SK_CERTIFICATE);
    assert_eq!(offered(Some(&[])), SK_CERTIFICATE);
    assert_eq!(offered(Some(&["ssh-ed25519", SK])), SK_CERTIFICATE);
    assert_eq!(offered(Some(&[WEBAUTHN, SK])), SK_CERTIFICATE);
    assert_eq!(offered(Some(&[WEBAUTHN])), WEBAUTHN_CERTIFICATE);
    assert_eq!(offered(Some(&[WEBAUTHN_CERTIFICATE])), WEBAUTHN_CERTIFICATE);
}

/// A newer OpenSSH has kinds of keys that are not known here: of users and of CAs. Each has a sentence.
#[test]
fn kinds_of_keys_that_are_not_known_are_named() {
    const NEW: &str = "ssh-mldsa44-ed25519@openssh.com";
    const NEW_CERTIFICATE: &str = "ssh-mldsa44-ed25519-cert-v01@openssh.com";
    let key = [string(NEW.as_bytes()), string(&[7; 1344])].concat();
    let refused = |name: &str, blob: &[u8]| {
        let query = message::public_key_request("deploy", name, blob, None, false);
        match feed(&mut started_server(), &query).0.unwrap() {
            ServerAuthEvent::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    for name in [NEW, NEW_CERTIFICATE] {
        let reason = refused(name, &key);
        assert_eq!(reason, OfferError::Algorithm(name.to_owned()));
        assert!(reason.to_string().contains(name), "{reason}");
        assert!(reason.hint().contains("does not know this kind of key"));
    }
    // Under a name that is known.
    let reason = refused("ssh-ed25519", &key);
    assert_eq!(
        reason,
        OfferError::Key(KeyError::Unsupported(NEW.to_owned()))
    );
    assert!(reason.hint().contains("does not know this kind of key"));
    let reason = refused("ssh-ed25519-cert-v01@openssh.com", &blob_signed_by(&key));
    assert_eq!(
        reason,
        OfferError::Key(KeyError::UnsupportedCa(NEW.to_owned()))
    );
    assert!(reason.to_string().contains("CA key"), "{reason}");
    assert!(reason.hint().contains("does not know this kind of CA key"));
}
