//! From the name of a subsystem to a permit: parsed, resolved, authorised, before anything is dialled.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::Mutex;

use super::own_address;
use super::proxy_address::ProxyAddress;
use super::refusal::{self, Refusal};
use super::settings::{CurrentSettings, Settings};
use super::tunnels::Tunnels;
use crate::access::{
    self, Denial, Grant, HostWay, Identity, LoginPermit, Permit, RequestedHost, Route,
};
use crate::cert::PresentedKey;
use crate::dns::Resolver;
use crate::model::{ClusterName, HostAddress, HostName, Target};
use crate::net::canonical;
use crate::nodes::{self, Inventory, Match, Node, ResolveError, Whereabouts, may_dial, place};

/// Decides where clients may go, from the name that they request to the addresses that are dialled,
/// and which nodes a host is.
#[derive(Debug)]
pub(crate) struct Router {
    cluster: ClusterName,
    settings: CurrentSettings,
    /// Addresses and ports of this proxy's own listeners; SSH's is the first.
    listeners: Vec<SocketAddr>,
    resolver: Resolver,
    /// The addresses of nodes that the inventory lists by name.
    whereabouts: Whereabouts,
    /// Held by the one connection that looks these addresses up.
    learning: Mutex<()>,
    /// The tunnels that nodes keep open.
    tunnels: Tunnels,
}

impl Router {
    /// Of the proxy of a cluster with these listeners, SSH's first.
    #[must_use]
    pub(crate) fn new(
        cluster: ClusterName,
        settings: CurrentSettings,
        listeners: Vec<SocketAddr>,
        (resolver, tunnels): (Resolver, Tunnels),
    ) -> Self {
        Self {
            cluster,
            settings,
            listeners,
            resolver,
            whereabouts: Whereabouts::default(),
            learning: Mutex::default(),
            tunnels,
        }
    }

    /// This installation's name.
    pub(crate) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// How clients reach this proxy.
    pub(crate) fn reached(&self) -> ProxyAddress {
        ProxyAddress::of(&self.listeners, &self.settings.now())
    }

    /// Decides where a subsystem request of a client at this address leads. The policy is checked
    /// first: a client that it refuses gets the same text for a target that does not exist, is
    /// ambiguous or is forbidden.
    ///
    /// # Errors
    /// The refusal for the user: malformed, not permitted, another cluster, ambiguous, not to be
    /// dialled.
    pub(crate) fn permit(
        &self,
        identity: &Identity,
        client: SocketAddr,
        subsystem: &str,
    ) -> Result<Permit, Refusal> {
        let settings = self.settings.now();
        let target = Target::from_subsystem(subsystem).map_err(|error| {
            let command = self.reached().command();
            refusal::malformed_target(&error, &command)
        })?;
        let (policy, inventory) = (&settings.policy, &settings.inventory);
        let from = canonical(client.ip());
        let open = open_places(inventory.places(&target), |place| {
            access::may_enter(policy, identity, &target, place, from)
        })
        .map_err(|denial| denied(inventory, &target, &denial))?;
        let found = match inventory.resolve(&target) {
            Ok(found) => found,
            Err(ResolveError::NotFound(_)) => outside_inventory(&target)?,
            Err(error) => return Err(self.unresolved(error, &open)),
        };
        let Match {
            node,
            host,
            port,
            names,
        } = found;
        let place = inventory.place(&target);
        let joined = node.as_ref().and_then(|node| node.id);
        // Where a host that has joined is, is found out when it is dialled.
        let mut also = match joined {
            None => inventory.places_by_text(&host, port),
            Some(_) => Vec::new(),
        };
        also.retain(|other| *other != place);
        for other in &also {
            access::may_enter(policy, identity, &target, other, from)
                .map_err(|denial| denied(inventory, &target, &denial))?;
        }
        let route = Route {
            place,
            also,
            target,
            way: node.as_ref().map_or(HostWay::Direct, Node::way),
            node: node.map(|node| node.name),
            host,
            port,
            names,
            joined,
        };
        access::authorize(policy, identity, route, from).map_err(|denial| Refusal::from(&denial))
    }

    /// The inventory's error, for a client that may enter the `open` ones of its places.
    fn unresolved(&self, mut error: ResolveError, open: &[RequestedHost]) -> Refusal {
        if let ResolveError::Ambiguous { candidates, .. } = &mut error {
            candidates.retain(|name| open.iter().any(|place| place.name == *name));
        }
        refusal::ambiguous_or_unknown(&error, &self.cluster)
    }

    /// Decides again about a login at the host at this address, with the current policy. A host may
    /// be several nodes: by the address that is dialled, and by the names in its certificate. The
    /// policy must permit all of them, and the strictest permissions apply.
    ///
    /// # Errors
    /// The policy's refusal.
    pub(crate) fn judge_login(
        &self,
        settings: &Settings,
        permit: &LoginPermit,
        address: HostAddress,
        key: &PresentedKey,
    ) -> Result<Grant, Denial> {
        let inventory = &settings.inventory;
        let route = permit.route();
        let named = inventory.place_named(&route.place.name);
        let mut grant = permit.judge_again(&settings.policy, &named)?;
        let known = route.also.iter();
        let known = known.map(|place| inventory.place_named(&place.name));
        for place in known.chain(self.places_of(settings, route, address, Some(key))) {
            if place != named {
                grant = grant.and(permit.judge_again(&settings.policy, &place)?);
            }
        }
        Ok(grant)
    }

    /// The nodes that the host of a route is: by its address, and, once it was verified, by the principals
    /// of its certificate.
    pub(crate) fn places_of(
        &self,
        settings: &Settings,
        route: &Route,
        address: HostAddress,
        key: Option<&PresentedKey>,
    ) -> Vec<RequestedHost> {
        let inventory = &settings.inventory;
        let mut places: Vec<RequestedHost> = match address {
            HostAddress::Tcp(socket) => {
                let mut nodes = self.whereabouts.nodes_at(inventory, socket);
                // Hosts that have joined report their addresses themselves: none of them can block the way
                // to another one. Its certificate says which of them a host is.
                if route.joined.is_some() && settings.checks_host_keys {
                    nodes.retain(|node| node.id.is_none() || node.id == route.joined);
                }
                nodes.into_iter().map(place).collect()
            }
            HostAddress::Tunnel(id) => inventory.node_of(id).map(place).into_iter().collect(),
        };
        if let Some(certificate) = key.and_then(PresentedKey::certificate) {
            let port = address.socket().map_or(route.port, |socket| socket.port());
            let named = inventory.places_named_by(certificate.valid_principals(), port);
            places.extend(named);
        }
        places
    }

    /// Where the host of a route is, in order of preference; at least one.
    ///
    /// # Errors
    /// The refusal for the user: the name has no address, or none that may be dialled.
    pub(crate) async fn addresses(&self, route: &Route) -> Result<Vec<HostAddress>, Refusal> {
        let tunnel = match route.way {
            HostWay::Tunnel(id) => return Ok(vec![HostAddress::Tunnel(id)]),
            HostWay::TunnelOrDirect(id) => {
                let is_open = self.tunnels.is_open_anywhere(id).await;
                is_open.then_some(HostAddress::Tunnel(id))
            }
            HostWay::Direct => None,
        };
        let is_listed = match route.joined {
            None => route.node.is_some(),
            Some(_) => self.is_vouched_for(&route.host),
        };
        let addresses = nodes::addresses(&route.host, route.port, is_listed, &self.resolver).await;
        let addresses = addresses.map_err(|error| refusal::unknown_node(&route.target, error))?;
        let addresses = addresses.into_iter().map(HostAddress::from);
        Ok(tunnel.into_iter().chain(addresses).collect())
    }

    /// Whether the address of a host that has joined may be any: nobody vouches for what it reports, or for
    /// where its reports seem to come from. One that has come from the machine of a proxy without others is on
    /// that machine.
    fn is_vouched_for(&self, address: &str) -> bool {
        let is_loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        is_loopback && !self.tunnels.is_shared()
    }

    /// Whether it makes sense to dial this address of a route: a tunnel that has ended meanwhile is not
    /// waited for where the host has an address too.
    pub(crate) async fn is_worth_dialling(&self, route: &Route, address: HostAddress) -> bool {
        match (route.way, address) {
            (HostWay::TunnelOrDirect(_), HostAddress::Tunnel(id)) => {
                self.tunnels.is_open_anywhere(id).await
            }
            (HostWay::Direct | HostWay::Tunnel(_) | HostWay::TunnelOrDirect(_), _) => true,
        }
    }

    /// Looks up the addresses of nodes that are listed by name, if a decision depends on them.
    pub(crate) async fn learn(&self, settings: &Settings) {
        if settings.policy.has_roles() {
            let inventory = &settings.inventory;
            // Other connections wait here for the result of this one.
            let _turn = self.learning.lock().await;
            self.whereabouts.learn(inventory, &self.resolver).await;
        }
    }

    /// Whether the host at this address may be dialled: every node at this address must be permitted,
    /// and the address must not be one of this proxy.
    ///
    /// # Errors
    /// The refusal for the user.
    pub(crate) fn may_dial(
        &self,
        settings: &Settings,
        permit: &Permit,
        address: HostAddress,
    ) -> Result<(), Refusal> {
        if has_left(settings, permit.route()) {
            return Err(refusal::node_removed(&permit.route().target));
        }
        self.may_enter(settings, permit, address, None)?;
        own_address::refuse_address(&self.listeners, settings, permit.route(), address)
    }

    /// Whether every node that a host is may be entered: by its address, and by the principals of the
    /// certificate that it has presented.
    ///
    /// # Errors
    /// The refusal for the user.
    pub(crate) fn may_enter(
        &self,
        settings: &Settings,
        permit: &Permit,
        address: HostAddress,
        key: Option<&PresentedKey>,
    ) -> Result<(), Refusal> {
        for place in self.places_of(settings, permit.route(), address, key) {
            permit
                .may_enter_too(&settings.policy, &place)
                .map_err(|denial| Refusal::from(&denial))?;
        }
        Ok(())
    }
}

/// Whether a route leads to a host that had joined, and has been removed since.
pub(super) fn has_left(settings: &Settings, route: &Route) -> bool {
    route
        .joined
        .is_some_and(|id| !settings.inventory.has_joined(id))
}

/// The places that may be entered.
///
/// # Errors
/// The denial, if none may be entered.
fn open_places(
    places: Vec<RequestedHost>,
    may_enter: impl Fn(&RequestedHost) -> Result<(), Denial>,
) -> Result<Vec<RequestedHost>, Denial> {
    let mut open = Vec::new();
    let mut denial = None;
    for place in places {
        match may_enter(&place) {
            Ok(()) => open.push(place),
            Err(no) => denial = denial.or(Some(no)),
        }
    }
    match denial {
        Some(denial) if open.is_empty() => Err(denial),
        _ => Ok(open),
    }
}

/// The user reads the same text whatever the inventory has; the audit log says what it has.
fn denied(inventory: &Inventory, target: &Target, denial: &Denial) -> Refusal {
    let refusal = Refusal::from(denial);
    match inventory.resolve(target) {
        Ok(_) => refusal,
        Err(error) => refusal.with_finding(&error),
    }
}

/// A target that is not in the inventory: it is looked up in DNS when it is dialled. A target that
/// cannot work is refused here.
fn outside_inventory(target: &Target) -> Result<Match, Refusal> {
    let found = Match::outside(target)
        .ok_or_else(|| refusal::unknown_node(target, "no node has this label"))?;
    if let HostName::Address(address) = &target.host {
        may_dial(*address).map_err(|forbidden| refusal::unknown_node(target, forbidden))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditEvent;
    use crate::cert::testing::{CertSpec, ed25519};
    use std::sync::Arc;

    use tokio::time::Instant;

    use crate::model::{NodeId, TunnelRule};
    use crate::ssh::channel::ChannelStream;
    use crate::ssh::testing::{CLIENT, DB1, SshFixture, app, origin};
    use crate::ssh::tunnels::{Later, OtherTunnels, TunnelError};

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
        proxy
            .change(|settings| settings.public_addr = Some(("proxy.example.com".to_owned(), 4022)));
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

    /// Other proxies, which have no tunnels.
    #[derive(Debug)]
    struct OtherProxies;

    impl OtherTunnels for OtherProxies {
        fn dial(
            &self,
            _node: NodeId,
            _deadline: Instant,
        ) -> Later<'_, Result<ChannelStream, TunnelError>> {
            Box::pin(std::future::ready(Err(TunnelError::None)))
        }

        fn has(&self, _node: NodeId) -> Later<'_, bool> {
            Box::pin(std::future::ready(false))
        }
    }

    /// An attacker in one proxy can write any address down for a host: no other proxy connects to services of
    /// its own machine, or of its cloud, for that.
    #[tokio::test]
    async fn a_host_that_has_joined_does_not_lead_to_the_proxys_own_machine() {
        let alone = SshFixture::new();
        let mut shared = SshFixture::new();
        shared.tunnels = Tunnels::with_others(Some(Arc::new(OtherProxies)));
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
}
