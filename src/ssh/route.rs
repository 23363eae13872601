//! From the name of a subsystem to a permit: parsed, resolved, authorised, before anything is dialled.

use std::net::SocketAddr;

use super::caller::Caller;
use super::proxy_address::ProxyAddress;
use super::refusal::{self, Refusal};
use super::{Proxy, Settings, canonical};
use crate::access::{self, Denial, Grant, LoginPermit, Permit, RequestedHost, Route};
use crate::cert::PresentedKey;
use crate::model::{HostName, Target};
use crate::nodes::{Inventory, Match, ResolveError, may_dial, place};

/// Decides where a subsystem request of a client at this address leads. The policy comes first: for
/// whoever it does not let in, what is not there, what is ambiguous and what is forbidden read the
/// same.
///
/// # Errors
/// The refusal for the user: malformed, not permitted, another cluster, ambiguous, not to be dialled.
pub(crate) fn permit(proxy: &Proxy, caller: &Caller, subsystem: &str) -> Result<Permit, Refusal> {
    let settings = proxy.settings();
    let target = Target::from_subsystem(subsystem).map_err(|error| {
        let command = ProxyAddress::of(proxy, &settings).command();
        refusal::malformed_target(&error, &command)
    })?;
    let (policy, identity) = (&settings.policy, &caller.identity);
    let from = canonical(caller.address.ip());
    let open = open_places(settings.inventory.places(&target), |place| {
        access::may_enter(policy, identity, &target, place, from)
    })
    .map_err(|denial| denied(&settings.inventory, &target, &denial))?;
    let found = match settings.inventory.resolve(&target) {
        Ok(found) => found,
        Err(ResolveError::NotFound(_)) => outside_inventory(&target)?,
        Err(error) => return Err(unresolved(proxy, error, &open)),
    };
    let Match {
        node,
        host,
        port,
        names,
    } = found;
    let place = settings.inventory.place(&target);
    let mut also = settings.inventory.places_by_text(&host, port);
    also.retain(|other| *other != place);
    for other in &also {
        access::may_enter(policy, identity, &target, other, from)
            .map_err(|denial| denied(&settings.inventory, &target, &denial))?;
    }
    let route = Route {
        place,
        also,
        target,
        node: node.map(|node| node.name),
        host,
        port,
        names,
    };
    access::authorize(policy, identity, route, from).map_err(|denial| Refusal::from(&denial))
}

/// Those of several places that may be entered.
///
/// # Errors
/// Why none may.
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

/// What the user reads is the same whatever the inventory has; the audit log says what it has.
fn denied(inventory: &Inventory, target: &Target, denial: &Denial) -> Refusal {
    let refusal = Refusal::from(denial);
    match inventory.resolve(target) {
        Ok(_) => refusal,
        Err(error) => refusal.with_finding(&error),
    }
}

/// Decides again about a login, for the host at this address, as things are now. A host may be several
/// places: by what is dialled for it, and by what its certificate says. The policy must allow all of them,
/// and the strictest holds.
///
/// # Errors
/// What the policy says now.
pub(crate) fn judge_login(
    proxy: &Proxy,
    settings: &Settings,
    permit: &LoginPermit,
    address: SocketAddr,
    key: &PresentedKey,
) -> Result<Grant, Denial> {
    let inventory = &settings.inventory;
    let route = permit.route();
    let named = inventory.place_named(&route.place.name);
    let mut grant = permit.judge_again(&settings.policy, &named)?;
    let known = route.also.iter();
    let known = known.map(|place| inventory.place_named(&place.name));
    for place in known.chain(places_of(proxy, settings, address, Some(key))) {
        if place != named {
            grant = grant.and(permit.judge_again(&settings.policy, &place)?);
        }
    }
    Ok(grant)
}

/// The nodes that a host is: by its address, and by the principals of its certificate, once that was
/// checked.
pub(crate) fn places_of(
    proxy: &Proxy,
    settings: &Settings,
    address: SocketAddr,
    key: Option<&PresentedKey>,
) -> Vec<RequestedHost> {
    let inventory = &settings.inventory;
    let nodes = proxy.whereabouts.nodes_at(inventory, address);
    let mut places: Vec<RequestedHost> = nodes.into_iter().map(place).collect();
    if let Some(certificate) = key.and_then(PresentedKey::certificate) {
        let named = inventory.places_named_by(certificate.valid_principals(), address.port());
        places.extend(named);
    }
    places
}

/// Learns where the nodes are whose addresses are names, if there is anything to decide.
pub(crate) async fn learn(proxy: &Proxy, settings: &Settings) {
    if settings.policy.has_roles() {
        let inventory = &settings.inventory;
        // Whoever comes while somebody looks waits for what that finds.
        let _turn = proxy.learning.lock().await;
        proxy.whereabouts.learn(inventory, &proxy.resolver).await;
    }
}

/// What the inventory has to say, to somebody who may enter the `open` ones of its places.
fn unresolved(proxy: &Proxy, mut error: ResolveError, open: &[RequestedHost]) -> Refusal {
    if let ResolveError::Ambiguous { candidates, .. } = &mut error {
        candidates.retain(|name| open.iter().any(|place| place.name == *name));
    }
    refusal::ambiguous_or_unknown(&error, &proxy.cluster)
}

/// A target that the inventory does not have: DNS is asked when it is dialled, but what is certain
/// to fail is refused here.
fn outside_inventory(target: &Target) -> Result<Match, Refusal> {
    let found = Match::outside(target)
        .ok_or_else(|| refusal::unknown_node(target, "no node has this label"))?;
    if let HostName::Address(address) = &target.host {
        may_dial(*address).map_err(|forbidden| refusal::unknown_node(target, forbidden))?;
    }
    Ok(found)
}
