//! Where a name leads, and what stands in the way.

use std::sync::Arc;

use super::*;
use crate::audit::AuditEvent;
use crate::cert::testing::{CertSpec, ed25519};
use crate::model::{NodeId, TunnelRule};
use crate::ssh::channel::ChannelStream;
use crate::ssh::testing::{CLIENT, DB1, SshFixture, app, origin};
use crate::ssh::tunnels::{Later, OtherTunnels, TunnelError, TunnelPatience};

const NODES: &str = "
roles:
  - name: ops
    allow: [{ logins: [deploy], nodes: [db1, db2] }]
users: [{ name: alice, roles: [ops] }]
nodes:
  - { name: db1, addr: 10.0.0.5, labels: { env: prod } }
  - { name: db2, addr: \"10.0.0.6:2222\", labels: { env: prod } }
  - { name: vault, addr: 10.0.0.7, labels: { env: prod } }
";

/// Where a name leads alice, or why it leads nowhere.
fn asked(proxy: &SshFixture, target: &str) -> Result<Permit, Refusal> {
    let name = format!("proxy:{target}");
    proxy.router().permit(&proxy.identity(), CLIENT, &name)
}

fn reason(proxy: &SshFixture, target: &str) -> &'static str {
    asked(proxy, target).expect_err(target).reason
}

#[test]
fn a_node_is_found_by_its_name_and_has_its_own_port() {
    let proxy = SshFixture::new();
    proxy.configure(NODES);
    for target in ["db2:22", "db2:2222", "DB2:22", "db2:22@example.test"] {
        let permit = asked(&proxy, target).expect(target);
        let route = permit.route();
        assert_eq!(
            (route.host.as_str(), route.port),
            ("10.0.0.6", 2222),
            "{target}"
        );
        assert_eq!(route.node.as_deref(), Some("db2"));
    }
    assert_eq!(reason(&proxy, "db2:443"), "port-not-in-inventory");
    assert_eq!(reason(&proxy, "db2:22@elsewhere.test"), "unknown-cluster");
}

/// A user without permission reads the same text for existing and missing targets.
#[test]
fn the_policy_says_no_before_the_inventory_says_anything() {
    let proxy = SshFixture::new();
    proxy.configure(NODES);
    let told = |target: &str| {
        let refusal = asked(&proxy, target).expect_err(target);
        let text = refusal.text("ID");
        let AuditEvent::Refusal { rule, .. } = refusal.event(origin()) else {
            panic!("another event");
        };
        (
            text.replace(target.split(':').next().unwrap(), "HOST"),
            rule,
        )
    };
    let (there, there_rule) = told("vault:22");
    let (nowhere, nowhere_rule) = told("nowhere:22");
    assert_eq!(there, nowhere);
    assert_eq!(told("vault:443").0, there, "not even which port");
    assert!(nowhere_rule.unwrap().contains("is not in the inventory"));
    assert!(!there_rule.unwrap().contains("inventory"));
}

#[test]
fn of_an_ambiguous_label_only_the_nodes_that_are_open_are_named() {
    let proxy = SshFixture::new();
    proxy.configure(NODES);
    let refusal = asked(&proxy, "env=prod:22").unwrap_err();
    assert_eq!(refusal.reason, "ambiguous-node");
    assert!(refusal.message.contains("db1, db2"), "{}", refusal.message);
    assert!(!refusal.message.contains("vault"), "{}", refusal.message);
}

/// A lock leads nobody to another node: the label stays ambiguous.
#[test]
fn of_an_ambiguous_label_the_nodes_that_are_locked_are_named_as_such() {
    let proxy = SshFixture::new();
    let node = |name: &str, is_locked| Node {
        name: name.to_owned(),
        labels: vec!["role=db".parse().unwrap()],
        is_locked,
        ..app(TunnelRule::No)
    };
    let told = |nodes: Vec<Node>| {
        proxy.join(nodes);
        let refusal = asked(&proxy, "role=db:22").unwrap_err();
        (refusal.reason, refusal.message)
    };
    for (first, second, names) in [
        (true, false, "a (locked), b"),
        (true, true, "a (locked), b (locked)"),
    ] {
        let (reason, message) = told(vec![node("a", first), node("b", second)]);
        assert_eq!(reason, "ambiguous-node");
        assert!(message.ends_with(&format!(": {names}")), "{message}");
    }
    assert_eq!(told(vec![node("a", true)]).0, "node-locked");
    // Who may not go there does not read that it is locked.
    proxy.configure(
        "
roles: [{ name: ops, allow: [{ logins: [deploy], nodes: [b] }] }]
users: [{ name: alice, roles: [ops] }]
",
    );
    let (reason, message) = told(vec![node("a", true), node("b", false)]);
    assert_eq!(reason, "ambiguous-node");
    assert!(message.ends_with(": b"), "{message}");
}

#[test]
fn outside_the_inventory_what_would_lead_back_is_refused() {
    let proxy = SshFixture::new();
    let permit = asked(&proxy, "10.9.9.9:2222").unwrap();
    assert_eq!(permit.route().node, None);
    for target in [
        "127.0.0.1:22",
        "169.254.169.254:80",
        "[::1]:22",
        "env=test:22",
    ] {
        assert_eq!(reason(&proxy, target), "unknown-node", "{target}");
    }
}

#[test]
fn a_name_that_is_none_says_how_to_ask() {
    let proxy = SshFixture::new();
    let refused = |name: &str| proxy.router().permit(&proxy.identity(), CLIENT, name);
    let hint = |refusal: Refusal| refusal.text("ID");
    let nameless = refused("sftp").unwrap_err();
    assert_eq!(nameless.reason, "malformed-target");
    assert!(hint(nameless).contains("-p 3023 %r@PROXY"));
    proxy.change(|settings| settings.public_addr = Some(("proxy.example.com".to_owned(), 4022)));
    let named = hint(refused("proxy:").unwrap_err());
    assert!(named.contains("-p 4022 %r@proxy.example.com"), "{named}");
}

#[tokio::test]
async fn an_address_of_this_proxy_is_not_dialled() {
    let proxy = SshFixture::new();
    let router = proxy.router();
    let permit = proxy.permit("db1:22");
    let settings = router.settings.now();
    let addresses = router.addresses(permit.route()).await.unwrap();
    assert_eq!(addresses, [DB1]);
    router.may_dial(&settings, &permit, DB1).unwrap();
    let own = HostAddress::Tcp("192.0.2.200:3023".parse().unwrap());
    let refused = router.may_dial(&settings, &permit, own).unwrap_err();
    assert_eq!(refused.reason, "own-listener");
}

#[tokio::test]
async fn a_host_that_has_joined_is_reached_as_its_rule_says() {
    let proxy = SshFixture::new();
    let router = proxy.router();
    let direct = HostAddress::Tcp("10.0.0.8:22".parse().unwrap());
    for tunnel in TunnelRule::ALL {
        let node = app(tunnel);
        let id = node.id.unwrap();
        proxy.join(vec![node]);
        let permit = proxy.permit("app:22");
        let route = permit.route();
        assert_eq!(
            (route.joined, route.node.as_deref()),
            (Some(id), Some("app"))
        );
        let without = router.addresses(route).await.unwrap();
        let _guard = proxy.open_tunnel(id);
        let with = router.addresses(route).await.unwrap();
        let through = HostAddress::Tunnel(id);
        let expected = match tunnel {
            TunnelRule::No => (vec![direct], vec![direct]),
            TunnelRule::Allowed => (vec![direct], vec![through, direct]),
            TunnelRule::Required => (vec![through], vec![through]),
        };
        assert_eq!((without, with), expected);
    }
}

/// Where a node has its tunnel, as the other proxies say.
#[derive(Debug)]
struct Elsewhere(Option<NodeId>);

impl OtherTunnels for Elsewhere {
    fn dial(
        &self,
        _node: NodeId,
        _patience: TunnelPatience,
    ) -> Later<'_, Result<ChannelStream, TunnelError>> {
        Box::pin(async { Err(TunnelError::None) })
    }

    fn has(&self, node: NodeId) -> Later<'_, bool> {
        Box::pin(async move { self.0 == Some(node) })
    }
}

/// At whichever proxy it is. Then a name of the host that DNS does not know does no harm.
#[tokio::test]
async fn an_open_tunnel_of_a_host_comes_before_its_address() {
    let mut proxy = SshFixture::new();
    let node = app(TunnelRule::Allowed);
    let id = node.id.unwrap();
    let nameless = Node {
        host: "app.invalid".to_owned(),
        ..node.clone()
    };
    let direct = HostAddress::Tcp("10.0.0.8:22".parse().unwrap());
    let through = HostAddress::Tunnel(id);
    for (elsewhere, expected) in [
        (Some(id), Some(through)),
        (Some(NodeId::new()), None),
        (None, None),
    ] {
        proxy.tunnels = Tunnels::with_others(Some(Arc::new(Elsewhere(elsewhere))));
        let router = proxy.router();
        proxy.join(vec![node.clone()]);
        let permit = proxy.permit("app:22");
        let addresses = router.addresses(permit.route()).await.unwrap();
        let all: Vec<_> = expected.into_iter().chain([direct]).collect();
        assert_eq!(addresses, all);
        assert_eq!(
            router.is_worth_dialling(permit.route(), through).await,
            expected.is_some()
        );
        proxy.join(vec![nameless.clone()]);
        let permit = proxy.permit("app:22");
        let addresses = router.addresses(permit.route()).await;
        match expected {
            Some(through) => assert_eq!(addresses.unwrap(), [through]),
            None => assert_eq!(addresses.unwrap_err().reason, "unknown-node"),
        }
    }
}

/// An attacker in one proxy can write any address down for a host: no other proxy connects to services of
/// its own machine, or of its cloud, for that.
#[tokio::test]
async fn a_host_that_has_joined_does_not_lead_to_the_proxys_own_machine() {
    let alone = SshFixture::new();
    let mut shared = SshFixture::new();
    shared.tunnels = Tunnels::with_others(Some(Arc::new(Elsewhere(None))));
    for (proxy, host, is_dialled) in [
        (&alone, "127.0.0.1", true),
        (&shared, "127.0.0.1", false),
        (&shared, "::1", false),
        (&alone, "169.254.169.254", false),
        (&shared, "169.254.169.254", false),
        (&alone, "0.0.0.0", false),
        (&shared, "10.0.0.8", true),
    ] {
        let host = host.to_owned();
        proxy.join(vec![Node {
            host,
            ..app(TunnelRule::No)
        }]);
        let permit = proxy.permit("app:22");
        let route = permit.route();
        let dialled = proxy.router().addresses(route).await;
        assert_eq!(dialled.is_ok(), is_dialled, "{dialled:?}");
    }
}

#[test]
fn a_host_that_has_joined_is_not_dialled_when_it_is_locked_or_gone() {
    let proxy = SshFixture::new();
    let router = proxy.router();
    let node = app(TunnelRule::Required);
    let through = HostAddress::Tunnel(node.id.unwrap());
    proxy.join(vec![node.clone()]);
    let permit = proxy.permit("app:22");
    let may_dial = |address| {
        let settings = router.settings.now();
        let may = router.may_dial(&settings, &permit, address);
        may.map_err(|refusal| refusal.reason)
    };
    may_dial(through).unwrap();
    let locked = Node {
        is_locked: true,
        ..node
    };
    proxy.join(vec![locked]);
    assert_eq!(may_dial(through), Err("node-locked"));
    assert_eq!(reason(&proxy, "app:22"), "node-locked");
    proxy.join(Vec::new());
    assert_eq!(may_dial(through), Err("node-removed"));
}

/// A host reports its address itself: with that of another one, it must not keep users away from it.
/// Without certificates, there is no telling which of them a host is.
#[test]
fn a_host_that_reports_the_address_of_another_does_not_block_the_way_to_it() {
    let proxy = SshFixture::new();
    proxy.configure(
        "
roles: [{ name: ops, allow: [{ logins: [deploy], nodes: [db1, app] }] }]
users: [{ name: alice, roles: [ops] }]
nodes: [{ name: db1, addr: 10.0.0.5 }]
",
    );
    let evil = |host: &str| Node {
        name: "evil".to_owned(),
        host: host.to_owned(),
        ..app(TunnelRule::No)
    };
    let at = |text: &str| HostAddress::Tcp(text.parse().unwrap());
    let may_dial = |permit: &Permit, address| {
        let (router, settings) = (proxy.router(), proxy.settings.borrow().clone());
        let may = router.may_dial(&settings, permit, address);
        may.map_err(|refusal| refusal.reason)
    };
    proxy.join(vec![app(TunnelRule::No), evil("10.0.0.5")]);
    may_dial(&proxy.permit("db1:22"), DB1).unwrap();
    proxy.join(vec![app(TunnelRule::No), evil("10.0.0.8")]);
    let permit = proxy.permit("app:22");
    may_dial(&permit, at("10.0.0.8:22")).unwrap();
    proxy.change(|settings| settings.checks_host_keys = false);
    assert_eq!(may_dial(&permit, at("10.0.0.8:22")), Err("policy"));
    let by_address = proxy.permit("10.0.0.8:22");
    assert_eq!(may_dial(&by_address, at("10.0.0.8:22")), Err("policy"));
}

/// By its address, and by the names in its certificate.
#[test]
fn a_host_is_every_node_that_it_turns_out_to_be() {
    let proxy = SshFixture::new();
    proxy.configure(NODES);
    let (router, settings) = (proxy.router(), proxy.settings.borrow().clone());
    let permit = proxy.login_permit("db1:22");
    let key = |names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect();
        let spec = CertSpec::host(&ed25519()).with(|spec| spec.principals = names);
        PresentedKey::decode(&spec.sign(&proxy.host_ca.key).to_bytes().unwrap()).unwrap()
    };
    let judge = |address: &str, names: &[&str]| {
        let (address, key) = (HostAddress::Tcp(address.parse().unwrap()), key(names));
        router
            .judge_login(&settings, &permit, address, &key)
            .map(drop)
    };
    judge("10.0.0.5:22", &["db1"]).unwrap();
    judge("10.0.0.6:2222", &["db1", "db2"]).unwrap();
    judge("10.0.0.7:22", &["db1"]).unwrap_err();
    judge("10.0.0.5:22", &["db1", "vault"]).unwrap_err();
}
