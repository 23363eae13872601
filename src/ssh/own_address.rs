//! Refuses the proxy as a target of itself. Such a second connection would come from the proxy's
//! own address, which `may_connect_from` may permit.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::refusal::{self, Refusal};
use super::settings::Settings;
use super::trust::Trust;
use crate::access::Route;
use crate::cert::PresentedKey;
use crate::model::HostAddress;
use crate::nodes::plain;

/// Refuses an address that leads to a listener of this proxy: an address of this machine with a
/// listener's port, or the name and port under which clients reach the proxy.
///
/// # Errors
/// The refusal for the user.
pub(super) fn refuse_address(
    listeners: &[SocketAddr],
    settings: &Settings,
    route: &Route,
    address: HostAddress,
) -> Result<(), Refusal> {
    // A tunnel leads to the sshd of its node, whatever address the node has.
    let is_own = |address| is_public(settings, route) || is_listener(listeners, address, is_local);
    if address.socket().is_some_and(is_own) {
        return Err(refusal::own_listener(&route.target));
    }
    Ok(())
}

/// Refuses a host that presents what this proxy presents, however it was reached: the proxy's key, or a
/// certificate for all names of its listener, as another process of the same proxy presents it.
///
/// # Errors
/// The refusal for the user.
pub(super) fn refuse_key(
    trust: &Trust,
    settings: &Settings,
    route: &Route,
    key: &PresentedKey,
) -> Result<(), Refusal> {
    let is_own_key = trust.mint.host_key().key_data() == key.key_data();
    let is_listener = key.certificate().is_some_and(|certificate| {
        let names = &settings.listener_names;
        let has = certificate.valid_principals();
        !names.is_empty()
            && names.iter().all(|name| {
                has.iter()
                    .any(|own| own.eq_ignore_ascii_case(name.as_str()))
            })
    });
    if is_own_key || is_listener {
        return Err(refusal::own_listener(&route.target));
    }
    Ok(())
}

fn is_public(settings: &Settings, route: &Route) -> bool {
    let public = settings.public_addr.as_ref();
    public.is_some_and(|(host, port)| *port == route.port && host.eq_ignore_ascii_case(&route.host))
}

/// Whether this address leads to one of the listeners.
fn is_listener(
    listeners: &[SocketAddr],
    address: SocketAddr,
    is_local: impl Fn(IpAddr) -> bool,
) -> bool {
    let at = plain(address.ip());
    listeners.iter().any(|listener| {
        listener.port() == address.port()
            && (plain(listener.ip()) == at
                || listener.ip().is_unspecified() && (at.is_unspecified() || is_local(at)))
    })
}

/// Whether the address is one of this machine. Other addresses cannot be bound.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_every_address_that_leads_to_it() {
        let ours: [IpAddr; 2] = ["10.0.0.3".parse().unwrap(), "fd00::3".parse().unwrap()];
        let is_ours = |address: IpAddr| ours.contains(&address) || address.is_loopback();
        let all = ["0.0.0.0:3023", "10.0.0.3:8443"].map(|text| text.parse().unwrap());
        for (address, is_found) in [
            ("10.0.0.3:3023", true),
            ("127.0.0.1:3023", true),
            ("127.0.0.9:3023", true),
            ("0.0.0.0:3023", true),
            ("[::ffff:10.0.0.3]:3023", true),
            ("[64:ff9b::a00:3]:3023", true),
            ("[fd00::3]:3023", true),
            ("10.0.0.3:8443", true),
            ("10.0.0.3:22", false),
            ("10.0.0.4:3023", false),
            ("127.0.0.1:8443", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(is_listener(&all, address, is_ours), is_found, "{address}");
        }
    }

    #[test]
    fn loopback_is_this_machine() {
        assert!(is_local(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_local(IpAddr::from([192, 0, 2, 1])));
    }
}
