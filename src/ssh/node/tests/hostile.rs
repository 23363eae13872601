//! A host that an attacker has taken over, with its host key and its tunnel: what its own ssh never does.

use super::*;
use crate::ssh::tunnels::TunnelError;

/// What a host is told that has broken the protocol; its tunnel has ended.
async fn is_over(fixture: &NodeFixture, mut host: TestHost) -> String {
    let text = host.stay().await;
    drop(host);
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    text
}

fn confirmation(recipient: u32, window: u32) -> Message {
    Message::OpenConfirmation {
        recipient,
        sender: 7,
        window,
        max_packet: 1 << 15,
        data: Bytes::new(),
    }
}

/// Answers, data and ends of channels that nobody has opened, or that are not open yet.
#[tokio::test(start_paused = true)]
async fn nothing_comes_on_a_channel_that_nobody_has_opened() {
    let data = |recipient| Message::Data {
        recipient,
        data: Bytes::from_static(b"SSH-2.0-x"),
    };
    let strange = [
        confirmation(0, WINDOW),
        confirmation(u32::MAX, WINDOW),
        data(0),
        data(3),
        Message::Eof { recipient: 0 },
        Message::Close { recipient: 0 },
        Message::Success { recipient: 0 },
        Message::WindowAdjust {
            recipient: 0,
            bytes: 1,
        },
        Message::RequestSuccess { data: Bytes::new() },
        Message::OpenFailure {
            recipient: 0,
            reason: 2,
            text: Bytes::new(),
            language: Bytes::new(),
        },
    ];
    for message in strange {
        let fixture = NodeFixture::joined();
        let mut host = fixture.tunnelled().await;
        host.send(&message);
        let text = is_over(&fixture, host).await;
        assert!(text.starts_with("rproxy: "), "{message:?}: {text}");
    }
    // One that is asked for is no channel before the host has opened it.
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (dialled, number) = fixture.begin_to_dial(&mut host).await;
    host.send(&data(number));
    is_over(&fixture, host).await;
    // It waits for the next tunnel, and gets nothing of this one.
    assert!(!dialled.is_finished());
    dialled.abort();
}

/// More than was granted, and more grants than a window can have.
#[tokio::test(start_paused = true)]
async fn windows_are_kept_to() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (_stream, number) = fixture.dial(&mut host).await;
    let piece = vec![0; 32 * 1024];
    // The stream is not read, so no more is granted.
    for _ in 0..200 {
        host.say(number, &piece);
        host.leg.send_ready().await;
    }
    let text = is_over(&fixture, host).await;
    assert!(text.starts_with("rproxy: "), "{text}");
    assert_eq!(fixture.services.budget.held(), 0, "nothing is kept of it");

    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (_stream, number) = fixture.dial(&mut host).await;
    for _ in 0..2 {
        host.send(&Message::WindowAdjust {
            recipient: number,
            bytes: u32::MAX,
        });
    }
    is_over(&fixture, host).await;
}

/// It grants nothing: what waits for it is bounded, and only this stream waits.
#[tokio::test(start_paused = true)]
async fn a_stream_without_a_window_holds_up_nothing_else() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (dialled, number) = fixture.begin_to_dial(&mut host).await;
    host.send(&confirmation(number, 0));
    host.leg.send_ready().await;
    let mut stuck = dialled.await.unwrap().unwrap();
    let writing = tokio::spawn(async move {
        let written = stuck.write_all(&vec![0; 64 << 20]).await;
        (stuck, written.is_err())
    });
    let (mut stream, other) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, other).await;
    assert!(!writing.is_finished());
    assert!(fixture.services.budget.held() < 8 << 20);
    drop(host);
    fixture.over().await;
    let (_stuck, has_failed) = writing.await.unwrap();
    assert!(has_failed, "it ends with the connection");
}

/// A user, or many of them, who dial a node again and again.
#[tokio::test(start_paused = true)]
async fn streams_of_a_tunnel_are_bounded() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(fixture.dial(&mut host).await);
    }
    let deadline = Instant::now() + FOREVER;
    for _ in 0..10 {
        let refused = fixture.shared().tunnels.dial(fixture.id(), deadline).await;
        let crowded = matches!(refused, Err(LegError::Tunnel(TunnelError::Crowded)));
        assert!(crowded, "{refused:?}");
    }
    // One that ends makes room.
    let (stream, number) = streams.pop().unwrap();
    drop(stream);
    while !matches!(host.next().await, Some(Message::Close { .. })) {}
    host.send(&Message::Close { recipient: number });
    host.leg.send_ready().await;
    // The host's end of it has arrived when the next program has been answered.
    assert_eq!(host.run("heartbeat", REPORT).await.status, Some(0));
    let (mut stream, number) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, number).await;
}

/// Channels by the thousand: the connection ends, and the audit log has a hundred lines of it at most.
#[tokio::test(start_paused = true)]
async fn ten_thousand_channels_are_not_opened() {
    for kind in ["session", "direct-tcpip", "forwarded-tcpip"] {
        let fixture = NodeFixture::joined();
        let mut host = fixture.tunnelled().await;
        for sender in 0..10_000 {
            let open = Message::Open {
                kind: Name::from_static(kind),
                sender,
                window: u32::MAX,
                max_packet: u32::MAX,
                data: Bytes::new(),
            };
            let (head, body) = open.encode();
            if host.leg.transport.send_parts(&head, &body).is_err() {
                break;
            }
        }
        let text = is_over(&fixture, host).await;
        assert!(text.contains("too much that is not permitted"), "{text}");
        assert!(fixture.refused().len() <= 100);
    }
}

/// What a tunnel is said to lead to is said back to the host alone: the proxy binds nothing, looks no name up
/// and connects to nothing.
#[tokio::test(start_paused = true)]
async fn the_place_of_a_tunnel_is_only_a_word() {
    for address in [
        "0.0.0.0",
        "*",
        "",
        "169.254.169.254",
        "/var/run/docker.sock",
        "db1",
        "\u{1b}[31m\0",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fixture = NodeFixture::joined();
        let mut host = fixture.host().await;
        assert!(host.forward(address, port.into()).await);
        let tunnels = fixture.shared().tunnels.clone();
        let (id, deadline) = (fixture.id(), Instant::now() + FOREVER);
        let _dialled = tokio::spawn(async move { tunnels.dial_here(id, deadline).await });
        let Some(Message::Open { kind, data, .. }) = host.next().await else {
            panic!("no channel is opened");
        };
        assert_eq!(kind.as_str(), "forwarded-tcpip");
        let expected = Head::of_data()
            .string(address.as_bytes())
            .uint32(port.into());
        let expected = expected.string(b"127.0.0.1").uint32(0).into_bytes();
        assert_eq!(data, expected);
    }
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let long = "x".repeat(256);
    let data = Head::of_data().string(long.as_bytes()).uint32(22);
    host.send(&Message::GlobalRequest {
        name: Name::from_static("tcpip-forward"),
        want_reply: true,
        data: data.into_bytes(),
    });
    is_over(&fixture, host).await;
}

/// A text of the host that would paint the terminal of a user, or fill the audit log.
#[tokio::test(start_paused = true)]
async fn what_a_host_says_about_a_channel_is_bounded_and_safe_to_show() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (dialled, number) = fixture.begin_to_dial(&mut host).await;
    let painted = "\u{1b}]52;c;eA==\u{7}\n".repeat(1_000);
    host.send(&Message::OpenFailure {
        recipient: number,
        reason: 2,
        text: Bytes::from(painted),
        language: Bytes::new(),
    });
    host.leg.send_ready().await;
    let refused = dialled.await.unwrap();
    let Err(LegError::Tunnel(TunnelError::Refused(text))) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.len() <= 200, "{}", text.len());
    assert!(!text.contains(['\u{1b}', '\n', '\u{7}']), "{text:?}");
}

/// It opens every stream and closes it at once: whoever dials learns that, and does not try for ever.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closed_at_once_is_a_stream() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    for _ in 0..3 {
        let (mut stream, number) = fixture.dial(&mut host).await;
        host.send(&Message::Close { recipient: number });
        host.leg.send_ready().await;
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        drop(stream);
        while !matches!(host.next().await, Some(Message::Close { .. })) {}
    }
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
}

/// The process that retires waits for the last stream, and not for a host that never closes one.
#[tokio::test(start_paused = true)]
async fn a_host_that_never_closes_a_channel_does_not_keep_a_worker_that_retires() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (stream, _number) = fixture.dial(&mut host).await;
    fixture.shared().closing.cancel();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!fixture.tasks.is_empty(), "somebody uses the stream");
    drop(stream);
    let text = is_over(&fixture, host).await;
    assert!(text.contains("does not close"), "{text}");
}
