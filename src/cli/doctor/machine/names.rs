//! Names and addresses: of the proxy for its clients, of the machine for the hosts.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::super::checks::{EGRESS, NAME_SERVERS, PUBLIC_ADDR};
use super::super::report::Finding;
use super::listener::{Responder, look};
use crate::cert::{SourceAddresses, TrustedKeys};
use crate::config::Config;
use crate::dns::{Asked, Resolver};
use crate::model::chain;
use crate::ssh::probe::ProbeError;
use crate::sys::names::{NSSWITCH, RESOLV_CONF};

/// What is known when names are looked at.
pub(super) struct NameChecks<'p> {
    pub(super) config: &'p Config,
    pub(super) trusted: Option<&'p TrustedKeys>,
    pub(super) resolver: &'p Resolver,
    pub(super) now: u64,
}

impl NameChecks<'_> {
    pub(super) async fn examine(&self, runs: bool, findings: &mut Vec<Finding>) {
        findings.extend(name_servers(self.config, &self.resolver.asked()));
        if let Some((host, port)) = &self.config.proxy.public_addr {
            findings.push(self.public(host, *port, runs).await);
        }
        findings.extend(egress(&self.config.proxy.egress_addrs));
    }

    async fn public(&self, host: &str, port: u16, runs: bool) -> Finding {
        let subject = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let addresses = match self.resolver.resolve(host).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let hint = "correct proxy_service.public_addr, or DNS: clients use this name";
                return Finding::error(&PUBLIC_ADDR, subject, chain(&error), hint);
            }
        };
        let mut silence = None;
        for address in &addresses {
            let address = SocketAddr::new(*address, port);
            match look(address, host, self.trusted, self.now).await {
                Responder::Ours => {
                    let detail = format!("the proxy answers at {address}");
                    return Finding::ok(&PUBLIC_ADDR, subject, detail);
                }
                Responder::Other(error) => {
                    let hint = "somebody else is there, or the proxy has another data directory: \
                                correct public_addr, DNS, or what leads there";
                    return Finding::error(&PUBLIC_ADDR, subject, error, hint);
                }
                Responder::NotSsh(error) => {
                    let hint = "something else than the proxy is there: correct public_addr, or \
                                what leads there";
                    return Finding::error(&PUBLIC_ADDR, subject, chain(&error), hint);
                }
                Responder::Nobody(error) => silence = Some(error),
            }
        }
        match silence {
            Some(error) if runs => nobody(subject, &error),
            // It does not run, and so it is nowhere.
            _ => Finding::ok(&PUBLIC_ADDR, subject, listed(&addresses)),
        }
    }
}

fn nobody(subject: String, error: &ProbeError) -> Finding {
    let hint = "let the port through to listen_addr; where a router does not lead back inside, ask \
                from outside: `rproxy doctor --from-client`";
    Finding::warning(&PUBLIC_ADDR, subject, chain(error), hint)
}

fn listed(addresses: &[IpAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// Whether names can be looked up, where any are.
fn name_servers(config: &Config, asked: &Asked) -> Option<Finding> {
    let public = config.proxy.public_addr.iter().map(|(host, _)| host);
    let mut hosts = config.nodes.iter().map(|node| &node.host).chain(public);
    let needs_names = hosts.any(|host| host.parse::<IpAddr>().is_err());
    match (asked.servers.is_empty(), needs_names) {
        (false, _) => {
            let detail = format!("{}: {}", asked.order, listed(&asked.servers));
            Some(Finding::ok(&NAME_SERVERS, RESOLV_CONF, detail))
        }
        (true, true) if asked.dns => {
            let detail = "names no server: only /etc/hosts is asked";
            let hint = "name one there, or give the nodes addresses";
            Some(Finding::warning(&NAME_SERVERS, RESOLV_CONF, detail, hint))
        }
        // The machine is meant to do without.
        (true, true) => {
            let detail = format!("asked about names: {}", asked.order);
            Some(Finding::ok(&NAME_SERVERS, NSSWITCH, detail))
        }
        (true, false) => None,
    }
}

/// Whether the machine has an address that user certificates are good from.
fn egress(networks: &[String]) -> Option<Finding> {
    if networks.is_empty() {
        return None;
    }
    let subject = networks.join(",");
    let promised: SourceAddresses = match subject.parse() {
        Ok(promised) => promised,
        Err(error) => {
            let hint = "write networks as ADDRESS/LENGTH, such as 203.0.113.10/32";
            return Some(Finding::error(&EGRESS, subject, error, hint));
        }
    };
    // An address that is not the machine's cannot be bound.
    let is_ours = |address| UdpSocket::bind((address, 0)).is_ok();
    let single = promised.single_addresses().find(|one| is_ours(*one));
    Some(match single.or_else(|| chosen(&promised)) {
        Some(address) => Finding::ok(&EGRESS, subject, format!("the machine has {address}")),
        None => Finding::warning(
            &EGRESS,
            subject,
            "the machine has none of these addresses: unless something translates them, every \
             host refuses every user",
            "set proxy_service.egress_addrs to the address that hosts see the proxy under",
        ),
    })
}

/// The address that the system chooses for the way out, if it was promised.
fn chosen(promised: &SourceAddresses) -> Option<IpAddr> {
    // Connecting a datagram socket chooses the address, and sends nothing.
    let towards = [
        ("0.0.0.0:0", "192.0.2.1:22"),
        ("[::]:0", "[2001:db8::1]:22"),
    ];
    towards.into_iter().find_map(|(any, far)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(far).ok()?;
        let address = socket.local_addr().ok()?.ip();
        promised.contains(address).then_some(address)
    })
}
