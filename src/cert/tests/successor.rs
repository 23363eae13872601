//! Certificates by which a key of the host CA names the next one: no use to a host, and no host's
//! certificate passes for one.

use super::*;
use crate::cert::testing::{CertSpec, ed25519, keys};
use crate::model::{ClusterName, HostPrincipal};

const PRINCIPAL: &str = "host-ca-successor@example.com";

fn cluster() -> ClusterName {
    "example.com".parse().unwrap()
}

/// The certificate in which the first test key names this one.
fn successor(key: &PrivateKey) -> Certificate {
    let template = successor_template(&cluster(), key.public_key()).unwrap();
    template.sign(&keys()[0]).unwrap()
}

#[test]
fn keys_of_every_kind_can_follow() {
    for key in keys() {
        let certificate = successor(key);
        check_successor(&certificate, &cluster()).unwrap();
        assert_eq!(certificate.public_key(), key.public_key().key_data());
        let line = certificate.to_openssh().unwrap();
        let PresentedKey::Certificate(read) = PresentedKey::from_line(&line).unwrap() else {
            panic!("{line}");
        };
        check_successor(&read, &cluster()).unwrap();
        let plain = ssh_key::PublicKey::new(key.public_key().key_data().clone(), "");
        let plain = plain.to_openssh().unwrap();
        assert!(line.ends_with(&format!(" {plain}")), "{line}");
    }
    let long = format!("{}.example.com", "a".repeat(230)).parse().unwrap();
    let refused = successor_template(&long, keys()[0].public_key()).unwrap_err();
    assert!(refused.hint().contains("cluster_name"), "{refused}");
}

#[test]
fn it_is_no_hosts_certificate() {
    let certificate = successor(&ed25519());
    let presented = PresentedKey::Certificate(Box::new(certificate.clone()));
    for name in ["db1", "example.com", "127.0.0.1", "host-ca-successor"] {
        let refused = check_host(&presented, &keys()[0], name).unwrap_err();
        assert!(
            matches!(refused, HostKeyError::WrongName { .. }),
            "{refused}"
        );
    }
    // A client that was told to look for this very name refuses the option.
    let refused = check_host(&presented, &keys()[0], PRINCIPAL).unwrap_err();
    let option = CertFault::UnknownCriticalOption(SUCCESSOR_OPTION.to_owned());
    assert!(
        matches!(&refused, HostKeyError::Fault { fault, .. } if *fault == option),
        "{refused}"
    );
    assert!(PRINCIPAL.parse::<HostPrincipal>().is_err());
    let trusted = trust(&keys()[0]);
    verify_user(&certificate, &trusted, None, NOW).unwrap_err();
}

/// A host looks for the option and the name of the one that it needs: neither passes for the other.
#[test]
fn a_key_of_the_user_ca_is_named_likewise_and_is_no_successor() {
    let key = ed25519();
    let template = user_ca_template(&cluster(), key.public_key()).unwrap();
    let certificate = template.sign(&keys()[0]).unwrap();
    assert_eq!(certificate.valid_principals(), ["user-ca@example.com"]);
    let options: Vec<_> = certificate.critical_options().keys().collect();
    assert_eq!(options, [USER_CA_OPTION]);
    assert_eq!(certificate.public_key(), key.public_key().key_data());
    assert!(matches!(
        check_successor(&certificate, &cluster()),
        Err(SuccessorError::Names(_))
    ));
    let presented = PresentedKey::Certificate(Box::new(certificate));
    for name in ["db1", "example.com", "user-ca", "user-ca@example.com"] {
        check_host(&presented, &keys()[0], name).unwrap_err();
    }
    assert!("user-ca@example.com".parse::<HostPrincipal>().is_err());
}

/// A worker that was taken gets no key of its own named.
#[test]
fn the_proxys_own_certificates_cannot_be_one() {
    let unsigned = |certificate: &Certificate| {
        let signed = key::signed_part(certificate).unwrap();
        check_proxy_host(&signed, keys()[0].public_key(), NOW)
    };
    for name in [PRINCIPAL, "user-ca@example.com"] {
        let of_host = CertSpec::host(&ed25519()).with(|spec| {
            spec.principals = vec![name.to_owned()];
            spec.key_id = name.to_owned();
            spec.validity = (NOW - 60, NOW + 600);
        });
        assert_eq!(
            unsigned(&of_host.sign(&keys()[0])),
            Err(UnsignedError::Names)
        );
    }
    unsigned(&successor(&ed25519())).unwrap_err();
    let of_users = user_ca_template(&cluster(), ed25519().public_key()).unwrap();
    unsigned(&of_users.sign(&keys()[0]).unwrap()).unwrap_err();
    // Nor with an option under a host's name.
    for option in [SUCCESSOR_OPTION, USER_CA_OPTION] {
        let of_host = CertSpec::host(&ed25519()).with(|spec| {
            spec.principals = vec!["proxy.example.com".to_owned()];
            spec.key_id = "proxy.example.com".to_owned();
            spec.validity = (NOW - 60, NOW + 600);
            spec.critical = vec![(option.to_owned(), String::new())];
        });
        assert_eq!(
            unsigned(&of_host.sign(&keys()[0])),
            Err(UnsignedError::Options)
        );
    }
}

#[test]
fn other_certificates_of_the_host_ca_name_no_successor() {
    let ca = &keys()[0];
    let check = |certificate: &Certificate| check_successor(certificate, &cluster()).unwrap_err();
    let host = |change: &dyn Fn(&mut CertSpec)| {
        check(
            &CertSpec::host(&ed25519())
                .with(|spec| change(spec))
                .sign(ca),
        )
    };
    let named = |spec: &mut CertSpec| spec.principals = vec![PRINCIPAL.to_owned()];
    let option = (SUCCESSOR_OPTION.to_owned(), String::new());
    assert!(matches!(host(&|_| {}), SuccessorError::Names(_)));
    assert_eq!(host(&named), SuccessorError::Options);
    let more_names = |spec: &mut CertSpec| {
        named(spec);
        spec.principals.push("db1".to_owned());
        spec.critical = vec![option.clone()];
    };
    assert!(matches!(host(&more_names), SuccessorError::Names(_)));
    let extension = |spec: &mut CertSpec| {
        named(spec);
        spec.critical = vec![option.clone()];
        spec.extensions = vec!["node-id@rproxy".to_owned()];
    };
    assert_eq!(host(&extension), SuccessorError::Options);
    let user = CertSpec::user(&ed25519()).with(|spec| {
        named(spec);
        spec.critical = vec![option.clone()];
        spec.extensions.clear();
    });
    assert_eq!(check(&user.sign(ca)), SuccessorError::NotAHost);
    let elsewhere = successor_template(&"example.net".parse().unwrap(), ed25519().public_key());
    let elsewhere = elsewhere.unwrap().sign(ca).unwrap();
    assert!(matches!(check(&elsewhere), SuccessorError::Names(_)));
    // The signature of another certificate.
    let (one, other) = (successor(&ed25519()), successor(&keys()[1]));
    let mut forged = key::signed_part(&one).unwrap();
    let signature = certificate_blob(&other).unwrap();
    forged.extend(&signature[key::signed_part(&other).unwrap().len()..]);
    let PresentedKey::Certificate(forged) = PresentedKey::decode(&forged).unwrap() else {
        panic!("no certificate");
    };
    assert!(matches!(
        check(&forged),
        SuccessorError::Fault(CertFault::Signature(_))
    ));
}
