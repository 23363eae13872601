//! The rungs of the ladder, with both proofs of an identity.

use std::net::IpAddr;

use ssh_key::PrivateKey;

use super::testing::sign_in;
use super::*;
use crate::cert::testing::{CertSpec, NOW, ed25519};
use crate::cert::{TrustedKeys, VerifiedUserCert, verify_user};
use crate::model::{Login, Target};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn route() -> Route {
    Route {
        target: Target::from_subsystem("proxy:db1:22").unwrap(),
        node: Some("db1".to_owned()),
        place: RequestedHost {
            name: "db1".to_owned(),
            labels: Vec::new(),
            is_locked: false,
        },
        also: Vec::new(),
        host: "db1".to_owned(),
        port: 22,
        names: vec!["db1".to_owned()],
        joined: None,
        way: HostWay::Direct,
    }
}

/// Everything is allowed.
fn free() -> Policy {
    Policy::new("", Permissions::default(), Vec::new(), Vec::new())
}

fn login(name: &str) -> Login {
    name.parse().unwrap()
}

/// Certificates of one authority.
struct Authority(PrivateKey);

impl Authority {
    fn certifies(&self, key: &PrivateKey, change: impl FnOnce(&mut CertSpec)) -> VerifiedUserCert {
        let trusted = TrustedKeys::from(vec![self.0.public_key().clone()]);
        let certificate = CertSpec::user(key).with(change).sign(&self.0);
        verify_user(&certificate, &trusted, None, NOW).unwrap()
    }
}

/// Alice, who has signed in with this key.
fn signed_in(key: &PrivateKey, change: impl FnOnce(&mut ConfirmedSignIn)) -> Identity {
    Identity::new(sign_in("alice", key.public_key(), change))
}

fn permit(identity: &Identity) -> Permit {
    authorize(&free(), identity, route(), CLIENT).unwrap()
}

fn key_of(key: &PrivateKey) -> InnerProof {
    InnerProof::Key(key.public_key().key_data().clone())
}

#[test]
fn an_identity_says_the_same_things_with_either_proof() {
    let (authority, key) = (Authority(ed25519()), ed25519());
    let by_certificate = Identity::new(authority.certifies(&key, |_| {}));
    let by_sign_in = signed_in(&key, |answer| answer.roles = vec!["dba".to_owned()]);
    for identity in [&by_certificate, &by_sign_in] {
        assert_eq!(identity.name(), "alice");
        assert_eq!(identity.key(), key.public_key().key_data());
        assert_eq!(
            identity.fingerprint(),
            key.fingerprint(ssh_key::HashAlg::Sha256)
        );
        assert!(identity.valid_before() > NOW);
        assert!(identity.allows_login(&login("deploy")));
        assert!(!identity.allows_login(&login("root")));
        assert_eq!(identity.logins(), Some(vec!["alice", "deploy"]));
    }
    assert_eq!(
        (by_certificate.serial(), by_sign_in.serial()),
        (Some(42), None)
    );
    assert!(by_certificate.roles().is_empty() && by_certificate.sign_in().is_none());
    assert_eq!(by_sign_in.roles(), ["dba"]);
    assert!(by_sign_in.certificate().is_none());
    assert!(matches!(by_certificate.life(), Life::Certificate(_)));
    assert!(matches!(by_sign_in.life(), Life::SignIn(_)));
}

#[test]
fn the_inner_connection_proves_the_same_in_the_same_way() {
    let (authority, key, other) = (Authority(ed25519()), ed25519(), ed25519());
    let certificate = |key| InnerProof::Certificate(Box::new(authority.certifies(key, |_| {})));
    let outer_certificate = Identity::new(authority.certifies(&key, |_| {}));
    let outer_sign_in = signed_in(&key, |_| {});
    let bobs = authority.certifies(&key, |spec| spec.key_id = "bob".to_owned());
    for (outer, inner, expected) in [
        (&outer_certificate, certificate(&key), None),
        (
            &outer_certificate,
            certificate(&other),
            Some("different-key"),
        ),
        (&outer_certificate, key_of(&key), Some("different-proof")),
        (
            &outer_certificate,
            InnerProof::Certificate(Box::new(bobs)),
            Some("different-identity"),
        ),
        (&outer_sign_in, key_of(&key), None),
        (&outer_sign_in, key_of(&other), Some("different-key")),
        (&outer_sign_in, certificate(&key), Some("different-proof")),
    ] {
        let judged = permit(outer).for_login(&free(), inner, login("deploy"));
        assert_eq!(judged.as_ref().err().map(Denial::reason), expected);
        let Ok(permit) = judged else { continue };
        assert_eq!(permit.identity().name(), "alice");
        assert_eq!(
            permit.credential(),
            outer.certificate(),
            "a sign-in has no certificate yet"
        );
    }
}

#[test]
fn the_logins_of_a_user_count_and_without_any_the_policy_decides() {
    let key = ed25519();
    let listed = signed_in(&key, |answer| answer.logins = Some(vec![login("deploy")]));
    let judge = |identity, name| {
        let judged = permit(identity).for_login(&free(), key_of(&key), login(name));
        judged.map(|_| ()).map_err(|denial| denial.to_string())
    };
    assert_eq!(judge(&listed, "deploy"), Ok(()));
    let refused = "login \"root\" is not among your logins (deploy)".to_owned();
    assert_eq!(judge(&listed, "root"), Err(refused));
    // Without a list the roles decide, and without roles nothing allows a login.
    let unlisted = signed_in(&key, |answer| answer.logins = None);
    let denied = authorize(&free(), &unlisted, route(), CLIENT).unwrap_err();
    assert_eq!(denied.rule().unwrap(), "\"alice\" has no role");
    assert!(logins_at(&free(), &unlisted.subject(), &route().place, CLIENT).is_empty());
    assert_eq!(
        logins_at(&free(), &listed.subject(), &route().place, CLIENT),
        ["deploy"]
    );
}

/// What a policy of one role makes of a sign-in that brings the role along.
#[test]
fn a_place_may_be_entered_if_some_login_is_allowed_there() {
    let role = |logins: &str, max_ttl| {
        let rule = Rule {
            line: 2,
            logins: Some(vec![logins.parse().unwrap()]),
            nodes: None,
            labels: Vec::new(),
        };
        std::sync::Arc::new(Role {
            name: "dba".to_owned(),
            line: 1,
            allow: Some(vec![rule]),
            deny: Vec::new(),
            may_connect_from: None,
            max_ttl,
            join: None,
            permit: RolePermit::default(),
        })
    };
    let policy = |role| Policy::new("f", Permissions::default(), vec![role], Vec::new());
    let postgres = policy(role("post*", None));
    let key = ed25519();
    let has_role = |answer: &mut ConfirmedSignIn| {
        answer.roles = vec!["dba".to_owned()];
        answer.logins = None;
    };
    let enters = |policy: &Policy, identity: &Identity| {
        authorize(policy, identity, route(), CLIENT)
            .map(|_| ())
            .map_err(|denial| denial.to_string())
    };
    assert_eq!(enters(&postgres, &signed_in(&key, has_role)), Ok(()));
    let denied = Err("access to db1 is denied".to_owned());
    assert_eq!(enters(&postgres, &signed_in(&key, |_| {})), denied);
    let root_only = signed_in(&key, |answer| {
        has_role(answer);
        answer.logins = Some(vec![login("root")]);
    });
    assert_eq!(enters(&postgres, &root_only), denied);
    let hour = Spanned {
        value: std::time::Duration::from_secs(3600),
        line: 3,
    };
    let short = policy(role("post*", Some(hour)));
    let too_long = "access to db1 takes sign-ins that last at most 1h, yours lasts 12h".to_owned();
    assert_eq!(enters(&short, &signed_in(&key, has_role)), Err(too_long));
}

#[test]
fn a_certificate_for_one_login_is_for_that_person_key_and_login() {
    let (authority, key, other) = (Authority(ed25519()), ed25519(), ed25519());
    let deploy = |spec: &mut CertSpec| spec.principals = vec!["deploy".to_owned()];
    let login_permit = || {
        permit(&signed_in(&key, |_| {}))
            .for_login(&free(), key_of(&key), login("deploy"))
            .unwrap()
    };
    let minted = authority.certifies(&key, deploy);
    let permit = login_permit().with_credential(minted.clone()).unwrap();
    assert_eq!(permit.credential(), Some(&minted));
    for (certificate, fault) in [
        (
            authority.certifies(&key, |spec| {
                deploy(spec);
                spec.key_id = "bob".to_owned();
            }),
            "it is for \"bob\"",
        ),
        (authority.certifies(&other, deploy), "it is for another key"),
        (
            authority.certifies(&key, |_| {}),
            "its principals are alice, deploy",
        ),
    ] {
        let refused = login_permit().with_credential(certificate).unwrap_err();
        assert_eq!(refused.to_string(), fault);
    }
}
