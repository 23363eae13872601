//! What is where, and what every answer has.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::web::headers::POLICY;
use crate::web::keys::PublicKeys;

/// A body of which nothing arrives.
struct NeverArrives;

impl hyper::body::Body for NeverArrives {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// One without an identity provider, which has no name but localhost.
pub(in crate::web) fn app() -> WebApp {
    let documents = PublicDocuments {
        keys: PublicKeys {
            user: Vec::new(),
            host: Vec::new(),
        },
        list: Bytes::from_static(b"a list"),
        changed: 0,
    };
    WebApp::new(WebParts {
        cluster: "example.com".parse().unwrap(),
        documents: watch::channel(Arc::new(documents)).1,
        browser: None,
        sign_in: vec!["password"],
        sessions: Arc::<api::testing::TwoBrowsers>::default(),
        own: watch::channel(OwnHosts::new([])).1,
    })
}

fn plain() -> ServedConnection {
    ServedConnection::plain("192.0.2.7:4000".parse().unwrap())
}

fn encrypted() -> ServedConnection {
    ServedConnection {
        certificate: Some(Arc::new(Vec::<u8>::new().into())),
        ..plain()
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn text(answer: Response<Body>) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn everything_is_at_its_place() {
    let app = app();
    let html = ("accept", "text/html,*/*;q=0.8");
    for (method, path, headers, status, kind) in [
        ("GET", "/", &[][..], 200, "text/html"),
        ("HEAD", "/", &[], 200, "text/html"),
        ("POST", "/", &[], 405, "text/plain"),
        ("GET", "/sign-in", &[], 200, "text/html"),
        ("GET", "/nowhere", &[], 404, "text/plain"),
        ("GET", "/nowhere", &[html], 404, "text/html"),
        ("POST", "/nowhere", &[html], 404, "text/plain"),
        ("GET", "/assets/nothing.js", &[], 404, "text/plain"),
        ("GET", "/etc/passwd", &[], 404, "text/plain"),
        ("GET", "//", &[], 400, "text/plain"),
        (
            "GET",
            "/webapi/auth/krl",
            &[],
            200,
            "application/octet-stream",
        ),
        ("GET", "/webapi/nothing", &[html], 404, "text/plain"),
        ("GET", "/webapi/auth/../auth/krl", &[], 404, "text/plain"),
        ("GET", "/api/v1/about", &[], 200, "application/json"),
        ("HEAD", "/api/v1/about", &[], 200, "application/json"),
        ("GET", "/api/v1/nothing", &[html], 404, "application/json"),
        ("GET", "/api/", &[], 404, "application/json"),
        ("GET", "/api/v1/about/", &[], 404, "application/json"),
        ("GET", "/api/v1//about", &[], 400, "application/json"),
        ("DELETE", "/api/v1/about", &[], 403, "application/json"),
        (
            "DELETE",
            "/api/v1/about",
            &[("rproxy-request", "1")],
            405,
            "application/json",
        ),
    ] {
        let answer = app.answer(&plain(), request(method, path, headers)).await;
        let found = answer.headers()["content-type"].to_str().unwrap();
        assert!(found.starts_with(kind), "{method} {path}: {found}");
        assert_eq!(answer.status(), status, "{method} {path}");
        let has_length = answer.headers().contains_key("content-length");
        assert!(method != "HEAD" || has_length, "{path}");
        let text = text(answer).await;
        assert_eq!(text.is_empty(), method == "HEAD", "{method} {path}");
        if status >= 400 && kind == "application/json" {
            let document: Value = serde_json::from_str(&text).unwrap();
            for field in ["code", "message", "hint"] {
                assert!(document["error"][field].is_string(), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn the_api_says_what_it_is() {
    let about = app()
        .answer(&plain(), request("GET", "/api/v1/about", &[]))
        .await;
    assert_eq!(about.headers()["cache-control"], "no-store");
    let about: Value = serde_json::from_str(&text(about).await).unwrap();
    assert_eq!(about["cluster"], "example.com");
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["sign_in"][0], "password");
    assert_eq!(about["interface"], assets::is_built());
}

/// Another name leads here, but public data is for everybody.
#[tokio::test]
async fn a_host_that_is_not_ours_gets_what_is_published_and_nothing_else() {
    let app = app();
    for (path, status) in [
        ("/webapi/auth/krl", 200),
        ("/", 421),
        ("/api/v1/about", 421),
        ("/assets/nothing.js", 421),
    ] {
        let request = Request::get(path).header("host", "evil.test");
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(
            app.answer(&plain(), request).await.status(),
            status,
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect() {
    let app = app();
    for path in [
        "/",
        "/nowhere",
        "/webapi/auth/krl",
        "/api/v1/about",
        "/api/v1//",
        "//",
    ] {
        for info in [plain(), encrypted()] {
            let answer = app.answer(&info, request("GET", path, &[])).await;
            let headers = answer.headers();
            for (name, value) in [
                ("content-security-policy", POLICY),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(headers[name], value, "{path} {name}");
            }
            assert!(headers.contains_key("permissions-policy"), "{path}");
            assert!(headers.contains_key("cache-control"), "{path}");
            let hsts = headers.contains_key("strict-transport-security");
            assert_eq!(hsts, info.is_tls(), "{path}");
            let names: Vec<_> = headers.keys().map(header::HeaderName::as_str).collect();
            assert!(!names.iter().any(|name| name.starts_with("access-control")));
        }
    }
}

/// A body that says less than it is, or does not say how long it is.
#[tokio::test]
async fn a_body_is_read_to_its_limit_and_no_further() {
    let app = app();
    for (length, status) in [(guard::MAX_BODY, 405), (guard::MAX_BODY + 1, 413)] {
        let body = Body::from(vec![b' '; length]);
        let request = Request::post("/api/v1/about")
            .header("host", "localhost")
            .header("rproxy-request", "1")
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let answer = app.answer(&plain(), request).await;
        assert_eq!(answer.status(), status, "{length}");
        // What is left of it is not taken for a request.
        assert_eq!(answer.headers().contains_key("connection"), status == 413);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let body = Body::new(NeverArrives);
    let request = Request::post("/api/v1/about")
        .header("host", "localhost")
        .header("rproxy-request", "1")
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let answer = app().answer(&plain(), request).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.headers()["connection"], "close");
}
