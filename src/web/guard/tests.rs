//! A table of requests by name: what is answered, and what is refused with which code.

use hyper::Request;

use super::*;

const ME: &str = "proxy.example.com";

/// A request: method, target, headers.
type GuardedRequest<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)]);

/// What a page of ours sends when it changes something.
const OURS: &[(&str, &str)] = &[
    ("host", ME),
    ("rproxy-request", "1"),
    ("origin", "https://proxy.example.com"),
    ("sec-fetch-site", "same-origin"),
    ("content-type", "application/json"),
    ("content-length", "2"),
];

fn info() -> ServedConnection {
    ServedConnection::plain("192.0.2.7:4000".parse().unwrap())
}

fn judged_on(
    info: &ServedConnection,
    case: &GuardedRequest<'_>,
) -> Result<(), (u16, &'static str)> {
    let (method, target, headers) = case;
    let mut request = Request::builder().method(*method).uri(*target);
    for (name, value) in *headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let own = OwnHosts::new([ME.to_owned()]);
    judge(&parts, &own, info).map_err(|error| (error.status.as_u16(), error.code))
}

/// The headers of a page of ours, but for this one: another value, or none.
fn but<'c>(name: &'c str, value: Option<&'c str>) -> Vec<(&'c str, &'c str)> {
    let others = OURS.iter().copied().filter(|(other, _)| *other != name);
    others.chain(value.map(|value| (name, value))).collect()
}

fn expect(named: &str, headers: &[(&str, &str)], expected: Result<(), (u16, &'static str)>) {
    let case = ("POST", "/api/v1/session", headers);
    assert_eq!(judged_on(&info(), &case), expected, "{named}");
}

#[test]
fn a_change_is_made_by_a_page_of_ours_only() {
    let foreign = Err((403, "other-site"));
    let unmarked = Err((403, "not-marked"));
    let bad = Err((400, "bad-request"));
    expect("a page of ours", OURS, Ok(()));
    for (named, headers, expected) in [
        (
            "a program",
            vec![("host", ME), ("rproxy-request", "1")],
            Ok(()),
        ),
        (
            "a form of another page",
            vec![
                ("host", ME),
                ("origin", "https://evil.test"),
                ("sec-fetch-site", "cross-site"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("content-length", "9"),
            ],
            foreign,
        ),
        (
            "the same from an old browser",
            vec![
                ("host", ME),
                ("content-type", "application/x-www-form-urlencoded"),
                ("content-length", "9"),
            ],
            unmarked,
        ),
        (
            "JSON as text/plain",
            but("content-type", Some("text/plain")),
            Err((415, "not-json")),
        ),
        (
            "a form with the header",
            but("content-type", Some("multipart/form-data; boundary=x")),
            Err((415, "not-json")),
        ),
        ("no type", but("content-type", None), Err((415, "not-json"))),
        (
            "with a charset",
            but("content-type", Some("Application/JSON; charset=utf-8")),
            Ok(()),
        ),
        ("without the header", but("rproxy-request", None), unmarked),
        ("another value", but("rproxy-request", Some("0")), unmarked),
        (
            "foreign origin",
            but("origin", Some("https://evil.test")),
            foreign,
        ),
        ("no origin", but("origin", None), Ok(())),
        ("Origin: null", but("origin", Some("null")), foreign),
        (
            "a longer origin",
            but("origin", Some("https://proxy.example.com.evil.test")),
            foreign,
        ),
        (
            "another port",
            but("origin", Some("https://proxy.example.com:8443")),
            foreign,
        ),
        (
            "the usual port",
            but("origin", Some("https://proxy.example.com:443")),
            Ok(()),
        ),
        (
            "behind a proxy",
            but("origin", Some("https://proxy.example.com")),
            Ok(()),
        ),
        (
            "plain HTTP",
            but("origin", Some("http://proxy.example.com")),
            Ok(()),
        ),
        (
            "cross-site",
            but("sec-fetch-site", Some("cross-site")),
            foreign,
        ),
        (
            "same-site",
            but("sec-fetch-site", Some("same-site")),
            foreign,
        ),
        ("none", but("sec-fetch-site", Some("none")), foreign),
        ("an old browser", but("sec-fetch-site", None), Ok(())),
        (
            "too long",
            but("content-length", Some("65537")),
            Err((413, "too-large")),
        ),
        ("just fits", but("content-length", Some("65536")), Ok(())),
        ("no number", but("content-length", Some("0x10")), bad),
        ("less than nothing", but("content-length", Some("-1")), bad),
    ] {
        expect(named, &headers, expected);
    }
    for (name, value) in [
        ("rproxy-request", "1"),
        ("origin", "https://proxy.example.com"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("host", ME),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
    ] {
        expect(name, &[OURS, &[(name, value)]].concat(), bad);
    }
}

/// With TLS, a page at http is another page.
#[test]
fn over_tls_only_pages_at_https_are_ours() {
    let info = ServedConnection {
        certificate: Some(std::sync::Arc::new(Vec::<u8>::new().into())),
        ..info()
    };
    let plain = but("origin", Some("http://proxy.example.com"));
    let case = ("POST", "/api/v1/session", &plain[..]);
    assert_eq!(judged_on(&info, &case), Err((403, "other-site")));
    let case = ("POST", "/api/v1/session", OURS);
    assert_eq!(judged_on(&info, &case), Ok(()));
}

#[test]
fn what_only_reads_needs_no_mark_and_has_no_body() {
    let host = ("host", ME);
    for (method, more, expected) in [
        ("GET", None, Ok(())),
        ("HEAD", None, Ok(())),
        ("GET", Some(("sec-fetch-site", "none")), Ok(())),
        ("GET", Some(("sec-fetch-site", "same-origin")), Ok(())),
        (
            "GET",
            Some(("sec-fetch-site", "cross-site")),
            Err((403, "other-site")),
        ),
        ("GET", Some(("content-length", "0")), Ok(())),
        (
            "GET",
            Some(("content-length", "7")),
            Err((400, "bad-request")),
        ),
        (
            "GET",
            Some(("x-http-method-override", "POST")),
            Err((400, "bad-request")),
        ),
        ("OPTIONS", None, Err((403, "not-marked"))),
        ("BREW", None, Err((403, "not-marked"))),
        ("TRACE", None, Err((405, "method-not-allowed"))),
    ] {
        let headers: Vec<_> = [host].into_iter().chain(more).collect();
        let case = (method, "/api/v1/about", &headers[..]);
        assert_eq!(judged_on(&info(), &case), expected, "{method} {more:?}");
    }
}

#[test]
fn a_path_is_what_it_looks_like() {
    let refused = Err((400, "bad-request"));
    for (target, expected) in [
        ("/", Ok(())),
        ("/api/v1/hosts?x=//../%2f", Ok(())),
        ("//api/v1/about", refused),
        ("/api//v1/about", refused),
        ("/api/v1/../v1/about", refused),
        ("/api/v1/..", refused),
        ("/api/./v1/about", refused),
        ("/api/v1/%2e%2e/about", refused),
        ("/api/v1%2fabout", refused),
        ("/api/v1%2Fabout", refused),
        ("/api/v1%5cabout", refused),
        ("/api/v1/about%00", refused),
        ("/api/v1/about%0d%0ax", refused),
        ("/api/v1/about;a=b", refused),
        ("/assets/%2E%2e/index.html", refused),
        ("/api/v1/account/keys/SHA256:ab%2Fcd+e", Ok(())),
        ("/api/v1/account/sign-ins/ab%2Fcd", refused),
        ("*", refused),
    ] {
        let case = ("GET", target, &[("host", ME)][..]);
        assert_eq!(judged_on(&info(), &case), expected, "{target}");
    }
}

#[test]
fn a_request_names_this_proxy_and_once() {
    let (refused, other) = (Err((400, "bad-request")), Err((421, "other-host")));
    for (target, hosts, expected) in [
        ("/", &["proxy.example.com"][..], Ok(())),
        ("/", &["PROXY.example.com:3080"], Ok(())),
        ("/", &["127.0.0.1:3080"], Ok(())),
        ("/", &["[::1]:3080"], Ok(())),
        ("/", &["[::1]"], Ok(())),
        ("/", &["localhost:3080"], Ok(())),
        // A page of an attacker whose name leads here.
        ("/", &["rebound.evil.test"], other),
        ("/", &["rebound.evil.test:3080"], other),
        ("/", &["proxy.example.com.evil.test"], other),
        ("/", &["evil.test:proxy.example.com"], other),
        ("/", &[""], other),
        ("/", &[], refused),
        ("/", &["proxy.example.com", "evil.test"], refused),
        ("/", &["proxy.example.com, evil.test"], refused),
        ("/", &["evil@proxy.example.com"], refused),
        ("/", &["proxy.example.com/"], refused),
        ("http://proxy.example.com/", &["proxy.example.com"], Ok(())),
        ("http://proxy.example.com/", &[], refused),
        ("http://proxy.example.com/", &["evil.test"], refused),
        ("http://evil.test/", &["proxy.example.com"], refused),
        ("http://evil.test/", &["evil.test"], other),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let case = ("GET", target, &headers[..]);
        assert_eq!(judged_on(&info(), &case), expected, "{target} {hosts:?}");
    }
    let connect = ("CONNECT", "db1.example.com:22", &[("host", ME)][..]);
    let refused = Err((405, "method-not-allowed"));
    assert_eq!(judged_on(&info(), &connect), refused);
}

/// Behind another proxy, two programs could disagree about where such a request ends.
#[test]
fn a_body_without_a_length_is_not_taken() {
    let chunked = ("transfer-encoding", "chunked");
    for (named, headers) in [
        ("TE", vec![chunked]),
        ("CL, TE", vec![("content-length", "2"), chunked]),
        ("TE, CL", vec![chunked, ("content-length", "2")]),
        ("odd TE", vec![("transfer-encoding", "xchunked")]),
        ("two TE", vec![chunked, ("transfer-encoding", "identity")]),
    ] {
        let headers = [but("content-length", None), headers].concat();
        for path in ["/api/v1/session", "/"] {
            let case = ("POST", path, &headers[..]);
            let refused = Err((411, "length-required"));
            assert_eq!(judged_on(&info(), &case), refused, "{named}");
        }
    }
}

#[test]
fn headers_are_counted() {
    let names: Vec<String> = (0..64).map(|number| format!("x-{number}")).collect();
    let headers = names.iter().map(|name| (name.as_str(), "y"));
    let headers: Vec<_> = [("host", ME)].into_iter().chain(headers).collect();
    let judged = |count: usize| judged_on(&info(), &("GET", "/", &headers[..count]));
    assert_eq!(judged(64), Ok(()));
    assert_eq!(judged(65), Err((431, "too-many-headers")));
}
