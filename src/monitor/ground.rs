//! The preconditions of the monitor, in one list, in the order in which they are needed. `serve` locks,
//! creates, opens and binds what they are about; `serve --check` only checks that it could.

use super::authorities;
use super::error::MonitorError;
use super::listeners::{Listener, Listeners};
use super::lock;
use crate::ca::Authorities;
use crate::config::Config;
use crate::control;
use crate::sys::fs::FileLock;

/// What to do with the preconditions.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Lock, create, open and bind what is needed. The listeners are those that are held already.
    Serve(Vec<Listener>),
    /// Check only: nothing is created or changed.
    Look,
}

/// The result for `serve`.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) lock: FileLock,
    pub(super) authorities: Authorities,
    pub(super) listeners: Listeners,
}

/// Goes through the list; returns the result with [`Purpose::Serve`].
///
/// # Errors
/// The first precondition that is not met.
pub(super) async fn lay(config: &Config, purpose: Purpose) -> Result<Option<Ground>, MonitorError> {
    let is_running = matches!(purpose, Purpose::Look) && is_running(config);
    let lock = match &purpose {
        Purpose::Serve(_) => Some(lock::take(&config.data_dir)?),
        Purpose::Look => {
            lock::look(&config.data_dir)?;
            None
        }
    };
    let authorities = match &purpose {
        Purpose::Serve(_) => Some(authorities::open(config)?),
        Purpose::Look => {
            authorities::look(config, is_running)?;
            None
        }
    };
    match &purpose {
        Purpose::Serve(_) => authorities::rely_on_revocations(config)?,
        Purpose::Look => authorities::look_at_revocations(config)?,
    }
    let listeners = match purpose {
        Purpose::Serve(held) => Some(Listeners::open(config, held).await?),
        // The running proxy holds the ports itself.
        Purpose::Look if is_running => None,
        Purpose::Look => {
            Listeners::look(config)?;
            None
        }
    };
    let taken = lock.zip(authorities).zip(listeners);
    Ok(taken.map(|((lock, authorities), listeners)| Ground {
        lock,
        authorities,
        listeners,
    }))
}

/// Whether a proxy serves this data directory now, including one of a version that takes no lock.
fn is_running(config: &Config) -> bool {
    let sockets = control::processes(&config.data_dir.control());
    lock::is_served(&config.data_dir).unwrap_or(false)
        || sockets.is_ok_and(|processes| !processes.is_empty())
}
