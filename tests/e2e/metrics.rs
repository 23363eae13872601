//! Metrics and health of the proxy, read with stock curl: the numbers count what happened.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::ca_keys::in_an_agent;
use crate::support::ports::free_port;
use crate::support::service::{ANSWER, ask, bytes, listens, on_port};
use crate::support::world::Builder;
use crate::support::{ClientOutcome, HostKey, World};

/// Values by series, as in `rproxy_sessions_total{kind="exec"}`.
pub(crate) type Scrape = BTreeMap<String, f64>;

fn measured() -> Builder {
    World::with().proxy_setting("metrics_listen_addr: 127.0.0.1:0")
}

/// The URL of a path of the listener.
pub(crate) fn url(world: &World, path: &str) -> String {
    let rest = world.logged("the metrics are at ");
    let base = rest.split_once("/metrics").expect("a URL").0;
    format!("{base}{path}")
}

fn curl(world: &World, args: &[&str], path: &str) -> ClientOutcome {
    world
        .program("curl")
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "30"])
        .args(args)
        .arg(url(world, path))
        .run()
}

/// Status and body.
fn asked(world: &World, args: &[&str], path: &str) -> (u32, String) {
    let text = curl(world, &[args, &["-w", "\n%{http_code}"]].concat(), path)
        .success()
        .text();
    let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
    (status.parse().expect("a status"), body.to_owned())
}

pub(crate) fn scrape(world: &World) -> Scrape {
    let (status, text) = asked(world, &[], "/metrics");
    assert_eq!(status, 200, "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// A scrape at a time when no client is connected any more.
fn settled(world: &World) -> Scrape {
    world.eventually("everybody has left", || {
        let scrape = scrape(world);
        let is_idle = scrape
            .iter()
            .filter(|(series, _)| series.starts_with("rproxy_open_"))
            .all(|(_, value)| *value == 0.0);
        is_idle.then_some(scrape)
    })
}

/// Sessions, refusals of each leg, bytes and files: each is counted once, with the right labels.
#[test]
fn numbers_are_what_happened() {
    let world = measured()
        .node("db1", HostKey::Certified)
        .node("liar", HostKey::Stranger)
        .tuned_node("closed", HostKey::Certified, "TrustedUserCAKeys none\n")
        .start();
    let before = settled(&world);

    let command = "cat >/dev/null; head -c 1000 /dev/zero; printf err >&2";
    let outcome = world.ssh().args(["db1", command]).stdin(vec![b'x'; 500]);
    outcome.run().success();
    let (service, local) = (on_port(), free_port());
    let forward = format!("{local}:127.0.0.1:{service}");
    let ssh = world.ssh().args(["-N", "-L", &forward, "db1"]).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let answer = ask(local, &bytes());
    assert!(answer == [ANSWER, &bytes()].concat());
    let during = scrape(&world);
    assert_eq!(during["rproxy_open_sessions{kind=\"forward\"}"], 1.0);
    assert_eq!(during["rproxy_open_sessions{kind=\"exec\"}"], 0.0);
    assert_eq!(during["rproxy_open_connections{layer=\"inner\"}"], 1.0);
    drop(ssh);
    for (host, login) in [
        ("nowhere", None),
        ("liar", None),
        ("closed", None),
        ("db1", Some("somebody-else")),
    ] {
        let login = login.map(|login| ["-l", login]);
        let ssh = world
            .ssh()
            .args(login.iter().flatten())
            .args([host, "true"]);
        assert_eq!(ssh.run().code(), 255, "{host}");
    }

    let after = settled(&world);
    let grown = |series: &str| {
        let value = |scrape: &Scrape| scrape.get(series).copied().unwrap_or_default();
        value(&after) - value(&before)
    };
    for (series, expected) in [
        ("rproxy_connections_total{layer=\"outer\"}", 6.0),
        ("rproxy_connections_total{layer=\"inner\"}", 6.0),
        ("rproxy_client_authentication_seconds_count", 6.0),
        ("rproxy_sessions_total{kind=\"exec\"}", 1.0),
        ("rproxy_sessions_total{kind=\"forward\"}", 1.0),
        ("rproxy_sessions_total{kind=\"shell\"}", 0.0),
        (
            "rproxy_refusals_total{leg=\"client\",reason=\"login-not-in-principals\"}",
            1.0,
        ),
        (
            "rproxy_refusals_total{leg=\"proxy\",reason=\"unknown-node\"}",
            1.0,
        ),
        (
            "rproxy_refusals_total{leg=\"host-certificate\",reason=\"unknown-authority\"}",
            1.0,
        ),
        (
            "rproxy_refusals_total{leg=\"host-authentication\",reason=\"host-refused\"}",
            1.0,
        ),
        (
            "rproxy_relayed_bytes_total{direction=\"to_host\",stream=\"stdin\"}",
            500.0,
        ),
        (
            "rproxy_relayed_bytes_total{direction=\"to_client\",stream=\"stdout\"}",
            1000.0,
        ),
        (
            "rproxy_relayed_bytes_total{direction=\"to_client\",stream=\"stderr\"}",
            3.0,
        ),
        (
            "rproxy_relayed_bytes_total{direction=\"to_host\",stream=\"forward\"}",
            100_000.0,
        ),
        (
            "rproxy_relayed_bytes_total{direction=\"to_client\",stream=\"forward\"}",
            100_000.0 + ANSWER.len() as f64,
        ),
        ("rproxy_recording_failures_total", 0.0),
        ("rproxy_audit_failures_total", 0.0),
        (
            "rproxy_connections_turned_away_total{limit=\"connections\"}",
            0.0,
        ),
        // The host that accepts no login refuses before there is anything to sign.
        ("rproxy_agent_seconds_count{task=\"sign\"}", 2.0),
    ] {
        assert_eq!(grown(series), expected, "{series}\n{after:#?}");
    }
    let refused: f64 = after
        .keys()
        .filter(|series| series.starts_with("rproxy_refusals_total"))
        .map(|series| grown(series))
        .sum();
    assert_eq!(refused, 4.0, "no refusal is there twice: {after:#?}");
    // If the login is wrong, the connection to the host may have begun by then.
    assert!(grown("rproxy_host_connect_seconds_count{step=\"handshake\"}") >= 3.0);
    assert!(grown("rproxy_recording_commit_seconds_count") >= 2.0);
    assert!(grown("rproxy_recording_commit_seconds_sum") > 0.0);

    // The counters have the sizes of the files on the disk.
    let files = world.recording_files();
    assert_eq!(files.len(), 2);
    let size: u64 = files
        .iter()
        .map(|file| fs::metadata(file).expect("it is there").len())
        .sum();
    assert_eq!(grown("rproxy_recording_written_bytes_total"), size as f64);
    let audit = world.audit();
    for event in [
        "auth.success",
        "auth.failure",
        "refusal",
        "session.start",
        "session.end",
    ] {
        let logged = audit.iter().filter(|line| line["event"] == event).count();
        let series = format!("rproxy_audit_events_total{{event=\"{event}\"}}");
        assert_eq!(after[&series], logged as f64, "{series}");
    }

    // Hosts that were refused have no certificate to renew.
    let expiry = |node: &str| {
        let series = format!("rproxy_host_certificate_expiry_timestamp_seconds{{node=\"{node}\"}}");
        after.get(&series).copied()
    };
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs_f64();
    assert!(expiry("db1") > Some(now + 300.0 * 86_400.0), "{after:#?}");
    assert!(expiry("db1") < Some(now + 400.0 * 86_400.0), "{after:#?}");
    assert!(
        expiry("closed").is_some() && expiry("liar").is_none(),
        "{after:#?}"
    );
    assert_eq!(after["rproxy_authority_keys{authority=\"user\"}"], 1.0);
    assert_eq!(after["rproxy_authority_keys{authority=\"host\"}"], 1.0);
    assert!(after["rproxy_recordings_free_bytes"] > 0.0);
    assert!(after["process_resident_memory_bytes"] > 1e6);
    assert!(after["process_open_fds"] > 3.0);
    assert!((after["process_start_time_seconds"] - now).abs() < 600.0);
}

/// Each client beyond a limit is counted, though the audit log has the refusal once.
#[test]
fn clients_that_are_turned_away_are_counted() {
    let world = measured()
        .proxy_setting("max_connections_per_address: 1")
        .start();
    let held = TcpStream::connect(world.address()).expect("it listens");
    let series = "rproxy_connections_turned_away_total{limit=\"address\"}";
    world.eventually("the place is taken", || {
        let scrape = scrape(&world);
        (scrape["rproxy_open_connections{layer=\"outer\"}"] == 1.0).then_some(())
    });
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.address()).expect("it listens");
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).expect("a socket");
        let _closed = stream.shutdown(Shutdown::Write);
        let _reset = stream.read_to_end(&mut Vec::new());
    }
    world.eventually("they are counted", || {
        (scrape(&world)[series] == 3.0).then_some(())
    });
    assert_eq!(world.refusals().len(), 1);
    drop(held);
}

/// A proxy is ready if it would serve the next client, and alive if it need not be restarted.
#[test]
fn a_proxy_that_cannot_record_is_alive_and_not_ready() {
    let world = measured().start();
    world.run("db1", "true").success();
    let ready = |expected: u32, says: &str| {
        world.eventually(says, || {
            let (status, text) = asked(&world, &[], "/readyz");
            (status == expected && text.contains(says)).then_some(text)
        })
    };
    let text = ready(200, "recordings: ok: ");
    for line in [
        "listener: ok: ",
        "host_authority: ok: ",
        "audit_log: ok: ",
        "state: ok: ",
    ] {
        assert!(text.contains(line), "{text}");
    }

    let recordings = world.data().join("recordings");
    let aside = world.data().join("aside");
    fs::rename(&recordings, &aside).expect("writable");
    fs::write(&recordings, "in the way").expect("writable");
    let text = ready(503, "recordings: failed: ");
    assert!(text.contains("audit_log: ok: "), "{text}");
    assert_ne!(world.run("db1", "true").code(), 0, "it says the truth");
    let (status, text) = asked(&world, &[], "/healthz");
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("threads: ok: "), "{text}");
    assert_eq!(scrape(&world)["rproxy_recording_failures_total"], 1.0);

    fs::remove_file(&recordings).expect("writable");
    fs::rename(&aside, &recordings).expect("writable");
    ready(200, "recordings: ok: ");
    let left = fs::read_dir(&recordings).expect("readable").count();
    assert_eq!(left, 1, "checks leave nothing behind");

    let log = world.data().join("audit.jsonl");
    fs::rename(&log, &aside).expect("writable");
    ready(503, "audit_log: failed: ");
    fs::rename(&aside, &log).expect("writable");
    ready(200, "audit_log: ok: ");
}

/// While the last sessions end, the proxy is not ready, so that it gets no new clients, but alive,
/// so that it is not restarted.
#[test]
fn a_proxy_that_stops_is_alive_and_not_ready() {
    let world = measured().start();
    let mut session = world.ssh().args(["db1", "cat"]).start();
    world.eventually("the session runs", || {
        let scrape = scrape(&world);
        (scrape["rproxy_open_sessions{kind=\"exec\"}"] == 1.0).then_some(())
    });
    assert_eq!(asked(&world, &[], "/readyz").0, 200);
    world.signal_proxy(Signal::TERM);
    world.eventually("it is not ready", || {
        let (status, text) = asked(&world, &[], "/readyz");
        let says = "listener: failed: stopping";
        (status == 503 && text.contains(says)).then_some(())
    });
    let (status, text) = asked(&world, &[], "/healthz");
    assert_eq!((status, &*text), (200, "threads: ok: stopping\n"));
    assert_eq!(scrape(&world)["rproxy_open_sessions{kind=\"exec\"}"], 1.0);
    drop(session.stdin.take());
    session.finish().success();
    assert_eq!(world.proxy_end(), Some(0));
}

/// The host CA's key is in an agent that has exited.
#[test]
fn an_authority_out_of_reach_is_told_of() {
    let world = measured().ca_keys(in_an_agent).start();
    let (status, text) = asked(&world, &[], "/readyz");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("host_authority: ok: "), "{text}");
    world.ca_agent.take().expect("an agent").kill();
    world.eventually("it is missed", || {
        let (status, text) = asked(&world, &[], "/readyz");
        let says = "host_authority: failed: ";
        (status == 503 && text.contains(says)).then_some(())
    });
    world.logged("cannot be connected to");
    assert_eq!(asked(&world, &[], "/healthz").0, 200);
}

/// Prometheus names the text format that it needs. This listener serves nothing else, and the other
/// listener serves no metrics.
#[test]
fn only_what_there_is_can_be_read() {
    let world = measured()
        .proxy_setting("web_listen_addr: 127.0.0.1:0")
        .proxy_setting("web_plain_http: yes")
        .start();
    let typed = |accept: &str| {
        let accept = format!("Accept: {accept}");
        let args = ["-H", &accept, "-w", "%{content_type}"];
        curl(&world, &args, "/metrics").success().text()
    };
    let own = typed("text/plain");
    assert!(
        own.ends_with("text/plain; version=0.0.4; charset=utf-8"),
        "{own}"
    );
    let open = typed("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1");
    let kind = "# EOF\napplication/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.ends_with(kind), "{open}");
    for (args, path, status, says) in [
        (
            &[][..],
            "/",
            404,
            "there is /metrics and /healthz and /readyz",
        ),
        (
            &[],
            "/webapi/auth/export?type=user",
            404,
            "nothing at this path",
        ),
        (&[], "/metrics/", 404, "nothing at this path"),
        (&["-d", "x"], "/metrics", 405, "ask with GET or HEAD"),
        (&["-X", "DELETE"], "/readyz", 405, "ask with GET or HEAD"),
        (
            &["-X", "GET", "-d", "x"],
            "/healthz",
            400,
            "a question has no body",
        ),
        (&[], "/healthz?verbose", 200, "threads: ok: "),
    ] {
        let (found, text) = asked(&world, args, path);
        assert_eq!(found, status, "{path} {text}");
        assert!(text.contains(says), "{path}: {text}");
    }
    let rest = world.logged("the web is at ");
    let public = rest.split_whitespace().next().expect("a URL");
    let outcome = world
        .program("curl")
        .args([
            "-q",
            "-s",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ])
        .arg(format!("{public}/metrics"))
        .run();
    assert_eq!(outcome.text(), "404");
}

/// Clients that never finish their request displace each other, and do not delay SSH.
#[test]
fn slow_clients_hold_nobody_up() {
    let world = measured().start();
    let url = url(&world, "");
    let (_, address) = url.split_once("://").expect("a URL");
    let held: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            // A client that was refused may be disconnected already.
            let _gone = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ");
            stream
        })
        .collect();
    world.run("db1", "true").success();
    drop(held);
    world.eventually("there is place again", || {
        let outcome = curl(&world, &["-f", "-o", "/dev/null"], "/metrics");
        outcome.status.success().then_some(())
    });
}
