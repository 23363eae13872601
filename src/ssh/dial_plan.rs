//! Where a permitted target leads, looked up before anything is shown or dialled for it: what leads
//! nowhere, or where the user may not be led, costs no signature of the host CA.

use std::net::SocketAddr;

use super::refusal::{self, Refusal};
use super::route::{learn, places_of};
use super::{Proxy, Settings, own_address};
use crate::access::Permit;
use crate::cert::{PresentedKey, VerifiedHost};
use crate::model::HostPrincipal;
use crate::nodes;

/// What is known of the way to a host before it is dialled.
#[derive(Debug)]
pub(crate) struct DialPlan {
    /// What to dial, in order of preference; at least one.
    pub(super) addresses: Vec<SocketAddr>,
    /// Names that the host's own certificate had when it was seen last.
    pub(super) remembered: Vec<HostPrincipal>,
}

/// Looks a permitted route up, and decides about what is dialled first.
///
/// # Errors
/// The refusal for the user: without an address, out of reach, denied, or this proxy itself.
pub(crate) async fn find(proxy: &Proxy, permit: &Permit) -> Result<DialPlan, Refusal> {
    let route = permit.route();
    let is_listed = route.node.is_some();
    let addresses = nodes::addresses(&route.host, route.port, is_listed, &proxy.resolver)
        .await
        .map_err(|error| refusal::unknown_node(&route.target, error))?;
    let settings = proxy.settings();
    learn(proxy, &settings).await;
    let mut remembered = Vec::new();
    if let Some(first) = addresses.first() {
        may_dial(proxy, &settings, permit, *first)?;
        remembered = proxy.remembered.names_at(*first);
        let named = names(&remembered);
        let places = settings.inventory.places_named_by(&named, first.port());
        let mut places = places.iter();
        // Whoever is going to be refused does not learn what else the host is called.
        if places.any(|place| permit.may_enter_too(&settings.policy, place).is_err()) {
            remembered.clear();
        }
    }
    Ok(DialPlan {
        addresses,
        remembered,
    })
}

/// Whether the host at this address may be dialled: every node that is there must be allowed.
///
/// # Errors
/// The refusal for the user.
pub(super) fn may_dial(
    proxy: &Proxy,
    settings: &Settings,
    permit: &Permit,
    address: SocketAddr,
) -> Result<(), Refusal> {
    may_enter(proxy, settings, permit, address, None)?;
    own_address::refuse_address(proxy, permit.route(), address)
}

/// Whether every node that a host is may be entered: by its address, and by the principals of the
/// certificate that it has shown.
///
/// # Errors
/// The refusal for the user.
pub(super) fn may_enter(
    proxy: &Proxy,
    settings: &Settings,
    permit: &Permit,
    address: SocketAddr,
    key: Option<&PresentedKey>,
) -> Result<(), Refusal> {
    for place in places_of(proxy, settings, address, key) {
        permit
            .may_enter_too(&settings.policy, &place)
            .map_err(|denial| Refusal::from(&denial))?;
    }
    Ok(())
}

impl DialPlan {
    /// Whether the host still is everything that the user's ssh was told it was, from memory.
    ///
    /// # Errors
    /// The refusal for the user: with `HostKeyAlias`, ssh may have relied on a name that the host's
    /// certificate has lost.
    pub(super) fn is_as_shown(&self, host: &VerifiedHost) -> Result<(), Refusal> {
        let has = host.certificate().map_or(&[][..], |c| c.valid_principals());
        let is_lost = |name: &&HostPrincipal| {
            let mut has = has.iter();
            !has.any(|own| own.eq_ignore_ascii_case(name.as_str()))
        };
        match self.remembered.iter().find(is_lost) {
            None => Ok(()),
            Some(lost) => Err(refusal::name_lost(lost.as_str())),
        }
    }
}

fn names(principals: &[HostPrincipal]) -> Vec<String> {
    let texts = principals.iter().map(|name| name.as_str().to_owned());
    texts.collect()
}
