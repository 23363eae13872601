//! Every key of the file: the sections, and the keys outside of sections.
//!
//! The reader and the documentation both take names, types and defaults from the rows of the
//! sections.

use super::auth::AUTH_SERVICE;
use super::proxy::PROXY_SERVICE;
use super::recording::RECORDING;
use super::scalar::PATH;
use super::state::STATE;
use super::upstream::UPSTREAM;

pub use super::key::{DefaultValue, Key, ValueType};
pub use super::nodes::NODES;
pub use super::permit::{PERMIT, of_permit};
pub use super::roles::{JOIN, MAX_TTL, MAY_CONNECT_FROM, ROLES};
pub use super::users::USERS;

/// `cluster_name`.
pub const CLUSTER_NAME: Key = Key {
    name: "cluster_name",
    form: ValueType::Text("a name of letters, digits, '-', '_' and '.'"),
    default: DefaultValue::Derived("the machine's host name"),
    doc: "The name of this installation: what may stand after '@' in proxy:HOST:PORT@CLUSTER, \
          and the comment of the CA keys.",
};

/// `data_dir`.
pub const DATA_DIR: Key = Key {
    name: "data_dir",
    form: PATH.form,
    default: DefaultValue::Derived(
        "/var/lib/rproxy as root, else $XDG_STATE_HOME/rproxy, else ~/.local/state/rproxy",
    ),
    doc: "Where the CA keys, the recordings and the audit log are kept.",
};

/// The keys of the file's top level, in the order of the documentation.
pub const ROOT: &[Key] = &[
    CLUSTER_NAME,
    DATA_DIR,
    AUTH_SERVICE,
    STATE,
    PROXY_SERVICE,
    UPSTREAM,
    PERMIT,
    NODES,
    ROLES,
    USERS,
    RECORDING,
];

#[cfg(test)]
mod tests {
    use super::super::spelling::{LONGEST_NAME, similar};
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_far_ones_are_not() {
        let names = || ROOT.iter().map(|key| key.name);
        assert_eq!(similar("cluster-name", names()), Some("cluster_name"));
        assert_eq!(similar("Nodes", names()), Some("nodes"));
        assert_eq!(similar("proxy_services", names()), Some("proxy_service"));
        assert_eq!(similar("teleport", names()), None);
    }

    #[test]
    fn names_are_unique_within_their_section_and_documented() {
        fn walk(keys: &[Key]) {
            let mut names: Vec<_> = keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), keys.len());
            for key in keys {
                assert!(key.name.len() <= LONGEST_NAME, "{}", key.name);
                assert!(key.doc.ends_with('.'), "{}", key.name);
                walk(key.form.keys());
            }
        }
        walk(ROOT);
    }
}
