//! The CAs of a world: their public halves, and what they sign.

use std::path::{Path, PathBuf};

use super::World;
use crate::support::{keys, proxy};

/// The public halves of the cluster's CAs.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) user: String,
    pub(super) host: String,
}

impl Authorities {
    pub(super) fn exported(config: &Path) -> Self {
        keys::tool(proxy::rproxy(config).args(["auth", "init"]));
        let export = |kind: &str| {
            keys::tool(proxy::rproxy(config).args(["auth", "export", &format!("--type={kind}")]))
        };
        Self {
            user: export("user"),
            host: export("host"),
        }
    }

    pub(super) fn host_key(&self, root: &Path) -> PathBuf {
        keys::authority(&root.join("data"), &self.host)
    }

    pub(super) fn user_key(&self, root: &Path) -> PathBuf {
        keys::authority(&root.join("data"), &self.user)
    }
}

/// Makes a key with a host certificate for these names, at `key` and beside it.
pub(super) fn sign_host(config: &Path, names: &str, key: &Path) {
    keys::tool(proxy::rproxy(config).args([
        "auth",
        "sign",
        &format!("--host={names}"),
        &format!("--out={}", key.display()),
    ]));
}

/// A host certificate for a key that is there already, written beside it.
pub(super) fn certify_host(config: &Path, names: &str, key: &Path) {
    keys::tool(proxy::rproxy(config).args([
        "auth",
        "sign",
        &format!("--host={names}"),
        &format!("--public-key={}.pub", key.display()),
        &format!("--out={}-cert.pub", key.display()),
    ]));
}

impl World {
    /// A new host key with a certificate for `name`, at `PATH` and `PATH-cert.pub`.
    pub(crate) fn host_key(&self, name: &str) -> PathBuf {
        let key = self.dir().join(format!("{name}_host_key"));
        sign_host(&self.config(), name, &key);
        key
    }
}
