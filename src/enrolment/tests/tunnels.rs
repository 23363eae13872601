//! Tunnels, as the state has them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::house::{HouseHost, NodeHouse, installed, named, reason};
use crate::ipc::{NodesAnswer, NodesQuestion, NodesRequest};
use crate::model::TunnelRule;
use crate::sys::clock::monotonic;

fn tunnelled<'h>(house: &'h NodeHouse, name: &str) -> HouseHost<'h> {
    let token = house.token_with(|new| new.tunnel = TunnelRule::Required);
    let host = house.host();
    host.proved();
    installed(host.join(&token, &named(name)));
    host
}

fn open(host: &HouseHost<'_>) {
    assert_eq!(host.ask(NodesQuestion::Tunnel(true)), NodesAnswer::Noted);
}

#[test]
fn a_tunnel_is_known_as_long_as_it_is_open() {
    let house = NodeHouse::new();
    let host = tunnelled(&house, "db1");
    let id = house.node("db1").id;
    let tunnels = || house.state.nodes().tunnels().unwrap();
    open(&host);
    open(&host);
    assert_eq!(tunnels().len(), 1, "one for a connection");
    let tunnel = house.state.nodes().tunnel_of(id).unwrap().unwrap();
    assert_eq!(tunnel.proxy, house.service.proxy_of(1));
    let proxies = house.state.proxies().list().unwrap();
    assert_eq!(proxies[0].id, tunnel.proxy);
    // Another connection of the host: the newest counts.
    let second = house.host_with(host.key.clone());
    second.proved();
    open(&second);
    let newest = house.state.nodes().tunnel_of(id).unwrap().unwrap();
    assert!(newest.generation > tunnel.generation);
    assert_eq!(host.ask(NodesQuestion::Tunnel(false)), NodesAnswer::Noted);
    assert_eq!(tunnels(), [newest]);
    assert_eq!(second.ask(NodesQuestion::Close), NodesAnswer::Noted);
    assert!(tunnels().is_empty());
}

#[test]
fn a_node_without_the_right_has_no_tunnel() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let answer = host.ask(NodesQuestion::Tunnel(true));
    assert_eq!(reason(answer), "tunnel-not-allowed");
    let stranger = house.host();
    stranger.proved();
    let answer = stranger.ask(NodesQuestion::Tunnel(true));
    assert_eq!(reason(answer), "not-joined");
    assert!(house.state.nodes().tunnels().unwrap().is_empty());
}

#[test]
fn the_tunnels_of_a_process_end_with_it() {
    let house = NodeHouse::new();
    let (first, mut second) = (tunnelled(&house, "db1"), house.host());
    let token = house.token_with(|new| new.tunnel = TunnelRule::Allowed);
    second.caller = 2;
    second.proved();
    installed(second.join(&token, &named("db2")));
    open(&first);
    open(&second);
    house.service.forget(1);
    let tunnels = house.state.nodes().tunnels().unwrap();
    assert_eq!(tunnels.len(), 1);
    assert_eq!(tunnels[0].node, house.node("db2").id);
    assert_eq!(house.state.proxies().list().unwrap().len(), 1);
}

/// Another proxy removes a proxy that it has not heard of for minutes, while both were cut off from the state.
#[test]
fn open_tunnels_that_were_forgotten_are_written_down_again() {
    let house = NodeHouse::new();
    let (first, second) = (tunnelled(&house, "db1"), tunnelled(&house, "db2"));
    open(&first);
    open(&second);
    let tunnels = || house.state.nodes().tunnels().unwrap();
    let forgotten = || {
        let proxies = house.state.proxies();
        proxies.remove(house.service.proxy_of(1)).unwrap();
        assert!(tunnels().is_empty());
    };
    let later = |minutes: u64| monotonic() + Duration::from_secs(minutes * 60 + 1);
    let before = tunnels();
    forgotten();
    house.service.tick(monotonic());
    assert!(tunnels().is_empty(), "once a minute");
    house.service.tick(later(1));
    assert_eq!(tunnels(), before);
    assert_eq!(house.state.proxies().list().unwrap().len(), 1);
    // What has ended meanwhile, and what is of a process that has exited, does not come back.
    forgotten();
    assert_eq!(second.ask(NodesQuestion::Tunnel(false)), NodesAnswer::Noted);
    house.service.tick(later(3));
    let left: Vec<_> = tunnels().iter().map(|open| open.node).collect();
    assert_eq!(left, [house.node("db1").id]);
    house.service.forget(1);
    house.service.tick(later(5));
    assert!(tunnels().is_empty());
}

/// Its turn comes when the connection has ended.
#[test]
fn a_report_that_has_waited_for_its_turn_too_long_opens_no_tunnel() {
    let house = NodeHouse::new();
    let host = tunnelled(&house, "db1");
    let now = monotonic();
    let slot = house.service.table.find(1, host.connection, now).unwrap();
    assert_eq!(host.ask(NodesQuestion::Close), NodesAnswer::Noted);
    let report = NodesRequest {
        connection: host.connection,
        client: host.address,
        ask: NodesQuestion::Tunnel(true),
    };
    let answer = house.service.ask_in_turn(&slot, 1, &report, now);
    assert_eq!(reason(answer.unwrap()), "not-proved");
    assert!(house.state.nodes().tunnels().unwrap().is_empty());
}

/// Processes exit while the question of another one has all of them announced.
#[test]
fn a_process_that_has_exited_is_not_announced_again() {
    let house = NodeHouse::new();
    let ids: BTreeSet<_> = (1..=50).map(|one| house.service.proxy_of(one)).collect();
    assert_eq!(ids.len(), 50);
    let proxies = || house.state.proxies().list().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| house.service.tick(monotonic() + Duration::from_secs(61)));
        while proxies().is_empty() {
            std::thread::yield_now();
        }
        for caller in 1..=50 {
            house.service.forget(caller);
        }
    });
    assert_eq!(proxies(), []);
}
