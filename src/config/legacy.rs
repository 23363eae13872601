//! `nodes[].legacy_algorithms`: what a node is offered that nobody else is.

use crate::wire::Legacy;

use super::diagnostic::Diagnostics;
use super::keys;
use super::section::{Section, quoted};

/// What each item must be.
const ITEM: &str = "the name of a legacy algorithm";

/// Reads the list of a node; one that is not empty is warned about.
pub(super) fn algorithms(
    section: &Section<'_>,
    node: Option<&str>,
    findings: &mut Diagnostics<'_>,
) -> Vec<Legacy> {
    let key = &keys::LEGACY_ALGORITHMS;
    let named = section.texts(key, ITEM, algorithm, findings);
    let mut algorithms = Vec::new();
    for one in &named {
        if !algorithms.contains(&one.value) {
            algorithms.push(one.value);
        }
    }
    if let Some(first) = named.first() {
        let names: Vec<_> = algorithms.iter().copied().map(Legacy::name).collect();
        let message = format!(
            "weak: {} is offered {}; better update its sshd",
            node.unwrap_or("this host"),
            names.join(", ")
        );
        findings.warning(first.place, &section.path_to(key.name), message);
    }
    algorithms
}

fn algorithm(text: &str) -> Result<Legacy, String> {
    text.parse().map_err(|_not_legacy| {
        let known: Vec<_> = Legacy::all().map(Legacy::name).collect();
        format!(
            "expected one of {}, found {}",
            known.join(", "),
            quoted(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_every_algorithm() {
        let expected = keys::LEGACY_ALGORITHMS.form.expected();
        for one in Legacy::all() {
            assert!(expected.contains(one.name()), "{one}: {expected}");
        }
    }
}
