//! How tunnels are replaced, reported and ended.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_newer_tunnel_takes_over_and_streams_of_the_older_one_go_on() {
    let fixture = NodeFixture::joined();
    let mut older = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut older).await;
    let mut newer = fixture.tunnelled().await;
    let (mut another, of_newer) = fixture.dial(&mut newer).await;
    echo(&mut stream, &mut older, number).await;
    echo(&mut another, &mut newer, of_newer).await;
    drop(stream);
    let stayed = async {
        while let Some(message) = older.next().await {
            if let Message::Close { .. } = message {
                older.send(&Message::Close { recipient: number });
                return older.stay().await;
            }
        }
        String::new()
    };
    let text = timeout(Duration::from_secs(5), stayed).await.unwrap();
    assert!(text.contains("not in use any more"), "{text}");
    echo(&mut another, &mut newer, of_newer).await;
    // Without streams the end comes at once.
    drop(another);
    let _newest = fixture.tunnelled().await;
    newer.accept_close(of_newer).await;
    assert!(newer.stay().await.contains("not in use any more"));
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
    let audited = [
        "tunnel.opened",
        "tunnel.opened",
        "tunnel.ended replaced",
        "tunnel.opened",
        "tunnel.ended replaced",
    ];
    assert_eq!(fixture.tunnels_audited(), audited);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_closes_its_tunnel_can_be_reached_no_longer() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let other = Head::of_data().string(b"localhost").uint32(23).into_bytes();
    assert!(!host.global("cancel-tcpip-forward", other).await);
    let port = Head::of_data().string(b"localhost").uint32(22).into_bytes();
    assert!(host.global("cancel-tcpip-forward", port).await);
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    assert!(host.stay().await.contains("not in use any more"));
    let audited = ["tunnel.opened", "tunnel.ended cancelled"];
    assert_eq!(fixture.tunnels_audited(), audited);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_died_loses_its_tunnel() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    host.is_dead = true;
    let begun = Instant::now();
    let text = host.stay().await;
    assert!(text.contains("has not answered for 1m"), "{text}");
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    let audited = ["tunnel.opened", "tunnel.ended host-lost"];
    assert_eq!(fixture.tunnels_audited(), audited);
    assert_eq!(fixture.proxy.audited()[1]["duration_ms"], 60_000);
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_the_tunnel_and_what_runs_through_it_after_a_second() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, _) = fixture.dial(&mut host).await;
    let begun = Instant::now();
    fixture.shared().tunnels.close(fixture.id());
    assert!(!fixture.shared().tunnels.is_open(fixture.id()), "at once");
    let (text, read) = tokio::join!(host.stay(), async { stream.read(&mut [0]).await.unwrap() });
    assert!(text.contains("locked or removed"), "{text}");
    // Users who are connected through it are told before.
    assert_eq!((read, begun.elapsed()), (0, Duration::from_secs(1)));
    let audited = ["tunnel.opened", "tunnel.ended not-permitted"];
    assert_eq!(fixture.tunnels_audited(), audited);
    assert_eq!(fixture.proxy.audited()[1]["streams"], 1);
}

/// The node was locked while it opened its tunnel: the process that decides knows first.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_refused_ends() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_locked = true;
    assert!(host.forward("localhost", 22).await);
    assert!(host.stay().await.contains("locked or removed"));
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_cannot_be_noted_is_used_and_reported_again() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_away = true;
    assert!(host.forward("localhost", 22).await);
    let (mut stream, number) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, number).await;
    fixture.asked("tunnel open", 1).await;
    fixture.nodes.record().is_away = false;
    tokio::select! {
        text = host.stay() => panic!("{text}"),
        () = fixture.asked("tunnel open", 2) => {}
    }
    // A process that was restarted has forgotten it, and is told without a question of the host's.
    fixture.nodes.restart();
    tokio::select! {
        text = host.stay() => panic!("{text}"),
        () = fixture.asked("prove", 2) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_retires_ends_its_tunnels_when_nobody_uses_them() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    let reports = fixture.host().await;
    fixture.shared().closing.cancel();
    echo(&mut stream, &mut host, number).await;
    fixture.asked("tunnel closed", 1).await;
    // Connections from before can still open more.
    let (another, more) = fixture.dial(&mut host).await;
    drop((stream, another));
    host.accept_close(number).await;
    host.accept_close(more).await;
    assert_eq!(host.stay().await, refusal_text());
    let audited = ["tunnel.opened", "tunnel.ended shutdown"];
    assert_eq!(fixture.tunnels_audited(), audited);
    // What is no tunnel is not affected.
    let mut reports = reports;
    assert_eq!(reports.run("heartbeat", REPORT).await.status, Some(0));
    assert!(!reports.forward("localhost", 22).await);
}

/// What speaks against one connection does not speak against another one of the same host.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_refused_takes_no_other_one_with_it() {
    let fixture = NodeFixture::joined();
    let mut older = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut older).await;
    fixture.asked("tunnel open", 1).await;
    let mut newer = fixture.host().await;
    fixture.nodes.record().is_locked = true;
    assert!(newer.forward("localhost", 22).await);
    assert!(newer.stay().await.contains("locked or removed"));
    fixture.nodes.record().is_locked = false;
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
    echo(&mut stream, &mut older, number).await;
    let (mut another, more) = fixture.dial(&mut older).await;
    echo(&mut another, &mut older, more).await;
}
