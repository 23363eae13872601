//! The preconditions of the monitor, in one list, in the order in which they are needed. `serve` locks,
//! creates, opens and binds what they are about; `serve --check` only checks that it could.

use super::error::MonitorError;
use super::listeners::{Listener, Listeners};
use super::lock;
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
    let listeners = match purpose {
        Purpose::Serve(held) => Some(Listeners::open(config, held).await?),
        // The running proxy holds the ports itself.
        Purpose::Look if is_running => None,
        Purpose::Look => {
            Listeners::look(config)?;
            None
        }
    };
    let taken = lock.zip(listeners);
    Ok(taken.map(|(lock, listeners)| Ground { lock, listeners }))
}

/// Whether a proxy serves this data directory now, including one of a version that takes no lock.
#[must_use]
pub fn is_running(config: &Config) -> bool {
    let sockets = control::processes(&config.data_dir.control());
    lock::is_served(&config.data_dir).unwrap_or(false)
        || sockets.is_ok_and(|processes| !processes.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::path::Path;

    use super::*;
    use crate::sys::fs::{private_dir, until_unlocked};

    /// A proxy on a data directory that does not exist yet, with a listener at this address.
    fn configured(directory: &Path, address: SocketAddr) -> Config {
        let text =
            format!("cluster_name: example.test\nproxy_service:\n  listen_addr: \"{address}\"\n");
        let data = directory.join("data");
        let loaded = crate::config::parse(Path::new("f"), &text, Some(&data));
        loaded.unwrap().config
    }

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    async fn serve(config: &Config) -> Result<Ground, MonitorError> {
        let ground = lay(config, Purpose::Serve(Vec::new())).await?;
        Ok(ground.expect("what is needed to serve"))
    }

    async fn look(config: &Config) -> Result<(), MonitorError> {
        let nothing = lay(config, Purpose::Look).await?;
        assert!(nothing.is_none(), "{nothing:?}");
        Ok(())
    }

    #[tokio::test]
    async fn looking_makes_nothing() {
        let directory = crate::sys::fs::private_tempdir();
        let config = configured(directory.path(), any());
        look(&config).await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// The lock comes first: what is there belongs to the proxy that has it.
    #[tokio::test]
    async fn a_data_directory_has_one_proxy_and_the_second_touches_nothing() {
        let directory = crate::sys::fs::private_tempdir();
        let config = configured(directory.path(), any());
        let lock = lock::take(&config.data_dir).unwrap();
        let refused = serve(&config).await;
        assert!(matches!(refused, Err(MonitorError::Busy(_))), "{refused:?}");
        assert!(lock::is_served(&config.data_dir).unwrap());
        drop(lock);
        until_unlocked(&config.data_dir.serve_lock());
        assert!(!lock::is_served(&config.data_dir).unwrap());
        serve(&config).await.unwrap();
    }

    /// A running proxy holds the address that is looked at.
    #[tokio::test]
    async fn an_address_in_use_is_an_error_unless_the_proxy_runs() {
        let directory = crate::sys::fs::private_tempdir();
        let other = TcpListener::bind(any()).unwrap();
        let taken = other.local_addr().unwrap();
        let config = configured(directory.path(), taken);
        let is_taken = |result: Result<(), MonitorError>| matches!(result, Err(MonitorError::Listen(address, _)) if address == taken);
        assert!(is_taken(serve(&config).await.map(drop)));
        assert!(is_taken(look(&config).await));
        let lock = lock::take(&config.data_dir).unwrap();
        look(&config).await.unwrap();
        drop(lock);
        until_unlocked(&config.data_dir.serve_lock());
        assert!(is_taken(look(&config).await));
        // A version that takes no lock is found by its control socket.
        let sockets = config.data_dir.control();
        private_dir(&sockets).unwrap();
        let path = sockets.join("7.sock");
        let _socket = std::os::unix::net::UnixListener::bind(path).unwrap();
        look(&config).await.unwrap();
    }
}
