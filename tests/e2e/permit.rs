//! `permit`, key by key: what it allows works and is recorded; what it does not allow is refused as
//! `sshd` refuses it, is audited, and disturbs nothing else on the connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::forwards::{forwards, refused};
use crate::hostile::Inner;
use crate::support::client::Live;
use crate::support::others::others;
use crate::support::payload::{
    CLOSE, DATA, FAILURE, OPEN_CONFIRMATION, OPEN_FAILURE, Payload, REQUEST,
};
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::service::{ANSWER, ask, listens, on_port, on_socket};
use crate::support::{HostKey, World};

/// The reason of a refused channel, as RFC 4254, 5.1 has it.
const ADMINISTRATIVELY_PROHIBITED: u32 = 1;
const PROHIBITED: &str = "open failed: administratively prohibited";

fn world(permit: &str) -> World {
    World::with().settings(&format!("permit: {permit}")).start()
}

/// A session with forwards beside it.
fn session(world: &World, options: &[String]) -> Live {
    let command = ["db1".to_owned(), "echo ready; cat".to_owned()];
    let mut session = world.ssh().args(options).args(command).start();
    assert_eq!(session.read(6), b"ready\n");
    session
}

/// Checks that the session goes on. Returns the output of `ssh` meanwhile.
fn goes_on(mut session: Live) -> String {
    let stdin = session.stdin.as_mut().expect("it is open");
    stdin.write_all(b"still here\n").expect("the session runs");
    assert_eq!(session.read(11), b"still here\n");
    session.finish().success().stderr
}

fn option(name: &str, value: String) -> [String; 2] {
    [name.to_owned(), value]
}

fn local(port: u16, destination: &str) -> [String; 2] {
    option("-L", format!("{port}:{destination}"))
}

fn remote(port: u16, destination: &str) -> [String; 2] {
    option("-R", format!("{port}:{destination}"))
}

/// The details of all refusals of this kind, in their order.
fn details(world: &World, name: &str) -> Vec<String> {
    let mut events = world.audit();
    events.retain(|event| event["event"] == "channel.refused" && event["name"] == name);
    let detail = |event: &Value| text(event, "detail").to_owned();
    events.iter().map(detail).collect()
}

/// The destinations of forwarded channels, in their order.
fn opened(world: &World) -> Vec<String> {
    let mut events = world.audit();
    events.retain(|event| event["event"] == "forward.opened");
    let address = |event: &Value| text(event, "address").to_owned();
    events.iter().map(address).collect()
}

/// `AllowTcpForwarding`: each value with a forward from either side.
#[test]
fn port_forwarding() {
    for (value, permits_local, permits_remote) in [
        ("yes", true, true),
        ("no", false, false),
        ("local", true, false),
        ("remote", false, true),
    ] {
        let world = world(&format!("{{ port_forwarding: {value} }}"));
        let destination = format!("127.0.0.1:{}", on_port());
        let (near, far) = (free_port(), free_port());
        let options = [local(near, &destination), remote(far, &destination)].concat();
        let session = session(&world, &options);
        world.eventually("ssh listens", || listens(near).then_some(()));
        let answer = |question: &[u8]| [ANSWER, question].concat();

        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        let heard = ask(near, b"near");
        if permits_local {
            assert_eq!(heard, answer(b"near"), "{value}");
            sent.extend(b"near");
            answered.extend(answer(b"near"));
        } else {
            assert_eq!(heard, b"", "{value}");
            refused(&world, "channel", "direct-tcpip");
            assert_eq!(details(&world, "direct-tcpip"), [destination], "{value}");
        }
        if permits_remote {
            world.eventually("the host listens", || listens(far).then_some(()));
            assert_eq!(ask(far, b"far"), answer(b"far"), "{value}");
            sent.extend(answer(b"far"));
            answered.extend(b"far");
        } else {
            refused(&world, "global-request", "tcpip-forward");
            let wanted = [format!("localhost:{far}")];
            assert_eq!(details(&world, "tcpip-forward"), wanted, "{value}");
            assert!(!listens(far), "{value}");
        }

        let said = goes_on(session);
        let prohibited = said.contains(PROHIBITED);
        assert_eq!(prohibited, !permits_local, "{value}: {said}");
        let failed = said.contains("remote port forwarding failed");
        assert_eq!(failed, !permits_remote, "{value}: {said}");
        if permits_local || permits_remote {
            let recording = forwards(&world);
            assert_eq!(world.exported(&recording, "stdin"), sent, "{value}");
            assert_eq!(world.exported(&recording, "stdout"), answered, "{value}");
        }
    }
}

/// `PermitOpen`, with each form of pattern.
#[test]
fn permit_open() {
    let (exact, any_host, any_port, none) = (on_port(), on_port(), on_port(), on_port());
    let world = world(&format!(
        "{{ permit_open: [\"127.0.0.1:{exact}\", \"*:{any_host}\", \"localhost:*\", \"[::1]:{any_port}\"] }}"
    ));
    let permitted = [
        format!("127.0.0.1:{exact}"),
        format!("127.0.0.1:{any_host}"),
        format!("localhost:{any_port}"),
    ];
    let forbidden = [
        format!("127.0.0.1:{none}"),
        format!("[::1]:{none}"),
        format!("127.0.0.1:{any_port}"),
    ];
    // It is permitted; whether a program listens there does not matter.
    let of_version_six = format!("[::1]:{any_port}");
    let ports: Vec<u16> = (0..7).map(|_| free_port()).collect();
    let destinations: Vec<&String> = permitted
        .iter()
        .chain([&of_version_six])
        .chain(&forbidden)
        .collect();
    let options: Vec<String> = ports
        .iter()
        .zip(&destinations)
        .flat_map(|(port, destination)| local(*port, destination))
        .collect();
    let session = session(&world, &options);
    for (port, destination) in ports.iter().zip(&destinations) {
        world.eventually("ssh listens", || listens(*port).then_some(()));
        let heard = ask(*port, b"question");
        if permitted.contains(*destination) {
            assert_eq!(heard, [ANSWER, b"question"].concat(), "{destination}");
        } else {
            assert_eq!(heard, b"", "{destination}");
        }
    }
    let said = goes_on(session);
    assert_eq!(said.matches(PROHIBITED).count(), forbidden.len(), "{said}");
    assert_eq!(details(&world, "direct-tcpip"), forbidden);
    assert_eq!(opened(&world), [&permitted[..], &[of_version_six]].concat());
    let recording = forwards(&world);
    assert_eq!(world.exported(&recording, "stdin"), b"question".repeat(3));
}

#[test]
fn permit_open_any_and_none() {
    for (value, permits) in [("[any]", true), ("[none]", false), ("[]", false)] {
        let world = world(&format!("{{ permit_open: {value} }}"));
        let destination = format!("127.0.0.1:{}", on_port());
        let outcome = world
            .ssh()
            .args(["-W", &destination, "db1"])
            .stdin("question")
            .run();
        if permits {
            assert_eq!(outcome.success().stdout, [ANSWER, b"question"].concat());
        } else {
            assert_eq!(outcome.text(), "", "{value}");
            let reason = "administratively prohibited: rproxy: forwarding to this host and port";
            assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
            refused(&world, "channel", "direct-tcpip");
        }
    }
}

/// `PermitListen`: names may have wildcards in them, a port alone means all hosts, and port 0 is
/// for patterns of all ports only.
#[test]
fn permit_listen() {
    let destination = format!("127.0.0.1:{}", on_port());
    let (alone, named, wild, none) = (free_port(), free_port(), free_port(), free_port());
    let world = world(&format!(
        "{{ permit_listen: [\"{alone}\", \"LocalHost:{named}\", \"127.0.?.*:*\"] }}"
    ));
    let permitted = [
        format!("{alone}:{destination}"),
        format!("{named}:{destination}"),
        format!("127.0.0.1:{wild}:{destination}"),
        format!("127.0.0.1:0:{destination}"),
    ];
    let forbidden = [
        format!("{none}:{destination}"),
        format!("0:{destination}"),
        format!("127.1.0.1:{none}:{destination}"),
    ];
    let options: Vec<String> = permitted
        .iter()
        .chain(&forbidden)
        .flat_map(|forward| option("-R", forward.clone()))
        .collect();
    let session = session(&world, &options);
    for port in [alone, named, wild] {
        world.eventually("the host listens", || listens(port).then_some(()));
        assert_eq!(ask(port, b"question"), [ANSWER, b"question"].concat());
    }
    let said = goes_on(session);
    let failed = said.matches("remote port forwarding failed").count();
    assert_eq!(failed, forbidden.len(), "{said}");
    let wanted = [
        format!("localhost:{none}"),
        "localhost:0".to_owned(),
        format!("127.1.0.1:{none}"),
    ];
    assert_eq!(details(&world, "tcpip-forward"), wanted);
    let recording = forwards(&world);
    assert_eq!(world.exported(&recording, "stdout"), b"question".repeat(3));
}

#[test]
fn permit_listen_any_and_none() {
    for (value, permits) in [("[any]", true), ("[none]", false)] {
        let world = world(&format!("{{ permit_listen: {value} }}"));
        let options = remote(0, &format!("127.0.0.1:{}", on_port()));
        let said = goes_on(session(&world, &options));
        let failed = said.contains("remote port forwarding failed");
        assert_eq!(failed, !permits, "{value}: {said}");
        assert_eq!(said.contains("Allocated port"), permits, "{value}: {said}");
    }
}

/// The answer of a Unix socket; empty if it closes at once.
fn ask_socket(world: &World, path: &Path) -> Vec<u8> {
    // The file is there a moment before somebody listens.
    let connect = || UnixStream::connect(path).ok();
    let mut stream = world.eventually("somebody listens", connect);
    // The stream may be closed at once: that is one of the expected results.
    stream.write_all(b"question").unwrap_or_default();
    stream
        .shutdown(std::net::Shutdown::Write)
        .unwrap_or_default();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap_or_default();
    heard
}

/// `AllowStreamLocalForwarding`: each value with a forward from either side.
#[test]
fn streamlocal() {
    for (value, permits_local, permits_remote) in [
        ("yes", true, true),
        ("no", false, false),
        ("local", true, false),
        ("remote", false, true),
    ] {
        let world = world(&format!("{{ streamlocal: {value}, port_forwarding: no }}"));
        let path = |name: &str| world.dir().join(name);
        let (near, far, service) = (path("near"), path("far"), path("service"));
        on_socket(&service);
        let both = |from: &Path| format!("{}:{}", from.display(), service.display());
        let options = [option("-L", both(&near)), option("-R", both(&far))].concat();
        let session = session(&world, &options);
        let answer = [ANSWER, b"question"].concat();
        let heard = ask_socket(&world, &near);
        assert_eq!(heard == answer, permits_local, "{value}");
        if permits_remote {
            assert_eq!(ask_socket(&world, &far), answer, "{value}");
        } else {
            refused(&world, "global-request", "streamlocal-forward@openssh.com");
            let wanted = [far.display().to_string()];
            assert_eq!(details(&world, "streamlocal-forward@openssh.com"), wanted);
        }
        let said = goes_on(session);
        assert_eq!(said.contains(PROHIBITED), !permits_local, "{value}: {said}");
        if !permits_local {
            let wanted = [service.display().to_string()];
            assert_eq!(details(&world, "direct-streamlocal@openssh.com"), wanted);
        }
        let count = usize::from(permits_local) + usize::from(permits_remote);
        assert_eq!(opened(&world).len(), count, "{value}");
        if count > 0 {
            let recording = forwards(&world);
            let streams = [
                world.exported(&recording, "stdin"),
                world.exported(&recording, "stdout"),
            ]
            .concat();
            let whole = (b"question".len() + answer.len()) * count;
            assert_eq!(streams.len(), whole, "{value}");
        }
    }
}

/// `AllowAgentForwarding no`: the session gets no agent, and goes on.
#[test]
fn agent() {
    let world = world("{ agent: no }");
    let outcome = world
        .ssh()
        .args(["-A", "db1", "echo \"<$SSH_AUTH_SOCK>\""])
        .run()
        .success();
    assert_eq!(outcome.text(), "<>\n");
    refused(&world, "channel-request", "auth-agent-req@openssh.com");
}

/// The first bytes of every X program: byte order, version 11, the name of the authentication and
/// its cookie, which `ssh` replaces by the display's own cookie.
const DRAWING: &str = r#"
number=${DISPLAY##*:}
number=${number%.*}
cookie=$(XAUTH list "$DISPLAY" | sed -n '1s/.* //p')
exec 3<>"/dev/tcp/127.0.0.1/$((6000 + number))"
printf 'l\0\013\0\0\0\022\0\020\0\0\0MIT-MAGIC-COOKIE-1\0\0' >&3
printf "$(sed 's/../\\x&/g' <<<"$cookie")" >&3
head -c 8 <&3
printf drawn >&3
"#;

/// `X11Forwarding yes`: a program on the host draws on the user's screen, and what it draws is
/// recorded.
#[test]
fn x11() {
    let Some(xauth) = others("xauth") else {
        return;
    };
    let screen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = screen.local_addr().expect("it is bound").port();
    // Displays have ports from 6000 on.
    let Some(display) = port.checked_sub(6000) else {
        panic!("port {port} is no display");
    };
    let settings = format!("X11Forwarding yes\nXAuthLocation {}\n", xauth.display());
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, &settings)
        .settings("permit: { x11: yes }")
        .start();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = screen.accept().expect("ssh connects");
        let mut greeting = [0; 48];
        stream.read_exact(&mut greeting).expect("a greeting");
        stream.write_all(b"a window").expect("a socket");
        let mut drawn = Vec::new();
        stream.read_to_end(&mut drawn).expect("a socket");
        (greeting, drawn)
    });
    let program = world.dir().join("program");
    let text = DRAWING.replace("XAUTH", &xauth.display().to_string());
    std::fs::write(&program, text).expect("a writable directory");
    let outcome = world
        .ssh()
        .args(["-Y", "db1", &format!("bash {}", program.display())])
        .env("DISPLAY", format!("127.0.0.1:{display}"))
        .run()
        .success();
    assert_eq!(outcome.text(), "a window", "{}", outcome.stderr);
    let (greeting, drawn) = server.join().expect("the screen is content");
    assert_eq!(greeting[..2], *b"l\0");
    assert_eq!(drawn, b"drawn");
    let recording = forwards(&world);
    assert_eq!(world.exported(&recording, "stdin"), b"a window");
    let from_host = world.exported(&recording, "stdout");
    assert!(from_host.ends_with(b"drawn") && from_host.len() == 48 + 5);
}

/// `MaxSessions`: one more session is refused; after one has ended, another one is accepted.
#[test]
fn max_sessions() {
    let world = world("{ max_sessions: 2 }");
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let first = peer.open_session(0, 1 << 20, 1 << 15);
    let second = peer.open_session(1, 1 << 20, 1 << 15);
    peer.exec(second, "cat");
    peer.send(&Payload::open("session", 2, 1 << 20, 1 << 15));
    peer.expect(&[OPEN_FAILURE]);
    refused(&world, "channel", "session");
    peer.send(&Payload::new(CLOSE).u32(first.recipient));
    peer.expect(&[CLOSE]);
    let third = peer.open_session(3, 1 << 20, 1 << 15);
    peer.exec(third, "true");
    peer.send(&Payload::data(second.recipient, b"still here"));
    let data = peer.expect(&[DATA]);
    assert_eq!(data[9..], *b"still here");
}

/// `AcceptEnv`: the list takes the place of the usual one, and has wildcards.
#[test]
fn accept_env() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "AcceptEnv *\n")
        .settings("permit: { accept_env: [\"APP_*\", \"B?R\"] }")
        .start();
    let outcome = world
        .ssh()
        .args(["-o", "SetEnv=APP_X=1 BAR=2 BR=3 LC_ALL=C"])
        .args(["db1", "echo \"<$APP_X> <$BAR> <$BR> <$LC_ALL>\""])
        .run()
        .success();
    assert_eq!(outcome.text(), "<1> <2> <> <>\n");
    refused(&world, "channel-request", "env");
    assert_eq!(details(&world, "env"), ["BR"]);
    assert_eq!(ignored(&world), ["LC_ALL"]);
    let recording = world.finished_recording();
    let header = crate::support::recordings::lines(crate::support::recordings::file(&recording));
    let recorded = header.iter().any(|line| line.to_string().contains("APP_X"));
    assert!(recorded, "{header:#?}");
}

/// The names of the ignored requests.
fn ignored(world: &World) -> Vec<String> {
    let mut events = world.audit();
    events.retain(|event| event["event"] == "request.ignored");
    let names = events.iter().map(|event| {
        assert!(text(event, "code").ends_with('I'), "no warning: {event}");
        let detail = event["detail"]
            .as_str()
            .unwrap_or_else(|| text(event, "name"));
        detail.to_owned()
    });
    names.collect()
}

/// The suffix of PuTTY's own requests.
const PUTTY: &str = "@putty.projects.tartarus.org";
/// What git and PuTTY always send passes, or is refused without a warning, and the connection goes
/// on.
#[test]
fn habits_of_clients_are_no_warnings() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "AcceptEnv *\n")
        .start();
    let outcome = world
        .ssh()
        .args(["-o", "SetEnv=GIT_PROTOCOL=version=2 NO_COLOR=1 TZ=UTC"])
        .args(["db1", "echo \"<$GIT_PROTOCOL> <$NO_COLOR> <$TZ>\""])
        .run()
        .success();
    assert_eq!(outcome.text(), "<version=2> <1> <>\n");
    assert_eq!(ignored(&world), ["TZ"]);

    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    for _ in 0..3 {
        for name in ["simple", "winadj"] {
            let name = format!("{name}{PUTTY}");
            let request = Payload::new(REQUEST).u32(channel.recipient);
            peer.send(&request.string(name).flag(true));
            peer.expect(&[FAILURE]);
        }
    }
    peer.exec(channel, "true");
    let simple = format!("simple{PUTTY}");
    let winadj = format!("winadj{PUTTY}");
    assert_eq!(ignored(&world), ["TZ", &simple, &winadj]);
    let warnings = world.audit();
    let warnings = warnings
        .iter()
        .filter(|event| event["event"] == "channel.refused");
    assert_eq!(warnings.count(), 0);
}

/// The answer to a forbidden channel is the standard's, for every type of channel.
#[test]
fn the_answer_is_the_standards() {
    let world = world("{ port_forwarding: no, streamlocal: no }");
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    peer.exec(channel, "cat");
    let open = |kind: &str| Payload::open(kind, 7, 1 << 20, 1 << 15);
    for payload in [
        open("direct-tcpip").addresses(),
        open("direct-streamlocal@openssh.com")
            .string("/socket")
            .string("")
            .u32(0),
        open("forwarded-tcpip").addresses(),
        open("x11").string("192.0.2.1").u32(6010),
        open("auth-agent@openssh.com"),
        open("tun@openssh.com").u32(1).u32(0),
    ] {
        peer.send(&payload);
        let answer = peer.expect(&[OPEN_CONFIRMATION, OPEN_FAILURE]);
        assert_eq!(answer[0], OPEN_FAILURE, "{payload:?}");
        assert_eq!(answer[1..5], 7_u32.to_be_bytes(), "{payload:?}");
        let reason = ADMINISTRATIVELY_PROHIBITED.to_be_bytes();
        assert_eq!(answer[5..9], reason, "{payload:?}");
    }
    peer.send(&Payload::data(channel.recipient, b"still here"));
    assert_eq!(peer.expect(&[DATA])[9..], *b"still here");
}
