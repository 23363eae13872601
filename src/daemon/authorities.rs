//! The running proxy follows the rotation of its authorities: whoever moves it, and when it is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ca::{Authorities, CaError, CaKind, HostMint};
use crate::config::Config;
use crate::model::chain;
use crate::ssh::{Proxy, Trust};
use crate::sys::clock::Clock;
use crate::sys::watch::FileWatch;
use crate::web::PublicKeys;

/// How often the state files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// What connections may trust and show under these authorities.
///
/// # Errors
/// When the host key cannot be made.
pub(super) fn trust(authorities: &Authorities) -> Result<Trust, CaError> {
    let host = authorities.of(CaKind::Host);
    Ok(Trust {
        users: authorities.of(CaKind::User).trusted(),
        hosts: host.trusted(),
        mint: HostMint::new(Arc::clone(host))?,
    })
}

/// Opens the authorities, and says so loudly where their keys cannot sign. Without the host
/// authority's key there is nothing to show to clients; the user authority's key only has to be there
/// when `auth sign --user` wants it.
///
/// # Errors
/// When the authorities cannot be opened, or the host authority's key does not sign.
pub(super) fn open(config: &Config) -> Result<Authorities, CaError> {
    let authorities = Authorities::open(&config.installation(Clock::System))?;
    authorities.of(CaKind::Host).try_key()?;
    if let Err(error) = authorities.of(CaKind::User).check_key() {
        tracing::warn!(
            error = %chain(&error),
            "the user authority's key is out of reach: no user certificates can be signed"
        );
    }
    Ok(authorities)
}

/// What everybody may know of these authorities.
pub(super) fn public_keys(authorities: &Authorities) -> PublicKeys {
    let of = |kind| authorities.of(kind).public_keys().to_vec();
    PublicKeys {
        user: of(CaKind::User),
        host: of(CaKind::Host),
    }
}

/// Opens the authorities again whenever a rotation moves, until `shutdown`. What cannot be opened
/// leaves everything as it is, and is tried again.
pub(super) async fn follow(
    proxy: Arc<Proxy>,
    config: Config,
    authorities: Authorities,
    public: watch::Sender<Arc<PublicKeys>>,
    shutdown: CancellationToken,
) {
    let mut watch = FileWatch::new(authorities.state_files());
    let mut due = authorities.due();
    drop(authorities);
    // Between building the trust and now, somebody may have moved it.
    let mut is_stale = true;
    let mut is_told = false;
    loop {
        let is_due = due.is_some_and(|due| due <= proxy.clock.unix_seconds());
        if watch.changed() || is_due || is_stale {
            match reopen(&config, &proxy, &public).await {
                Ok(next) => {
                    due = next;
                    (is_stale, is_told) = (false, false);
                }
                Err(error) => {
                    if !is_told {
                        tracing::error!(error = %chain(&error), "cannot follow the rotation");
                    }
                    (is_stale, is_told) = (true, true);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Puts what is on disk in force; gives when it next changes by itself. Whoever holds the lock of the
/// data directory is waited for on a thread of its own.
async fn reopen(
    config: &Config,
    proxy: &Arc<Proxy>,
    public: &watch::Sender<Arc<PublicKeys>>,
) -> Result<Option<u64>, CaError> {
    let config = config.clone();
    let opened =
        tokio::task::spawn_blocking(move || Authorities::open(&config.installation(Clock::System)));
    let Ok(authorities) = opened.await else {
        return Ok(None);
    };
    let authorities = authorities?;
    let (user, host) = (authorities.of(CaKind::User), authorities.of(CaKind::Host));
    let before = proxy.trust.now();
    let is_new = before.users != user.trusted()
        || before.hosts != host.trusted()
        || before.mint.public_key() != host.public_key();
    if is_new {
        proxy.trust.replace(Trust {
            users: user.trusted(),
            hosts: host.trusted(),
            mint: before.mint.under(Arc::clone(host)),
        });
        public.send_replace(Arc::new(public_keys(&authorities)));
        tracing::info!(
            user = %user.rotation().phase(),
            host = %host.rotation().phase(),
            "the authorities' keys have changed"
        );
    }
    Ok(authorities.due())
}
