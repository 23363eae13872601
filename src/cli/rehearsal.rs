//! What `serve --check` looks at beside the configuration: everything that would keep `serve` from
//! starting, as far as it can be known without making or changing anything.

use std::io;
use std::net::SocketAddr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::{Exit, Failure};
use crate::ca::{Authorities, CaError, CaKind, RevocationLog};
use crate::config::Config;
use crate::control;
use crate::monitor;
use crate::sys::clock::Clock;
use crate::web::TlsFiles;

const CANNOT: &str = "the proxy could not run";

/// Goes through it.
///
/// # Errors
/// The first thing that is in the way.
pub(super) fn rehearse(config: &Config) -> Result<(), Failure> {
    for kind in [CaKind::User, CaKind::Host] {
        Authorities::look(&config.installation(Clock::System), kind).map_err(of_ca)?;
    }
    let revocations = RevocationLog::new(&config.data_dir, Clock::System);
    revocations.read().map_err(of_ca)?;
    https(config)?;
    if is_running(config) {
        // The ports are its own.
        return Ok(());
    }
    let web = config.proxy.web.as_ref().map(|web| web.listen_addr);
    let metrics = config.proxy.metrics_listen_addr;
    let ports = [Some(config.proxy.listen_addr), web, metrics];
    for address in ports.into_iter().flatten() {
        is_free(address).map_err(|error| {
            Failure::new(Exit::Configuration, format!("cannot listen on {address}"))
                .because(error)
                .hint("`ss -ltnp` shows which program has the port; or configure another address")
        })?;
    }
    Ok(())
}

fn of_ca(error: CaError) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(Exit::Configuration, CANNOT).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn https(config: &Config) -> Result<(), Failure> {
    let Some(files) = config.proxy.web.as_ref().and_then(|web| web.tls.as_ref()) else {
        return Ok(());
    };
    let files = TlsFiles {
        certificate: files.cert_file.clone(),
        key: files.key_file.clone(),
    };
    let looked = files.validity(Clock::System.unix_seconds(), 0);
    looked
        .map(drop)
        .map_err(|error| Failure::new(Exit::Configuration, CANNOT).because(error))
}

/// Whether a proxy serves this data directory now, also one of a version that takes no lock.
fn is_running(config: &Config) -> bool {
    let sockets = control::processes(&control::directory(&config.data_dir));
    monitor::is_served(&config.data_dir).unwrap_or(false)
        || sockets.is_ok_and(|processes| !processes.is_empty())
}

/// Whether an address could be listened on. Nobody listens meanwhile, so that two that ask are not in
/// each other's way.
fn is_free(address: SocketAddr) -> io::Result<()> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(bind(&socket, &address)?)
}
