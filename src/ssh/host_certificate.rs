//! Host certificates for connections, from a key that may be slow, or gone: it may be in an agent.
//!
//! What is at hand is used at once. What has to be signed is signed on a thread of its own, a few at a
//! time; everybody else waits for a turn, for a while, and nobody's packets wait meanwhile. People take
//! turns: one person's many names delay another person's by no more than the signatures in work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::Proxy;
use super::fair_queue::{FairQueue, QueueFull, QueueOwner};
use crate::ca::{CaError, Cached, HostIdentity};
use crate::model::{HostPrincipal, NameError, chain};
use crate::wire::{self, HostKey, ServerConfig};

/// How many certificates are signed at a time.
const AT_ONCE: usize = 4;
/// How many connections may wait for a certificate; for one more, whoever has most makes room.
const MAX_WAITING: usize = 512;
/// How long a connection waits for its certificate, for its turn and for the signature.
const LIMIT: Duration = Duration::from_secs(15);

/// Why there is no certificate. The sources are for the administrator.
#[derive(Debug, Error)]
pub(crate) enum MintError {
    /// The host's name is none that a certificate can have.
    #[error("its name cannot be in one")]
    Name(#[from] NameError),
    /// The address that the client has connected to is not known.
    #[error("the listener's address is not known")]
    Address(#[source] io::Error),
    /// Too many wait already.
    #[error("too many connections wait for one")]
    Busy(#[source] QueueFull),
    /// It takes too long.
    #[error("the host CA's key did not sign within {} seconds", LIMIT.as_secs())]
    Slow,
    /// The CA did not sign.
    #[error("the host CA's key does not sign")]
    Authority(#[from] CaError),
    /// The thread that signs is gone: the proxy stops.
    #[error("the proxy is stopping")]
    Stopping,
    /// The certificate cannot be shown.
    #[error("it cannot be used")]
    Key(#[from] wire::Error),
}

/// Turns at the host CA's key.
#[derive(Debug)]
pub(crate) struct SigningQueue(FairQueue<()>);

impl Default for SigningQueue {
    fn default() -> Self {
        Self(FairQueue::new(AT_ONCE, MAX_WAITING))
    }
}

/// What a server shows to somebody, that goes by these names.
pub(crate) async fn server_config(
    proxy: &Arc<Proxy>,
    whose: &QueueOwner,
    names: Vec<HostPrincipal>,
) -> Result<Arc<ServerConfig>, MintError> {
    let HostIdentity { key, certificate } = identity(proxy, whose, names).await?;
    let host_key = HostKey::new(key.as_ref().clone(), Some(certificate.as_ref().clone()))?;
    Ok(Arc::new(ServerConfig::new(vec![host_key])))
}

/// The same, if nothing has to be signed for it.
pub(crate) fn config_at_hand(
    proxy: &Arc<Proxy>,
    names: &[HostPrincipal],
) -> Option<Arc<ServerConfig>> {
    let HostIdentity { key, certificate } = at_hand(proxy, names)?;
    let host_key = HostKey::new(key.as_ref().clone(), Some(certificate.as_ref().clone())).ok()?;
    Some(Arc::new(ServerConfig::new(vec![host_key])))
}

async fn identity(
    proxy: &Arc<Proxy>,
    whose: &QueueOwner,
    names: Vec<HostPrincipal>,
) -> Result<HostIdentity, MintError> {
    if let Some(identity) = at_hand(proxy, &names) {
        return Ok(identity);
    }
    let minted = tokio::time::timeout(LIMIT, mint(proxy, whose, names)).await;
    minted.unwrap_or(Err(MintError::Slow))
}

/// An identity that nobody has to wait for. One that ages is made anew in the background, so that a
/// slow CA makes nobody wait and one that is gone is missed only when the identity ends.
fn at_hand(proxy: &Arc<Proxy>, names: &[HostPrincipal]) -> Option<HostIdentity> {
    let now = proxy.clock.unix_seconds();
    match proxy.trust.now().mint.at_hand(names, now) {
        Cached::Fresh(identity) => Some(identity),
        Cached::Aging(identity) => {
            renew(Arc::clone(proxy), names.to_vec());
            Some(identity)
        }
        Cached::Nothing => None,
    }
}

fn renew(proxy: Arc<Proxy>, names: Vec<HostPrincipal>) {
    // Otherwise, whoever asks next, in a while, may find a turn.
    let Some(turn) = proxy.minting.0.try_turn(()) else {
        return;
    };
    tokio::task::spawn_blocking(move || {
        let now = proxy.clock.unix_seconds();
        if let Err(error) = proxy.trust.now().mint.mint(&names, now) {
            tracing::warn!(
                error = %chain(&error),
                "cannot make a host certificate anew; the one from before is shown until it ends"
            );
        }
        drop(turn);
    });
}

async fn mint(
    proxy: &Arc<Proxy>,
    whose: &QueueOwner,
    names: Vec<HostPrincipal>,
) -> Result<HostIdentity, MintError> {
    let turn = proxy.minting.0.turn((), whose).await;
    let turn = turn.map_err(MintError::Busy)?;
    // Whoever had the turn before may have asked for the same.
    if let Some(identity) = at_hand(proxy, &names) {
        return Ok(identity);
    }
    let proxy = Arc::clone(proxy);
    let minted = tokio::task::spawn_blocking(move || {
        let minted = proxy
            .trust
            .now()
            .mint
            .mint(&names, proxy.clock.unix_seconds());
        // A turn ends with the signature, also when its connection has given up.
        drop(turn);
        minted
    });
    let minted = minted.await.map_err(|_gone| MintError::Stopping)?;
    Ok(minted?)
}
