//! ID tokens that fail one check each.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{SigningKey, base64url, unsigned_token};
use super::*;

/// A stage whose provider changes the claims of its tokens.
fn with_claims(change: impl Fn(&mut Value) + Send + 'static) -> OidcFixture {
    OidcFixture::new().when(|provider| provider.claims = Box::new(change))
}

/// A stage whose provider makes its tokens in another way.
fn with_token(make: impl Fn(&Value, &[SigningKey]) -> String + Send + 'static) -> OidcFixture {
    OidcFixture::new().when(|provider| provider.token = Box::new(make))
}

#[test]
fn a_claim_that_is_of_something_else_is_refused_for_its_own_reason() {
    for (claim, value, fault) in [
        (
            "nonce",
            json!("of another authorization"),
            TokenFault::Nonce,
        ),
        ("nonce", json!(null), TokenFault::Nonce),
        (
            "iss",
            json!("https://other.example.com"),
            TokenFault::Issuer,
        ),
        ("aud", json!("another-client"), TokenFault::Audience),
        ("aud", json!(["another-client"]), TokenFault::Audience),
        ("aud", json!([]), TokenFault::Audience),
        (
            "aud",
            json!(["rproxy", "another-client"]),
            TokenFault::AuthorizedParty,
        ),
        ("azp", json!("another-client"), TokenFault::AuthorizedParty),
        (
            "at_hash",
            json!("AAAAAAAAAAAAAAAAAAAAAA"),
            TokenFault::AccessToken,
        ),
        ("sub", json!(""), TokenFault::Subject),
        ("sub", json!("a".repeat(256)), TokenFault::Subject),
        ("sub", json!("ada\u{202e}"), TokenFault::Subject),
    ] {
        let shown = format!("{claim} {value}");
        let stage = with_claims(move |claims| claims[claim] = value.clone());
        assert_eq!(stage.fault(), fault, "{shown}");
    }
}

#[test]
fn a_claim_that_is_missing_is_named() {
    for claim in ["sub", "iss", "exp", "iat", "aud", "nonce"] {
        let stage = with_claims(move |claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        let said = stage.fault().to_string();
        assert!(said.contains(claim), "{claim}: {said}");
    }
}

#[test]
fn several_audiences_need_the_party_that_it_was_issued_to() {
    let stage = with_claims(|claims| {
        claims["aud"] = json!(["another-client", CLIENT_ID]);
        claims["azp"] = json!(CLIENT_ID);
    });
    assert!(stage.sign_in().is_ok());
}

#[test]
fn times_have_a_minute_of_tolerance() {
    let at = |claim: &'static str, seconds: i64| {
        with_claims(move |claims| claims[claim] = json!(now() + seconds))
    };
    for (claim, seconds) in [("iat", 60), ("nbf", 60), ("exp", -60), ("iat", -86_400)] {
        assert!(at(claim, seconds).sign_in().is_ok(), "{claim} {seconds}");
    }
    assert_eq!(at("iat", 61).fault(), TokenFault::InFuture(61));
    assert_eq!(at("nbf", 90).fault(), TokenFault::NotYet(90));
    assert_eq!(at("exp", -61).fault(), TokenFault::Expired(61));
    // Beyond what a calendar has.
    for wrong in [json!(1e300), json!(-1e300), json!("tomorrow")] {
        let stage = with_claims(move |claims| claims["exp"] = wrong.clone());
        assert!(matches!(stage.fault(), TokenFault::Unreadable(_)));
    }
}

#[test]
fn a_clock_that_is_off_is_told_with_its_seconds() {
    for (ahead, said) in [(150, "2m30s behind"), (-400, "6m40s ahead of")] {
        let stage = OidcFixture::new().when(|provider| provider.ahead = ahead);
        let error = stage.sign_in().unwrap_err();
        assert_eq!(error, ProviderError::Clock { seconds: ahead });
        assert!(error.message().contains(said), "{}", error.message());
        // Without the time in the header, a token of the future tells the same.
        let stage = stage.when(|provider| provider.tells_time = false);
        stage.pass(3600);
        match stage.sign_in().unwrap_err() {
            ProviderError::Clock { seconds } => assert_eq!(seconds, 150),
            error => assert_eq!(error, ProviderError::Token(TokenFault::Expired(100))),
        }
    }
}

#[test]
fn a_token_that_is_not_signed_with_a_key_of_the_provider_is_refused() {
    let secret = |claims: &Value, _: &[SigningKey]| {
        SigningKey::secret("key-1", CLIENT_SECRET.as_bytes()).token(claims)
    };
    assert_eq!(with_token(secret).fault(), TokenFault::Algorithm);
    let none = |claims: &Value, _: &[SigningKey]| unsigned_token(claims);
    assert_eq!(with_token(none).fault(), TokenFault::Algorithm);
    for name in ["NONE", "None", "RS1", "A128GCM", ""] {
        let stage = with_token(move |claims, keys| {
            keys[0].token_with(&json!({ "alg": name, "kid": "key-1" }), claims)
        });
        assert!(
            matches!(
                stage.fault(),
                TokenFault::Algorithm | TokenFault::Unreadable(_)
            ),
            "{name}"
        );
    }
    // Another key with the id of one that is published.
    let forged = |claims: &Value, _: &[SigningKey]| SigningKey::p256("key-1").token(claims);
    assert_eq!(with_token(forged).fault(), TokenFault::Signature);
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let confused = |claims: &Value, keys: &[SigningKey]| {
        let public = keys[0].public.to_string();
        SigningKey::secret("key-1", public.as_bytes()).token(claims)
    };
    for key in [SigningKey::rsa("key-1"), SigningKey::p256("key-1")] {
        let stage = with_token(confused).when(|provider| provider.keys = vec![key]);
        assert_eq!(stage.fault(), TokenFault::Algorithm);
    }
    // Nor is a secret that the provider publishes as a key.
    let stage = OidcFixture::new().when(|provider| {
        let secret = SigningKey::secret("secret", b"published");
        provider.keys = vec![secret, SigningKey::p256("key-1")];
    });
    assert_eq!(stage.fault(), TokenFault::Algorithm);
}

#[test]
fn a_key_of_another_kind_than_the_algorithm_is_not_used() {
    for (key, algorithm) in [
        (SigningKey::p256("key-1"), "RS256"),
        (SigningKey::rsa("key-1"), "ES256"),
        (SigningKey::rsa("key-1"), "EdDSA"),
        (SigningKey::ed25519("key-1"), "ES256"),
    ] {
        let stage = with_token(move |claims, keys| {
            keys[0].token_with(&json!({ "alg": algorithm, "kid": "key-1" }), claims)
        });
        let stage = stage.when(|provider| provider.keys = vec![key]);
        assert_eq!(stage.fault(), TokenFault::UnknownKey, "{algorithm}");
    }
    // The right kind and another curve, and one that says which algorithm it is for.
    let stage = with_token(|claims, keys| {
        keys[0].token_with(&json!({ "alg": "ES384", "kid": "key-1" }), claims)
    });
    assert!(matches!(stage.fault(), TokenFault::UnfitKey(_)));
    let stage = OidcFixture::new().when(|provider| {
        let mut key = SigningKey::rsa("key-1");
        key.public["alg"] = json!("PS256");
        provider.keys = vec![key];
    });
    assert_eq!(stage.fault(), TokenFault::UnknownKey);
}

#[test]
fn a_header_cannot_name_keys_or_ask_for_more_than_is_understood() {
    let own = SigningKey::p256("key-1");
    let key = own.public.clone();
    let stage = with_token(move |claims, _| {
        let header = json!({
            "alg": "ES256", "kid": "key-1", "jwk": key,
            "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/chain",
        });
        own.token_with(&header, claims)
    });
    assert_eq!(stage.fault(), TokenFault::Signature);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("cty", json!("JWT")),
        ("typ", json!("at+jwt")),
    ] {
        let stage = with_token(move |claims, keys| {
            let mut header = json!({ "alg": "ES256", "kid": "key-1" });
            header[name] = value.clone();
            keys[0].token_with(&header, claims)
        });
        assert!(matches!(stage.fault(), TokenFault::Unreadable(_)), "{name}");
    }
}

#[test]
fn a_token_without_a_key_id_is_taken_only_if_there_is_no_choice() {
    let stage = OidcFixture::new().when(|provider| {
        provider.keys = vec![SigningKey::p256("a").without_id(), SigningKey::p256("b")];
    });
    assert_eq!(stage.fault(), TokenFault::AmbiguousKey);
}

#[test]
fn deep_and_broken_claims_are_refused() {
    let deep = "[".repeat(100_000);
    for claims in [
        format!("{{\"sub\":{deep}"),
        format!("{{\"x\":{}{}}}", "[".repeat(300), "]".repeat(300)),
        "[]".to_owned(),
        "null".to_owned(),
        "\u{0}".to_owned(),
        String::new(),
    ] {
        let stage = with_token(move |_, keys| {
            keys[0].token_of(
                &json!({ "alg": "ES256", "kid": "key-1" }),
                claims.as_bytes(),
            )
        });
        assert!(matches!(stage.fault(), TokenFault::Unreadable(_)));
    }
    for token in ["", ".", "..", "a.b.c", "a.b.c.d", "\u{202e}"] {
        let stage = with_token(move |_, _| token.to_owned());
        assert!(
            matches!(stage.fault(), TokenFault::Unreadable(_)),
            "{token}"
        );
    }
}

#[test]
fn a_rotated_key_is_fetched_once_and_an_unknown_one_not_again_and_again() {
    let stage = OidcFixture::new();
    assert!(stage.sign_in().is_ok());
    stage.pass(31);
    let stage = stage.when(|provider| provider.keys = vec![SigningKey::p256("key-2")]);
    assert!(stage.sign_in().is_ok());
    assert_eq!(stage.provider.asked("/keys"), 2);
    assert!(stage.sign_in().is_ok());
    assert_eq!(stage.provider.asked("/keys"), 2);
    // A key that is not published: asked for once in half a minute, however often it is named.
    let stage = stage.when(|provider| {
        provider.token = Box::new(|claims, _| SigningKey::p256("key-3").token(claims));
    });
    for (passed, asked) in [(29, 2), (1, 3), (0, 3), (29, 3), (1, 4)] {
        stage.pass(passed);
        assert_eq!(stage.fault(), TokenFault::UnknownKey);
        assert_eq!(stage.provider.asked("/keys"), asked);
    }
}

#[test]
fn a_key_that_was_replaced_under_its_id_is_fetched_too() {
    let stage = OidcFixture::new();
    assert!(stage.sign_in().is_ok());
    stage.pass(31);
    let stage = stage.when(|provider| provider.keys = vec![SigningKey::p256("key-1")]);
    assert!(stage.sign_in().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a token is, it is refused, and nothing panics.
    #[test]
    fn no_token_but_a_right_one_is_taken(
        header in "[ -~]{0,60}|\\{\"alg\":\"(RS256|ES256|EdDSA|HS256|none)\"(,\"kid\":\"key-1\")?\\}",
        claims in "\\PC{0,80}|\\{(\"[a-z_]{1,8}\":(1|\"x\"|null|\\[\\]),?){0,4}\\}",
        signature: Vec<u8>,
    ) {
        let token = format!(
            "{}.{}.{}",
            base64url(header.as_bytes()), base64url(claims.as_bytes()), base64url(&signature)
        );
        let stage = with_token(move |_, _| token.clone());
        prop_assert!(matches!(stage.sign_in(), Err(ProviderError::Token(_))));
    }
}
