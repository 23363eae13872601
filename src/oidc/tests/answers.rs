//! Answers that are no answers: too much, too slow, elsewhere, something else.

use serde_json::json;

use super::super::testing::{ProviderAnswer, ProviderRequest};
use super::*;

const PATHS: [&str; 3] = ["/.well-known/openid-configuration", "/keys", "/token"];

/// A stage whose provider answers in its own way at one path.
fn at(path: &'static str, answer: impl Fn() -> ProviderAnswer + Send + 'static) -> OidcFixture {
    replaced(OidcFixture::new(), path, answer)
}

fn replaced(
    stage: OidcFixture,
    path: &'static str,
    answer: impl Fn() -> ProviderAnswer + Send + 'static,
) -> OidcFixture {
    stage.when(|provider| {
        provider.page =
            Box::new(move |request: &ProviderRequest| (request.path == path).then(&answer));
    })
}

/// What the log has of the failure.
fn said(stage: &OidcFixture) -> String {
    let error = stage.sign_in().unwrap_err();
    assert!(!error.message().is_empty() && !error.hint().is_empty());
    error.to_string()
}

#[test]
fn a_huge_answer_is_cut_short() {
    for path in PATHS {
        let huge = || ProviderAnswer::json(200, &json!({ "sub": "a".repeat(1 << 20) }));
        assert!(
            said(&at(path, huge)).contains("larger than 256 KiB"),
            "{path}"
        );
        let endless = || {
            let mut answer = ProviderAnswer::text(200, "application/json", "[");
            answer.endless = Some((vec![b' '; 65536], Duration::ZERO));
            answer
        };
        assert!(
            said(&at(path, endless)).contains("larger than 256 KiB"),
            "{path}"
        );
        let header = || {
            let mut answer = ProviderAnswer::json(200, &json!({}));
            answer.headers.push(("X".to_owned(), "a".repeat(1 << 16)));
            answer
        };
        assert!(
            said(&at(path, header)).contains("header is larger than"),
            "{path}"
        );
    }
}

#[test]
fn a_subject_of_a_megabyte_is_no_subject() {
    let stage = OidcFixture::new().when(|provider| {
        provider.claims = Box::new(|claims| claims["sub"] = json!("a".repeat(1 << 20)));
    });
    assert!(said(&stage).contains("larger than 256 KiB"));
}

#[test]
fn a_slow_answer_is_not_waited_for() {
    for path in PATHS {
        let slow = || {
            let mut answer = ProviderAnswer::text(200, "application/json", "[");
            answer.endless = Some((b" ".to_vec(), Duration::from_millis(20)));
            answer
        };
        let error = replaced(OidcFixture::impatient(), path, slow)
            .sign_in()
            .unwrap_err();
        assert!(
            matches!(error, ProviderError::TooSlow { .. }),
            "{path}: {error}"
        );
        let silent = || {
            let mut answer = ProviderAnswer::raw(b"");
            answer.endless = Some((Vec::new(), Duration::from_millis(20)));
            answer
        };
        let error = replaced(OidcFixture::impatient(), path, silent)
            .sign_in()
            .unwrap_err();
        assert!(
            matches!(error, ProviderError::TooSlow { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for path in PATHS {
        let elsewhere = HostileProvider::start(now);
        let to = format!("{}{path}", elsewhere.issuer());
        let stage = at(path, move || ProviderAnswer::redirect(&to));
        assert!(
            said(&stage).contains("redirects to somewhere else"),
            "{path}"
        );
        assert_eq!(elsewhere.asked(path), 0);
    }
}

#[test]
fn what_is_no_json_or_no_http_is_refused() {
    for path in PATHS {
        for (answer, reason) in [
            (
                ProviderAnswer::text(200, "text/html", "<p>"),
                "Content-Type",
            ),
            (ProviderAnswer::text(200, "application/json", "<p>"), ""),
            (ProviderAnswer::text(200, "application/json", ""), ""),
            (ProviderAnswer::json(200, &json!([])), ""),
            (
                ProviderAnswer::raw(b"SSH-2.0-OpenSSH_10.0\r\n\r\n"),
                "no HTTP",
            ),
        ] {
            let stage = at(path, move || answer.clone());
            let error = stage.sign_in().unwrap_err();
            assert!(
                matches!(error, ProviderError::BadAnswer { .. }),
                "{path}: {error:?}"
            );
            assert!(error.to_string().contains(reason), "{path}: {error}");
        }
        let deep = "[".repeat(100_000);
        let stage = at(path, move || {
            ProviderAnswer::text(200, "application/json", &deep)
        });
        assert!(matches!(
            stage.sign_in(),
            Err(ProviderError::BadAnswer { .. })
        ));
        let nothing = at(path, || ProviderAnswer::raw(b""));
        assert!(matches!(
            nothing.sign_in(),
            Err(ProviderError::Unreachable { .. })
        ));
    }
}

#[test]
fn a_provider_that_has_a_fault_of_its_own_cannot_be_reached() {
    for path in PATHS {
        let stage = at(path, || {
            ProviderAnswer::text(503, "text/html", "<p>later</p>")
        });
        let error = stage.sign_in().unwrap_err();
        assert!(
            matches!(error, ProviderError::Unreachable { .. }),
            "{path}: {error}"
        );
        assert!(error.to_string().contains("HTTP status 503"), "{error}");
    }
}

#[test]
fn hostile_text_is_shown_as_one_bounded_line() {
    let stage = at("/token", || {
        let description = format!("\u{1b}[2J\u{202e}\r\n{}", "x".repeat(5000));
        let refusal = json!({ "error": "invalid\u{1b}_\n", "error_description": description });
        ProviderAnswer::json(400, &refusal)
    });
    let error = stage.sign_in().unwrap_err();
    for text in [error.to_string(), error.message()] {
        assert!(crate::model::text::is_printable(&text), "{text:?}");
        assert!(text.len() < 600, "{text}");
    }
    assert!(error.to_string().contains("invalid\\u{1b}_\\n"), "{error}");
}

#[test]
fn a_secret_that_the_provider_repeats_is_not_shown() {
    for status in [400, 200] {
        let stage = OidcFixture::new().when(|provider| {
            provider.page = Box::new(move |request| {
                let asked = format!("{} {:?}", request.body, request.header("authorization"));
                let refusal = json!({
                    "error": format!("bad {asked}"), "error_description": asked,
                    "error_uri": asked, "expires_in": CLIENT_SECRET,
                });
                (request.path == "/token").then(|| ProviderAnswer::json(status, &refusal))
            });
            provider.metadata = Box::new(|metadata| {
                metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
            });
        });
        let (pending, back) = stage.at_provider().unwrap();
        let error = stage.client.redeem(&pending, &back.code, Some(&back.iss));
        let shown = format!("{error:?} {}", error.as_ref().unwrap_err());
        for secret in [CLIENT_SECRET, &back.code, &pending.verifier, &pending.nonce] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn a_token_answer_without_an_id_token_is_refused() {
    let stage = OidcFixture::new().when(|provider| {
        provider.token_answer = Box::new(|answer| answer["id_token"] = json!(null));
    });
    assert!(said(&stage).contains("no ID token"));
}

#[test]
fn a_code_that_cannot_be_one_is_not_sent() {
    let stage = OidcFixture::new();
    let (pending, back) = stage.at_provider().unwrap();
    for code in ["", "a\nb", "\u{202e}", &"a".repeat(4097)] {
        let error = stage
            .client
            .redeem(&pending, code, Some(&back.iss))
            .unwrap_err();
        assert!(error.to_string().contains("no usable code"), "{error}");
    }
    assert_eq!(stage.provider.asked("/token"), 0);
}
