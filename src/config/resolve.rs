//! The whole file: from its tree to the values of all sections, with every problem collected.

use std::path::PathBuf;
use std::sync::Arc;

use super::auth::{AUTH_SERVICE, AuthService};
use super::diagnostic::Diagnostics;
use super::keys;
use super::nodes::nodes;
use super::oidc_check;
use super::permit::permit;
use super::proxy::{PROXY_SERVICE, ProxyService, peers_need_a_database};
use super::recording::{RECORDING, RecordingConfig};
use super::roles::roles;
use super::section::Section;
use super::state::{STATE, StateConfig};
use super::upstream::{UPSTREAM, Upstream};
use super::users::users;
use super::value::{absolute, cluster_name};
use super::yaml;
use crate::access::{Permissions, Role, RoleBinding};
use crate::model::ClusterName;
use crate::nodes::Node;

/// The file's values; what only the machine knows is still open.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) cluster_name: Option<ClusterName>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) auth: AuthService,
    pub(super) state: StateConfig,
    pub(super) proxy: ProxyService,
    pub(super) upstream: Upstream,
    pub(super) permit: Permissions,
    pub(super) nodes: Vec<Node>,
    pub(super) roles: Vec<Arc<Role>>,
    pub(super) users: Vec<RoleBinding>,
    pub(super) recording: RecordingConfig,
}

/// Reads a whole file. `None` only where an error was noted.
pub(super) fn file(
    tree: Option<&yaml::Node>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Resolved> {
    let root = Section::root(tree, keys::ROOT, diagnostics);
    let (cluster, directory) = (&keys::CLUSTER_NAME, &keys::DATA_DIR);
    let cluster_name = root.value(cluster, |text| cluster_name(cluster, text), diagnostics);
    let data_dir = root.value(directory, |text| absolute(directory, text), diagnostics);
    let auth = AuthService::read(&root.section(&AUTH_SERVICE, diagnostics), diagnostics);
    let state = StateConfig::read(&root.section(&STATE, diagnostics), diagnostics);
    let proxy = ProxyService::read(&root.section(&PROXY_SERVICE, diagnostics), diagnostics);
    let upstream = Upstream::read(&root.section(&UPSTREAM, diagnostics), diagnostics);
    let permit = permit(&root.section(&keys::PERMIT, diagnostics), diagnostics);
    let nodes = nodes(root.sections(&keys::NODES, diagnostics), diagnostics);
    let roles = roles(
        root.sections(&keys::ROLES, diagnostics),
        &nodes,
        diagnostics,
    );
    let users = users(
        root.sections(&keys::USERS, diagnostics),
        &roles,
        diagnostics,
    );
    if let (Some(auth), Some(proxy)) = (&auth, &proxy) {
        oidc_check::check(&root, (auth, proxy), &roles, diagnostics);
    }
    if let (Some(proxy), Some(state)) = (&proxy, &state)
        && proxy.peer_addr.is_some()
        && state.database.is_none()
    {
        peers_need_a_database(&root, diagnostics);
    }
    if let (true, Some(place)) = (users.is_empty(), root.place_of(&keys::ROLES))
        && !roles.is_empty()
        // Users who sign in have roles by the state, or by a provider.
        && !auth.as_ref().is_some_and(|auth| auth.authentication.has_sign_in())
    {
        let message = "nobody has a role, so nobody may go anywhere";
        diagnostics.warning(Some(place), keys::ROLES.name, message);
    }
    let recording = RecordingConfig::read(&root.section(&RECORDING, diagnostics), diagnostics);
    Some(Resolved {
        cluster_name: cluster_name.map(|name| name.value),
        data_dir: data_dir.map(|path| path.value),
        auth: auth?,
        state: state?,
        proxy: proxy?,
        upstream: upstream?,
        permit: permit?,
        nodes,
        roles,
        users,
        recording: recording?,
    })
}
