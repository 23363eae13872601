//! Hosts that keep tunnels with stock `ssh -N -R`, and what becomes of sessions when tunnels come and go.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Live;
use crate::support::recordings::text;
use crate::support::{JoiningHost, World};

/// The name of the host behind a tunnel. `db1` is in the configuration.
const NAME: &str = "db2";

/// A host that is reached through its tunnel only, and the tunnel.
fn tunnelled(world: &World) -> (JoiningHost, Live) {
    let host = world.joined_host(NAME, &["--tunnel=required"]);
    let tunnel = world.tunnel(&host);
    world.tunnels_opened(1);
    world.logged("the hosts that have joined have changed");
    (host, tunnel)
}

/// What is said to a session that runs `cat` comes back.
pub(super) fn echoes(session: &mut Live, said: &[u8]) {
    let stdin = session.stdin.as_mut().expect("a pipe");
    stdin.write_all(said).expect("it reads");
    assert_eq!(session.read(said.len()), said);
}

/// A session that goes on.
fn cat(world: &World) -> Live {
    let mut session = world.ssh().args([NAME, "cat"]).start();
    echoes(&mut session, b"begun");
    session
}

fn ends(world: &World, mut tunnel: Live) -> String {
    world.eventually("the ssh of the tunnel ends", || {
        tunnel.has_ended().then_some(())
    });
    tunnel.finish().stderr
}

fn signal(client: &Live, signal: Signal) {
    let pid = i32::try_from(client.pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("the number of a process"), signal).expect("it runs");
}

#[test]
fn a_host_that_nobody_can_reach_is_used_through_its_tunnel() {
    let world = World::new();
    let (_host, _tunnel) = tunnelled(&world);
    let outcome = world
        .ssh()
        .args([NAME, "cat; echo $SSH_CONNECTION >&2; exit 7"])
        .stdin("through the tunnel")
        .run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "through the tunnel");
    // What the host's sshd sees, and what the certificate of a login is bound to.
    assert!(
        outcome.stderr.starts_with("127.0.0.1 "),
        "{}",
        outcome.stderr
    );
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout"), b"through the tunnel");
    let started = &world.events("session.start")[0];
    let address = text(started, "host_addr");
    assert!(address.starts_with("tunnel:"), "{started:#}");
}

#[test]
fn a_terminal_and_a_file_and_a_forward_go_through_a_tunnel() {
    let world = World::new();
    let (_host, _tunnel) = tunnelled(&world);
    let mut terminal = world
        .ssh()
        .args(["-tt", NAME, "stty size; read line; echo \"got $line\""])
        .in_terminal(24, 80);
    terminal.expect("24 80");
    terminal.type_in("typed\r");
    terminal.expect("got typed");
    assert_eq!(terminal.finish().0, Some(0));

    let dir = world.dir();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    std::fs::write(dir.join("sent"), &sent).expect("a writable directory");
    let batch = format!(
        "put {0}/sent {0}/stored\nget {0}/stored {0}/fetched\n",
        dir.display()
    );
    std::fs::write(dir.join("batch"), batch).expect("a writable directory");
    let sftp = world.program("sftp").arg("-F").arg(dir.join("inner"));
    let sftp = sftp.arg("-b").arg(dir.join("batch")).arg(NAME);
    sftp.run().success();
    let fetched = std::fs::read(dir.join("fetched")).expect("sftp has written it");
    assert!(fetched == sent, "the file has changed on its way");

    // A forward to a port of the host's machine.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let place = listener.local_addr().expect("it listens").to_string();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("the host connects");
        client.write_all(b"hello").expect("it reads");
    });
    let forwarded = world.ssh().args(["-W", &place, NAME]).run();
    server.join().expect("the server does not panic");
    assert_eq!(forwarded.text(), "hello", "{}", forwarded.stderr);
}

#[test]
fn a_user_waits_for_a_host_whose_tunnel_is_killed_until_it_comes_back() {
    let world = World::new();
    let (host, tunnel) = tunnelled(&world);
    let mut session = cat(&world);
    signal(&tunnel, Signal::KILL);
    world.eventually("the session ends with its tunnel", || {
        session.has_ended().then_some(())
    });
    drop((session, tunnel));
    let waiting = world.ssh().args([NAME, "echo back"]).start();
    let _tunnel = world.tunnel(&host);
    assert_eq!(waiting.finish().success().text(), "back\n");
}

#[test]
fn without_a_tunnel_a_user_is_told_so_and_waits_no_longer_than_configured() {
    let world = World::with()
        .settings("upstream: { connect_timeout: 2s }")
        .start();
    world.joined_host(NAME, &["--tunnel=required"]);
    world.logged("the hosts that have joined have changed");
    let outcome = world.run(NAME, "true");
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("tunnel"), "{}", outcome.stderr);
    world.eventually("the refusal is audited", || {
        let refused = world.events("refusal");
        refused
            .iter()
            .any(|event| event["reason"] == "no-tunnel")
            .then_some(())
    });
}

#[test]
fn a_second_tunnel_overtakes_the_first_whose_session_goes_on() {
    let world = World::new();
    let (host, first) = tunnelled(&world);
    let mut session = cat(&world);
    let second = world.tunnel(&host);
    world.tunnels_opened(2);
    echoes(&mut session, b"still there");
    let mut other = cat(&world);
    echoes(&mut session, b"and after that");
    session.finish().success();
    let told = ends(&world, first);
    assert!(told.contains("not in use any more"), "{told}");
    echoes(&mut other, b"not affected");
    other.finish().success();
    drop(second);
}

/// The host's network has changed, say: the old connection is there and carries nothing.
#[test]
fn a_tunnel_that_carries_nothing_is_overtaken_while_a_user_waits() {
    let world = World::new();
    let (host, stopped) = tunnelled(&world);
    signal(&stopped, Signal::STOP);
    let waiting = world.ssh().args([NAME, "echo through the other"]).start();
    let _tunnel = world.tunnel(&host);
    assert_eq!(waiting.finish().success().text(), "through the other\n");
    signal(&stopped, Signal::KILL);
}

/// A client that does not read stops its own stream of the tunnel, and no other.
#[test]
fn a_session_that_is_not_read_does_not_hold_up_others_in_the_tunnel() {
    let world = World::new();
    let (_host, _tunnel) = tunnelled(&world);
    let mut deaf = world.ssh().args([NAME, "cat /dev/zero"]).start();
    deaf.read(1);
    let unread = deaf.stdout.as_ref().expect("standard output");
    world.at_rest("its output stands still", || {
        rustix::io::ioctl_fionread(unread).expect("a pipe")
    });
    let much = world.run(NAME, "head -c 20000000 /dev/zero").success();
    assert_eq!(much.stdout.len(), 20_000_000);
    deaf.read(10_000_000);
}

/// An upgrade: the tunnel with a session stays with the old worker, and the host opens another one.
#[test]
fn a_session_survives_an_upgrade_and_the_host_is_reached_by_both_workers() {
    let world = World::with().own_program().start();
    let (host, first) = tunnelled(&world);
    let mut session = cat(&world);
    world.replace_program(None);
    world.signal_proxy(Signal::USR2);
    world.eventually("an upgrade", || {
        (!world.events("server.upgraded").is_empty()).then_some(())
    });
    echoes(&mut session, b"survived");
    world.eventually("the tunnel is for no new session", || {
        let node = world.listed_node(NAME)?;
        (node["tunnel"] != "open").then_some(())
    });
    let answer = world.heartbeat_as(&host, &host.report()).success().text();
    assert!(answer.contains("\ntunnel-open no\n"), "{answer}");
    // Who comes before the host has opened another one waits for it.
    let waiting = world.ssh().args([NAME, "echo waited"]).start();
    let _second = world.tunnel(&host);
    assert_eq!(waiting.finish().success().text(), "waited\n");
    world.tunnels_opened(2);
    assert_eq!(world.run(NAME, "echo new").success().text(), "new\n");
    world.eventually("the tunnel is written down", || {
        let node = world.listed_node(NAME)?;
        (node["tunnel"] == "open").then_some(())
    });
    let answer = world.heartbeat_as(&host, &host.report()).success().text();
    assert!(answer.contains("\ntunnel-open yes\n"), "{answer}");
    echoes(&mut session, b"still");
    session.finish().success();
    ends(&world, first);
    world.eventually("the old worker ends", || {
        (world.workers().len() == 1).then_some(())
    });
}

/// A tunnel that nobody uses is closed by an upgrade, so that the host connects to the new worker at once.
#[test]
fn an_upgrade_closes_a_tunnel_that_nobody_uses() {
    let world = World::with().own_program().start();
    let (host, first) = tunnelled(&world);
    world.replace_program(None);
    world.signal_proxy(Signal::USR2);
    ends(&world, first);
    world.eventually("the end of the tunnel is audited", || {
        let ended = world.events("tunnel.ended").pop()?;
        (text(&ended, "reason") == "shutdown").then_some(())
    });
    let _second = world.tunnel(&host);
    assert_eq!(world.run(NAME, "echo new").success().text(), "new\n");
}

/// The lines that a tunnel leaves: with its node, how long it was open, and why it ended.
#[test]
fn the_life_of_a_tunnel_is_audited() {
    let world = World::new();
    let (host, first) = tunnelled(&world);
    world.run(NAME, "true").success();
    let ended = |count: usize| {
        world.eventually("the end of the tunnel is audited", || {
            let ended = world.events("tunnel.ended");
            (ended.len() == count).then_some(ended)
        })
    };
    let second = world.tunnel(&host);
    ends(&world, first);
    ended(1);
    signal(&second, Signal::KILL);
    ended(2);
    let third = world.tunnel(&host);
    world.tunnels_opened(3);
    world.about_nodes(&["lock", NAME]);
    ends(&world, third);
    let ended = ended(3);
    let reasons: Vec<&str> = ended.iter().map(|event| text(event, "reason")).collect();
    assert_eq!(reasons, ["replaced", "host-left", "not-permitted"]);
    assert_eq!(
        (&ended[0]["streams"], &ended[1]["streams"]),
        (&1.into(), &0.into())
    );
    let opened = world.events("tunnel.opened");
    let joined = &world.events("node.joined")[0];
    assert_eq!(opened.len(), 3);
    for (opened, ended) in opened.iter().zip(&ended) {
        for event in [opened, ended] {
            assert_eq!(event["name"], NAME);
            assert_eq!(event["node"], joined["node"]);
            assert!(
                text(event, "client_addr").starts_with("127.0.0.1:"),
                "{event:#}"
            );
            assert_eq!(event["connection"], opened["connection"]);
        }
        assert!(ended["duration_ms"].is_u64(), "{ended:#}");
    }
}

/// The auth process forgets everything when it is restarted, and is told again.
#[test]
fn a_tunnel_outlives_the_auth_process() {
    let world = World::new();
    let (host, _tunnel) = tunnelled(&world);
    world.kill_auth();
    world.eventually("another auth process answers", || {
        let answer = world.heartbeat_as(&host, &host.report());
        (answer.code() == 0).then_some(())
    });
    assert_eq!(world.run(NAME, "echo same").success().text(), "same\n");
    assert_eq!(world.events("tunnel.opened").len(), 1);
    assert!(world.events("tunnel.ended").is_empty());
}
