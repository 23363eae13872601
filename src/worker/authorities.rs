//! What a worker knows about the CAs: their public keys, which it gets from the monitor, and a
//! service that signs host certificates. A worker does not read `ca/`.

use std::sync::Arc;

use super::monitor_client::MonitorClient;
use crate::ca::{CaError, HostCertIssuer, RemoteHostKey, SignsHosts};
use crate::ipc::PublicCaKeys;
use crate::ssh::{CurrentTrust, Trust};

/// What connections trust and present with these keys.
///
/// # Errors
/// When the host key cannot be made.
pub(super) fn trust(keys: &PublicCaKeys, reporter: &MonitorClient) -> Result<Trust, CaError> {
    Ok(Trust {
        users: keys.user.iter().cloned().collect(),
        hosts: keys.host.iter().cloned().collect(),
        mint: HostCertIssuer::new(signer(keys, reporter))?,
    })
}

fn signer(keys: &PublicCaKeys, reporter: &MonitorClient) -> Arc<dyn SignsHosts> {
    let signing = Arc::new(reporter.signing());
    Arc::new(RemoteHostKey::new(keys.signs.clone(), signing))
}

/// Uses these keys for every decision from now on.
pub(super) fn replace(keys: &PublicCaKeys, reporter: &MonitorClient, current: &CurrentTrust) {
    let before = current.now();
    let trust = Trust {
        users: keys.user.iter().cloned().collect(),
        hosts: keys.host.iter().cloned().collect(),
        mint: before.mint.under(signer(keys, reporter)),
    };
    let is_new = before.users != trust.users
        || before.hosts != trust.hosts
        || before.mint.public_key() != trust.mint.public_key();
    if is_new {
        current.replace(trust);
        tracing::info!(
            user = keys.user.len(),
            host = keys.host.len(),
            "the CAs' keys have changed"
        );
    }
}
