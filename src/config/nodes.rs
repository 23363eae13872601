//! The section `nodes`: the static inventory of hosts.

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::legacy::{self, LEGACY_ALGORITHMS};
use super::section::{Located, Section};
use super::value::{
    format_host_and_port, host_and_port, label_key, label_value, node_name, yaml_text,
};
use crate::model::Label;
use crate::nodes::{DEFAULT_PORT, Node};

/// `nodes[].name`.
pub(super) const NODE_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("a host name"),
    default: DefaultValue::Required,
    doc: "What users call the host. Upper and lower case are the same, and so is NAME followed \
          by '.' and the cluster's name.",
};

/// `nodes[].addr`.
pub(super) const NODE_ADDR: Key = Key {
    name: "addr",
    form: ValueType::Text("a host name or address with a port, as in 10.0.0.5:22 or [::1]:22"),
    default: DefaultValue::Required,
    doc: "Where the host's sshd listens. Without a port, 22.",
};

/// `nodes[].labels`.
pub(super) const NODE_LABELS: Key = Key {
    name: "labels",
    form: ValueType::Labels,
    default: DefaultValue::Nothing,
    doc: "Labels by which users may ask for the host, as in env=prod. Only one node may carry \
          the label that is asked for.",
};

/// `nodes`.
pub const NODES: Key = Key {
    name: "nodes",
    form: ValueType::Sections(&[NODE_NAME, NODE_ADDR, NODE_LABELS, LEGACY_ALGORITHMS]),
    default: DefaultValue::Nothing,
    doc: "The static inventory of hosts. DNS is asked for names that are not here.",
};

pub(super) fn nodes(sections: Vec<Section<'_>>, diagnostics: &mut Diagnostics<'_>) -> Vec<Node> {
    let mut seen: Vec<Located<String>> = Vec::new();
    let mut nodes = Vec::new();
    for section in sections {
        let name = section.value(&NODE_NAME, |text| node_name(&NODE_NAME, text), diagnostics);
        let addr = section.value(&NODE_ADDR, host_and_port, diagnostics);
        let mut labels: Vec<Label> = section
            .labels(&NODE_LABELS, label_key, label_value, diagnostics)
            .into_iter()
            .map(|(key, value)| Label { key, value })
            .collect();
        labels.sort();
        let called = name.as_ref().map(|name| name.value.as_str());
        let legacy = legacy::algorithms(&section, called, diagnostics);
        let Some(name) = name else {
            continue;
        };
        if let Some(first) = seen.iter().find(|seen| seen.value == name.value) {
            let path = section.path_to(NODE_NAME.name);
            let line = first.place.map_or(0, |place| place.line);
            let message = format!(
                "{:?} is already the name of the node in line {line}",
                name.value
            );
            diagnostics.error(name.place, &path, message);
            continue;
        }
        nodes.extend(addr.map(|addr| addr.value).map(|(host, port)| Node {
            name: name.value.clone(),
            host,
            port: port.unwrap_or(DEFAULT_PORT),
            labels,
            legacy,
            ..Node::default()
        }));
        seen.push(name);
    }
    nodes
}

pub(super) fn print_node(node: &Node) -> String {
    let addr = format_host_and_port(&node.host, node.port);
    let mut fields = vec![
        format!("name: {}", yaml_text(&node.name)),
        format!("addr: {}", yaml_text(&addr)),
    ];
    if !node.labels.is_empty() {
        let labels: Vec<String> = node
            .labels
            .iter()
            .map(|label| format!("{}: {}", yaml_text(&label.key), yaml_text(&label.value)))
            .collect();
        fields.push(format!("labels: {{ {} }}", labels.join(", ")));
    }
    if !node.legacy.is_empty() {
        let names: Vec<String> = node
            .legacy
            .iter()
            .map(|one| yaml_text(one.name()))
            .collect();
        fields.push(format!("legacy_algorithms: [{}]", names.join(", ")));
    }
    format!("  - {{ {} }}", fields.join(", "))
}
