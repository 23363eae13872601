//! `nodes[].legacy_algorithms`: weak algorithms that are offered only to one node.

use crate::wire::Legacy;

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::section::{Section, quoted};

/// `nodes[].legacy_algorithms`.
pub(super) const LEGACY_ALGORITHMS: Key = Key {
    name: "legacy_algorithms",
    form: ValueType::Texts(
        "diffie-hellman-group14-sha1, aes256-cbc, aes192-cbc, aes128-cbc, \
         hmac-sha1-etm@openssh.com, hmac-sha1 or ssh-rsa",
    ),
    default: DefaultValue::Nothing,
    doc: "What this host, and no other, is offered besides what everybody is, because it is too old \
          for better. \"ssh-rsa\" is for its own key and for users' RSA keys. Weak: warned about at \
          every start, and named in the audit events of its sessions.",
};

/// What each item must be.
const ITEM: &str = "the name of a legacy algorithm";

/// Reads the list of a node; one that is not empty is warned about.
pub(super) fn algorithms(
    section: &Section<'_>,
    node: Option<&str>,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<Legacy> {
    let key = &LEGACY_ALGORITHMS;
    let named = section.texts(key, ITEM, algorithm, diagnostics);
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
        diagnostics.warning(first.place, &section.path_to(key.name), message);
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
        let expected = LEGACY_ALGORITHMS.form.expected();
        for one in Legacy::all() {
            assert!(expected.contains(one.name()), "{one}: {expected}");
        }
    }
}
