//! Streams through a tunnel.

use super::*;
use crate::ssh::tunnels::TunnelError;

#[tokio::test(start_paused = true)]
async fn streams_lead_through_the_tunnel_and_its_life_is_reported() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut first, one) = fixture.dial(&mut host).await;
    let (mut second, two) = fixture.dial(&mut host).await;
    assert_ne!(one, two);
    echo(&mut first, &mut host, one).await;
    echo(&mut second, &mut host, two).await;
    drop(first);
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.extend(host.next().await);
    }
    let recipient = 70 + one;
    assert_eq!(
        ends,
        [Message::Eof { recipient }, Message::Close { recipient }]
    );
    host.send(&Message::Close { recipient: one });
    echo(&mut second, &mut host, two).await;
    // The host's sshd ends the other one.
    host.send(&Message::Eof { recipient: two });
    host.leg.send_ready().await;
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
    drop(host);
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    fixture.asked("close", 1).await;
    assert_eq!(
        fixture.nodes.asked(),
        ["prove", "tunnel open", "tunnel closed", "close"]
    );
    let audited = ["tunnel.opened", "tunnel.ended host-left"];
    assert_eq!(fixture.tunnels_audited(), audited);
    let [opened, ended] = &fixture.proxy.audited()[..] else {
        panic!("two lines");
    };
    for event in [opened, ended] {
        assert_eq!(event["name"], "db1");
        assert_eq!(event["node"], fixture.id().to_string());
        assert_eq!(event["client_addr"], CLIENT.to_string());
        assert_eq!(event["connection"], opened["connection"]);
    }
    assert_eq!(ended["streams"], 2);
}

#[tokio::test(start_paused = true)]
async fn much_data_is_not_lost_and_waits_for_whoever_reads_slowly() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    // What an idle tunnel counts for, and what it counts for while something waits.
    let idle = fixture.services.budget.held();
    assert!(idle <= 64 * 1024, "{idle}");
    let sent: Vec<u8> = (0..2 * 1024 * 1024_u32)
        .map(|byte| (byte % 251) as u8)
        .collect();
    let sending = sent.clone();
    let host = tokio::spawn(async move {
        for piece in sending.chunks(32 * 1024) {
            host.say(number, piece);
            host.leg.send_ready().await;
        }
        host.send(&Message::Eof { recipient: number });
        host.stay().await
    });
    // The window is used up: nothing is granted before something is read.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(fixture.services.budget.held() >= sent.len());
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read == sent, "{} bytes", read.len());
    drop(stream);
    // Questions whether the host is there are all that is sent.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fixture.services.budget.held(), idle);
    fixture.shutdown.cancel();
    assert_eq!(host.await.unwrap(), refusal_text());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_or_does_not_answer_makes_whoever_dials_wait_no_longer_than_told() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let tunnels = fixture.shared().tunnels.clone();
    let (id, deadline) = (fixture.id(), Instant::now() + FOREVER);
    let refuse = async {
        let number = host.wanted().await;
        host.refuse(number, "Connection refused\x1b[2J");
        host.leg.send_ready().await;
    };
    let (dialled, ()) = tokio::join!(tunnels.dial(id, deadline), refuse);
    let Err(LegError::Tunnel(TunnelError::Refused(text))) = dialled else {
        panic!("{dialled:?}");
    };
    assert_eq!(text, "Connection refused\\u{1b}[2J");
    // It answers, but for the channel: later it is taken for broken.
    let begun = Instant::now();
    let silent = async {
        host.wanted().await;
        let text = host.stay().await;
        (begun.elapsed(), text)
    };
    let dialled = async {
        let dialled = tunnels.dial(id, begun + Duration::from_secs(60)).await;
        assert!(
            matches!(dialled, Err(LegError::Tunnel(TunnelError::Silent))),
            "{dialled:?}"
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    };
    let ((after, text), ()) = tokio::join!(silent, dialled);
    assert!(text.contains("does not open the channels"), "{text}");
    assert!(after < Duration::from_secs(80), "{after:?}");
    fixture.over().await;
    assert!(!tunnels.is_open(id));
    let audited = ["tunnel.opened", "tunnel.ended channels-unanswered"];
    assert_eq!(fixture.tunnels_audited(), audited);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_too_late_is_closed() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let deadline = Instant::now() + Duration::from_secs(1);
    let tunnels = &fixture.shared().tunnels;
    let (dialled, number) = tokio::join!(tunnels.dial(fixture.id(), deadline), host.wanted());
    assert!(dialled.is_err());
    host.send(&Message::OpenConfirmation {
        recipient: number,
        sender: 70,
        window: WINDOW,
        max_packet: 1 << 15,
        data: Bytes::new(),
    });
    host.accept_close(number).await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, number).await;
}
