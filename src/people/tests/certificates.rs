//! Certificates for people who are signed in.

use std::time::Duration;

use ssh_key::Certificate;

use super::house::{House, HouseClient, HouseKey, reason, refusal, signed_in};
use crate::cert::testing::ed25519;
use crate::cert::{MAX_USER_TTL, UserRequest, random_serial};
use crate::ipc::{OwnCommand, PeopleAnswer, PeopleQuestion};
use crate::people::RequiredFactor;
use crate::people::totp::OtpSecret;

fn alice() -> (House, HouseKey, OtpSecret) {
    let house = House::new(RequiredFactor::Otp);
    let (key, secret) = house.signed_up("alice");
    (house.later(13 * 3_600), key, secret)
}

fn last(house: &House) -> UserRequest {
    house.issued.0.lock().unwrap().last().unwrap().clone()
}

fn is_issued(client: &HouseClient<'_>, login: &str) -> bool {
    matches!(client.certificate(login), PeopleAnswer::Certificate(_))
}

#[test]
fn a_connection_gets_one_login_for_five_minutes_from_the_proxys_addresses() {
    let (house, key, secret) = alice();
    let client = house.client_with("postgres", key.clone());
    client.sign_in(&secret);
    assert!(is_issued(&client, "postgres"));
    let request = last(&house);
    assert_eq!(request.identity.as_str(), "alice");
    let logins: Vec<_> = request.logins.iter().map(|login| login.as_str()).collect();
    assert_eq!(logins, ["postgres"]);
    assert_eq!(request.public_key.key_data(), key.public().key_data());
    assert_eq!(request.ttl, Duration::from_secs(300));
    assert_eq!(request.source_addresses, ["192.0.2.1/32"]);
}

/// Its sshd sees a connection of its own machine.
#[test]
fn for_a_host_behind_its_tunnel_the_certificate_counts_on_that_machine_alone() {
    let (house, key, secret) = alice();
    let client = house.client_with("postgres", key);
    client.sign_in(&secret);
    let answer = client.ask(PeopleQuestion::Certificate {
        login: "postgres".parse().unwrap(),
        target: "db1".to_owned(),
        through_tunnel: true,
    });
    assert!(matches!(answer, PeopleAnswer::Certificate(_)));
    let request = last(&house);
    assert_eq!(request.source_addresses, ["127.0.0.1/32", "::1/128"]);
    assert_eq!(request.ttl, Duration::from_secs(300));
    assert_eq!(request.sign_in, None);
}

#[test]
fn a_certificate_does_not_outlive_the_sign_in() {
    let (house, key, secret) = alice();
    house.client_with("postgres", key.clone()).sign_in(&secret);
    let house = house.later(12 * 3_600 - 60);
    let client = house.client_with("postgres", key);
    client.prove();
    assert!(is_issued(&client, "postgres"));
    assert_eq!(last(&house).ttl, Duration::from_secs(60));
}

#[test]
fn only_logins_of_the_person_that_a_role_allows_are_certified() {
    let (house, key, secret) = alice();
    let client = house.client_with("postgres", key);
    client.sign_in(&secret);
    // The person's, but no role's; a role's, but not the person's; neither.
    for login in ["root", "app-web", "nobody", "Postgres"] {
        assert_eq!(
            reason(client.certificate(login)),
            "login-not-allowed",
            "{login}"
        );
    }
    assert!(house.issued.0.lock().unwrap().is_empty());
    let names = house.audit.names();
    assert_eq!(names[names.len() - 4..], ["people.refused"; 4]);
}

#[test]
fn a_sign_in_that_has_ended_gets_none() {
    type End = fn(&House);
    let ends: [End; 3] = [
        |house| {
            house.admin().lock("alice", None).unwrap();
        },
        |house| {
            house.admin().remove("alice").unwrap();
        },
        |house| {
            let ttl = Duration::from_secs(60);
            house.admin().reset("alice", ttl).unwrap();
        },
    ];
    for end in ends {
        let (house, key, secret) = alice();
        let client = house.client_with("postgres", key);
        client.sign_in(&secret);
        assert!(is_issued(&client, "postgres"));
        end(&house);
        assert_eq!(reason(client.certificate("postgres")), "sign-in-ended");
        let answer = client.own(OwnCommand::Certificate);
        assert_eq!(reason(answer), "sign-in-ended");
    }
}

#[test]
fn none_is_issued_before_the_sign_in_or_for_another_connection() {
    let (house, key, secret) = alice();
    let client = house.client_with("postgres", key.clone());
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
    client.prove();
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
    client.sign_in(&secret);
    let other = house.client_with("postgres", key.clone());
    assert_eq!(reason(other.certificate("postgres")), "not-signed-in");
    let mut other_process = house.client_with("postgres", key);
    other_process.connection = client.connection;
    other_process.caller = 2;
    assert_eq!(
        reason(other_process.certificate("postgres")),
        "not-signed-in"
    );
    assert!(house.issued.0.lock().unwrap().is_empty());
}

#[test]
fn a_person_gets_all_allowed_logins_as_long_as_the_sign_in() {
    let (house, key, secret) = alice();
    let client = house.client_with("alice", key);
    client.sign_in(&secret);
    let answer = client.own(OwnCommand::Certificate);
    assert!(matches!(answer, PeopleAnswer::Certificate(_)));
    let request = last(&house);
    assert_eq!(request.ttl, Duration::from_secs(12 * 3_600));
    let logins: Vec<_> = request.logins.iter().map(|login| login.as_str()).collect();
    assert_eq!(logins, ["postgres"]);
    // Another key once.
    let other = house.client("alice").key;
    let ask = || client.own(OwnCommand::CertificateFor { key: other.blob() });
    assert!(matches!(ask(), PeopleAnswer::Certificate(_)));
    assert_eq!(
        last(&house).public_key.key_data(),
        other.public().key_data()
    );
    assert_eq!(reason(ask()), "one-key");
}

/// The certificate of the last request, as the user CA makes it.
fn made(house: &House) -> Certificate {
    let template = last(house).template(random_serial(), house.now(), MAX_USER_TTL);
    template.unwrap().sign(&ed25519()).unwrap()
}

#[test]
fn a_certificate_that_a_person_keeps_is_worth_its_sign_in() {
    let (house, key, secret) = alice();
    let client = house.client_with("alice", key.clone());
    let sign_in = client.sign_in(&secret);
    client.own(OwnCommand::Certificate);
    let certificate = made(&house);
    let shown = || {
        house
            .client_with("postgres", key.clone())
            .prove_with(&certificate)
    };
    let again = signed_in(shown());
    assert_eq!(
        (again.id, again.roles),
        (sign_in.id, vec!["dba".to_owned()])
    );
    // It is for a key that is registered nowhere, too.
    let other = house.client("alice").key;
    client.own(OwnCommand::CertificateFor { key: other.blob() });
    let others = made(&house);
    let with_other = house.client_with("postgres", other);
    assert_eq!(signed_in(with_other.prove_with(&others)).id, sign_in.id);
    // What is made for a host alone names no sign-in.
    assert!(is_issued(&client, "postgres"));
    let for_host = made(&house);
    let answer = house
        .client_with("postgres", key.clone())
        .prove_with(&for_host);
    assert_eq!(reason(answer), "unfit-key");

    client.own(OwnCommand::Logout { everywhere: false });
    let refused = refusal(shown());
    assert_eq!(
        (refused.reason.as_str(), refused.is_final),
        ("sign-in-ended", false)
    );
    // Another sign-in of the same key is another one.
    let later = house.later(60);
    let client = later.client_with("alice", key.clone());
    client.sign_in(&secret);
    let answer = later
        .client_with("postgres", key.clone())
        .prove_with(&certificate);
    assert_eq!(reason(answer), "sign-in-ended");
    client.own(OwnCommand::Certificate);
    let certificate = made(&later);
    later.admin().lock("alice", None).unwrap();
    let answer = later.client_with("postgres", key).prove_with(&certificate);
    assert_eq!(reason(answer), "sign-in-ended");
}
