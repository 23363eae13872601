//! What `auth_service.authentication.oidc` needs of other sections: to be there at all, a web for
//! browsers, and the roles that it names.

use std::sync::Arc;

use super::auth::{AUTH_SERVICE, AuthService};
use super::authentication::{AUTHENTICATION, AUTHENTICATION_TYPE, OIDC};
use super::diagnostic::Diagnostics;
use super::oidc::{CLAIM_ROLES, CLAIMS_TO_ROLES};
use super::proxy::ProxyService;
use super::section::Section;
use super::users::known_role;
use super::yaml::Position;
use crate::access::Role;

/// Notes what is missing.
pub(super) fn check(
    root: &Section<'_>,
    (auth, proxy): (&AuthService, &ProxyService),
    roles: &[Arc<Role>],
    diagnostics: &mut Diagnostics<'_>,
) {
    let authentication = &auth.authentication;
    // What is wrong in these sections was noted when they were read.
    let mut noted = Diagnostics::new("", "");
    let service = root.section(&AUTH_SERVICE, &mut noted);
    let inside = service.section(&AUTHENTICATION, &mut noted);
    let of_type = inside.place_of(&AUTHENTICATION_TYPE);
    let path = inside.path_to(OIDC.name);
    let Some(oidc) = &authentication.oidc else {
        if authentication.has_oidc() {
            let message = "missing, type \"oidc\" needs a section with the keys issuer, client_id, \
                           claims_to_roles";
            diagnostics.error(of_type, &path, message);
        }
        return;
    };
    if authentication.has_oidc() {
        web(of_type, &inside, proxy, diagnostics);
    } else {
        let message = "is not used: auth_service.authentication.type does not have \"oidc\"";
        diagnostics.warning(inside.place_of(&OIDC), &path, message);
    }
    let section = inside.section(&OIDC, &mut noted);
    let items = section.sections(&CLAIMS_TO_ROLES, &mut noted);
    for (item, section) in oidc.claims_to_roles.iter().zip(&items) {
        let places = section.places(&CLAIM_ROLES);
        for (index, role) in item.roles.iter().enumerate() {
            if let Err(message) = known_role(role, roles) {
                let path = format!("{}[{index}]", section.path_to(CLAIM_ROLES.name));
                diagnostics.error(places.get(index).copied(), &path, message);
            }
        }
    }
}

/// The browser comes back to the web.
fn web(
    of_type: Option<Position>,
    authentication: &Section<'_>,
    proxy: &ProxyService,
    diagnostics: &mut Diagnostics<'_>,
) {
    let path = authentication.path_to(AUTHENTICATION_TYPE.name);
    if proxy.web.is_none() {
        let message = "\"oidc\" needs proxy_service.web_listen_addr: the browser comes back \
                           from the provider to this proxy";
        diagnostics.error(of_type, &path, message);
    } else if proxy.web_origin().is_none() {
        let message = "\"oidc\" needs proxy_service.web_public_addr or public_addr: under this \
                           name, the browser comes back from the provider to this proxy";
        diagnostics.error(of_type, &path, message);
    }
}
