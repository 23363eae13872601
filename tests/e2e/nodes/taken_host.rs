//! A node that an attacker has taken over, with its host key: what the key does not open.

use super::assert_refused;
use crate::support::World;
use crate::support::ports::free_port;
use crate::support::recordings::text;

/// It keeps its name, whatever it reports; and it needs a token for another one.
#[test]
fn it_cannot_become_another_node() {
    let world = World::new();
    let host = world.joined_host("web1", &["--labels=env=prod"]);
    let mut report = host.report();
    report.names = vec!["db1".to_owned(), "web2".to_owned()];
    report.labels = vec!["env=test".to_owned(), "role=web".to_owned()];
    let answer = world.heartbeat_as(&host, &report).success().text();
    assert!(answer.contains("\nname web1\n"), "{answer}");
    assert!(!answer.contains("web2"), "{answer}");
    let warning = answer.lines().find(|line| line.starts_with("warning "));
    assert!(
        warning.is_some_and(|line| line.contains("env=prod")),
        "{answer}"
    );
    let node = world.listed_node("web1").expect("it is there");
    assert_eq!(node["labels"], serde_json::json!(["env=prod", "role=web"]));
    assert_eq!(world.listed_node("web2"), None);
    let outcome = world.join_as(&host, "rpt_made-up", &report);
    assert_refused(&world, &outcome, "token-unknown", "there is no such token");
    // Its certificate has its own name only, and nothing that opens another host.
    let certificate = host.certificate().expect("it was issued");
    assert!(certificate.contains("host certificate"), "{certificate}");
    assert!(certificate.contains("web1"), "{certificate}");
    assert!(!certificate.contains("db1"), "{certificate}");
}

/// No program of the proxy but its own, no host behind the proxy, no port of the proxy.
#[test]
fn it_reads_no_inventory_and_reaches_no_host() {
    let world = World::new();
    let host = world.joined_host("web1", &[]);
    let key = host.key();
    for command in ["ls", "status", "help", "", "join; ls", "cert"] {
        let outcome = world.host_ssh(&key).arg(command).run();
        assert_ne!(outcome.code(), 0, "{command}: {}", outcome.text());
        let all = format!("{}{}", outcome.text(), outcome.stderr);
        assert!(!all.contains("db1"), "{command}: {all}");
    }
    for subsystem in ["proxy:db1:22", "sftp"] {
        let outcome = world.host_ssh(&key).args(["-s", subsystem]).run();
        assert_ne!(outcome.code(), 0, "{subsystem}: {}", outcome.text());
    }
    // As with -J, to a host behind the proxy, and to a port of the proxy's machine.
    for place in [
        "db1:22".to_owned(),
        format!("127.0.0.1:{}", world.node().port),
    ] {
        let outcome = world.host_ssh(&key).args(["-W", &place]).run();
        assert_ne!(outcome.code(), 0, "{place}: {}", outcome.text());
        assert!(
            !outcome.text().contains("SSH-2.0"),
            "{place}: {}",
            outcome.text()
        );
    }
    // Nor under the name of a user.
    for command in ["ls", "status"] {
        let outcome = world.host_ssh_as("alice", &key).arg(command).run();
        assert_ne!(outcome.code(), 0, "{}", outcome.text());
    }
    assert_eq!(world.node().connections(), 0);
}

/// A node without a tunnel gets none, and one with a tunnel only that of its own `sshd`.
#[test]
fn it_opens_no_tunnel_but_its_own() {
    let world = World::new();
    let none = world.joined_host("web1", &["--tunnel=no"]);
    let outcome = world.tunnel(&none).finish();
    assert_ne!(outcome.code(), 0, "{}", outcome.stderr);
    let own = world.joined_host("web2", &["--tunnel=allowed"]);
    let second = world
        .host_ssh(&own.key())
        .args(["-N", "-o", "ExitOnForwardFailure=yes"])
        .args(["-R", "22:127.0.0.1:22", "-R", "3306:127.0.0.1:3306"]);
    assert_ne!(second.run().code(), 0, "one forward a connection");
    let port = free_port();
    let tunnel = world.tunnel_at(&own, port);
    world.eventually("the tunnel is open", || {
        let node = world.listed_node("web2")?;
        (node["tunnel"] == "open").then_some(())
    });
    // The proxy has bound nothing for it.
    let bound = std::net::TcpStream::connect(("127.0.0.1", port));
    assert_eq!(
        bound.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    drop(tunnel);
    world.eventually("the tunnel is closed", || {
        let node = world.listed_node("web2")?;
        (node["tunnel"] == "closed").then_some(())
    });
}

/// It has its tunnel lead to the sshd of another host, which shows that host's certificate: no user is let in
/// there who has asked for this one, and none of them is shown anything by it.
#[test]
fn its_tunnel_leads_no_user_to_another_host() {
    let world = World::new();
    let victim = world.joined_host("web1", &[]);
    let host = world.joined_host("web2", &["--tunnel=required"]);
    world.logged("the hosts that have joined have changed");
    let service = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let speaks = service.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in service.incoming().flatten() {
            // Whoever waits reads it, or is gone.
            let _told = std::io::Write::write_all(&mut &stream, b"220 mail\r\n+OK\r\n");
        }
    });
    for port in [victim.sshd.port, world.node().port, speaks] {
        let tunnel = world.host_ssh(&host.key()).args(["-N", "-R"]);
        let tunnel = tunnel.arg(format!("22:127.0.0.1:{port}"));
        let tunnel = tunnel.args(["-o", "ExitOnForwardFailure=yes"]).start();
        world.eventually("the tunnel is open", || {
            let node = world.listed_node("web2")?;
            (node["tunnel"] == "open").then_some(())
        });
        let outcome = world.run("web2", "echo reached");
        assert_eq!(outcome.code(), 255, "{port}: {}", outcome.text());
        assert!(!outcome.text().contains("reached"), "{}", outcome.text());
        drop(tunnel);
        world.eventually("the tunnel is closed", || {
            let node = world.listed_node("web2")?;
            (node["tunnel"] == "closed").then_some(())
        });
    }
    assert!(world.events("session.start").is_empty());
    // With its own it is reached again.
    let _tunnel = world.tunnel(&host);
    world.eventually("a session through the tunnel", || {
        let outcome = world.run("web2", "true");
        (outcome.code() == 0).then_some(())
    });
}

/// From the moment of the lock: no report, no certificate, no tunnel, no session.
#[test]
fn it_gets_nothing_after_a_lock() {
    let world = World::new();
    let host = world.joined_host("web1", &["--tunnel=required"]);
    let mut tunnel = world.tunnel(&host);
    let outcome = world.eventually("a session through the tunnel", || {
        let outcome = world.run("web1", "echo hello");
        (outcome.code() == 0).then_some(outcome)
    });
    assert_eq!(outcome.text(), "hello\n");
    let mut session = world.ssh().args(["web1", "cat"]).start();
    std::io::Write::write_all(session.stdin.as_mut().expect("open"), b"live\n").expect("open");
    assert_eq!(session.read(5), b"live\n");

    world.about_nodes(&["lock", "web1", "--reason=taken"]);
    world.eventually("the tunnel is closed", || tunnel.has_ended().then_some(()));
    world.eventually("the session is ended", || session.has_ended().then_some(()));
    let before = host.serial();
    let outcome = world.heartbeat_as(&host, &host.report());
    let event = assert_refused(&world, &outcome, "node-locked", "the node web1 is locked");
    assert_eq!(text(&event, "name"), "web1");
    let token = world.node_token(&[]);
    let outcome = world.join_as(&host, &token, &host.report());
    assert_refused(&world, &outcome, "node-locked", "the node web1 is locked");
    assert_ne!(world.tunnel(&host).finish().code(), 0);
    assert_eq!(host.serial(), before);
    let outcome = world.run("web1", "true");
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("locked"), "{}", outcome.stderr);
    assert_eq!(world.events("node.locked").len(), 1);

    world.about_nodes(&["unlock", "web1"]);
    world.heartbeat(&host);
    let _tunnel = world.tunnel(&host);
    world.eventually("a session after the lock", || {
        let outcome = world.run("web1", "true");
        (outcome.code() == 0).then_some(())
    });
}
