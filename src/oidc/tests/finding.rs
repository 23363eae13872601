//! What a provider says about itself, and what is kept of it.

use serde_json::{Value, json};

use super::super::testing::SigningKey;
use super::*;

fn with_metadata(change: impl Fn(&mut Value) + Send + 'static) -> OidcFixture {
    OidcFixture::new().when(|provider| provider.metadata = Box::new(change))
}

#[test]
fn metadata_of_another_issuer_are_refused() {
    for other in ["https://other.example.com", "/", ""] {
        let stage = with_metadata(move |metadata| {
            let own = metadata["issuer"].as_str().unwrap().to_owned();
            metadata["issuer"] = json!(match other {
                "/" => own + "/",
                other => other.to_owned(),
            });
        });
        let error = stage.sign_in().unwrap_err();
        assert!(
            matches!(error, ProviderError::BadAnswer { of: "metadata", .. }),
            "{error}"
        );
    }
}

#[test]
fn nothing_is_sent_to_an_endpoint_that_is_not_protected() {
    for endpoint in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
    ] {
        for url in [
            "http://id.example.com/x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "ftp://127.0.0.1/x",
        ] {
            let stage = with_metadata(move |metadata| metadata[endpoint] = json!(url));
            let error = stage.client.authorization().unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains("not") && said.contains("https"),
                "{endpoint} {url}: {said}"
            );
        }
        let stage = with_metadata(move |metadata| metadata[endpoint] = json!("nonsense"));
        let error = stage.client.authorization().unwrap_err();
        assert!(matches!(error, ProviderError::BadAnswer { .. }), "{error}");
    }
    let stage = with_metadata(|metadata| metadata["token_endpoint"] = json!(null));
    let said = stage.client.authorization().unwrap_err().to_string();
    assert!(said.contains("no token_endpoint"), "{said}");
}

#[test]
fn a_provider_without_a_usable_key_is_told_so() {
    let mut short = SigningKey::rsa("short");
    short.public["n"] = json!("r".repeat(171));
    let mut encrypts = SigningKey::p256("encrypts");
    encrypts.public["use"] = json!("enc");
    for keys in [
        vec![],
        vec![short],
        vec![encrypts],
        vec![SigningKey::secret("s", b"x")],
    ] {
        let stage = OidcFixture::new().when(|provider| provider.keys = keys);
        let said = stage.client.check().unwrap_err().to_string();
        assert!(said.contains("RSA of at least 2048 bits"), "{said}");
    }
}

#[test]
fn keys_that_are_not_understood_are_left_out() {
    let stage = OidcFixture::new().when(|provider| {
        let mut strange = SigningKey::p256("strange");
        strange.public = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "strange" });
        let mut odd = SigningKey::p256("odd");
        odd.public = json!([1, 2]);
        provider.keys = vec![SigningKey::p256("key-1"), strange, odd];
    });
    assert!(stage.sign_in().is_ok());
    assert_eq!(stage.client.check().unwrap().keys, 1);
}

#[test]
fn metadata_are_kept_for_ten_minutes() {
    const PATH: &str = "/.well-known/openid-configuration";
    let stage = OidcFixture::new();
    for (passed, asked) in [(0, 1), (599, 1), (1, 2), (599, 2)] {
        stage.pass(passed);
        assert!(stage.sign_in().is_ok());
        assert_eq!(stage.provider.asked(PATH), asked);
    }
    assert!(stage.client.check().is_ok());
    assert_eq!(stage.provider.asked(PATH), 3);
}

#[test]
fn a_provider_that_is_down_is_told_at_once_and_used_again_when_it_is_back() {
    let stage = OidcFixture::new();
    stage.provider.go_down();
    let error = stage.client.authorization().unwrap_err();
    assert!(
        matches!(&error, ProviderError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.message().contains("127.0.0.1") && error.hint().contains("later"));
    stage.provider.come_back();
    // For three seconds, those who wait get the same answer.
    assert_eq!(stage.client.authorization(), Err(error));
    stage.pass(3);
    assert!(stage.sign_in().is_ok());
    // Down between the link and the code.
    let (pending, back) = stage.at_provider().unwrap();
    stage.provider.go_down();
    let error = stage.client.redeem(&pending, &back.code, Some(&back.iss));
    assert!(matches!(error, Err(ProviderError::Unreachable { .. })));
    stage.provider.come_back();
    let person = stage.client.redeem(&pending, &back.code, Some(&back.iss));
    assert!(person.is_ok(), "the code was not spent");
}

#[test]
fn a_browser_that_comes_back_from_elsewhere_is_refused() {
    let stage = OidcFixture::new();
    let (pending, back) = stage.at_provider().unwrap();
    let with_slash = format!("{}/", back.iss);
    for iss in [
        None,
        Some("https://other.example.com"),
        Some(""),
        Some(&*with_slash),
    ] {
        let error = stage.client.redeem(&pending, &back.code, iss).unwrap_err();
        assert!(matches!(error, ProviderError::OtherProvider(_)), "{iss:?}");
    }
    assert_eq!(
        stage.provider.asked("/token"),
        0,
        "the code was sent to nobody"
    );
    // A provider that does not announce it need not name itself.
    let stage = with_metadata(|metadata| {
        metadata["authorization_response_iss_parameter_supported"] = json!(false);
    });
    let (pending, back) = stage.at_provider().unwrap();
    assert!(stage.client.redeem(&pending, &back.code, None).is_ok());
}

#[test]
fn settings_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let issuer = "https://id.example.com";
    type Change = fn(&mut ProviderSettings);
    let changes: [(Change, &str); 4] = [
        (|settings| settings.client_id.clear(), "client_id"),
        (|settings| settings.client_id.push('\n'), "client_id"),
        (|settings| settings.name_claim.clear(), "name_claim"),
        (
            |settings| settings.redirect_url = "x".to_owned(),
            "come back",
        ),
    ];
    for (change, said) in changes {
        let mut settings = settings(issuer);
        change(&mut settings);
        let error = Provider::new(settings, Clock::Fixed(NOW)).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}
