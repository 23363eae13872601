//! Forwarded ports, sockets and agents.

use super::*;

#[test]
fn a_permitted_forward_is_relayed_and_seen() {
    let mut world = World::default();
    world.client(direct_tcpip(3, "localhost", 80));
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::Open { sender: 0, .. })
    ));
    world.host(confirm(0, 9));
    world.client(data(0, 5));
    world.host(data(0, 6));
    assert_eq!(world.to_host, [data(9, 5)]);
    assert_eq!(world.to_client.pop_back(), Some(data(3, 6)));
    assert_eq!(world.witness.forwards, [(0, "localhost:80".to_owned())]);
    assert_eq!(world.witness.bytes[&(0, "stdin")].len(), 5);
    assert_eq!(world.witness.bytes[&(0, "stdout")].len(), 6);
    world.client(close(0));
    world.host(close(0));
    assert_eq!((world.witness.closed, world.relay.channels()), (vec![0], 0));
}

#[test]
fn a_forward_without_a_recording_is_not_opened() {
    let mut world = World {
        witness: Witness {
            refuses: true,
            ..Witness::default()
        },
        ..World::default()
    };
    world.client(direct_tcpip(3, "localhost", 80));
    assert!(world.to_host.is_empty());
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { recipient: 3, .. })
    ));
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn ssh_inside_a_forward_ends_it_from_either_side() {
    for from in [Side::Client, Side::Host] {
        let mut world = World::default();
        world.client(direct_tcpip(3, "localhost", 22));
        world.host(confirm(0, 9));
        world.forget();
        for piece in [&b"SSH"[..], b"-2.0-OpenSSH_9"] {
            let data = Bytes::copy_from_slice(piece);
            world.says(from, Message::Data { recipient: 0, data });
        }
        assert_eq!(world.to_client.pop_back(), Some(close(3)));
        assert_eq!(world.to_host.pop_back(), Some(close(9)));
        assert_eq!(world.witness.refused, ["Data nested SSH"]);
        assert_eq!(world.witness.closed, [0]);
    }
    let mut world = world_with(Permissions {
        nested_ssh: true,
        ..Permissions::default()
    });
    world.client(direct_tcpip(3, "localhost", 22));
    world.host(confirm(0, 9));
    let data = Bytes::from_static(b"SSH-2.0-x");
    world.client(Message::Data { recipient: 0, data });
    assert!(world.witness.refused.is_empty());
}

#[test]
fn forwards_that_the_permit_does_not_have_are_refused() {
    let none = Permissions {
        port_forwarding: Direction::Neither,
        streamlocal: Direction::Neither,
        agent: false,
        ..Permissions::default()
    };
    let mut world = world_with(none);
    world.client(direct_tcpip(3, "localhost", 80));
    let listen = Head::of_data().string(b"").uint32(8080);
    world.client(global("tcpip-forward", listen));
    let listen = Head::of_data().string(b"/tmp/socket");
    world.client(global("streamlocal-forward@openssh.com", listen));
    assert!(world.to_host.is_empty());
    assert!(world.witness.forwards.is_empty());
    assert_eq!(
        world.witness.refused,
        [
            "Channel direct-tcpip",
            "GlobalRequest tcpip-forward",
            "GlobalRequest streamlocal-forward@openssh.com",
        ]
    );
}

#[test]
fn the_host_opens_only_what_the_client_has_asked_for() {
    let mut world = World::default();
    world.host(forwarded_tcpip(4, "localhost", 8080));
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::OpenFailure { recipient: 4, .. })
    ));

    let listen = Head::of_data().string(b"localhost").uint32(0);
    world.client(global("tcpip-forward", listen));
    let data = Head::of_data().uint32(40_000).into_bytes();
    world.host(Message::RequestSuccess { data });
    world.to_client.clear();
    world.host(forwarded_tcpip(4, "localhost", 40_001));
    assert!(world.to_client.is_empty());
    world.host(forwarded_tcpip(4, "localhost", 40_000));
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::Open { .. })
    ));
    assert_eq!(world.witness.forwards, [(0, "localhost:40000".to_owned())]);

    let cancel = Head::of_data().string(b"localhost").uint32(40_000);
    world.client(global("cancel-tcpip-forward", cancel));
    world.host(forwarded_tcpip(5, "localhost", 40_000));
    assert!(world.to_client.is_empty(), "the listener was cancelled");
}

#[test]
fn the_agent_is_opened_only_after_it_was_forwarded() {
    let agent = |sender| {
        let kind = Name::from_static("auth-agent@openssh.com");
        Message::Open {
            kind,
            sender,
            window: 10,
            max_packet: 10,
            data: Bytes::new(),
        }
    };
    let mut world = World::default();
    world.client(open(7));
    world.host(confirm(0, 9));
    world.to_client.clear();
    world.host(agent(1));
    assert!(world.to_client.is_empty());
    world.client(request("auth-agent-req@openssh.com", Head::of_data()));
    world.host(agent(1));
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::Open { .. })
    ));
}

/// RFC 9987 has names of its own: each side is spoken to by those that it knows.
#[test]
fn the_agent_goes_by_the_name_that_each_side_knows() {
    const REQUESTS: [&str; 2] = ["auth-agent-req@openssh.com", "agent-req"];
    const CHANNELS: [&str; 2] = ["auth-agent@openssh.com", "agent-connect"];
    for (by_client, by_host) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let peers = Peers {
            host_knows_agent_req: by_host == 1,
            ..Peers::default()
        };
        let mut world = World {
            relay: Relay::new(peers, Arc::default()),
            ..World::default()
        };
        world.client(open(7));
        world.host(confirm(0, 9));
        world.forget();
        let asked = request(REQUESTS[by_client], Head::of_data());
        world.client(&asked);
        let Some(Message::Request { kind, .. }) = world.to_host.pop_front() else {
            panic!("nothing asked");
        };
        assert_eq!(kind.as_str(), REQUESTS[by_host]);
        let agent = Message::Open {
            kind: Name::from_static(CHANNELS[by_host]),
            sender: 1,
            window: 10,
            max_packet: 10,
            data: Bytes::new(),
        };
        world.host(&agent);
        let Some(Message::Open { kind, .. }) = world.to_client.pop_front() else {
            panic!("nothing opened");
        };
        assert_eq!(kind.as_str(), CHANNELS[by_client]);
    }
}

#[test]
fn the_environment_passes_the_list() {
    let mut world = World::default();
    world.client(open(7));
    world.host(confirm(0, 9));
    world.to_host.clear();
    for (name, passes) in [
        ("LC_ALL", true),
        ("LD_PRELOAD", false),
        ("LANG", true),
        ("PATH", false),
    ] {
        let variable = Head::of_data().string(name.as_bytes()).string(b"x");
        world.client(request("env", variable));
        assert_eq!(world.to_host.pop_front().is_some(), passes, "{name}");
    }
}
