//! Signatures of security keys by way of a browser: what OpenSSH takes, each field made wrong, CAs that sign
//! so.

use proptest::prelude::*;
use ssh_encoding::Encode as _;
use ssh_key::Algorithm;

use super::*;
use crate::cert::key::signed_part;
use crate::cert::testing::{Browser, CertSpec, ed25519, string};

const MESSAGE: &[u8] = b"session and request \xff\xfe\xfb: what is signed";

fn check(browser: &Browser, signature: &[u8], message: &[u8]) -> Result<(), SignatureError> {
    let signature = read_signature(signature).expect("well-formed");
    check_signature(&browser.public(), message, &signature)
}

#[test]
fn what_openssh_takes_verifies() {
    type BrowserEdit = fn(&mut Browser);
    let fine: [BrowserEdit; 8] = [
        |_| {},
        |b| b.flags |= Browser::VERIFIED,
        // Whether that will do is not decided here.
        |b| b.flags = 0,
        |b| {
            b.flags |= Browser::EXTENDED;
            b.extensions = b"\xa1\x61x\x01".to_vec();
        },
        |b| b.origin.clear(),
        // Fields of later standards.
        |b| b.client_data = |honest| [&honest[..honest.len() - 1], b",\"x\":{\"y\":1}}"].concat(),
        |b| b.client_data = |honest| [&honest, &b"and no JSON at all"[..]].concat(),
        |b| b.name = WEBAUTHN_CERTIFICATE,
    ];
    for (number, change) in fine.into_iter().enumerate() {
        let browser = Browser::new().with(change);
        let signature = browser.sign(MESSAGE);
        assert_eq!(check(&browser, &signature, MESSAGE), Ok(()), "{number}");
        let read = read_signature(&signature).unwrap();
        assert_eq!(security_key_flags(&read), Some(browser.flags), "{number}");
    }
    let browser = Browser::new();
    for length in 0..4 {
        let message = &MESSAGE[..length];
        assert_eq!(check(&browser, &browser.sign(message), message), Ok(()));
    }
}

/// What the key has signed, and is not what this message's signature must have.
#[test]
fn what_openssh_refuses_does_not_verify() {
    type BrowserEdit = fn(&mut Browser);
    fn replaced(honest: &[u8], from: &str, to: &str) -> Vec<u8> {
        let text = String::from_utf8(honest.to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).into_bytes()
    }
    let wrong: [(BrowserEdit, SignatureError); 13] = [
        (
            |b| b.client_data = |honest| replaced(&honest, "webauthn.get", "webauthn.create"),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| replaced(&honest, "{\"type\"", "{ \"type\""),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| replaced(&honest, "challenge\":\"", "challenge\":\"x"),
            SignatureError::ClientData,
        ),
        // Padding, and the other alphabet of RFC 4648.
        (
            |b| b.client_data = |honest| replaced(&honest, "\",\"origin", "=\",\"origin"),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| replaced(&honest, "_", "/"),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| replaced(&honest, "login.", "evil."),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| replaced(&honest, "example.com\"", "example.com.evil\""),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |honest| honest[..40].to_vec(),
            SignatureError::ClientData,
        ),
        (
            |b| b.client_data = |_| Vec::new(),
            SignatureError::ClientData,
        ),
        (
            |b| b.origin = b"https://a\",\"x\":\"y".to_vec(),
            SignatureError::Wrong,
        ),
        (|b| b.flags |= 0x40, SignatureError::Wrong),
        (|b| b.flags |= Browser::EXTENDED, SignatureError::Wrong),
        (|b| b.extensions = vec![0xa0], SignatureError::Wrong),
    ];
    for (number, (change, error)) in wrong.into_iter().enumerate() {
        let browser = Browser::new().with(change);
        let signature = browser.sign(MESSAGE);
        assert_eq!(check(&browser, &signature, MESSAGE), Err(error), "{number}");
    }
}

/// What an attacker changes on the way.
#[test]
fn each_field_is_signed() {
    let browser = Browser::new().with(|b| {
        b.flags |= Browser::EXTENDED;
        b.extensions = b"\xa1\x61x\x01".to_vec();
    });
    let good = browser.sign(MESSAGE);
    assert_eq!(check(&browser, &good, MESSAGE), Ok(()));
    for other in [&b""[..], &MESSAGE[1..], b"another message"] {
        assert_eq!(
            check(&browser, &good, other),
            Err(SignatureError::ClientData)
        );
    }
    let elsewhere = browser.clone().with(|b| b.application = "ssh:".to_owned());
    assert_eq!(
        check(&elsewhere, &good, MESSAGE),
        Err(SignatureError::Wrong)
    );
    let another = browser.clone().with(|b| b.key = Browser::new().key);
    assert_eq!(check(&another, &good, MESSAGE), Err(SignatureError::Wrong));
    let name = 4 + WEBAUTHN.len();
    for at in name..good.len() {
        for bits in [0x01, 0x80] {
            let mut changed = good.clone();
            changed[at] ^= bits;
            let verdict = read_signature(&changed)
                .map(|signature| check_signature(&browser.public(), MESSAGE, &signature));
            assert_ne!(verdict, Some(Ok(())), "{at}");
        }
    }
    for end in 0..good.len() {
        let cut = read_signature(&good[..end]);
        assert!(cut.is_none(), "{end}");
    }
    assert!(read_signature(&[&good[..], b"\0"].concat()).is_none());
}

/// Either of the two numbers of which s can be: OpenSSH takes both.
#[test]
fn a_low_and_a_high_s_verify() {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&ORDER[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let browser = Browser::new();
    let good = browser.sign(MESSAGE);
    let mut rest = &good[4 + WEBAUTHN.len()..];
    let mut take = || {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap());
        let (field, after) = rest[4..].split_at(usize::try_from(length).unwrap());
        rest = after;
        field.to_vec()
    };
    let ecdsa = take();
    let after = rest.to_vec();
    let length = usize::try_from(u32::from_be_bytes(ecdsa[..4].try_into().unwrap())).unwrap();
    let (r, s) = ecdsa.split_at(4 + length);
    let s: Vec<u8> = s[4..]
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    let s = [vec![0; 32 - s.len()], s].concat();
    let mut other = vec![0_u8; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i32::from(order[at]) - i32::from(s[at]) - borrow;
        borrow = i32::from(difference < 0);
        other[at] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    let other: Vec<u8> = other.into_iter().skip_while(|byte| *byte == 0).collect();
    let sign = vec![0; usize::from(other[0] >= 0x80)];
    let ecdsa = [r, &string(&[sign, other].concat())].concat();
    let changed = [string(WEBAUTHN.as_bytes()), string(&ecdsa), after].concat();
    assert_ne!(changed, good);
    assert_eq!(check(&browser, &changed, MESSAGE), Ok(()));
}

#[test]
fn other_keys_do_not_sign_so() {
    let browser = Browser::new();
    let signature = read_signature(&browser.sign(MESSAGE)).unwrap();
    for key in [&browser.key, &ed25519()] {
        let key = key.public_key().key_data();
        assert!(matches!(
            check_signature(key, MESSAGE, &signature),
            Err(SignatureError::Algorithm { .. })
        ));
        assert!(!is_made_by(&signature, &key.algorithm()));
    }
    assert!(is_made_by(&signature, &Algorithm::SkEcdsaSha2NistP256));
    let plain = read_signature(&browser.sign_plainly(MESSAGE)).unwrap();
    assert_eq!(check_signature(&browser.public(), MESSAGE, &plain), Ok(()));
    assert!(is_made_by(&plain, &Algorithm::SkEcdsaSha2NistP256));
}

/// A certificate whose CA's key is such a one.
fn certified_by(browser: &Browser, spec: CertSpec) -> Vec<u8> {
    let stand_in = ed25519();
    let mut blob = signed_part(&spec.sign(&stand_in)).unwrap();
    let key = stand_in.public_key().to_bytes().unwrap();
    blob.truncate(blob.len() - string(&key).len());
    blob.extend(string(&browser.public().encode_vec().unwrap()));
    let signature = browser.sign(&blob);
    blob.extend(string(&signature));
    blob
}

fn verify(blob: &[u8], ca: &Browser) -> Result<(), UserCertError> {
    let trusted = TrustedKeys::from(vec![ca.public().into()]);
    let presented = PresentedKey::decode(blob).unwrap();
    let certificate = presented.certificate().unwrap();
    assert_eq!(certificate_blob(certificate).unwrap(), blob);
    verify_user(certificate, &trusted, None, NOW).map(drop)
}

/// OpenSSH 10.3 has the name among its default `CASignatureAlgorithms`.
#[test]
fn a_ca_may_sign_so() {
    let browser = Browser::new();
    let blob = certified_by(&browser, CertSpec::user(&ed25519()));
    assert_eq!(verify(&blob, &browser), Ok(()));
    let another = Browser::new();
    let forged = browser.clone().with(|b| b.key = another.key.clone());
    assert!(matches!(
        verify(&blob, &forged),
        Err(UserCertError::Fault(CertFault::UnknownAuthority(_)))
    ));
    let expired = CertSpec::user(&ed25519()).with(|c| c.validity = (NOW - 60, NOW - 1));
    assert!(matches!(
        verify(&certified_by(&browser, expired), &browser),
        Err(UserCertError::Fault(CertFault::Expired(_)))
    ));
    let other_text = browser.clone().with(|b| b.client_data = |_| b"{}".to_vec());
    assert_eq!(
        verify(
            &certified_by(&other_text, CertSpec::user(&ed25519())),
            &browser
        ),
        Err(CertFault::Signature(SignatureError::ClientData).into())
    );
    // The certificate algorithm's name is no signature's there.
    let misnamed = browser.with(|b| b.name = WEBAUTHN_CERTIFICATE);
    let blob = certified_by(&misnamed, CertSpec::user(&ed25519()));
    assert!(matches!(
        PresentedKey::decode(&blob),
        Err(KeyError::Malformed(_))
    ));
}

/// There is one encoding of each, and nothing inside or after it.
#[test]
fn a_certificate_with_such_a_signature_has_one_encoding() {
    let browser = Browser::new();
    let blob = certified_by(&browser, CertSpec::user(&ed25519()));
    for end in 0..blob.len() {
        assert!(PresentedKey::decode(&blob[..end]).is_err(), "{end}");
    }
    assert!(PresentedKey::decode(&[&blob[..], b"\0"].concat()).is_err());
    // A signature in the form that it has in memory.
    let signature = browser.sign(b"x");
    let fields = &signature[4 + WEBAUTHN.len()..];
    let inner = [string(WEBAUTHN.as_bytes()), string(fields)].concat();
    let mut folded =
        signed_part(PresentedKey::decode(&blob).unwrap().certificate().unwrap()).unwrap();
    folded.extend(string(&inner));
    assert!(verify(&folded, &browser).is_err());
}

proptest! {
    #[test]
    fn no_flipped_byte_of_a_certificate_verifies(at in any::<proptest::sample::Index>(), mask in 1..=255_u8) {
        let browser = Browser::new();
        let mut blob = certified_by(&browser, CertSpec::user(&ed25519()));
        let at = at.index(blob.len());
        blob[at] ^= mask;
        if let Ok(PresentedKey::Certificate(cert)) = PresentedKey::decode(&blob) {
            let trusted = TrustedKeys::from(vec![browser.public().into()]);
            prop_assert!(verify_user(&cert, &trusted, None, NOW).is_err());
        }
    }
}
