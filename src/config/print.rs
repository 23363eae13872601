//! The configuration in force as YAML that loads back to the same.

use std::path::Path;

use crate::access::{
    Direction, EndpointPatterns, LabelPattern, NamePattern, Pattern, Permissions, PermitKey, Role,
    RoleBinding, Rule,
};
use crate::ca::{CaKeys, KeyInAgent};
use crate::model::text::is_unsafe;
use crate::model::{format_duration, format_in_one_unit};
use crate::nodes::Node;

use super::keys;
use super::{Config, ProxyService, RecordingMode, SessionRecording, Web};

/// Writes every key, defaults included.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let auth = &config.auth;
    let proxy = &config.proxy;
    let mut lines = vec![
        format!("cluster_name: {}", text(config.cluster_name.as_str())),
        format!("data_dir: {}", text(&config.data_dir.to_string_lossy())),
        "auth_service:".to_owned(),
        format!(
            "  session_recording: {}",
            text(session_recording(auth.session_recording))
        ),
        format!(
            "  proxy_checks_host_keys: {}",
            switch(auth.proxy_checks_host_keys)
        ),
    ];
    lines.push(format!("  max_ttl: {}", format_in_one_unit(auth.max_ttl)));
    lines.extend(ca_keys(&auth.ca_keys));
    lines.push("proxy_service:".to_owned());
    lines.push(format!(
        "  listen_addr: {}",
        text(&proxy.listen_addr.to_string())
    ));
    if let Some((host, port)) = &proxy.public_addr {
        lines.push(format!(
            "  public_addr: {}",
            text(&host_and_port(host, *port))
        ));
    }
    let networks: Vec<String> = proxy
        .egress_addrs
        .iter()
        .map(|network| text(network))
        .collect();
    lines.push(format!("  egress_addrs: [{}]", networks.join(", ")));
    if let Some(file) = &proxy.banner_file {
        lines.push(format!("  banner_file: {}", text(&file.to_string_lossy())));
    }
    lines.extend(connections(proxy));
    lines.extend(proxy.web.iter().flat_map(web));
    if let Some(address) = proxy.metrics_listen_addr {
        let address = text(&address.to_string());
        lines.push(format!("  metrics_listen_addr: {address}"));
    }
    let upstream = &config.upstream;
    lines.push("upstream:".to_owned());
    lines.push(format!(
        "  max_starting_per_host: {}",
        upstream.max_starting_per_host
    ));
    lines.push(format!(
        "  connect_timeout: {}",
        format_duration(upstream.connect_timeout)
    ));
    lines.extend(permit(&config.permit));
    if config.nodes.is_empty() {
        lines.push("nodes: []".to_owned());
    } else {
        lines.push("nodes:".to_owned());
        lines.extend(config.nodes.iter().map(node));
    }
    if !config.roles.is_empty() {
        lines.push(format!("{}:", keys::ROLES.name));
        lines.extend(config.roles.iter().flat_map(|one| role(one)));
    }
    if !config.users.is_empty() {
        lines.push(format!("{}:", keys::USERS.name));
        lines.extend(config.users.iter().map(user));
    }
    lines.push("recording:".to_owned());
    lines.push(format!("  mode: {}", recording_mode(config.recording.mode)));
    lines.push(format!(
        "  pty_input: {}",
        switch(config.recording.pty_input)
    ));
    lines.join("\n") + "\n"
}

/// The keys that are in agents; nothing where all are files.
fn ca_keys(keys: &CaKeys) -> Vec<String> {
    let pair = |key: &KeyInAgent| {
        let (agent, key) = (key.agent.to_string(), key.key.to_string());
        format!("agent: {}, key: {}", text(&agent), text(&key))
    };
    let mut lines = Vec::new();
    for (name, keys) in [("user", &keys.user), ("host", &keys.host)] {
        let current = keys.current.as_ref().map(pair);
        let next = keys
            .next
            .as_ref()
            .map(|next| format!("next: {{ {} }}", pair(next)));
        let given: Vec<_> = current.into_iter().chain(next).collect();
        if !given.is_empty() {
            lines.push(format!("    {name}: {{ {} }}", given.join(", ")));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, "  ca_keys:".to_owned());
    }
    lines
}

/// What `proxy_service` says about connections.
fn connections(proxy: &ProxyService) -> [String; 11] {
    let span = format_duration;
    [
        format!("  max_connections: {}", proxy.max_connections),
        format!(
            "  max_connections_per_address: {}",
            proxy.max_connections_per_address
        ),
        format!(
            "  max_connections_per_user: {}",
            proxy.max_connections_per_user
        ),
        format!("  max_starting: {}", proxy.max_starting),
        format!("  login_grace_time: {}", span(proxy.login_grace_time)),
        format!("  client_idle_timeout: {}", span(proxy.client_idle_timeout)),
        format!(
            "  disconnect_expired_cert: {}",
            switch(proxy.disconnect_expired_cert)
        ),
        format!("  keep_alive_interval: {}", span(proxy.keep_alive_interval)),
        format!("  keep_alive_count_max: {}", proxy.keep_alive_count_max),
        format!("  drain_timeout: {}", span(proxy.drain_timeout)),
        format!("  sandbox: {}", switch(proxy.sandbox)),
    ]
}

/// What `proxy_service` says about the web.
fn web(web: &Web) -> Vec<String> {
    let mut lines = vec![format!(
        "  web_listen_addr: {}",
        text(&web.listen_addr.to_string())
    )];
    let path = |path: &Path| text(&path.to_string_lossy());
    match &web.tls {
        Some(files) => lines.extend([
            format!("  https_cert_file: {}", path(&files.cert_file)),
            format!("  https_key_file: {}", path(&files.key_file)),
        ]),
        None => lines.push("  web_plain_http: yes".to_owned()),
    }
    lines
}

/// The keys of `permit` with the values that say this.
#[must_use]
pub fn permit_values(permit: &Permissions) -> [(PermitKey, String); 9] {
    PermitKey::ALL.map(|key| (key, permit_value(permit, key)))
}

/// The value of one key of `permit`.
pub(super) fn permit_value(permit: &Permissions, key: PermitKey) -> String {
    let list = |words: Vec<String>| {
        let words: Vec<String> = words.iter().map(|word| text(word)).collect();
        format!("[{}]", words.join(", "))
    };
    let endpoints = |patterns: &EndpointPatterns| list(patterns.words());
    let names = |names: &[NamePattern]| {
        let names = names.iter().map(|name| name.as_str().to_owned());
        list(names.collect())
    };
    match key {
        PermitKey::PortForwarding => direction(permit.port_forwarding).to_owned(),
        PermitKey::PermitOpen => endpoints(&permit.permit_open),
        PermitKey::PermitListen => endpoints(&permit.permit_listen),
        PermitKey::X11 => switch(permit.x11).to_owned(),
        PermitKey::Agent => switch(permit.agent).to_owned(),
        PermitKey::Streamlocal => direction(permit.streamlocal).to_owned(),
        PermitKey::NestedSsh if permit.nested_ssh => "allow".to_owned(),
        PermitKey::NestedSsh => "deny".to_owned(),
        PermitKey::AcceptEnv => {
            // Several lists only where several roles have one.
            let lists: Vec<String> = permit.accept_env.lists().map(names).collect();
            lists.join(" and ")
        }
        PermitKey::MaxSessions => permit.max_sessions.to_string(),
    }
}

fn permit(permit: &Permissions) -> Vec<String> {
    let values = permit_values(permit)
        .into_iter()
        .map(|(key, value)| format!("  {}: {value}", keys::of_permit(key).name));
    std::iter::once("permit:".to_owned())
        .chain(values)
        .collect()
}

fn role(role: &Role) -> Vec<String> {
    let mut lines = vec![format!("  - name: {}", text(&role.name))];
    for (key, rules) in [
        (&keys::ALLOW, role.allow.as_deref()),
        (&keys::DENY, Some(role.deny.as_slice())),
    ] {
        let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
            continue;
        };
        lines.push(format!("    {}:", key.name));
        lines.extend(
            rules
                .iter()
                .map(|rule| format!("      - {}", rule_text(rule))),
        );
    }
    if let Some(networks) = &role.may_connect_from {
        let networks = networks.value.to_string();
        let networks: Vec<String> = networks.split(',').map(text).collect();
        let name = keys::MAY_CONNECT_FROM.name;
        lines.push(format!("    {name}: [{}]", networks.join(", ")));
    }
    if let Some(span) = role.max_ttl {
        let name = keys::MAX_TTL.name;
        lines.push(format!("    {name}: {}", format_duration(span.value)));
    }
    if !role.permit.lines.is_empty() {
        lines.push(format!("    {}:", keys::ROLE_PERMIT.name));
        for (key, value) in permit_values(&role.permit.values) {
            if role.permit.lines.contains_key(&key) {
                lines.push(format!("      {}: {value}", keys::of_permit(key).name));
            }
        }
    }
    lines
}

/// The conditions of a rule, as the file has them.
pub(super) fn rule_text(rule: &Rule) -> String {
    let list = |patterns: &[Pattern]| {
        let words: Vec<String> = patterns.iter().map(|one| text(&one.to_string())).collect();
        words.join(", ")
    };
    let mut conditions = Vec::new();
    for (key, patterns) in [
        (&keys::RULE_LOGINS, &rule.logins),
        (&keys::RULE_NODES, &rule.nodes),
    ] {
        let shown = patterns.as_deref().map(list);
        conditions.extend(shown.map(|shown| format!("{}: [{shown}]", key.name)));
    }
    if !rule.labels.is_empty() {
        let pair = |label: &LabelPattern| {
            format!("{}: {}", text(&label.key), text(&label.value.to_string()))
        };
        let labels: Vec<String> = rule.labels.iter().map(pair).collect();
        conditions.push(format!(
            "{}: {{ {} }}",
            keys::RULE_LABELS.name,
            labels.join(", ")
        ));
    }
    format!("{{ {} }}", conditions.join(", "))
}

fn user(member: &RoleBinding) -> String {
    let roles: Vec<String> = member.roles.iter().map(|role| text(&role.name)).collect();
    format!(
        "  - {{ name: {}, roles: [{}] }}",
        text(&member.name.to_string()),
        roles.join(", ")
    )
}

fn direction(value: Direction) -> &'static str {
    match value {
        Direction::Both => "yes",
        Direction::Neither => "no",
        Direction::Local => "local",
        Direction::Remote => "remote",
    }
}

fn node(node: &Node) -> String {
    let addr = host_and_port(&node.host, node.port);
    let mut fields = vec![
        format!("name: {}", text(&node.name)),
        format!("addr: {}", text(&addr)),
    ];
    if !node.labels.is_empty() {
        let labels: Vec<String> = node
            .labels
            .iter()
            .map(|label| format!("{}: {}", text(&label.key), text(&label.value)))
            .collect();
        fields.push(format!("labels: {{ {} }}", labels.join(", ")));
    }
    if !node.legacy.is_empty() {
        let names: Vec<String> = node.legacy.iter().map(|one| text(one.name())).collect();
        fields.push(format!("legacy_algorithms: [{}]", names.join(", ")));
    }
    format!("  - {{ {} }}", fields.join(", "))
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

pub(super) fn session_recording(value: SessionRecording) -> &'static str {
    match value {
        SessionRecording::Proxy => "proxy",
        SessionRecording::Off => "off",
    }
}

pub(super) fn recording_mode(value: RecordingMode) -> &'static str {
    match value {
        RecordingMode::Strict => "strict",
        RecordingMode::BestEffort => "best_effort",
    }
}

pub(super) fn switch(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// A scalar in double quotes, so that no reader takes it for anything but a text.
fn text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_unsafe(c) => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
