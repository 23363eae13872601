//! What refusals of the host and of the login there say.

use std::time::Duration;

use super::{Expected, certificate, lacking, minutes, plain, row};
use crate::access::{HostWay, LoginPermit, Route};
use crate::audit::Party::{Client, HostAuthentication, HostCertificate, Proxy};
use crate::model::NodeId;
use crate::ssh::identify::NoServer;
use crate::ssh::leg::LegError;
use crate::ssh::refusal::*;
use crate::ssh::tunnels::TunnelError;
use crate::wire::NoCommonAlgorithm;

pub(super) fn host_rows(permit: &LoginPermit) -> Vec<Expected> {
    let route = permit.route();
    let node = NodeId::new();
    let tunnelled = Route {
        joined: Some(node),
        way: HostWay::Tunnel(node),
        ..route.clone()
    };
    let either = Route {
        way: HostWay::TunnelOrDirect(node),
        ..tunnelled.clone()
    };
    let at = "db1.example.com (db1:22)";
    let new_key = "tell the people who run this proxy: the host needs a new key, and a certificate for it; on the proxy: rproxy host setup";
    let reachable = "check that sshd runs on db1.example.com and that the proxy can reach its port";
    let broken = LegError::Io(std::io::Error::other("refused"));
    let away = || NoServer::TurnedAway(None, LegError::Closed);
    let offer = "the peer offers ssh-mldsa44-ed25519@openssh.com";
    vec![
        row(
            unreachable(route, &LegError::Closed),
            Proxy,
            "unreachable",
            format!("cannot reach {at}: the connection was closed\n{reachable}"),
        ),
        row(
            unreachable(route, &broken),
            Proxy,
            "unreachable",
            format!("cannot reach {at}: the connection broke: refused\n{reachable}"),
        ),
        row(
            no_server(route, &NoServer::Leg(LegError::Closed)),
            Proxy,
            "unreachable",
            format!("cannot reach {at}: the connection was closed\n{reachable}"),
        ),
        row(
            unreachable(&tunnelled, &LegError::Tunnel(TunnelError::Crowded)),
            Proxy,
            "unreachable",
            "cannot reach db1.example.com (through its tunnel): the host's tunnel has as many streams as it may have\ncheck that sshd and the tunnel run on db1.example.com: systemctl status rproxy-tunnel (docs/nodes.md)",
        ),
        row(
            unreachable(&either, &LegError::Closed),
            Proxy,
            "unreachable",
            "cannot reach db1.example.com (through its tunnel, or at db1:22): the connection was closed\ncheck that sshd and the tunnel run on db1.example.com: systemctl status rproxy-tunnel (docs/nodes.md)",
        ),
        row(
            neither_way(&either, &TunnelError::Silent, &LegError::Closed),
            Proxy,
            "unreachable",
            "cannot reach db1.example.com (through its tunnel, or at db1:22): the connection was closed (before that, through its tunnel: the host's ssh opened nothing within 10 seconds)\ncheck that sshd and the tunnel run on db1.example.com: systemctl status rproxy-tunnel (docs/nodes.md)",
        ),
        row(
            no_tunnel(&tunnelled, Duration::from_secs(30)),
            Proxy,
            "no-tunnel",
            "cannot reach db1.example.com: it is reached through its tunnel only, and has had none open for 30s\ncheck that db1.example.com is up and can reach this proxy; on db1.example.com: systemctl status rproxy-tunnel (docs/nodes.md)",
        ),
        row(
            not_for_tunnels(&tunnelled, &"203.0.113.10/32".parse().unwrap()),
            Client,
            "certificate-not-for-tunnels",
            "your certificate counts from 203.0.113.10/32 only, and db1.example.com is reached through its own tunnel: its sshd sees you come from 127.0.0.1\nsign in to this proxy, which makes a certificate for each login then; or get one that counts from 127.0.0.1: on the proxy, in its configuration, egress_addrs with 127.0.0.1/32 and ::1/128 beside the others, then rproxy auth sign --user (docs/nodes.md)",
        ),
        row(
            other_node(&tunnelled),
            HostCertificate,
            "other-node",
            "remote host's certificate was made for another node than db1.example.com, which has joined with another key or was removed since\nfind out which machine answers there before you trust it; on db1.example.com: its next heartbeat brings its own certificate; on the proxy: rproxy nodes show db1.example.com",
        ),
        row(
            no_server(route, &NoServer::Other("220 mail".to_owned())),
            Proxy,
            "not-ssh",
            format!(
                "{at} is no SSH server: it answers \"220 mail\"\ncorrect the port: the one that was asked for, or that of `addr` in the proxy's nodes"
            ),
        ),
        row(
            no_server(route, &away()),
            Proxy,
            "host-dropped",
            format!(
                "{at} drops connections before it identifies itself: the connection was closed\nit is overloaded or blocks the proxy; on db1.example.com: see the log of sshd, and MaxStartups and PerSourcePenalties in sshd_config (docs/hosts.md)"
            ),
        ),
        row(
            nothing_in_common(
                route,
                &[lacking(
                    NoCommonAlgorithm::HOST_KEY,
                    &["ssh-rsa".parse().unwrap()],
                )],
            ),
            Proxy,
            "no-common-algorithm",
            format!(
                "cannot speak with {at}: no common host key, {offer}\nupdate sshd on db1.example.com; if that is impossible, on the proxy, in its configuration at the entry of db1.example.com in nodes: legacy_algorithms: [ssh-rsa]"
            ),
        ),
        row(
            nothing_in_common(route, &[lacking(NoCommonAlgorithm::HOST_KEY, &[])]),
            Proxy,
            "no-common-algorithm",
            format!(
                "cannot speak with {at}: no common host key, {offer}\nrproxy does not know this kind of key: on db1.example.com, add an Ed25519 host key (ssh-keygen -A, HostKey in sshd_config) with a certificate"
            ),
        ),
        row(
            nothing_in_common(
                route,
                &[
                    lacking(NoCommonAlgorithm::HOST_KEY, &[]),
                    lacking("cipher", &[]),
                ],
            ),
            Proxy,
            "no-common-algorithm",
            format!(
                "cannot speak with {at}: no common host key, {offer}; no common cipher, {offer}\non db1.example.com: update sshd, or let its sshd_config have more algorithms"
            ),
        ),
        row(
            revoked_host(&plain(), None),
            HostCertificate,
            "certificate-revoked",
            format!("remote host's key revoked\n{new_key}"),
        ),
        row(
            revoked_host(&certificate(), Some("stolen")),
            HostCertificate,
            "certificate-revoked",
            format!("remote host's certificate revoked: stolen\n{new_key}"),
        ),
        row(
            name_lost("db.example.com"),
            HostCertificate,
            "name-lost",
            "remote host's certificate is no longer for db.example.com, as it was the last time\nconnect again: the proxy has noticed, and shows that name no more",
        ),
        row(
            host_lost(minutes(2)),
            Proxy,
            "host-lost",
            "the host has not answered for 2m",
        ),
        row(
            no_host_session(&"no"),
            HostAuthentication,
            "host-opened-no-session",
            "the host opened no session: no",
        ),
    ]
}

pub(super) fn host_login_rows(permit: &LoginPermit) -> Vec<Expected> {
    let takes = "db1.example.com takes the certificate";
    let methods = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    vec![
        row(
            host_login_failed(permit, &LegError::Closed),
            HostAuthentication,
            "host-authentication",
            "cannot log in at db1.example.com: the connection was closed",
        ),
        row(
            host_login_timed_out(permit, &LegError::Timeout(minutes(2))),
            HostAuthentication,
            "host-authentication-timeout",
            "cannot log in at db1.example.com: no answer within 120 seconds",
        ),
        row(
            certificate_refused(permit, true),
            HostAuthentication,
            "host-refused",
            "db1.example.com does not let deploy in with this certificate, and does not say that it takes RSA keys but with SHA-1 (ssh-rsa)\nuse an Ed25519 or ECDSA key, or update sshd on db1.example.com; if neither is possible, on the proxy, in its configuration at the entry of db1.example.com in nodes: legacy_algorithms: [ssh-rsa]",
        ),
        row(
            certificate_refused(permit, false),
            HostAuthentication,
            "host-refused",
            "db1.example.com does not let deploy in with this certificate\non db1.example.com: the file of TrustedUserCAKeys must hold what `rproxy auth export --type=user` prints on the proxy, and the account deploy must exist; the log of its sshd says why. If it says nothing of the kind, on the proxy: `rproxy doctor`, which tells whether `egress_addrs` or a clock that is off is the reason",
        ),
        row(
            answers_refused(permit),
            HostAuthentication,
            "second-factor",
            format!(
                "{takes} of deploy, and not what was answered to its questions\nlog in again; the log of sshd on db1.example.com says what is wrong with the answers"
            ),
        ),
        row(
            second_factor_wanted(permit, &methods(&["keyboard-interactive"])),
            HostAuthentication,
            "second-factor",
            format!(
                "{takes} of deploy, and wants a second factor besides (keyboard-interactive)\nwith ProxyJump nobody can be asked before the session: use ProxyCommand, which `rproxy config` prints on the proxy; or on db1.example.com, in sshd_config: AuthenticationMethods publickey"
            ),
        ),
        row(
            second_factor_wanted(permit, &methods(&["password", "hostbased"])),
            HostAuthentication,
            "second-factor",
            format!(
                "{takes} of deploy, and wants a second factor besides (password, hostbased)\nthe proxy passes on questions of keyboard-interactive, and no passwords: on db1.example.com, set AuthenticationMethods publickey,keyboard-interactive, or publickey alone"
            ),
        ),
        row(
            second_factor_unanswered(permit, &LegError::Closed),
            Client,
            "second-factor",
            format!(
                "{takes} and wants a second factor besides, and the client did not answer: the connection was closed\non your machine: log in from a terminal, without BatchMode and with KbdInteractiveAuthentication"
            ),
        ),
        row(
            answered_too_late(minutes(2), false),
            Client,
            "second-factor-timeout",
            "the host's questions were not answered within 2m\nlog in again and answer sooner",
        ),
        row(
            answered_too_late(minutes(1), true),
            Client,
            "second-factor-timeout",
            "the host's questions were not answered within 1m and others wait for this host\nlog in again and answer sooner",
        ),
    ]
}
