//! The running proxy, or, if it does not run, whether its port is free.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::checks::{LISTENER, PROXY_HOST_KEY, WEB_LISTENER};
use super::super::report::Finding;
use crate::cert::{HostKeyError, HostPolicy, TrustedKeys, verify_host};
use crate::config::Config;
use crate::model::chain;
use crate::ssh::probe::{self, ProbeError};
use crate::wire::ClientConfig;

/// How long a port may take to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);
const START: &str = "start it: `systemctl start rproxy`, or `rproxy serve`";
/// There is no login: the name only has to be one.
const NOBODY: &str = "doctor";

/// What answers at an address.
#[derive(Debug)]
pub(super) enum Responder {
    /// An SSH server with a certificate of our host CA for the name, or any SSH server if there are no
    /// keys to judge it by.
    Ours,
    /// An SSH server without one.
    Other(HostKeyError),
    /// Something else.
    NotSsh(ProbeError),
    /// Nothing.
    Nobody(ProbeError),
}

/// Connects, and looks at the host key that is proved there.
pub(super) async fn look(
    address: SocketAddr,
    name: &str,
    trusted: Option<&TrustedKeys>,
    now: u64,
) -> Responder {
    let answers = match probe::ask(address, Arc::new(ClientConfig::default()), NOBODY, &[]).await {
        Ok(answers) => answers,
        Err(error @ (ProbeError::Connect(..) | ProbeError::Timeout(_))) => {
            return Responder::Nobody(error);
        }
        Err(error) => return Responder::NotSsh(error),
    };
    let Some(trusted) = trusted else {
        return Responder::Ours;
    };
    let policy = HostPolicy {
        trusted,
        accept_plain_keys: false,
    };
    match verify_host(&answers.host_key, policy, &[name.to_owned()], now) {
        Ok(_) => Responder::Ours,
        Err(error) => Responder::Other(error),
    }
}

/// Looks at the listeners; says whether the proxy runs.
pub(super) async fn examine(
    config: &Config,
    trusted: Option<&TrustedKeys>,
    now: u64,
    findings: &mut Vec<Finding>,
) -> bool {
    let listens = config.proxy.listen_addr;
    if listens.port() == 0 {
        findings.push(Finding::ok(
            &LISTENER,
            listens,
            "the port is chosen at the start",
        ));
        return false;
    }
    let runs = port(listens, trusted, now, findings).await;
    if let Some(web) = &config.proxy.web {
        let connected = timeout(PATIENCE, TcpStream::connect(reachable(web.listen_addr))).await;
        match connected {
            Ok(Ok(_)) => {
                findings.push(Finding::ok(
                    &WEB_LISTENER,
                    web.listen_addr,
                    "somebody answers",
                ));
            }
            _ if runs => {
                let detail = "the proxy runs, and does not answer here";
                let hint = "web_listen_addr counts from the start on: start the proxy again, or see its log";
                findings.push(Finding::error(&WEB_LISTENER, web.listen_addr, detail, hint));
            }
            _ => {}
        }
    }
    runs
}

/// What has the port, and whether it is the proxy. A port that can be taken for a moment is free.
async fn port(
    listens: SocketAddr,
    trusted: Option<&TrustedKeys>,
    now: u64,
    findings: &mut Vec<Finding>,
) -> bool {
    let refused = match TcpListener::bind(listens) {
        Ok(_) => {
            let detail = "the proxy does not run; the port is free";
            findings.push(Finding::warning(&LISTENER, listens, detail, START));
            return false;
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let detail = "is no address of this machine";
            let hint =
                "set proxy_service.listen_addr to one that it has, or to 0.0.0.0 with the port";
            findings.push(Finding::error(&LISTENER, listens, detail, hint));
            return false;
        }
        Err(error) => error,
    };
    let address = reachable(listens);
    findings.push(
        match look(address, &address.ip().to_string(), trusted, now).await {
            Responder::Ours => {
                findings.push(Finding::ok(&LISTENER, listens, "the proxy answers"));
                let detail = "a certificate of the host CA";
                findings.push(Finding::ok(&PROXY_HOST_KEY, listens, detail));
                return true;
            }
            Responder::Nobody(_) if refused.kind() == io::ErrorKind::PermissionDenied => {
                let detail =
                    "the proxy does not run; ports below 1024 are for those who have the right";
                let hint = "start it by the unit, which gives the right \
                        (AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a port from 1024 on";
                Finding::warning(&LISTENER, listens, detail, hint)
            }
            Responder::Nobody(error) | Responder::NotSsh(error) => {
                let detail = format!("the port is taken, not by the proxy: {}", chain(&error));
                Finding::error(&LISTENER, listens, detail, taken(listens))
            }
            Responder::Other(error @ HostKeyError::PlainKey { .. }) => {
                let detail = format!("the port is taken by another SSH server: {error}");
                Finding::error(&LISTENER, listens, detail, taken(listens))
            }
            Responder::Other(error) => {
                let hint = "see what listens there, and with which data directory";
                Finding::error(&PROXY_HOST_KEY, listens, error, hint)
            }
        },
    );
    false
}

fn taken(listens: SocketAddr) -> String {
    format!(
        "see who has it with `ss -ltnp sport = :{}`; end that, or choose another listen_addr",
        listens.port()
    )
}

/// Where to connect to for a listener.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}
