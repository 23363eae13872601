//! From the name of a subsystem to a permit: parsed, resolved, authorised, before anything is dialled.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use tokio::sync::Mutex;

use super::own_address;
use super::proxy_address::ProxyAddress;
use super::refusal::{self, Refusal};
use super::settings::{CurrentSettings, Settings};
use super::tunnels::Tunnels;
use crate::access::{
    self, Denial, Grant, HostWay, Identity, JoinDenial, JoinGrant, LoginPermit, Permit,
    RequestedHost, Route,
};
use crate::cert::PresentedKey;
use crate::dns::Resolver;
use crate::model::{ClusterName, HostAddress, HostName, Target};
use crate::net::canonical;
use crate::nodes::{self, Inventory, Match, Node, ResolveError, Whereabouts, may_dial, place};
use crate::session::LiveConnection;

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
            candidates.retain(|one| open.contains(one));
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

    /// Decides whether an identity at this address may join the sessions of a live connection: the
    /// policy must permit it at all nodes that the host is, and the strictest mode applies.
    ///
    /// # Errors
    /// Why not, for administrators.
    pub(crate) fn judge_join(
        &self,
        settings: &Settings,
        (identity, from): (&Identity, IpAddr),
        live: &LiveConnection,
    ) -> Result<JoinGrant, JoinDenial> {
        let inventory = &settings.inventory;
        let judge = |place: &RequestedHost| {
            access::may_join(&settings.policy, identity, place, &live.account, from)
        };
        let named = inventory.place_named(&live.route.place.name);
        let mut grant = judge(&named)?;
        let known = live.route.also.iter();
        let known = known.map(|place| inventory.place_named(&place.name));
        for place in known.chain(self.places_of(settings, &live.route, live.host_address, None)) {
            if place != named {
                grant = grant.and(judge(&place)?);
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
                let joined = route.joined.filter(|_| settings.checks_host_keys);
                let nodes = self.whereabouts.nodes_for(inventory, socket, joined);
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
        let addresses = match addresses {
            Ok(addresses) => addresses,
            // The tunnel does without.
            Err(_) if tunnel.is_some() => Vec::new(),
            Err(error) => return Err(refusal::unknown_node(&route.target, error)),
        };
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

/// The places that may be entered. Of several nodes with a label, those that are locked count too.
///
/// # Errors
/// The denial, if none may be entered.
fn open_places(
    places: Vec<RequestedHost>,
    may_enter: impl Fn(&RequestedHost) -> Result<(), Denial>,
) -> Result<Vec<RequestedHost>, Denial> {
    let is_one_of_several = places.len() > 1;
    let mut open = Vec::new();
    let mut denial = None;
    for place in places {
        match may_enter(&place) {
            Ok(()) => open.push(place),
            Err(no) if is_one_of_several && no.is_of_lock() => open.push(place),
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
