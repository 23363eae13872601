//! SSH inside a forwarded channel, by every way that `ssh(1)` has: closed and audited, unless
//! `permit.nested_ssh` allows it. Other protocols pass, whatever data they carry.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;

use crate::forwards::{forwarding, forwards, refused};
use crate::support::client::Live;
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::service::{ask, listens};
use crate::support::{ClientOutcome, World, programs};

/// Copies one direction to its end.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // When one side closes the connection, the other one is closed too.
    std::io::copy(&mut from, &mut to).unwrap_or_default();
    to.shutdown(Shutdown::Write).unwrap_or_default();
}

/// A port whose connections go through a SOCKS proxy to another port of loopback (RFC 1928), for
/// `ssh`, which does not speak SOCKS.
fn through_socks(socks: u16, destination: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, socks)).expect("ssh listens");
            far.write_all(&[5, 1, 0]).expect("a socket");
            far.read_exact(&mut [0; 2]).expect("a choice");
            let mut request = vec![5, 1, 0, 1, 127, 0, 0, 1];
            request.extend(destination.to_be_bytes());
            far.write_all(&request).expect("a socket");
            far.read_exact(&mut [0; 10]).expect("an answer");
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&near, &far));
                copy(&far, &near);
            });
        }
    });
    port
}

/// The kinds of forwards. Each gives a port of loopback that leads to the host's own `sshd`, and
/// the process that keeps the forward open.
fn ways(world: &World) -> Vec<(&'static str, u16, Option<Live>)> {
    let sshd = world.node().port;
    let (local, remote, dynamic) = (free_port(), free_port(), free_port());
    let mut ways = Vec::new();
    for (option, what, port) in [
        ("-L", format!("{local}:127.0.0.1:{sshd}"), local),
        ("-R", format!("{remote}:127.0.0.1:{sshd}"), remote),
        ("-D", dynamic.to_string(), dynamic),
    ] {
        let held = forwarding(world, option, &what).start();
        world.eventually("it listens", || listens(port).then_some(()));
        let port = match option {
            "-D" => through_socks(port, sshd),
            _ => port,
        };
        ways.push((option, port, Some(held)));
    }
    ways.push(("-W", sshd, None));
    ways
}

/// A real `ssh` through one of these forwards.
fn nested(world: &World, way: &str, port: u16) -> ClientOutcome {
    let mut ssh = world.outer_ssh().args(["-o", "HostKeyAlias=db1"]);
    if way == "-W" {
        let proxy_command = format!(
            "ProxyCommand={} -F {} -W 127.0.0.1:%p db1",
            programs::path("ssh").display(),
            world.dir().join("inner").display(),
        );
        ssh = ssh.args(["-o", &proxy_command]);
    }
    ssh.args(["-p", &port.to_string(), "127.0.0.1", "echo nested"])
        .run()
}

#[test]
fn it_is_closed_on_every_way() {
    let world = World::new();
    for (count, (way, port, _held)) in (1..).zip(ways(&world)) {
        let outcome = nested(&world, way, port);
        assert_eq!(outcome.code(), 255, "{way}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "", "{way}");
        // In the other cases, the user reads the message where the forward's client runs.
        let told = outcome
            .stderr
            .contains("SSH inside a forward is not permitted");
        assert_eq!(told, way == "-W", "{way}: {}", outcome.stderr);
        world.eventually("it is audited", || {
            let mut events = world.audit();
            events.retain(|event| event["event"] == "channel.refused");
            assert!(events.len() <= count, "{events:#?}");
            events.retain(|event| event["name"] == "nested SSH" && event["what"] == "data");
            (events.len() == count).then_some(())
        });
    }
    let logins = world.node().log().matches("Accepted publickey").count();
    assert_eq!(logins, 4, "the four that hold the forwards");
}

#[test]
fn it_may_be_allowed() {
    let world = World::with()
        .settings("permit: { nested_ssh: allow }")
        .start();
    for (way, port, held) in ways(&world) {
        let outcome = nested(&world, way, port).success();
        assert_eq!(outcome.text(), "nested\n", "{way}");
        drop(held);
    }
    let recordings = world.eventually("all are complete", || {
        let mut recordings = world.recordings();
        recordings.retain(|one| one["kind"] == "forward" && one["state"] == "complete");
        (recordings.len() == 4).then_some(recordings)
    });
    for recording in recordings {
        for stream in ["stdin", "stdout"] {
            let stored = world.exported(&recording, stream);
            assert!(stored.starts_with(b"SSH-2.0-"), "{recording:#}");
            assert!(stored.len() > 1_000, "{recording:#}");
        }
    }
}

/// A program at the host that passes bytes on between its session and a port there, as `nc` does.
fn relay(world: &World) -> PathBuf {
    let script = world.dir().join("relay");
    let text = "exec 3<>\"/dev/tcp/127.0.0.1/$1\"; cat <&3 & cat >&3; kill $!\n";
    std::fs::write(&script, text).expect("a writable directory");
    script
}

/// A real ssh whose ProxyCommand is a session without a terminal.
fn through_a_session(world: &World) -> ClientOutcome {
    let proxy_command = format!(
        "ProxyCommand={} -F {} db1 'bash {} {}'",
        programs::path("ssh").display(),
        world.dir().join("inner").display(),
        relay(world).display(),
        world.node().port,
    );
    world
        .outer_ssh()
        .args(["-o", "HostKeyAlias=db1", "-o", &proxy_command])
        .args(["127.0.0.1", "echo nested"])
        .run()
}

#[test]
fn it_ends_a_session_without_a_terminal() {
    let world = World::new();
    let outcome = through_a_session(&world);
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "");
    assert!(
        outcome
            .stderr
            .contains("SSH inside a session is not permitted"),
        "{}",
        outcome.stderr
    );
    let event = refused(&world, "data", "nested SSH");
    assert_eq!(text(&event, "user"), "alice");
    let logins = world.node().log().matches("Accepted publickey").count();
    assert_eq!(logins, 1, "the session's own");
    // The data that crossed before SSH was recognised is recorded.
    let recording = world.finished_recording();
    let stored = world.exported(&recording, "stdin");
    assert!(stored.len() < 1_000, "{} bytes", stored.len());
    // Other programs may send any data.
    let echo = world
        .ssh()
        .args(["db1", "cat"])
        .stdin("SSH-2.0-x\r\n")
        .run();
    assert_eq!(echo.success().text(), "SSH-2.0-x\r\n");
}

#[test]
fn it_may_be_allowed_in_a_session() {
    let world = World::with()
        .settings("permit: { nested_ssh: allow }")
        .start();
    let outcome = through_a_session(&world).success();
    assert_eq!(outcome.text(), "nested\n");
    let recording = world.finished_recording();
    for stream in ["stdin", "stdout"] {
        let stored = world.exported(&recording, stream);
        assert!(stored.starts_with(b"SSH-2.0-"), "{recording:#}");
        assert!(stored.len() > 1_000, "{recording:#}");
    }
}

/// A proxy at the host that first reads the destination: by `CONNECT` of HTTP, or by SOCKS.
fn proxy_at_the_host(by_socks: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut near in listener.incoming().flatten() {
            let destination = if by_socks {
                asked_by_socks(&mut near)
            } else {
                asked_by_connect(&mut near)
            };
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, destination)).expect("sshd");
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&near, &far));
                copy(&far, &near);
            });
        }
    });
    port
}

fn asked_by_socks(near: &mut TcpStream) -> u16 {
    near.read_exact(&mut [0; 3]).expect("methods");
    near.write_all(&[5, 0]).expect("a socket");
    let mut request = [0; 10];
    near.read_exact(&mut request).expect("a request");
    near.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])
        .expect("a socket");
    u16::from_be_bytes([request[8], request[9]])
}

fn asked_by_connect(near: &mut TcpStream) -> u16 {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        near.read_exact(&mut byte).expect("a request");
        request.extend(byte);
    }
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
        .expect("a socket");
    let request = String::from_utf8(request).expect("text");
    let (_, rest) = request.split_once(':').expect("a port");
    let (port, _) = rest.split_once(' ').expect("a version");
    port.parse().expect("a number")
}

/// A port whose connections go through an HTTP proxy to another port of loopback, for `ssh`, which
/// does not speak `CONNECT`.
fn through_connect(proxy: u16, destination: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy)).expect("ssh listens");
            far.write_all(format!("CONNECT 127.0.0.1:{destination} HTTP/1.1\r\n\r\n").as_bytes())
                .expect("a socket");
            far.read_exact(&mut [0; b"HTTP/1.1 200 OK\r\n\r\n".len()])
                .expect("an answer");
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&near, &far));
                copy(&far, &near);
            });
        }
    });
    port
}

#[test]
fn it_is_closed_behind_a_proxy_at_the_host_too() {
    for by_socks in [false, true] {
        let world = World::new();
        let (local, sshd) = (free_port(), world.node().port);
        let proxy = proxy_at_the_host(by_socks);
        let held = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{proxy}")).start();
        world.eventually("ssh listens", || listens(local).then_some(()));
        let port = if by_socks {
            through_socks(local, sshd)
        } else {
            through_connect(local, sshd)
        };
        let outcome = nested(&world, "-L", port);
        assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        assert_eq!(outcome.text(), "");
        let event = refused(&world, "data", "nested SSH");
        assert_eq!(text(&event, "user"), "alice");
        let logins = world.node().log().matches("Accepted publickey").count();
        assert_eq!(logins, 1, "the one that holds the forward");
        drop(held);
        // The recording has the request to the proxy, and no key exchange.
        let recording = forwards(&world);
        let stored = world.exported(&recording, "stdin");
        assert!(stored.len() > 9 && stored.len() < 2_000, "{}", stored.len());
    }
}

/// A host that sends this at once, a byte at a time, and then reads to the end.
fn speaker(words: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("a socket");
            for byte in &words {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
            }
            stream.shutdown(Shutdown::Write).unwrap_or_default();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap_or_default();
        }
    });
    port
}

/// The identification may come after other lines, in pieces, and in an older form.
#[test]
fn lines_before_the_identification_hide_nothing() {
    for words in [
        "Welcome to this host.\r\nHave patience.\n\r\nSSH-2.0-Hidden\r\nsecret",
        "SSH-1.99-Hidden\r\nsecret",
        "SSH-1.5-Hidden\nsecret",
    ] {
        let world = World::new();
        let local = free_port();
        let host = speaker(words.as_bytes().to_vec());
        let ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{host}")).start();
        world.eventually("ssh listens", || listens(local).then_some(()));
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, local)).expect("ssh listens");
        let mut heard = Vec::new();
        (&stream).read_to_end(&mut heard).unwrap_or_default();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(words.starts_with(&heard), "{heard:?}");
        assert!(!heard.contains("Hidden"), "{heard:?}");
        let event = refused(&world, "data", "nested SSH");
        assert_eq!(text(&event, "user"), "alice");
        drop(ssh);
        let recording = forwards(&world);
        let stored = world.exported(&recording, "stdout");
        assert_eq!(String::from_utf8_lossy(&stored), heard);
    }
}

/// Data that is not SSH may contain its identification lines: a page that lists identifications,
/// one per line.
#[test]
fn a_page_about_ssh_goes_through() {
    let world = World::new();
    let local = free_port();
    let page = format!(
        "HTTP/1.0 200 OK\r\n\r\n{}",
        "SSH-2.0-OpenSSH_9.2\r\nSSH-1.99-Cisco-1.25\r\n".repeat(1_000)
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let service = listener.local_addr().expect("it is bound").port();
    let served = page.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the host connects");
        stream.read_exact(&mut [0; 18]).expect("a request");
        stream.write_all(served.as_bytes()).expect("a socket");
    });
    let ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{service}")).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let heard = ask(local, b"GET / HTTP/1.0\r\n\r\n");
    assert!(heard == page.as_bytes(), "{} bytes", heard.len());
    drop(ssh);
    let recording = forwards(&world);
    assert!(world.exported(&recording, "stdout") == page.as_bytes());
}
