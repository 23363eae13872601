//! The process that serves the web: what its end, an upgrade and a reload cost, and what it may do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{World, keys, programs};
use crate::upgrade::upgraded;
use crate::web::{EXPORT, address, curl, plain, url};

const ABOUT: &str = "/api/v1/about";

/// The one web process that the proxy has.
fn web(world: &World) -> u32 {
    world.eventually("one web process", || match world.webs()[..] {
        [pid] => Some(pid),
        _ => None,
    })
}

fn is_served(world: &World) {
    world.eventually("the web is served", || {
        let outcome = curl(world, &["-f", "-o", "/dev/null", &url(world, ABOUT)]);
        outcome.status.success().then_some(())
    });
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::KILL).expect("it runs");
}

/// Without a listener there is no process; with one, the worker has nothing of it.
#[test]
fn the_web_has_a_process_of_its_own() {
    let without = World::new();
    assert!(without.webs().is_empty());
    let world = plain().start();
    let about = curl(&world, &["-f", &url(&world, ABOUT)]).success().text();
    let about: Value = serde_json::from_str(&about).expect("JSON");
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    let web = web(&world);
    assert!(![world.worker_pid(), world.auth_pid(), world.proxy_pid()].contains(&web));
}

/// It is started again each time, and a session notices nothing.
#[test]
fn a_killed_web_process_is_started_again_and_costs_no_session() {
    let world = plain().start();
    let mut session = world.ssh().args(["db1", "cat"]).start();
    let mut echoes = |said: &[u8]| {
        let stdin = session.stdin.as_mut().expect("a pipe");
        stdin.write_all(said).expect("it reads");
        assert_eq!(session.read(said.len()), said);
    };
    echoes(b"begun");
    let worker = world.worker_pid();
    for round in 0..3 {
        let before = web(&world);
        kill(before);
        world.eventually("another web process", || {
            let webs = world.webs();
            (!webs.is_empty() && !webs.contains(&before)).then_some(())
        });
        is_served(&world);
        echoes(format!("after {round}").as_bytes());
    }
    assert_eq!(world.worker_pid(), worker);
}

/// A request that is begun before an upgrade is answered by the process that it was begun at.
#[test]
fn at_an_upgrade_the_old_process_finishes_its_answers() {
    let world = plain().start();
    is_served(&world);
    // The upgrade may take longer than a body may, on a busy machine.
    let is_answered = (0..5).any(|_| {
        let before = web(&world);
        let mut stream = TcpStream::connect(address(&world)).expect("it listens");
        let request = format!(
            "POST {ABOUT} HTTP/1.1\r\nHost: localhost\r\nRproxy-Request: 1\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        upgraded(&world);
        let after = world.eventually("another web process", || {
            world.webs().into_iter().find(|pid| *pid != before)
        });
        is_served(&world);
        let is_there = world.webs().contains(&before);
        stream.write_all(b"}").unwrap_or_default();
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a socket");
        let mut answer = String::new();
        let read = BufReader::new(&stream).take(4096).read_line(&mut answer);
        world.eventually("the old one has ended", || {
            (world.webs() == [after]).then_some(())
        });
        is_there && read.is_ok() && answer.starts_with("HTTP/1.1 405 ")
    });
    assert!(is_answered);
}

/// What the auth process tells is known after each of them was started again.
#[test]
fn the_web_answers_while_there_is_no_auth_process() {
    let world = plain().start();
    let export = url(&world, &format!("{EXPORT}?type=user"));
    let before = curl(&world, &["-f", &export]).success().text();
    world.kill_auth();
    assert_eq!(curl(&world, &["-f", &export]).success().text(), before);
}

/// A page whose name an attacker leads here gets nothing but public data.
#[test]
fn another_host_is_refused() {
    let world = plain().start();
    let status = |path: &str, host: &str| {
        let host = format!("Host: {host}");
        let args = [
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &host,
            &url(&world, path),
        ];
        curl(&world, &args).success().text()
    };
    assert_eq!(status(ABOUT, "localhost"), "200");
    assert_eq!(status(ABOUT, "rebound.evil.test"), "421");
    assert_eq!(status("/", "rebound.evil.test"), "421");
    let public = format!("{EXPORT}?type=user");
    assert_eq!(status(&public, "rebound.evil.test"), "200");
}

/// Without files of the administrator's, there is HTTPS all the same; a restart changes nothing, and no other
/// account can read the key.
#[test]
fn the_proxy_makes_a_certificate_for_itself() {
    let world = World::with()
        .proxy_setting("web_listen_addr: 127.0.0.1:0")
        .start();
    let file = world.data().join("web/https.pem");
    let mode = std::fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let trust = world.dir().join("trusted.pem");
    let pem = std::fs::read_to_string(&file).expect("readable");
    let (certificate, _key) = pem.split_once("-----BEGIN PRIVATE KEY").expect("PEM");
    std::fs::write(&trust, certificate).expect("writable");
    let trust = trust.to_str().expect("plain");
    let asked = |more: &[&str]| {
        let at = url(&world, ABOUT);
        assert!(at.starts_with("https://127.0.0.1:"), "{at}");
        let args = [
            &["-f", "-o", "/dev/null", "-w", "%{http_version}", &at],
            more,
        ]
        .concat();
        curl(&world, &args)
    };
    assert_eq!(asked(&[]).code(), 60, "nobody knows it");
    assert_eq!(asked(&["--cacert", trust]).success().text(), "2");
    let old = asked(&["--cacert", trust, "--http1.1"]).success().text();
    assert_eq!(old, "1.1");
    let mut openssl = Command::new(programs::path("openssl"));
    let fields = ["-noout", "-fingerprint", "-sha256", "-text", "-in", trust];
    let shown = keys::tool(openssl.arg("x509").args(fields));
    let (_, fingerprint) = shown.split_once("Fingerprint=").expect("openssl shows it");
    let fingerprint = fingerprint.lines().next().expect("a line");
    world.logged(fingerprint);
    for what in [
        "prime256v1",
        "CA:FALSE",
        "DNS:localhost",
        "IP Address:127.0.0.1",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    world.stop_proxy();
    world.restart_proxy();
    let again = std::fs::read_to_string(&file).expect("readable");
    assert_eq!(again, pem);
}

/// Another name of the proxy is known after a reload: to the certificate, and to those who ask.
#[test]
fn a_reload_reaches_the_web() {
    let world = World::with()
        .proxy_setting("web_listen_addr: 127.0.0.1:0")
        .start();
    let address = address(&world);
    let status = || {
        let resolve = format!("renamed.example.test:{}:127.0.0.1", address.port());
        let at = format!("https://renamed.example.test:{}{ABOUT}", address.port());
        let args = [
            "-k",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--resolve",
            &resolve,
            &at,
        ];
        curl(&world, &args).success().text()
    };
    assert_eq!(status(), "421");
    let renamed = "public_addr: renamed.example.test:3023";
    world.reconfigure(|text| text.replace("public_addr: 127.0.0.1:3023", renamed));
    world.eventually("the new name", || (status() == "200").then_some(()));
    world.logged("the certificate of HTTPS was read again");
}
