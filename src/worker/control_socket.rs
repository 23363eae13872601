//! The control socket. A proxy without one still serves clients, but its sessions cannot be listed or
//! ended.

use super::assembly::Shared;
use crate::config::Config;
use crate::control;
use crate::model::chain;

/// Creates the control socket, while this process may. A failure is logged, and the proxy serves
/// clients without it.
pub(super) fn bind_control(config: &Config) -> Option<control::Server> {
    let bound = control::Server::bind(&config.data_dir.control());
    bound.map_err(no_control).ok()
}

/// Serves the control socket.
pub(super) fn serve_control(
    server: control::Server,
    shared: &Shared,
) -> Option<control::ControlHandle> {
    let started = server.start(shared.registry.clone(), shared.audit.clone());
    started.map_err(no_control).ok()
}

fn no_control(error: control::ControlError) {
    let error = chain(&error);
    tracing::error!(%error, "there is no control socket: sessions cannot be listed or ended");
}
