//! What a host cannot do, whatever it asks for.

use super::*;
use crate::ipc::KnownNode;
use crate::model::TunnelRule;

#[tokio::test(start_paused = true)]
async fn a_node_that_is_locked_is_refused_when_it_proves_its_key() {
    let fixture = NodeFixture::joined();
    fixture.nodes.record().is_locked = true;
    let (saw, leg) = fixture.log_in("join").await;
    assert!(!saw.is_in && saw.text().contains("client: no"), "{saw:?}");
    drop(leg);
    fixture.over().await;
    assert_eq!(
        fixture.proxy.audited_briefly(),
        ["auth.failure node-locked"]
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_plain_key_under_the_name_join_is_a_host_key() {
    let fixture = NodeFixture::joined();
    let (saw, leg) = fixture.log_in("deploy").await;
    assert!(!saw.is_in, "{saw:?}");
    drop(leg);
    let alice = TestUser {
        login: "join",
        ..fixture.proxy.user()
    };
    let (saw, leg) = alice.log_in(fixture.connect()).await;
    assert!(saw.is_in, "{saw:?}");
    assert_eq!(fixture.nodes.asked(), [""; 0]);
    drop(leg);
    fixture.over().await;
    let mut audited = fixture.proxy.audited_briefly();
    audited.sort();
    assert_eq!(audited, ["auth.failure not-a-certificate", "auth.success"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_gets_one_forward_and_nothing_else() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    assert!(!host.forward("localhost", 0).await, "a port to be chosen");
    assert!(!host.forward("localhost", 65_536).await);
    assert!(host.forward("localhost", 22).await);
    assert!(!host.forward("localhost", 22).await);
    assert!(!host.forward("0.0.0.0", 2222).await);
    assert!(
        !host
            .global("streamlocal-forward@openssh.com", Bytes::new())
            .await
    );
    for kind in [
        "direct-tcpip",
        "forwarded-tcpip",
        "x11",
        "auth-agent@openssh.com",
        "tun@openssh.com",
    ] {
        let refused = host.open(kind).await.unwrap_err();
        assert!(refused.contains("nothing else"), "{refused}");
    }
    let session = host.open("session").await.unwrap();
    for kind in [
        "pty-req",
        "shell",
        "auth-agent-req@openssh.com",
        "x11-req",
        "signal",
    ] {
        assert!(!host.request(session, kind, "x").await, "{kind}");
    }
    assert!(!host.request(session, "subsystem", "proxy:db1:22").await);
    assert_eq!(
        fixture.refused(),
        [
            "tcpip-forward",
            "tcpip-forward",
            "tcpip-forward",
            "tcpip-forward",
            "streamlocal-forward@openssh.com",
            "direct-tcpip",
            "forwarded-tcpip",
            "x11",
            "auth-agent@openssh.com",
            "tun@openssh.com",
            "pty-req",
            "shell",
            "auth-agent-req@openssh.com",
            "x11-req",
            "signal",
            "subsystem",
        ]
    );
    // What is there is not affected.
    let beat = host.run("heartbeat", REPORT).await;
    assert_eq!(beat.status, Some(0));
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_tries_again_and_again_is_disconnected() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..100 {
        host.open("direct-tcpip").await.unwrap_err();
    }
    host.send(&Message::Open {
        kind: Name::from_static("x11"),
        sender: 5,
        window: WINDOW,
        max_packet: 1 << 15,
        data: Bytes::new(),
    });
    let text = host.stay().await;
    assert!(text.contains("too much that is not permitted"), "{text}");
    fixture.over().await;
    assert!(fixture.refused().len() <= 100);
}

/// All hosts share the calls that this process may make, so a stranger with any key must not use them up.
#[tokio::test(start_paused = true)]
async fn programs_of_a_connection_are_bounded() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..6 {
        assert_eq!(host.run("successors", "").await.status, Some(0));
    }
    let asked = fixture.nodes.asked().len();
    for number in 0..4 {
        let session = host.open("session").await.unwrap();
        assert!(
            !host.request(session, "exec", "successors").await,
            "{number}"
        );
        host.send(&Message::Close { recipient: session });
        assert!(matches!(host.next().await, Some(Message::Close { .. })));
    }
    assert_eq!(fixture.nodes.asked().len(), asked);
    assert!(!fixture.refused().is_empty());
    // A new connection costs a key exchange and a signature, and counts for the limits of its address.
    drop(host);
    let mut host = fixture.host().await;
    assert_eq!(host.run("successors", "").await.status, Some(0));
}

#[tokio::test(start_paused = true)]
async fn sessions_and_connections_of_a_host_are_bounded() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..4 {
        host.open("session").await.unwrap();
    }
    let refused = host.open("session").await.unwrap_err();
    assert!(refused.contains("too many channels"), "{refused}");
    let _second = fixture.host().await;
    let _third = fixture.host().await;
    let (saw, _leg) = fixture.log_in("join").await;
    assert!(
        !saw.is_in && saw.text().contains("too many connections"),
        "{saw:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_rule_says_no_opens_no_tunnel() {
    let fixture = NodeFixture::new(TestNodes::with(KnownNode {
        tunnel: TunnelRule::No,
        ..known()
    }));
    let mut host = fixture.host().await;
    assert!(!host.forward("localhost", 22).await);
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    let audited = fixture.proxy.audited();
    assert_eq!(audited[0]["detail"], "the node may open no tunnel");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_for_nothing_is_disconnected() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let begun = Instant::now();
    assert!(
        host.stay()
            .await
            .contains("nothing was asked for within 30s")
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    let mut host = fixture.host().await;
    host.open("session").await.unwrap();
    let begun = Instant::now();
    assert!(
        host.stay()
            .await
            .contains("nothing was asked for within 5m")
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(300));
    // A tunnel stays.
    let mut host = fixture.tunnelled().await;
    assert!(timeout(FOREVER, host.stay()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn tunnels_that_come_and_go_do_not_fill_the_audit_log() {
    let fixture = NodeFixture::joined();
    for _ in 0..50 {
        let mut host = fixture.tunnelled().await;
        let port = Head::of_data().string(b"localhost").uint32(22).into_bytes();
        assert!(host.global("cancel-tcpip-forward", port).await);
        assert!(host.stay().await.contains("not in use any more"));
    }
    fixture.over().await;
    let written = fixture.tunnels_audited().len();
    let size = std::fs::metadata(fixture.proxy.audit.path()).unwrap().len();
    assert!(
        (20..100).contains(&written) && size <= 16 * 1024,
        "{written}, {size}"
    );
    // None is lost.
    fixture.proxy.audit.tell_sums(true).unwrap();
    let sum = fixture.proxy.audited().pop().unwrap();
    assert_eq!(sum["user"], "node:db1");
    let counts = &sum["counts"];
    let opened = counts["tunnel.opened"].as_u64().unwrap();
    let ended = counts["tunnel.ended/cancelled"].as_u64().unwrap();
    assert_eq!(written as u64 + opened + ended, 100, "{sum}");
}

/// A message that no channel is there for.
#[tokio::test(start_paused = true)]
async fn a_host_that_breaks_the_protocol_loses_its_tunnel() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    host.say(77, "x");
    host.stay().await;
    fixture.over().await;
    let audited = ["tunnel.opened", "tunnel.ended protocol-error"];
    assert_eq!(fixture.tunnels_audited(), audited);
}
