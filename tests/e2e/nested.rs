//! SSH inside a forwarded channel, by every way that `ssh(1)` has: closed and audited, unless
//! `permit.nested_ssh` allows it. Other protocols go through, whatever they speak about.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use crate::forwards::{forwarding, forwards, refused};
use crate::support::client::Live;
use crate::support::recordings::text;
use crate::support::service::{ask, listens};
use crate::support::sshd::free_port;
use crate::support::{Outcome, World, programs};

/// Copies one direction to its end.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // Whoever hangs up ends both.
    std::io::copy(&mut from, &mut to).unwrap_or_default();
    to.shutdown(Shutdown::Write).unwrap_or_default();
}

/// A port behind which a SOCKS proxy is asked for another port of loopback (RFC 1928): for ssh, which
/// knows no SOCKS.
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

/// The ways into a forward. Each gives a port of loopback behind which the host's own sshd is, and
/// whatever holds it open.
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

/// A real ssh by one of these ways.
fn nested(world: &World, way: &str, port: u16) -> Outcome {
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
        // The others are told where they hold their forward.
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

/// A host that says this at once, a byte at a time, and then hears what there is to hear.
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

/// What is no SSH may speak about it: a page that lists identifications, one per line.
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
