//! The web listener, with stock curl: what it serves, what it refuses, and its limits.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::world::Builder;
use crate::support::{ClientOutcome, HostKey, World, keys, programs};

/// A CA and certificates for 127.0.0.1, made by openssl in a directory of their own.
pub(crate) struct WebCa {
    dir: tempfile::TempDir,
}

impl WebCa {
    pub(crate) fn new() -> Self {
        let ca = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        ca.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=Test CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        ca.issue("one");
        ca
    }

    pub(crate) fn openssl(&self, args: &[&str]) {
        let mut openssl = Command::new(programs::path("openssl"));
        keys::tool(openssl.args(args).current_dir(self.dir.path()));
    }

    /// A certificate for the server, with this subject, in the files that the proxy reads.
    fn issue(&self, name: &str) {
        let subject = format!("/CN={name}");
        fs::write(self.path("names"), "subjectAltName=IP:127.0.0.1\n").expect("writable");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            "next.key",
            "-out",
            "request.pem",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "1",
            "-extfile",
            "names",
            "-out",
            "next.pem",
        ]);
        for (from, to) in [("next.pem", "server.pem"), ("next.key", "server.key")] {
            fs::rename(self.path(from), self.path(to)).expect("writable");
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A world whose proxy serves HTTPS with the certificate of this CA.
    fn world(&self) -> Builder {
        self.world_at(0)
    }

    /// The same at this port.
    pub(crate) fn world_at(&self, port: u16) -> Builder {
        World::with()
            .proxy_setting(&format!("web_listen_addr: 127.0.0.1:{port}"))
            .proxy_setting(&format!(
                "https_cert_file: {}",
                self.path("server.pem").display()
            ))
            .proxy_setting(&format!(
                "https_key_file: {}",
                self.path("server.key").display()
            ))
    }

    /// curl, which trusts this CA alone.
    fn curl(&self, world: &World, args: &[&str]) -> ClientOutcome {
        let trust = self.path("ca.pem");
        curl(
            world,
            &[&["--cacert", trust.to_str().expect("plain")], args].concat(),
        )
    }
}

/// A world whose proxy serves plain HTTP.
pub(crate) fn plain() -> Builder {
    World::with()
        .proxy_setting("web_listen_addr: 127.0.0.1:0")
        .proxy_setting("web_plain_http: yes")
}

/// The base URL: `https://127.0.0.1:PORT`.
pub(crate) fn url(world: &World, path: &str) -> String {
    let rest = world.logged("the web is at ");
    let base = rest.split_whitespace().next().expect("a URL");
    format!("{base}{path}")
}

pub(crate) fn address(world: &World) -> SocketAddr {
    let url = url(world, "");
    let (_, address) = url.split_once("://").expect("a URL");
    address.parse().expect("an address")
}

pub(crate) fn curl(world: &World, args: &[&str]) -> ClientOutcome {
    world
        .program("curl")
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "30"])
        .args(args)
        .run()
}

/// Status and body of a request over plain HTTP.
fn asked(world: &World, args: &[&str], path: &str) -> (u32, String) {
    let outcome = curl(
        world,
        &[args, &["-w", "\n%{http_code}", &url(world, path)]].concat(),
    );
    let text = outcome.success().text();
    let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
    (status.parse().expect("a status"), body.to_owned())
}

fn auth(world: &World, args: &[&str]) -> String {
    keys::tool(world.rproxy().arg("auth").args(args))
}

pub(crate) const EXPORT: &str = "/webapi/auth/export";
const KRL: &str = "/webapi/auth/krl";

/// The same bytes as the command's, over a connection that curl trusts.
#[test]
fn keys_and_list_are_those_of_the_commands() {
    let ca = WebCa::new();
    let world = ca.world().start();
    assert!(url(&world, "").starts_with("https://"));
    for (query, args) in [
        ("type=user", &["export", "--type=user"][..]),
        (
            "type=user&format=authorized-keys",
            &["export", "--type=user", "--format=authorized-keys"],
        ),
        ("type=host", &["export", "--type=host"]),
        (
            "type=host&format=openssh",
            &["export", "--type=host", "--format=openssh"],
        ),
        (
            "type=host&hosts=*.example.test,db1",
            &["export", "--type=host", "--hosts=*.example.test,db1"],
        ),
    ] {
        let served = ca.curl(&world, &["-f", &url(&world, &format!("{EXPORT}?{query}"))]);
        assert_eq!(served.success().text(), auth(&world, args), "{query}");
    }
    auth(
        &world,
        &["revoke", "--yes", "--unknown", "--key-id=mallory"],
    );
    let expected = keys::tool_bytes(world.rproxy().args(["auth", "krl", "--out=-"]));
    world.eventually("the list is served", || {
        let served = ca.curl(&world, &["-f", &url(&world, KRL)]).success();
        (served.stdout == expected).then_some(())
    });
    let stranger = curl(&world, &["-f", &url(&world, KRL)]);
    assert_eq!(
        stranger.code(),
        60,
        "curl does not know the CA: {}",
        stranger.stderr
    );
}

/// During a rotation both keys are served, as soon as the proxy has read its state.
#[test]
fn a_rotation_shows() {
    let world = plain().start();
    for kind in ["user", "host"] {
        auth(
            &world,
            &["rotate", &format!("--type={kind}"), "--phase=init"],
        );
        let path = format!("{EXPORT}?type={kind}");
        let both = world.eventually("both keys are served", || {
            let (_, text) = asked(&world, &[], &path);
            (text.lines().count() == 2).then_some(text)
        });
        assert_eq!(both, auth(&world, &["export", &format!("--type={kind}")]));
    }
}

/// A document that the client has is not sent again until it changes.
#[test]
fn an_etag_saves_the_way() {
    let world = plain().start();
    auth(
        &world,
        &["revoke", "--yes", "--unknown", "--key-id=mallory"],
    );
    let headers = world.eventually("the list has a date", || {
        let headers = curl(&world, &["-I", &url(&world, KRL)]).success().text();
        headers.contains("last-modified: ").then_some(headers)
    });
    let header = |name: &str| {
        let line = headers.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {headers}"))
            .trim()
            .to_owned()
    };
    assert!(headers.starts_with("HTTP/1.1 200 "), "{headers}");
    assert_eq!(header("content-type: "), "application/octet-stream");
    let whole = curl(&world, &[&url(&world, KRL)]).success().stdout;
    assert_eq!(header("content-length: "), whole.len().to_string());
    let known = format!("If-None-Match: {}", header("etag: "));
    let again = asked(&world, &["-H", &known], KRL);
    assert_eq!(again, (304, String::new()));
    auth(&world, &["revoke", "--yes", "--unknown", "--key-id=trudy"]);
    world.eventually("the list is another", || {
        (curl(&world, &["-H", &known, &url(&world, KRL)])
            .stdout
            .len()
            > whole.len())
        .then_some(())
    });
}

/// Refusals have a message, and no request changes anything.
#[test]
fn what_there_is_not_is_refused_in_words() {
    let world = plain().start();
    let long = "x".repeat(20_000);
    let many: Vec<String> = (0..100).map(|number| format!("-HX-{number}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (args, path, status, says) in [
        (
            &[][..],
            "/nothing",
            404,
            "there is /webapi/auth/export and /webapi/auth/krl",
        ),
        (
            &[],
            "/webapi/auth/krl/../../../../etc/passwd",
            404,
            "nothing at this path",
        ),
        (
            &["--path-as-is"],
            "/webapi/auth/../auth/krl",
            404,
            "nothing at this path",
        ),
        (&["-d", "x"], KRL, 405, "ask with GET or HEAD"),
        (&["-X", "DELETE"], KRL, 405, "ask with GET or HEAD"),
        (
            &["-X", "GET", "-d", "x"],
            KRL,
            400,
            "a question has no body",
        ),
        (&[], EXPORT, 400, "the type is missing"),
        (
            &[],
            "/webapi/auth/export?type=user&format=pem",
            400,
            "the formats are",
        ),
        (&[], "/webapi/auth/krl?version=1", 400, "no parameters"),
        (&["-H", &format!("X: {long}")], KRL, 431, ""),
        (&many, KRL, 431, ""),
    ] {
        let (found, text) = asked(&world, args, path);
        assert_eq!(found, status, "{path} {text}");
        assert!(text.contains(says), "{path}: {text}");
    }
    let allowed = curl(&world, &["-sD-", "-X", "PUT", &url(&world, KRL)]).text();
    assert!(allowed.contains("allow: GET, HEAD"), "{allowed}");
}

/// A new certificate is used as soon as its files are there; one that cannot be used changes
/// nothing.
#[test]
fn a_new_certificate_needs_no_restart() {
    let ca = WebCa::new();
    let world = ca.world().start();
    let shown = || {
        let outcome = ca
            .curl(&world, &["-v", "-o", "/dev/null", &url(&world, KRL)])
            .success();
        let line = outcome
            .stderr
            .lines()
            .find(|line| line.contains("subject: "));
        line.expect("curl shows the subject").to_owned()
    };
    assert!(shown().ends_with("CN=one"), "{}", shown());
    fs::write(ca.path("server.pem"), "nothing").expect("writable");
    world.eventually("it is told", || {
        let log = world.proxy_log();
        log.contains("the certificate of HTTPS stays as it was")
            .then_some(())
    });
    assert!(shown().ends_with("CN=one"), "{}", shown());
    ca.issue("two");
    world.eventually("the new certificate", || {
        shown().ends_with("CN=two").then_some(())
    });
}

/// Clients that never finish their request hold slots of the web listener for a while, and none of
/// SSH.
#[test]
fn slow_clients_are_bounded() {
    let world = plain().start();
    let address = address(&world);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).expect("it listens");
        // A client that was refused may be disconnected already.
        let _gone = stream.write_all(b"GET /webapi/auth/krl HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        held.push(stream);
    }
    world.run("db1", "true").success();
    // The address had all its slots in use: the oldest clients were disconnected for the others.
    let mut cut_off = 0;
    for stream in &mut held {
        stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .expect("a socket");
        let ended = !matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        cut_off += usize::from(ended);
    }
    assert!(cut_off >= 100 - 16, "{cut_off} were cut off");
    // The other clients are disconnected when their time limit has passed.
    world.eventually("places are free again", || {
        // A byte now and then does not extend a client's time limit: otherwise it would keep its
        // slot for ever.
        for stream in &mut held {
            let _gone = stream.write_all(b"x");
        }
        let outcome = curl(&world, &["-f", "-o", "/dev/null", &url(&world, KRL)]);
        outcome.status.success().then_some(())
    });
}

/// Incomplete requests from four addresses, more than there are slots, sent again when they are
/// disconnected: the web, metrics and health answer other clients at once.
#[test]
fn half_requests_of_others_silence_nobody() {
    let world = plain()
        .proxy_setting("metrics_listen_addr: 127.0.0.1:0")
        .start();
    let metrics = |path: &str| crate::metrics::url(&world, path);
    let (_, metrics_address) = metrics("").split_once("://").map(owned).expect("a URL");
    let listeners = [
        address(&world),
        metrics_address.parse().expect("an address"),
    ];
    let mut held: Vec<TcpStream> = Vec::new();
    for round in 0..3 {
        for listener in listeners {
            for last in 2..=5 {
                let source = std::net::Ipv4Addr::new(127, 0, 0, last);
                held.extend((0..20).map(|_| {
                    let mut stream =
                        crate::hostile::connect_from(source, listener).expect("it listens");
                    // A client that has lost its slot may be disconnected already.
                    let _gone = stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ");
                    stream
                }));
            }
        }
        for url in [
            url(&world, KRL),
            metrics("/healthz"),
            metrics("/readyz"),
            metrics("/metrics"),
        ] {
            let outcome = curl(&world, &["-f", "-o", "/dev/null", &url]);
            assert_eq!(outcome.code(), 0, "{round}: {url}: {}", outcome.stderr);
        }
    }
}

fn owned((one, other): (&str, &str)) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// Bytes that are neither HTTP nor TLS, and requests that do not end.
#[test]
fn nonsense_hurts_nobody() {
    let ca = WebCa::new();
    let https = ca.world().start();
    let http = plain().start();
    for world in [&https, &http] {
        for nonsense in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"\x16\x03\x01\xff\xff\x01",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET /webapi/auth/krl HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            &[0; 65_536],
        ] {
            let mut stream = TcpStream::connect(address(world)).expect("it listens");
            let _refused = stream.write_all(nonsense);
            let _closed = stream.shutdown(std::net::Shutdown::Write);
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            let mut answer = Vec::new();
            let _reset = Read::take(&mut stream, 65_536).read_to_end(&mut answer);
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{nonsense:?}");
        }
    }
    ca.curl(&https, &["-f", "-o", "/dev/null", &url(&https, KRL)])
        .success();
    curl(&http, &["-f", "-o", "/dev/null", &url(&http, KRL)]).success();
}

/// Runs the script for the cron of hosts.
fn fetch(world: &World, url: &str, file: &Path, more: &[&str]) -> ClientOutcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/fetch-krl.sh");
    let file = file.to_str().expect("plain");
    world
        .program_at(&script)
        .args([url, file, "--noproxy", "*"])
        .args(more)
        .run()
}

/// A host fetches the list, and its stock `sshd` uses it; a damaged list does not replace it.
#[test]
fn hosts_fetch_the_list() {
    let ca = WebCa::new();
    let lists = tempfile::tempdir().expect("a temporary directory");
    let list = lists.path().join("krl");
    let setting = format!("RevokedKeys {}\n", list.display());
    let world = ca
        .world()
        .tuned_node("db1", HostKey::Certified, &setting)
        .start();
    let url = url(&world, KRL);
    let trust = ca.path("ca.pem");
    let trust = ["--cacert", trust.to_str().expect("plain")];
    fetch(&world, &url, &list, &trust).success();
    world.direct_ssh().args(["db1", "true"]).run().success();

    // A list that the host has is not fetched again.
    let before = fs::metadata(&list)
        .expect("there")
        .modified()
        .expect("a time");
    fetch(&world, &url, &list, &trust).success();
    assert_eq!(
        fs::metadata(&list)
            .expect("there")
            .modified()
            .expect("a time"),
        before
    );

    auth(&world, &["revoke", "--yes", "--key-id=alice"]);
    world.eventually("sshd refuses", || {
        fetch(&world, &url, &list, &trust).success();
        let outcome = world.direct_ssh().args(["db1", "true"]).run();
        (outcome.code() == 255).then_some(())
    });
    assert!(
        world.node().log().contains("revoked"),
        "{}",
        world.node().log()
    );
    let entries = fs::read_dir(lists.path()).expect("there").count();
    assert_eq!(entries, 2, "the list and its tag");
}

/// A server that answers every client with the same bytes, until the test ends.
fn serve(answer: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/krl", listener.local_addr().expect("a port"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _request = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(&answer);
        }
    });
    url
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_bad_list_never_replaces_a_good_one() {
    let world = World::new();
    let file = world.dir().join("krl");
    let out = format!("--out={}", file.display());
    auth(&world, &["krl", &out]);
    let older = fs::read(&file).expect("there");
    auth(
        &world,
        &["revoke", "--yes", "--unknown", "--key-id=mallory"],
    );
    auth(&world, &["krl", &out]);
    let good = fs::read(&file).expect("there");
    let cut_short = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        good.len() + 1
    );
    let too_large = b"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n".to_vec();
    for (answer, says) in [
        (ok(b""), "empty"),
        (
            ok(&good[..good.len() - 1]),
            "no list that ssh-keygen can read",
        ),
        (
            ok(b"ssh-ed25519 AAAA\n"),
            "no list that ssh-keygen can read",
        ),
        (
            ok(b"<html>please log in</html>"),
            "no list that ssh-keygen can read",
        ),
        (ok(&older), "older list"),
        ([cut_short.as_bytes(), &good].concat(), "cannot fetch"),
        (too_large, "cannot fetch"),
        (
            b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "status 500",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "status 302",
        ),
        (Vec::new(), "cannot fetch"),
    ] {
        let outcome = fetch(&world, &serve(answer), &file, &[]);
        assert_eq!(outcome.code(), 1, "{says}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
        assert_eq!(fs::read(&file).expect("there"), good, "{says}");
    }
    fetch(&world, &serve(ok(&good)), &file, &[]).success();
    fs::write(&file, "ssh-ed25519 AAAA somebody's own list\n").expect("writable");
    let kept = fetch(&world, &serve(ok(&good)), &file, &[]);
    assert_eq!(kept.code(), 1);
    assert!(kept.stderr.contains("remove it first"), "{}", kept.stderr);
    let left: Vec<_> = fs::read_dir(world.dir())
        .expect("there")
        .flatten()
        .collect();
    let left = left
        .iter()
        .filter(|entry| entry.file_name().to_string_lossy().contains("fetch-krl"));
    assert_eq!(left.count(), 0);
}
