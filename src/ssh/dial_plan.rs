//! Where a permitted target leads. It is looked up before a certificate is shown or the host is
//! dialled, so a target that leads nowhere, or where the user may not go, costs no signature of the
//! host CA.

use super::known_hosts::KnownHostKeys;
use super::refusal::{self, Refusal};
use super::route::Router;
use super::settings::CurrentSettings;
use crate::access::Permit;
use crate::cert::VerifiedHost;
use crate::model::{HostAddress, HostPrincipal};

/// What is known about a host before it is dialled.
#[derive(Debug)]
pub(crate) struct DialPlan {
    /// What to dial, in order of preference; at least one.
    pub(super) addresses: Vec<HostAddress>,
    /// Names from the host's own certificate, as it was seen last.
    pub(super) remembered: Vec<HostPrincipal>,
}

/// Looks up a permitted route, and decides about the first address to dial.
///
/// # Errors
/// The refusal for the user: no address, not reachable, denied, or this proxy itself.
pub(crate) async fn find(
    router: &Router,
    settings: &CurrentSettings,
    known: &KnownHostKeys,
    permit: &Permit,
) -> Result<DialPlan, Refusal> {
    let addresses = router.addresses(permit.route()).await?;
    let settings = settings.now();
    router.learn(&settings).await;
    let mut remembered = Vec::new();
    if let Some(first) = addresses.first() {
        router.may_dial(&settings, permit, *first)?;
        remembered = known.names_at(*first);
        let named = names(&remembered);
        let port = permit.route().port;
        let places = settings.inventory.places_named_by(&named, port);
        let mut places = places.iter();
        // If the user is going to be refused, the other names of the host are not revealed.
        if places.any(|place| permit.may_enter_too(&settings.policy, place).is_err()) {
            remembered.clear();
        }
    }
    Ok(DialPlan {
        addresses,
        remembered,
    })
}

impl DialPlan {
    /// Checks that the host still has every name that the user's ssh was shown from memory.
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
