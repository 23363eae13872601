//! Permissions that change while channels are open.

use super::*;

#[test]
fn a_forward_that_is_no_longer_permitted_is_closed_on_both_sides() {
    let mut world = World::with_forward(Permissions::default());
    assert_eq!(world.permit(Permissions::default()), 0);
    assert_eq!(world.permit(no_forwards()), 1);
    assert_eq!(world.to_client, [close(3)]);
    assert_eq!(world.to_host, [close(9)]);
    assert_eq!(world.witness.refused, ["Channel direct-tcpip"]);
    assert_eq!(world.witness.closed, [0]);
    world.to_client.clear();
    world.client(direct_tcpip(4, "localhost", 80));
    let refused = world.to_client.pop_front();
    assert!(matches!(
        refused,
        Some(Message::OpenFailure { recipient: 4, .. })
    ));
    assert_eq!(world.permit(Permissions::default()), 0);
    world.to_host.clear();
    world.client(direct_tcpip(5, "localhost", 80));
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::Open { .. })
    ));
}

#[test]
fn forwarding_that_was_stopped_stays_so_whatever_is_permitted_then() {
    let mut world = World::with_forward(Permissions::default());
    let place = Head::of_data().string(b"localhost").uint32(8080);
    world.client(global("tcpip-forward", place));
    let success = Message::RequestSuccess { data: Bytes::new() };
    world.host(&success);
    world.to_client.clear();
    let mut out = Vec::new();
    let ended = world.relay.stop_forwarding(&mut world.witness, &mut out);
    assert_eq!(ended, 2, "a channel and a listener");
    assert_eq!(world.witness.closed, [0]);
    let cancelled = out.iter().any(|one| {
        matches!(&one.message, Message::GlobalRequest { name, .. } if name.as_str() == "cancel-tcpip-forward")
    });
    assert!(cancelled, "{out:?}");
    assert_eq!(world.permit(Permissions::default()), 0);
    world.client(direct_tcpip(4, "localhost", 80));
    let refused = world.to_client.pop_front();
    assert!(matches!(
        refused,
        Some(Message::OpenFailure { recipient: 4, .. })
    ));
}

/// One of two sessions is ended: its user reads why, both sides are told to close, and what still
/// arrives for it goes nowhere. The other one goes on.
#[test]
fn one_session_ends_and_its_neighbour_goes_on() {
    let mut world = World::with_session();
    world.client(open(8));
    world.host(confirm(1, 10));
    let start = Message::Request {
        recipient: 1,
        kind: Name::from_static("shell"),
        want_reply: false,
        data: Bytes::new(),
    };
    world.client(&start);
    world.forget();

    let mut out = Vec::new();
    world.relay.end_session(ChannelKey(0), "why", &mut out);
    let (to_client, to_host): (Vec<_>, Vec<_>) =
        out.into_iter().partition(|one| one.to == Side::Client);
    assert_eq!(to_host.len(), 1);
    assert_eq!(to_host[0].message, close(9));
    assert!(
        matches!(&to_client[0].message, Message::ExtendedData { recipient: 7, data, .. } if data == "why"),
        "{to_client:?}"
    );
    let last = to_client.last().map(|one| &one.message);
    assert_eq!(last, Some(&close(7)));

    world.host(data(0, 5));
    assert_eq!(world.to_client.pop_front(), None);
    world.host(data(1, 5));
    let passed = world.to_client.pop_front();
    assert!(matches!(passed, Some(Message::Data { recipient: 8, .. })));
    // Ended is ended.
    let mut out = Vec::new();
    world.relay.end_session(ChannelKey(0), "why", &mut out);
    assert_eq!(out, []);
    assert_eq!(world.relay.sessions(), 2);
    for side in [Side::Host, Side::Client] {
        world.says(side, close(0));
    }
    assert_eq!(world.relay.sessions(), 1);
    assert!(world.witness.closed.is_empty(), "the tap knows already");
}

#[test]
fn a_forward_that_was_being_opened_ends_once_it_is() {
    let mut world = World::default();
    world.client(direct_tcpip(3, "localhost", 80));
    assert_eq!(world.permit(no_forwards()), 0);
    world.to_host.clear();
    world.host(confirm(0, 9));
    assert_eq!(world.to_client.pop_back(), Some(close(3)));
    assert_eq!(world.to_host, [close(9)]);
}

#[test]
fn listeners_that_are_no_longer_permitted_are_cancelled() {
    let listen = |port| {
        let place = Head::of_data().string(b"localhost").uint32(port);
        global("tcpip-forward", place)
    };
    let cancel = |port| Message::GlobalRequest {
        name: Name::from_static("cancel-tcpip-forward"),
        want_reply: false,
        data: Head::of_data()
            .string(b"localhost")
            .uint32(port)
            .into_bytes(),
    };
    let success = Message::RequestSuccess { data: Bytes::new() };
    let mut world = World::default();
    world.client(listen(8080));
    world.host(&success);
    world.client(listen(8081));
    world.to_host.clear();
    assert_eq!(world.permit(no_forwards()), 1);
    assert_eq!(world.to_host, [cancel(8080)]);
    // The host had not answered yet.
    world.host(&success);
    assert_eq!(world.to_host.pop_back(), Some(cancel(8081)));
    world.to_client.clear();
    world.host(forwarded_tcpip(4, "localhost", 8080));
    assert!(world.to_client.is_empty());
}

/// A channel from a listener that the client has cancelled since is permitted all the same.
#[test]
fn a_connection_outlives_its_listener() {
    let place = || Head::of_data().string(b"localhost").uint32(8080);
    let mut world = World::default();
    let success = Message::RequestSuccess { data: Bytes::new() };
    world.client(global("tcpip-forward", place()));
    world.host(&success);
    world.host(forwarded_tcpip(4, "localhost", 8080));
    world.client(confirm(0, 6));
    world.client(global("cancel-tcpip-forward", place()));
    let fewer = Permissions {
        x11: true,
        ..Permissions::default()
    };
    assert_eq!(world.permit(fewer), 0);
    assert_eq!(world.permit(no_forwards()), 1);
}

/// Open forwards that were not searched for SSH end when SSH is permitted no more.
#[test]
fn forwards_that_nobody_has_looked_into_end_with_nested_ssh() {
    let seen = Permissions {
        nested_ssh: false,
        ..Permissions::default()
    };
    let unseen = Permissions {
        nested_ssh: true,
        ..Permissions::default()
    };
    let mut world = World::with_forward(unseen.clone());
    assert_eq!(world.permit(unseen.clone()), 0);
    assert_eq!(world.permit(seen.clone()), 1);
    let mut world = World::with_forward(seen);
    assert_eq!(world.permit(unseen), 0);
}
