//! What the API about people answers, and what it does when it is attacked. What comes before the handlers is
//! tested with the whole web.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::testing::{OWN, PASSWORD, TwoBrowsers, token_of};
use super::{About, ApiPeople, router};

/// The API, and what it has changed.
struct Api(Arc<TwoBrowsers>);

impl Api {
    fn new() -> Self {
        Self(Arc::default())
    }

    async fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> Response<Body> {
        let about = About {
            cluster: "c".to_owned(),
            version: "1",
            sign_in: Vec::new(),
            interface: false,
        };
        let sessions = Arc::<TwoBrowsers>::clone(&self.0);
        let mut request = Request::builder().method(method).uri(path);
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        let client: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(client));
        let router = router(about, ApiPeople::new(sessions));
        router.oneshot(request).await.unwrap()
    }

    fn changes(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.changes.lock().unwrap())
    }
}

async fn bytes(answer: Response<Body>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn document(answer: Response<Body>) -> Value {
    serde_json::from_slice(&bytes(answer).await).unwrap()
}

fn cookie(name: &str) -> String {
    format!("theme=dark; __Host-rproxy-session={}", token_of(name))
}

fn typed(name: &str, password: &str) -> String {
    json!({ "name": name, "password": password, "code": "123456" }).to_string()
}

#[tokio::test]
async fn a_person_signs_in_looks_and_signs_out() {
    let api = Api::new();
    let answer = api
        .ask("POST", "/api/v1/session", "", &typed("alice", PASSWORD))
        .await;
    assert_eq!(answer.status(), 200);
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.starts_with("__Host-rproxy-session=alice"), "{set}");
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60"));
    let expected = json!({
        "name": "alice", "roles": ["dba"],
        "started": "2027-01-15T08:00:00Z", "expires": "2027-01-15T08:01:00Z",
    });
    assert_eq!(document(answer).await, expected);
    let alice = cookie("alice");
    let answer = api.ask("GET", "/api/v1/session", &alice, "").await;
    assert_eq!(document(answer).await, expected);
    let hosts = document(api.ask("GET", "/api/v1/hosts", &alice, "").await).await;
    let host = |name| json!({ "name": name, "labels": {}, "logins": ["root"], "state": "online" });
    assert_eq!(hosts, json!({ "hosts": [host("db"), host("xdb")] }));
    let account = document(api.ask("GET", "/api/v1/account", &alice, "").await).await;
    assert_eq!(
        (&account["second_factor"], &account["recovery_codes_left"]),
        (&json!("otp"), &json!(9))
    );
    assert_eq!(api.changes(), [""; 0]);
    for (path, change) in [("session", "out false"), ("sessions", "out true")] {
        let answer = api
            .ask("DELETE", &format!("/api/v1/{path}"), &alice, "")
            .await;
        assert_eq!(answer.status(), 204);
        let cleared = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cleared.contains("Max-Age=0"), "{cleared}");
        assert_eq!(api.changes(), [format!("alice: {change}")]);
    }
}

/// A token that was set before the sign-in is not the one of the sign-in, and is over.
#[tokio::test]
async fn a_sign_in_ends_the_one_that_the_browser_had() {
    let api = Api::new();
    let body = typed("alice", PASSWORD);
    let answer = api
        .ask("POST", "/api/v1/session", &cookie("bob"), &body)
        .await;
    assert!(
        answer.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("alice")
    );
    assert_eq!(api.changes(), ["bob: out false"]);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let api = Api::new();
    let alice = cookie("alice");
    let alice = alice.as_str();
    let new = |password| json!({ "password": password, "new_password": "n" }).to_string();
    for (method, path, cookie, body, status, code) in [
        (
            "POST",
            "session",
            "",
            typed("alice", "wrong"),
            401,
            "sign-in-wrong",
        ),
        (
            "POST",
            "session",
            "",
            typed("slow", "wrong"),
            429,
            "sign-in-throttled",
        ),
        (
            "POST",
            "account/password",
            alice,
            new("wrong"),
            403,
            "sign-in-wrong",
        ),
        ("GET", "session", "", String::new(), 401, "not-signed-in"),
        (
            "GET",
            "account",
            "__Host-rproxy-session=x",
            String::new(),
            401,
            "not-signed-in",
        ),
    ] {
        let answer = api
            .ask(method, &format!("/api/v1/{path}"), cookie, &body)
            .await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let wait = answer.headers().get("retry-after").cloned();
        assert_eq!(wait.is_some(), status == 429);
        assert_eq!(document(answer).await["error"]["code"], code);
    }
    let answer = api
        .ask("POST", "/api/v1/account/password", alice, &new(PASSWORD))
        .await;
    assert_eq!(answer.status(), 204);
}

/// An attack: its name, method, path, cookie, body, and the status of its answer.
type Attack = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    u16,
);

const ALICE: &str = "__Host-rproxy-session=alicealicealicealicealicealicealicealicealicealicealicealicealicealicealicealice";
const BOB: &str = "__Host-rproxy-session=bobbobbobbobbobbobbobbobbobbobbobbobbobbobbobbob";
/// The sign-ins and a key of [`OWN`].
const OF_ALICE: &str = "account/sign-ins/00000000-0000-0000-0000-000000000001";
const OF_BOB: &str = "account/sign-ins/00000000-0000-0000-0000-000000000002";
const KEY_OF_ALICE: &str = "account/keys/SHA256:a%2Fa";
/// What is put in place of these words.
const LONG: &str = "LONG";
const DEEP: &str = "DEEP";

#[rustfmt::skip]
const ATTACKS: &[Attack] = &[
    ("another's sign-in", "DELETE", OF_ALICE, BOB, "", 404),
    ("another's, the other way", "DELETE", OF_BOB, ALICE, "", 404),
    ("another's key", "DELETE", KEY_OF_ALICE, BOB, "", 404),
    ("an own sign-in without a cookie", "DELETE", OF_ALICE, "", "", 401),
    ("an own key without a cookie", "DELETE", KEY_OF_ALICE, "", "", 401),
    ("two cookies", "DELETE", OF_ALICE, "__Host-rproxy-session=a; __Host-rproxy-session=b", "", 401),
    ("a cookie of another name", "DELETE", OF_ALICE, "rproxy-session=alice", "", 401),
    ("a path in place of an id", "DELETE", "account/sign-ins/..%2F..%2Fsession", ALICE, "", 404),
    ("SQL in place of an id", "DELETE", "account/sign-ins/1'%20OR%201=1", ALICE, "", 404),
    ("a long id", "DELETE", "account/sign-ins/LONG", ALICE, "", 404),
    ("a long fingerprint", "DELETE", "account/keys/LONG", ALICE, "", 404),
    ("what is no UTF-8", "DELETE", "account/keys/%ff", ALICE, "", 404),
    ("no body", "POST", "session", "", "", 400),
    ("deep JSON", "POST", "session", "", DEEP, 400),
    ("deep JSON in a text's place", "POST", "session", "", "{\"name\":DEEP", 400),
    ("a list", "POST", "session", "", "[]", 400),
    ("wrong types", "POST", "session", "", "{\"name\":1,\"password\":null}", 400),
    ("a key twice", "POST", "session", "", "{\"name\":\"alice\",\"name\":\"bob\",\"password\":\"p\"}", 400),
    ("an unknown key", "POST", "session", "", "{\"name\":\"alice\",\"password\":\"p\",\"admin\":true}", 400),
    ("a long name", "POST", "session", "", "{\"name\":\"LONG\",\"password\":\"p\"}", 400),
    ("a long password", "POST", "session", "", "{\"name\":\"alice\",\"password\":\"LONG\"}", 400),
    ("half a document", "POST", "session", "", "{\"name\":\"alice", 400),
    ("two documents", "POST", "session", "", "{\"name\":\"a\",\"password\":\"p\"}{}", 400),
    ("a password change without a cookie", "POST", "account/password", "", "{}", 401),
    ("a password change with other keys", "POST", "account/password", ALICE, "{\"password\":\"p\"}", 400),
    ("a sign-out by GET", "GET", "sessions", ALICE, "", 405),
    ("a key removed by POST", "POST", KEY_OF_ALICE, ALICE, "", 405),
    ("a method override", "POST", "account", ALICE, "_method=DELETE", 405),
    ("OPTIONS", "OPTIONS", "session", ALICE, "", 405),
    ("TRACE", "TRACE", "session", ALICE, "", 405),
    ("HEAD without a cookie", "HEAD", "account", "", "", 401),
];

#[tokio::test]
async fn attacks_on_the_api_change_nothing() {
    let api = Api::new();
    let (long, deep) = ("1".repeat(5_000), "[".repeat(30_000));
    let filled = |text: &str| text.replace(LONG, &long).replace(DEEP, &deep);
    for (name, method, path, cookie, body, status) in ATTACKS {
        let path = format!("/api/v1/{}", filled(path));
        let answer = api.ask(method, &path, cookie, &filled(body)).await;
        assert_eq!(answer.status(), *status, "{name}");
        assert!(!answer.headers().contains_key("set-cookie"), "{name}");
        let text = String::from_utf8(bytes(answer).await.to_vec()).unwrap();
        assert!(
            !text.contains("alice") && text.len() < 1_000,
            "{name}: {text}"
        );
        assert_eq!(api.changes(), [""; 0], "{name}");
    }
    // What is one's own can be ended, so that the table shows something.
    assert!(ALICE.ends_with(&token_of(OWN[0].0)) && BOB.ends_with(&token_of(OWN[1].0)));
    for (path, cookie) in [(OF_ALICE, ALICE), (OF_BOB, BOB), (KEY_OF_ALICE, ALICE)] {
        let answer = api
            .ask("DELETE", &format!("/api/v1/{path}"), cookie, "")
            .await;
        assert_eq!(answer.status(), 204, "{path}");
    }
    assert_eq!(api.changes().len(), 3);
}
