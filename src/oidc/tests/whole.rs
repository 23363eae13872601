//! The whole way, with a provider that behaves.

use serde_json::{Value, json};

use super::super::testing::{SUBJECT, SigningKey};
use super::*;

#[test]
fn a_person_whom_the_provider_vouches_for_is_known_by_issuer_and_subject() {
    let stage = OidcFixture::new();
    let person = stage.sign_in().unwrap();
    assert_eq!(person.issuer(), stage.provider.issuer());
    assert_eq!((person.subject(), person.name()), (SUBJECT, "ada"));
    assert_eq!(person.roles(), ["dba"]);
    assert_eq!(stage.provider.asked("/userinfo"), 0);
}

#[test]
fn the_link_has_what_the_flow_needs_and_no_secret() {
    let stage = OidcFixture::with(|settings| {
        settings.scopes = ["openid", "groups", "openid"].map(str::to_owned).to_vec();
    });
    let pending = stage.client.authorization().unwrap();
    let link = stage.client.url_of(&pending).unwrap();
    assert!(link.starts_with(&format!("{}/authorize?", stage.provider.issuer())));
    for part in [
        "response_type=code",
        "client_id=rproxy",
        "code_challenge_method=S256",
        "scope=openid+groups&",
        &format!("state={}", *pending.state),
        &format!("nonce={}", *pending.nonce),
        "redirect_uri=https%3A%2F%2Fproxy.example.com%3A3080%2Fwebapi%2Foidc%2Fcallback",
    ] {
        assert!(format!("{link}&").contains(part), "{part}: {link}");
    }
    assert!(!link.contains(&*pending.verifier) && !link.contains(CLIENT_SECRET));
}

#[test]
fn every_algorithm_with_a_public_key_is_taken() {
    for key in [
        SigningKey::rsa("k"),
        SigningKey::rsa_512("k"),
        SigningKey::rsa_pss("k"),
        SigningKey::p256("k"),
        SigningKey::p384("k"),
        SigningKey::ed25519("k"),
        SigningKey::p256("k").without_id(),
    ] {
        let algorithm = key.algorithm.clone();
        let stage = OidcFixture::new().when(|provider| {
            provider.keys = vec![key];
            // Made for SHA-256 alone.
            provider.claims =
                Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("at_hash")));
        });
        assert!(stage.sign_in().is_ok(), "{algorithm}");
    }
}

#[test]
fn a_client_may_have_to_send_its_secret_in_the_body() {
    let stage = OidcFixture::new().when(|provider| {
        provider.metadata = Box::new(|metadata| {
            metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        });
    });
    assert!(stage.sign_in().is_ok());
}

#[test]
fn a_claim_that_is_not_in_the_token_is_asked_for() {
    let stage = OidcFixture::new().when(|provider| {
        with_userinfo(
            provider,
            json!({ "groups": ["ops"], "preferred_username": "lovelace" }),
        );
        provider.claims = without(&["preferred_username", "groups"]);
    });
    let person = stage.sign_in().unwrap();
    assert_eq!(
        (person.name(), person.roles()),
        ("lovelace", &["ops".to_owned()][..])
    );
}

#[test]
fn what_is_signed_counts_more_than_what_is_told() {
    let stage = OidcFixture::new().when(|provider| {
        with_userinfo(
            provider,
            json!({ "groups": ["ops"], "preferred_username": "eve" }),
        );
        provider.claims = without(&["groups"]);
    });
    let person = stage.sign_in().unwrap();
    assert_eq!(
        (person.name(), person.roles()),
        ("ada", &["ops".to_owned()][..])
    );
}

#[test]
fn what_is_told_about_another_person_is_refused() {
    let stage = OidcFixture::new().when(|provider| {
        with_userinfo(
            provider,
            json!({ "sub": "someone-else", "groups": ["dba"] }),
        );
        provider.claims = without(&["groups"]);
    });
    let error = stage.sign_in().unwrap_err();
    assert!(
        error.to_string().contains("about another person (sub)"),
        "{error}"
    );
}

#[test]
fn an_access_token_that_fits_in_no_header_is_refused() {
    let stage = OidcFixture::new().when(|provider| {
        with_userinfo(provider, json!({}));
        provider.claims = without(&["groups", "at_hash"]);
        provider.token_answer = Box::new(|answer| answer["access_token"] = json!("a\r\nX: y"));
    });
    let error = stage.sign_in().unwrap_err();
    assert!(
        error.to_string().contains("access token cannot be sent"),
        "{error}"
    );
    assert_eq!(stage.provider.asked("/userinfo"), 0);
}

#[test]
fn a_person_without_a_name_is_refused() {
    let stage = OidcFixture::with(|settings| settings.name_claim = "nickname".to_owned());
    let error = stage.sign_in().unwrap_err();
    assert!(matches!(&error, ProviderError::NoName { claim } if claim == "nickname"));
    assert!(error.to_string().contains("name_claim") && error.message().contains("nickname"));
}

#[test]
fn an_address_of_mail_is_a_name_only_if_it_was_verified() {
    for (verified, taken) in [
        (json!(true), true),
        // As some providers write it.
        (json!("true"), true),
        (json!(false), false),
        (json!(null), false),
    ] {
        let stage = OidcFixture::with(|settings| settings.name_claim = "email".to_owned());
        let shown = verified.clone();
        let stage = stage.when(|provider| {
            provider.claims = Box::new(move |claims| {
                claims["email"] = json!("ada@example.com");
                claims["email_verified"] = verified.clone();
            });
        });
        match stage.sign_in() {
            Ok(person) => assert!(taken && person.name() == "ada@example.com", "{shown}"),
            Err(error) => assert!(!taken && error == ProviderError::UnverifiedEmail, "{error}"),
        }
    }
}

#[test]
fn a_person_may_have_no_role() {
    let stage = OidcFixture::new().when(|provider| {
        provider.claims = Box::new(|claims| claims["groups"] = json!(["staff"]));
    });
    assert!(stage.sign_in().unwrap().roles().is_empty());
}

#[test]
fn a_code_is_redeemed_with_the_verifier_of_its_authorization() {
    let stage = OidcFixture::new();
    let (mine, back) = stage.at_provider().unwrap();
    let other = stage.client.authorization().unwrap();
    let error = stage.client.redeem(&other, &back.code, Some(&back.iss));
    assert_eq!(error, Err(ProviderError::refused("invalid_grant", None)));
    // The provider has spent it.
    let error = stage.client.redeem(&mine, &back.code, Some(&back.iss));
    assert_eq!(error, Err(ProviderError::refused("invalid_grant", None)));
}

#[test]
fn a_wrong_secret_is_told_to_the_log_and_not_repeated() {
    let secret = "not-the-one-that-was-registered";
    let stage = OidcFixture::with(|settings| {
        settings.client_secret = Some(ClientSecret::parse(secret).unwrap());
    });
    let error = stage.sign_in().unwrap_err();
    assert_eq!(error, ProviderError::refused("invalid_client", None));
    assert!(!format!("{error:?}{error}{}", error.message()).contains(secret));
    assert!(!format!("{:?}", stage.client).contains(secret));
}

#[test]
fn a_provider_is_checked_with_its_clock() {
    let stage = OidcFixture::new().when(|provider| provider.ahead = 7);
    let status = stage.client.check().unwrap();
    assert_eq!((status.keys, status.ahead), (1, Some(7)));
    let stage = stage.when(|provider| provider.tells_time = false);
    assert_eq!(stage.client.check().unwrap().ahead, None);
}

fn with_userinfo(provider: &mut Behaviour, claims: Value) {
    provider.userinfo = claims;
    provider.metadata = Box::new(|metadata| {
        let issuer = metadata["issuer"].as_str().unwrap().to_owned();
        metadata["userinfo_endpoint"] = json!(format!("{issuer}/userinfo"));
    });
}

fn without(names: &'static [&str]) -> Box<dyn Fn(&mut Value) + Send> {
    Box::new(move |claims| {
        for name in names {
            claims.as_object_mut().unwrap().remove(*name);
        }
    })
}
