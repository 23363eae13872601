//! Which keys protect less in one configuration than in another: what an auditor needs to know about a
//! change.
//!
//! Every key is classified: keys that protect recordings, the identity of hosts, where users may go, or
//! what a connection carries. Names, addresses and sizes protect nothing. The rows of a section classify
//! its keys (`table`); this file handles the sections whose values are structures.

use std::sync::Arc;

use super::effective::Config;
use super::keys::{self, Key};
use super::legacy::LEGACY_ALGORITHMS;
use super::permit::permit_value;
use super::roles::{ALLOW, DENY, ROLE_PERMIT};
use super::rule::rule_text;
use super::scalar::NONE;
use super::users::USER_ROLES;
use crate::access::{
    Direction, EndpointPatterns, JoinMode, NamePattern, NamePatterns, Permissions, PermitKey, Role,
    RoleBinding, Rule,
};
use crate::audit::Weaker;
use crate::cert::SourceAddresses;
use crate::model::format_in_one_unit;
use crate::wire::Legacy;

/// The keys that protect less in `new` than in `old`.
#[must_use]
pub fn weaker(old: &Config, new: &Config) -> Vec<Weaker> {
    let mut found = WeakerList::default();
    // A new section has to say here what its keys protect.
    let Config {
        file: _,
        sha256: _,
        cluster_name: _,
        data_dir: _,
        auth,
        state,
        proxy,
        upstream,
        permit: _,
        nodes: _,
        roles: _,
        users: _,
        recording,
    } = new;
    found.0.extend(auth.weaker(&old.auth));
    found.0.extend(state.weaker(&old.state));
    found.0.extend(proxy.weaker(&old.proxy));
    found.0.extend(upstream.weaker(&old.upstream));
    found.permit(&keys::PERMIT, &old.permit, &new.permit);
    found.nodes(old, new);
    found.roles(old, new);
    found.0.extend(recording.weaker(&old.recording));
    found.0
}

#[derive(Debug, Default)]
struct WeakerList(Vec<Weaker>);

impl WeakerList {
    fn add(&mut self, is_weaker: bool, key: impl Into<String>, from: String, to: String) {
        if is_weaker {
            let key = key.into();
            self.0.push(Weaker { key, from, to });
        }
    }

    /// Networks outside of which something is refused; `None` for no such limit.
    fn networks(
        &mut self,
        key: String,
        old: Option<&SourceAddresses>,
        new: Option<&SourceAddresses>,
    ) {
        let is_weaker = old.is_some_and(|old| new.is_none_or(|new| !new.is_within(old)));
        let shown = |networks: Option<&SourceAddresses>| {
            networks.map_or_else(
                || NONE.to_owned(),
                |networks| networks.to_string().replace(',', ", "),
            )
        };
        self.add(is_weaker, key, shown(old), shown(new));
    }

    fn permit(&mut self, section: &Key, old: &Permissions, new: &Permissions) {
        for key in PermitKey::ALL {
            let name = path(section, keys::of_permit(key));
            self.permit_key(name, key, old, new);
        }
    }

    fn permit_key(&mut self, name: String, key: PermitKey, old: &Permissions, new: &Permissions) {
        self.add(
            carries_more(key, old, new),
            name,
            permit_value(old, key),
            permit_value(new, key),
        );
    }

    fn nodes(&mut self, old: &Config, new: &Config) {
        for node in &new.nodes {
            let before = old.nodes.iter().find(|one| one.name == node.name);
            let before = before.map_or(&[][..], |one| &one.legacy);
            let shown = |legacy: &[Legacy]| {
                let names: Vec<_> = legacy.iter().map(|one| one.name()).collect();
                listed(&names)
            };
            self.add(
                node.legacy.iter().any(|one| !before.contains(one)),
                format!("nodes[{}].{}", node.name, LEGACY_ALGORITHMS.name),
                shown(before),
                shown(&node.legacy),
            );
        }
    }

    /// Without roles, every user may go everywhere, so adding roles never weakens a configuration.
    fn roles(&mut self, old: &Config, new: &Config) {
        if old.roles.is_empty() {
            // What connections carry, and how long certificates live, is another matter.
            for role in &new.roles {
                self.role_join(None, role);
                self.role_ttl(None, role, old);
                self.role_permit(None, role, old, new);
            }
            return;
        }
        if new.roles.is_empty() {
            self.add(
                true,
                keys::ROLES.name,
                role_names(&old.roles),
                NONE.to_owned(),
            );
            return;
        }
        for role in &new.roles {
            let before = named(&old.roles, &role.name);
            self.role(before, role);
            self.role_join(before, role);
            self.role_ttl(before, role, old);
            self.role_permit(before, role, old, new);
        }
        for gone in &old.roles {
            let is_gone = named(&new.roles, &gone.name).is_none();
            let key = format!("{}[{}]", keys::ROLES.name, gone.name);
            let shown = "a role that restricts its users".to_owned();
            self.add(is_gone && restricts(gone), key, shown, NONE.to_owned());
        }
        self.users(old, new);
    }

    fn role(&mut self, before: Option<&Role>, role: &Role) {
        let key = |key: &Key| format!("{}[{}].{}", keys::ROLES.name, role.name, key.name);
        let rules = |rules: Option<&[Rule]>| -> Vec<String> {
            rules.unwrap_or_default().iter().map(rule_text).collect()
        };
        let had = rules(before.and_then(|role| role.allow.as_deref()));
        let has = rules(role.allow.as_deref());
        self.add(
            has.iter().any(|rule| !had.contains(rule)),
            key(&ALLOW),
            listed(&had),
            listed(&has),
        );
        let Some(before) = before else { return };
        let (had, has) = (rules(Some(&before.deny)), rules(Some(&role.deny)));
        self.add(
            had.iter().any(|rule| !has.contains(rule)),
            key(&DENY),
            listed(&had),
            listed(&has),
        );
        self.networks(
            key(&keys::MAY_CONNECT_FROM),
            before.may_connect_from.as_ref().map(|stated| &stated.value),
            role.may_connect_from.as_ref().map(|stated| &stated.value),
        );
    }

    /// Nobody joins the sessions of others without the key, also where there are no roles.
    fn role_join(&mut self, before: Option<&Role>, role: &Role) {
        let mode = |role: &Role| role.join.map(|join| join.value);
        let (had, has) = (before.and_then(mode), mode(role));
        let shown = |mode: Option<JoinMode>| mode.map_or(NONE, JoinMode::word).to_owned();
        let key = format!("{}[{}].{}", keys::ROLES.name, role.name, keys::JOIN.name);
        self.add(has > had, key, shown(had), shown(has));
    }

    /// Without the key in a role, `auth_service` says how long certificates are made for, and the proxy
    /// takes longer ones.
    fn role_ttl(&mut self, before: Option<&Role>, role: &Role, old: &Config) {
        let span = |role: &Role| role.max_ttl.map(|span| span.value);
        let (had, has) = (before.and_then(span), span(role));
        let is_weaker = match (had, has) {
            (_, None) => had.is_some(),
            (_, Some(has)) => has > had.unwrap_or(old.auth.max_ttl),
        };
        let shown = |span: Option<_>| span.map_or_else(|| NONE.to_owned(), format_in_one_unit);
        self.add(
            is_weaker,
            format!("{}[{}].{}", keys::ROLES.name, role.name, keys::MAX_TTL.name),
            shown(had),
            shown(has),
        );
    }

    /// What a role says about a key stands in place of what the section `permit` says.
    fn role_permit(&mut self, before: Option<&Role>, role: &Role, old: &Config, new: &Config) {
        for key in PermitKey::ALL {
            let stated = |role: &Role| role.permit.lines.contains_key(&key);
            let (had, has) = (before.filter(|role| stated(role)), stated(role));
            if had.is_none() && !has {
                continue;
            }
            let had = had.map_or(&old.permit, |role| &role.permit.values);
            let has = if has {
                &role.permit.values
            } else {
                &new.permit
            };
            let section = format!("{}[{}]", keys::ROLES.name, role.name);
            let name = format!(
                "{section}.{}.{}",
                ROLE_PERMIT.name,
                keys::of_permit(key).name
            );
            self.permit_key(name, key, had, has);
        }
    }

    fn users(&mut self, old: &Config, new: &Config) {
        let roles_of = |config: &Config, name: &str| -> Vec<Arc<Role>> {
            let is_it = |member: &&RoleBinding| member.name.to_string() == name;
            let member = config.users.iter().find(is_it);
            member.map_or_else(Vec::new, |member| member.roles.clone())
        };
        let all = old.users.iter().chain(&new.users);
        let mut names: Vec<String> = all.map(|member| member.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (had, has) = (roles_of(old, &name), roles_of(new, &name));
            let gained = has.iter().any(|role| named(&had, &role.name).is_none());
            let lost = |role: &Arc<Role>| restricts(role) && named(&has, &role.name).is_none();
            self.add(
                gained || had.iter().any(lost),
                format!("{}[{name}].{}", keys::USERS.name, USER_ROLES.name),
                role_names(&had),
                role_names(&has),
            );
        }
    }
}

fn role_names(roles: &[Arc<Role>]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    listed(&names)
}

fn path(section: &Key, key: &Key) -> String {
    format!("{}.{}", section.name, key.name)
}

fn listed<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return NONE.to_owned();
    }
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    items.join(", ")
}

fn named<'a>(roles: &'a [Arc<Role>], name: &str) -> Option<&'a Role> {
    let found = roles.iter().find(|role| role.name == name);
    found.map(Arc::as_ref)
}

/// Whether anything in a role keeps its users from something.
fn restricts(role: &Role) -> bool {
    !role.deny.is_empty()
        || role.may_connect_from.is_some()
        || role.max_ttl.is_some()
        || !role.permit.lines.is_empty()
}

/// Whether a connection may carry something by the new value of a key that it could not by the old one.
/// Lists are compared as they are written.
fn carries_more(key: PermitKey, old: &Permissions, new: &Permissions) -> bool {
    let directions = |old: Direction, new: Direction| {
        (new.allows_local() && !old.allows_local()) || (new.allows_remote() && !old.allows_remote())
    };
    match key {
        PermitKey::PortForwarding => directions(old.port_forwarding, new.port_forwarding),
        PermitKey::Streamlocal => directions(old.streamlocal, new.streamlocal),
        PermitKey::PermitOpen => endpoints(&old.permit_open, &new.permit_open),
        PermitKey::PermitListen => endpoints(&old.permit_listen, &new.permit_listen),
        PermitKey::X11 => new.x11 && !old.x11,
        PermitKey::Agent => new.agent && !old.agent,
        PermitKey::NestedSsh => new.nested_ssh && !old.nested_ssh,
        PermitKey::AcceptEnv => variables(&old.accept_env, &new.accept_env),
        // How many sessions there are: each of them is recorded.
        PermitKey::MaxSessions => false,
    }
}

fn endpoints(old: &EndpointPatterns, new: &EndpointPatterns) -> bool {
    match (old, new) {
        (EndpointPatterns::Any, _) => false,
        (EndpointPatterns::Only(_), EndpointPatterns::Any) => true,
        (EndpointPatterns::Only(old), EndpointPatterns::Only(new)) => {
            new.iter().any(|pattern| !old.contains(pattern))
        }
    }
}

fn variables(old: &NamePatterns, new: &NamePatterns) -> bool {
    let mut new = new.lists().flatten();
    new.any(|pattern| {
        let is_covered = |list: &[NamePattern]| list.iter().any(|old| covers(old, pattern));
        !old.lists().all(is_covered)
    })
}

/// Whether one pattern surely matches whatever another one does: a `*` takes the wildcards of the other
/// for letters, a `?` must not.
fn covers(old: &NamePattern, new: &NamePattern) -> bool {
    let has = |pattern: &NamePattern, wildcards: &[char]| pattern.as_str().contains(wildcards);
    old == new || ((!has(old, &['?']) || !has(new, &['*', '?'])) && old.matches(new.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::keys::ValueType;
    use crate::config::{AuthService, ProxyService, RecordingConfig, StateConfig, Upstream};

    fn config(text: &str) -> Config {
        let data = Some(Path::new("/data"));
        match crate::config::parse(Path::new("f"), text, data) {
            Ok(loaded) => loaded.config,
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    /// Key, a configuration, and one in which the key protects less.
    const WEAKER: &[(&str, &str, &str)] = &[
        (
            "auth_service.session_recording",
            "",
            "auth_service: { session_recording: off }",
        ),
        (
            "auth_service.proxy_checks_host_keys",
            "",
            "auth_service: { proxy_checks_host_keys: no }",
        ),
        ("recording.mode", "", "recording: { mode: best_effort }"),
        (
            "recording.pty_input",
            "recording: { pty_input: yes }",
            "recording: { pty_input: no }",
        ),
        (
            "proxy_service.egress_addrs",
            "proxy_service: { egress_addrs: [10.0.0.1/32] }",
            "",
        ),
        (
            "proxy_service.egress_addrs",
            "proxy_service: { egress_addrs: [10.0.0.1/32] }",
            "proxy_service: { egress_addrs: [10.0.0.1/32, 10.0.0.2/32] }",
        ),
        (
            "proxy_service.client_idle_timeout",
            "proxy_service: { client_idle_timeout: 10m }",
            "proxy_service: { client_idle_timeout: 11m }",
        ),
        (
            "proxy_service.client_idle_timeout",
            "proxy_service: { client_idle_timeout: 10m }",
            "",
        ),
        (
            "proxy_service.disconnect_expired_cert",
            "proxy_service: { disconnect_expired_cert: yes }",
            "",
        ),
        (
            "proxy_service.sandbox",
            "",
            "proxy_service: { sandbox: no }",
        ),
        (
            "proxy_service.web_plain_http",
            "",
            "proxy_service: { web_listen_addr: \":80\", web_plain_http: yes }",
        ),
        (
            "proxy_service.metrics_listen_addr",
            "proxy_service: { metrics_listen_addr: \"127.0.0.1:1\" }",
            "proxy_service: { metrics_listen_addr: \"0.0.0.0:1\" }",
        ),
        (
            "permit.port_forwarding",
            "permit: { port_forwarding: local }",
            "permit: { port_forwarding: remote }",
        ),
        (
            "permit.permit_open",
            "permit: { permit_open: [\"db:1\"] }",
            "permit: { permit_open: [\"db:1\", \"db:2\"] }",
        ),
        ("permit.permit_open", "permit: { permit_open: [none] }", ""),
        (
            "permit.permit_listen",
            "permit: { permit_listen: [80] }",
            "permit: { permit_listen: [any] }",
        ),
        ("permit.x11", "", "permit: { x11: yes }"),
        ("permit.agent", "permit: { agent: no }", ""),
        (
            "permit.streamlocal",
            "permit: { streamlocal: no }",
            "permit: { streamlocal: yes }",
        ),
        ("permit.nested_ssh", "", "permit: { nested_ssh: allow }"),
        (
            "permit.accept_env",
            "permit: { accept_env: [\"LC_?\"] }",
            "permit: { accept_env: [\"LC_*\"] }",
        ),
        (
            "nodes[].legacy_algorithms",
            "nodes: [{ name: db1, addr: db1 }]",
            "nodes: [{ name: db1, addr: db1, legacy_algorithms: [ssh-rsa] }]",
        ),
        (
            "roles",
            "roles: [{ name: r, allow: [{ logins: [a] }] }]",
            "",
        ),
        (
            "roles[]",
            "roles: [{ name: r }, { name: s, deny: [{ logins: [root] }] }]",
            "roles: [{ name: r }]",
        ),
        (
            "roles[].allow",
            "roles: [{ name: r, allow: [{ logins: [a] }] }]",
            "roles: [{ name: r, allow: [{ logins: [b] }] }]",
        ),
        (
            "roles[].allow",
            "roles: [{ name: r }]",
            "roles: [{ name: r }, { name: s, allow: [{ nodes: [b] }] }]",
        ),
        (
            "roles[].allow",
            "roles: [{ name: r, allow: [{ labels: { env: dev } }] }]",
            "roles: [{ name: r, allow: [{ labels: { env: \"*\" } }] }]",
        ),
        (
            "roles[].deny",
            "roles: [{ name: r, deny: [{ logins: [a] }] }]",
            "roles: [{ name: r }]",
        ),
        (
            "roles[].may_connect_from",
            "roles: [{ name: r, may_connect_from: [10.0.0.0/8] }]",
            "roles: [{ name: r, may_connect_from: [0.0.0.0/0] }]",
        ),
        (
            "roles[].max_ttl",
            "roles: [{ name: r, max_ttl: 1h }]",
            "roles: [{ name: r, max_ttl: 2h }]",
        ),
        ("roles[].max_ttl", "", "roles: [{ name: r, max_ttl: 31h }]"),
        (
            "roles[].join",
            "",
            "roles: [{ name: r, allow: [{ nodes: [a] }], join: observe }]",
        ),
        (
            "roles[].join",
            "roles: [{ name: r, allow: [{ nodes: [a] }], join: observe }]",
            "roles: [{ name: r, allow: [{ nodes: [a] }], join: type }]",
        ),
        ("auth_service.max_ttl", "", "auth_service: { max_ttl: 31h }"),
        (
            "auth_service.node_ttl",
            "",
            "auth_service: { node_ttl: 31d }",
        ),
        (
            "auth_service.authentication.type",
            "auth_service: { authentication: { type: certificate } }",
            "auth_service: { authentication: { type: [certificate, local] } }",
        ),
        (
            "auth_service.authentication.second_factor",
            "",
            "auth_service: { authentication: { second_factor: off } }",
        ),
        (
            "auth_service.authentication.second_factor",
            "auth_service: { authentication: { second_factor: webauthn } }",
            "auth_service: { authentication: { second_factor: any } }",
        ),
        (
            "auth_service.authentication.sign_in_ttl",
            "",
            "auth_service: { authentication: { sign_in_ttl: 13h } }",
        ),
        (
            "auth_service.authentication.oidc",
            PROVIDER,
            PROVIDER_WITH_MORE_ROLES,
        ),
        (
            "auth_service.authentication.oidc",
            PROVIDER,
            PROVIDER_WITH_CA_FILE,
        ),
        ("state.max_stale", "", "state: { max_stale: 31s }"),
        (
            "roles[].permit.nested_ssh",
            "",
            "roles: [{ name: r, permit: { nested_ssh: allow } }]",
        ),
        (
            "roles[].permit.agent",
            "roles: [{ name: r, permit: { agent: no } }]",
            "roles: [{ name: r, permit: { x11: no } }]",
        ),
        (
            "users[].roles",
            "roles: [{ name: r }, { name: s }]\nusers: [{ name: a, roles: [r] }]",
            "roles: [{ name: r }, { name: s }]\nusers: [{ name: a, roles: [r, s] }]",
        ),
        (
            "users[].roles",
            "roles: [{ name: r }, { name: s, max_ttl: 1h }]\nusers: [{ name: a, roles: [r, s] }]",
            "roles: [{ name: r }, { name: s, max_ttl: 1h }]\nusers: [{ name: a, roles: [r] }]",
        ),
    ];

    /// A provider of OpenID Connect, and two changes of it.
    const PROVIDER: &str = "roles: [{ name: r }, { name: s }]\n\
        auth_service: { authentication: { oidc: { issuer: \"https://id.example.com\", client_id: c,\n  \
        claims_to_roles: [{ claim: g, value: v, roles: [r] }] } } }";
    const PROVIDER_WITH_MORE_ROLES: &str = "roles: [{ name: r }, { name: s }]\n\
        auth_service: { authentication: { oidc: { issuer: \"https://id.example.com\", client_id: c,\n  \
        claims_to_roles: [{ claim: g, value: v, roles: [r, s] }] } } }";
    const PROVIDER_WITH_CA_FILE: &str = "roles: [{ name: r }, { name: s }]\n\
        auth_service: { authentication: { oidc: { issuer: \"https://id.example.com\", client_id: c,\n  \
        ca_file: /ca.pem, claims_to_roles: [{ claim: g, value: v, roles: [r] }] } } }";

    /// Sections whose keys are decided about together.
    const SECTIONS_OF_ONE_ROW: &[&str] =
        &["auth_service.ca_keys", "auth_service.authentication.oidc"];

    /// Keys of which no value protects less than another: names, places, sizes, and files.
    const NEUTRAL: &[&str] = &[
        "cluster_name",
        "data_dir",
        "auth_service.ca_keys",
        "state.url",
        "state.password_file",
        "proxy_service.listen_addr",
        "proxy_service.public_addr",
        "proxy_service.peer_addr",
        "proxy_service.banner_file",
        "proxy_service.max_connections",
        "proxy_service.max_connections_per_address",
        "proxy_service.max_connections_per_user",
        "proxy_service.max_starting",
        "proxy_service.login_grace_time",
        "proxy_service.keep_alive_interval",
        "proxy_service.keep_alive_count_max",
        "proxy_service.drain_timeout",
        "proxy_service.web_listen_addr",
        "proxy_service.web_public_addr",
        "proxy_service.https_cert_file",
        "proxy_service.https_key_file",
        "upstream.max_starting_per_host",
        "upstream.connect_timeout",
        "permit.max_sessions",
        "nodes[].name",
        "nodes[].addr",
        "nodes[].labels",
        "roles[].name",
        "users[].name",
    ];

    /// A key's name without the names of roles, users and nodes.
    fn plain(key: &str) -> String {
        let mut plain = String::new();
        let mut is_name = false;
        for c in key.chars() {
            is_name &= c != ']';
            if !is_name {
                plain.push(c);
            }
            is_name |= c == '[';
        }
        plain
    }

    #[test]
    fn what_protects_less_is_named_and_the_way_back_is_not() {
        for (key, strong, weak) in WEAKER {
            let (strong, weak) = (config(strong), config(weak));
            let found = weaker(&strong, &weak);
            let names: Vec<String> = found.iter().map(|one| plain(&one.key)).collect();
            assert_eq!(names, [*key], "{found:?}");
            assert_ne!(found[0].from, found[0].to);
            assert!(weaker(&strong, &strong).is_empty());
            let is_both_ways = ["permit.port_forwarding", "roles[].allow", "users[].roles"];
            if !is_both_ways.contains(key) {
                let back = weaker(&weak, &strong);
                assert!(back.iter().all(|one| plain(&one.key) != *key), "{back:?}");
            }
        }
        let found = weaker(
            &config(""),
            &config("auth_service: { session_recording: off }"),
        );
        let (from, to) = ("proxy".to_owned(), "off".to_owned());
        let key = "auth_service.session_recording".to_owned();
        assert_eq!(found, [Weaker { key, from, to }]);
    }

    #[test]
    fn moved_lines_and_narrower_lists_are_not_weaker() {
        for (old, new) in [
            (
                "roles: [{ name: r, allow: [{ logins: [a] }, { logins: [b] }] }]",
                "# moved\n\nroles: [{ name: r, allow: [{ logins: [b] }] }]",
            ),
            ("", "permit: { accept_env: [LC_ALL, \"LC_A*\", LANG] }"),
            (
                "",
                "permit: { permit_open: [\"db:1\"], agent: no, max_sessions: 500 }",
            ),
            ("", "roles: [{ name: r, allow: [{ logins: [\"*\"] }] }]"),
            (
                "proxy_service: { egress_addrs: [10.0.0.0/31, 10.0.0.2/32, 2001:db8::/32] }",
                "proxy_service: { egress_addrs: [10.0.0.1/32, 10.0.0.2/32, 2001:db8:7::/48] }",
            ),
        ] {
            let found = weaker(&config(old), &config(new));
            assert!(found.is_empty(), "{old} -> {new}: {found:?}");
        }
    }

    /// No key is forgotten: each protects less in one of the cases, or is said to protect nothing.
    #[test]
    fn every_key_is_decided_about() {
        fn walk(before: &str, keys: &[Key], all: &mut BTreeSet<String>) {
            for key in keys {
                let path = format!("{before}{}", key.name);
                let is_whole = ["roles[].allow", "roles[].deny", "roles[].permit"];
                let is_whole = is_whole.contains(&path.as_str());
                match key.form {
                    _ if is_whole || SECTIONS_OF_ONE_ROW.contains(&path.as_str()) => {
                        all.insert(path);
                    }
                    ValueType::Section(keys) => walk(&format!("{path}."), keys, all),
                    ValueType::Sections(keys) => walk(&format!("{path}[]."), keys, all),
                    _ => {
                        all.insert(path);
                    }
                }
            }
        }
        let mut keys = BTreeSet::new();
        walk("", keys::ROOT, &mut keys);
        // A role's section is the same as the one for all.
        keys.remove("roles[].permit");
        let decided = WEAKER.iter().map(|(key, _, _)| *key);
        let rows = [
            AuthService::unprotected(),
            ProxyService::unprotected(),
            StateConfig::unprotected(),
            Upstream::unprotected(),
            RecordingConfig::unprotected(),
        ];
        let mut decided: BTreeSet<String> = decided
            .chain(NEUTRAL.iter().copied())
            .chain(rows.into_iter().flatten())
            .map(str::to_owned)
            .collect();
        let of_roles = |key: &String| !key.starts_with("roles[].permit.");
        decided.retain(|key| of_roles(key) && key != "roles" && key != "roles[]");
        assert_eq!(keys, decided);
    }
}
