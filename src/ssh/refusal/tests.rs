//! Every reason, every constructor: the leg, the stable name, the sentence and the hint, word for word.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::reason::RefusalReason;
use super::*;
use crate::access::{Denial, LoginPermit, PolicyDenial};
use crate::audit::Party::{self, Client, HostAuthentication, HostCertificate, Proxy};
use crate::cert::testing::{CertSpec, ed25519};
use crate::cert::{
    CertFault, HostKeyError, KeyError, PresentedKey, SignatureError, SourceAddressError,
    UserCertError,
};
use crate::model::text::is_printable;
use crate::model::{Login, Target};
use crate::net::LimitExceeded;
use crate::nodes::ResolveError;
use crate::session::testing::permit;
use crate::ssh::agent::AgentError;
use crate::ssh::identify::NoServer;
use crate::ssh::leg::LegError;
use crate::wire::auth::{AuthError, OfferError};
use crate::wire::{Legacy, NoCommonAlgorithm};

/// What a refusal must be.
struct Expected {
    refusal: Refusal,
    leg: Party,
    name: &'static str,
    /// The sentence, and the hint behind a line break.
    text: String,
}

fn row(refusal: Refusal, leg: Party, name: &'static str, text: impl Into<String>) -> Expected {
    let text = text.into();
    Expected {
        refusal,
        leg,
        name,
        text,
    }
}

/// What the user reads of it: the sentence, and the hint behind a line break.
fn told(refusal: &Refusal) -> String {
    let text = refusal.text("ID");
    let (_leg, rest) = text
        .split_once(": ")
        .and_then(|(_, rest)| rest.split_once(": "))
        .unwrap();
    let text = rest.strip_suffix("\r\n  id: ID\r\n").unwrap();
    text.replace("\r\n  hint: ", "\n")
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn target() -> Target {
    Target::from_subsystem("proxy:db1.example.com:22").unwrap()
}

fn plain() -> PresentedKey {
    PresentedKey::decode(&ed25519().public_key().to_bytes().unwrap()).unwrap()
}

fn certificate() -> PresentedKey {
    let (authority, key) = (ed25519(), ed25519());
    let certificate = CertSpec::host(&key).sign(&authority);
    PresentedKey::decode(&certificate.to_bytes().unwrap()).unwrap()
}

fn lacking(kind: &'static str, legacy: &[Legacy]) -> NoCommonAlgorithm {
    NoCommonAlgorithm {
        kind,
        offered: "ssh-mldsa44-ed25519@openssh.com".to_owned(),
        legacy: legacy.to_vec(),
    }
}

/// The constructors whose sentence is their own.
fn client_rows() -> Vec<Expected> {
    let key = plain();
    let login: Login = "root".parse().unwrap();
    let jump = |login: &str| format!("{login}@proxy:3023");
    vec![
        row(
            plain_key(&key),
            Client,
            "not-a-certificate",
            format!(
                "a plain key was offered ({}), only user certificates count\nget a certificate for it; on the proxy: rproxy auth sign --user=NAME --logins=LOGIN --public-key=FILE",
                key.fingerprint()
            ),
        ),
        row(
            revoked_user(None),
            Client,
            "certificate-revoked",
            "certificate revoked\nask the people who run this proxy about a new one",
        ),
        row(
            revoked_user(Some("laptop lost")),
            Client,
            "certificate-revoked",
            "certificate revoked: laptop lost\nask the people who run this proxy about a new one",
        ),
        row(
            bad_login(&"it is empty"),
            Client,
            "bad-login",
            "bad login: it is empty",
        ),
        row(
            another_certificate_first(&Denial::OtherKey, &login, jump, "%r@proxy"),
            Client,
            "different-key",
            "the inner connection uses another key than the outer connection\nthe proxy was shown another certificate first; on your machine: name the login to the proxy too, so that it takes the one with it: `ssh -J root@proxy:3023`, or `%r@proxy` in ProxyCommand; or have ssh offer this one alone (IdentitiesOnly, CertificateFile)",
        ),
        row(
            broke_login_protocol(&LegError::Closed),
            Client,
            "protocol-error",
            "the client broke the protocol while it logged in: the connection was closed\nits program is at fault, not its certificate: update it, or report what it is",
        ),
        row(
            inner_connection_ended(&LegError::Closed),
            Client,
            "inner-connection",
            "the inner connection ended before authentication: the connection was closed",
        ),
        row(
            client_lost(minutes(2)),
            Client,
            "client-lost",
            "the client has not answered for 2m",
        ),
        row(
            nothing_asked_for(minutes(10)),
            Client,
            "client-idle-timeout",
            "nothing was asked for within 10m",
        ),
        row(
            client_idle(minutes(10)),
            Client,
            "client-idle-timeout",
            "idle for 10m, which is the limit here",
        ),
        row(
            certificate_expired(),
            Client,
            "certificate-expired",
            "your certificate has expired, and connections end with it here\nget a new certificate and connect again; on the proxy: rproxy auth sign --user",
        ),
    ]
}

fn agent_rows() -> Vec<Expected> {
    let check = "on your machine, check the agent: ssh-add -L";
    vec![
        row(
            agent_not_forwarded(),
            Client,
            "agent-forwarding-required",
            "agent forwarding required\non your machine: add -o ForwardAgent=yes to the ssh command in ProxyCommand, and load the key: ssh-add",
        ),
        row(
            agent_not_forwarded_by_jump(),
            Client,
            "agent-forwarding-required",
            "agent forwarding required\non your machine: with ProxyJump, add -A (scp and sftp too) and load the key with ssh-add; or use ProxyCommand, which `rproxy config` prints on the proxy",
        ),
        row(
            agent_not_opened(),
            Client,
            "agent-not-opened",
            "agent forwarding required: it was asked for, but no agent answers\non your machine: start an agent and load the key: eval $(ssh-agent); ssh-add",
        ),
        row(
            agent_failed(&AgentError::NoKey),
            Client,
            "agent-without-key",
            "the forwarded agent does not hold the key that authenticated you\non your machine, load it into the agent: ssh-add KEY (the certificate may stay in CertificateFile)",
        ),
        row(
            agent_failed(&AgentError::Refused),
            Client,
            "agent-refused",
            "the forwarded agent refused to sign\nwas it asked to confirm, or constrained to other hosts?",
        ),
        row(
            agent_failed(&AgentError::Unbound),
            Client,
            "agent-unbound",
            "the forwarded agent refused to be bound to the session at the host (session-bind@openssh.com)\nis it locked? on your machine, unlock it: ssh-add -X",
        ),
        row(
            agent_failed(&AgentError::Closed),
            Client,
            "agent-failed",
            format!("the forwarded agent closed its channel\n{check}"),
        ),
        row(
            agent_failed(&AgentError::Io(std::io::Error::other("torn"))),
            Client,
            "agent-failed",
            format!("the forwarded agent's channel broke: torn\n{check}"),
        ),
        row(
            agent_lied(&AuthError::Finished),
            Client,
            "agent-failed",
            format!(
                "the forwarded agent's answer is not the signature asked for: the authentication is over\n{check}"
            ),
        ),
        row(
            agent_silent(minutes(2)),
            Client,
            "agent-timeout",
            format!("the forwarded agent has not answered within 2m\n{check}"),
        ),
        row(
            agent_late(Duration::from_secs(15)),
            Client,
            "agent-timeout",
            "your agent has not signed within 15s and others wait for this host\nconfirm or touch the key sooner",
        ),
    ]
}

fn target_rows() -> Vec<Expected> {
    let one_node = "name one node, as in the inventory";
    let ambiguous = ResolveError::Ambiguous {
        label: "env=prod".to_owned(),
        candidates: vec!["db1".to_owned(), "db2".to_owned()],
    };
    let port = ResolveError::Port {
        name: "db1".to_owned(),
        port: 23,
    };
    let cluster = ResolveError::Cluster("other.test".parse().unwrap());
    let policy = Denial::Policy {
        host: "db1".to_owned(),
        login: Some("root".to_owned()),
        why: Box::new(PolicyDenial::NoRole("alice".to_owned())),
    };
    let check = "check the name; the people who run this proxy can tell by the id which rule it is";
    vec![
        row(
            malformed_target(&"no port", "ssh -s PROXY"),
            Proxy,
            "malformed-target",
            "no port\non your machine, in ssh_config: ProxyCommand ssh -s PROXY",
        ),
        row(
            ambiguous_or_unknown(&ResolveError::NotFound("db9".to_owned()), &"x.test"),
            Proxy,
            "unknown-node",
            format!("db9 is not in the inventory\n{one_node}"),
        ),
        row(
            ambiguous_or_unknown(&ambiguous, &"x.test"),
            Proxy,
            "ambiguous-node",
            format!("env=prod is carried by more than one node: db1, db2\n{one_node}"),
        ),
        row(
            ambiguous_or_unknown(&port, &"x.test"),
            Proxy,
            "port-not-in-inventory",
            "port 23 of db1 is not in the inventory, only its own port is\nleave the port out, or use 22",
        ),
        row(
            ambiguous_or_unknown(&cluster, &"x.test"),
            Proxy,
            "unknown-cluster",
            "other.test is another cluster\nthis cluster is x.test",
        ),
        row(
            unknown_node(&target(), "no node has this label"),
            Proxy,
            "unknown-node",
            "unknown node db1.example.com: no node has this label\ncheck the name; the proxy knows the nodes of its configuration and of its DNS",
        ),
        row(
            own_listener(&target()),
            Proxy,
            "own-listener",
            "db1.example.com is this proxy, which does not connect to itself\nname the host that you want to go to: one hop through the proxy is enough",
        ),
        row(
            Refusal::from(&policy),
            Proxy,
            "policy",
            format!("access to db1 as root is denied\n{check}"),
        ),
        row(
            policy_changed(&policy),
            Proxy,
            "policy",
            format!("access to db1 as root is denied, the policy has changed\n{check}"),
        ),
    ]
}

fn host_rows(permit: &LoginPermit) -> Vec<Expected> {
    let route = permit.route();
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

fn host_login_rows(permit: &LoginPermit) -> Vec<Expected> {
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

fn proxy_rows() -> Vec<Expected> {
    let moment = "try again in a moment";
    let share = "close connections that are not used any more, or share one: ControlMaster in ssh_config(5)";
    vec![
        row(
            crowded_out(LimitExceeded::Connections(9)),
            Proxy,
            "too-many-connections",
            format!("too many connections: the limit is 9\n{moment}"),
        ),
        row(
            crowded_out(LimitExceeded::Address(9)),
            Proxy,
            "too-many-connections-from-address",
            format!("too many connections from your address: the limit is 9\n{share}"),
        ),
        row(
            crowded_out(LimitExceeded::User(9)),
            Proxy,
            "too-many-connections-of-user",
            format!("too many connections with certificates of your name: the limit is 9\n{share}"),
        ),
        row(
            crowded_out(LimitExceeded::Starting(9)),
            Proxy,
            "too-many-unauthenticated-connections",
            format!("too many clients are logging in at the moment: the limit is 9\n{moment}"),
        ),
        row(
            crowded_out(LimitExceeded::StartingFromAddress(9)),
            Proxy,
            "too-many-unauthenticated-connections-from-address",
            format!(
                "too many clients from your address are logging in at the moment: the limit is 9\n{moment}"
            ),
        ),
        row(
            crowded_out(LimitExceeded::Displaced),
            Proxy,
            "too-many-unauthenticated-connections-from-address",
            format!(
                "too many clients from your address are logging in, and clients from other addresses need their places\n{moment}"
            ),
        ),
        row(
            too_many_channels(),
            Proxy,
            "too-many-channels",
            "too many channels on one connection\non your machine: end some of the sessions that share the connection to the proxy, or give this one a connection of its own: -o ControlPath=none in ProxyCommand",
        ),
        row(
            too_much_memory_of_user(),
            Proxy,
            "too-much-memory-of-user",
            "connections with certificates of your name hold as much of the proxy's memory as one person may\nclose connections that are not used any more; those whose output nobody reads hold the most",
        ),
        row(
            too_much_memory(),
            Proxy,
            "too-much-memory",
            format!("the proxy's connections hold as much memory as they may\n{moment}"),
        ),
        row(
            no_shell("ssh -s PROXY"),
            Proxy,
            "no-subsystem",
            "there is no shell here, this is a proxy\non your machine: ssh -o ForwardAgent=yes -o ProxyCommand=\"ssh -s PROXY\" HOST",
        ),
        row(
            host_certificate_not_minted(&"too slow"),
            Proxy,
            "host-certificate-not-minted",
            "cannot make a host certificate: too slow\ntell the people who run this proxy; on the proxy, its log says more",
        ),
        row(
            shutting_down(),
            Proxy,
            "shutting-down",
            "shutting down, connect again in a moment",
        ),
        row(
            killed("an administrator ended this session".to_owned()),
            Proxy,
            "killed",
            "an administrator ended this session",
        ),
        row(
            not_encoded("the key", &"no"),
            Proxy,
            "internal",
            "cannot encode the key: no",
        ),
        row(
            not_encoded("the certificate", &"no"),
            Proxy,
            "internal",
            "cannot encode the certificate: no",
        ),
    ]
}

/// The constructors that pass on what another room says: sentence and hint are that room's.
fn foreign_rows(permit: &LoginPermit) -> Vec<Expected> {
    let mut rows = Vec::new();
    for (fault, name) in faults() {
        let error = HostKeyError::Fault {
            name: "db1".to_owned(),
            fault: fault.clone(),
        };
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_host_key(&error), HostCertificate, name, text));
        let error = UserCertError::Fault(fault);
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_certificate(&error), Client, name, text));
    }
    for (error, name) in [
        (
            UserCertError::HostCertificate,
            "user-certificate-of-type-host",
        ),
        (UserCertError::NoKeyId, "no-key-id"),
        (
            UserCertError::SourceAddress {
                allowed: "192.0.2.0/24".parse().unwrap(),
                peer: IpAddr::from([198, 51, 100, 1]),
            },
            "source-address",
        ),
        (
            UserCertError::MalformedSourceAddress(SourceAddressError::Empty),
            "malformed-source-address",
        ),
        (UserCertError::CorruptFlag, "corrupt-critical-option"),
    ] {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_certificate(&error), Client, name, text));
    }
    let name = "db1".to_owned();
    for (error, reason) in [
        (
            HostKeyError::PlainKey {
                name: name.clone(),
                algorithm: "ssh-ed25519".to_owned(),
            },
            "plain-host-key",
        ),
        (
            HostKeyError::UserCertificate { name: name.clone() },
            "host-certificate-of-type-user",
        ),
        (
            HostKeyError::WrongName {
                has: vec![],
                wanted: vec![name],
            },
            "name-not-in-principals",
        ),
    ] {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(bad_host_key(&error), HostCertificate, reason, text));
    }
    for (error, name) in key_errors() {
        let text = format!("{error}\non db1.example.com: {}", error.hint());
        let refusal = malformed_host_key(&target(), &error);
        rows.push(row(refusal, HostCertificate, name, text));
        let error = OfferError::Key(error);
        let text = format!("{error}\non your machine: {}", error.hint());
        rows.push(row(unusable_key(&error), Client, name, text));
    }
    for (error, name) in offer_errors() {
        let text = format!("{error}\n{}", error.hint());
        rows.push(row(unusable_key(&error), Client, name, text));
    }
    for denial in [
        Denial::OtherIdentity {
            outer: "alice".to_owned(),
            inner: "bob".to_owned(),
        },
        Denial::OtherKey,
        Denial::Login {
            login: "root".to_owned(),
            principals: vec!["deploy".to_owned()],
        },
    ] {
        let text = format!("{denial}\n{}", denial.hint());
        rows.push(row(Refusal::from(&denial), Client, denial.reason(), text));
    }
    let short = short_host_key(permit.route(), 1024);
    let text = "the host's RSA key has 1024 bits, at least 2048 are required";
    let hint = crate::cert::short_host_key_hint("db1");
    rows.push(row(
        short,
        HostCertificate,
        "weak-key",
        format!("{text}\n{hint}"),
    ));
    rows
}

fn faults() -> [(CertFault, &'static str); 8] {
    let fingerprint = ed25519().public_key().fingerprint(Default::default());
    [
        (CertFault::NestedCertificate, "nested-certificate"),
        (
            CertFault::UnknownAuthority(fingerprint),
            "unknown-authority",
        ),
        (
            CertFault::Signature(SignatureError::Wrong),
            "bad-ca-signature",
        ),
        (CertFault::WeakKey(1024), "weak-key"),
        (CertFault::NotYetValid(1), "certificate-not-yet-valid"),
        (CertFault::Expired(1), "certificate-expired"),
        (CertFault::NoPrincipals, "no-principals"),
        (
            CertFault::UnknownCriticalOption("x".to_owned()),
            "unknown-critical-option",
        ),
    ]
}

fn key_errors() -> [(KeyError, &'static str); 4] {
    let name = || "ssh-dss".to_owned();
    [
        (
            KeyError::Malformed(ssh_key::Error::FormatEncoding),
            "malformed-key",
        ),
        (KeyError::Unsupported(name()), "unsupported-key"),
        (KeyError::UnsupportedCa(name()), "unsupported-ca-key"),
        (KeyError::NestedCertificate(name()), "nested-certificate"),
    ]
}

fn offer_errors() -> [(OfferError, &'static str); 8] {
    [
        (
            OfferError::Algorithm("ssh-rsa".to_owned()),
            "unsupported-algorithm",
        ),
        (
            OfferError::Mismatch("ssh-rsa".to_owned()),
            "unsupported-algorithm",
        ),
        (OfferError::OtherHostKey, "other-host-key"),
        (OfferError::MalformedSignature, "bad-signature"),
        (
            OfferError::Signature(SignatureError::Wrong),
            "bad-signature",
        ),
        (OfferError::ShortKey(1024), "weak-key"),
        (OfferError::NoTouch, "security-key-not-touched"),
        (OfferError::NotVerified, "security-key-not-verified"),
    ]
}

fn all() -> Vec<Expected> {
    let permit = permit();
    [
        client_rows(),
        agent_rows(),
        target_rows(),
        host_rows(&permit),
        host_login_rows(&permit),
        proxy_rows(),
        foreign_rows(&permit),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_refusal_says_what_it_always_said() {
    for Expected {
        refusal,
        leg,
        name,
        text,
    } in all()
    {
        assert_eq!(told(&refusal), text);
        assert_eq!((refusal.leg, refusal.reason), (leg, name), "{text}");
    }
}

#[test]
fn every_reason_of_the_table_is_used_on_each_of_its_legs_and_no_other() {
    let used: BTreeSet<_> = all()
        .iter()
        .map(|row| (row.refusal.reason, row.refusal.leg as u8))
        .collect();
    let listed: BTreeSet<_> = RefusalReason::ALL
        .iter()
        .flat_map(|reason| reason.legs().iter().map(|leg| (reason.name(), *leg as u8)))
        .collect();
    assert_eq!(used, listed);
}

#[test]
fn stable_names_are_unique_and_in_kebab_case() {
    let names: BTreeSet<_> = RefusalReason::ALL
        .iter()
        .map(|reason| reason.name())
        .collect();
    assert_eq!(names.len(), RefusalReason::ALL.len());
    let is_kebab = |name: &str| {
        let mut parts = name.split('-');
        parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()))
    };
    for name in names {
        assert!(is_kebab(name), "{name}");
    }
}

/// Names that documents tell people to look for.
#[test]
fn documents_name_reasons_that_exist() {
    for (document, text, names) in [
        (
            "docs/hosts.md",
            include_str!("../../../docs/hosts.md"),
            &["not-ssh", "host-dropped", "name-lost"][..],
        ),
        (
            "docs/sessions.md",
            include_str!("../../../docs/sessions.md"),
            &["killed"],
        ),
        (
            "ARCHITECTURE.md",
            include_str!("../../../ARCHITECTURE.md"),
            &["too-much-memory", "too-much-memory-of-user"],
        ),
    ] {
        for name in names {
            assert!(text.contains(&format!("`{name}`")), "{document}: {name}");
            let mut all = RefusalReason::ALL.iter();
            assert!(all.any(|reason| reason.name() == *name), "{name}");
        }
    }
}

/// A key that agents offer as a matter of course tells less than one that should have served.
#[test]
fn refusals_are_worth_telling_in_this_order() {
    let expired = bad_certificate(&UserCertError::Fault(CertFault::Expired(1)));
    let foreign = bad_certificate(&UserCertError::HostCertificate);
    let login: Login = "root".parse().unwrap();
    let way_out = another_certificate_first(&Denial::OtherKey, &login, str::to_owned, "%r@proxy");
    let order = [plain_key(&plain()), foreign, expired, way_out].map(|refusal| refusal.worth);
    let expected = [Worth::PlainKey, Worth::Foreign, Worth::Usual, Worth::WayOut];
    assert_eq!(order, expected);
    assert!(order.is_sorted());
    for (error, worth) in offer_errors() {
        let is_foreign =
            worth == "unsupported-algorithm" && matches!(error, OfferError::Algorithm(_));
        let expected = if is_foreign {
            Worth::Foreign
        } else {
            Worth::Usual
        };
        assert_eq!(unusable_key(&error).worth, expected, "{error}");
    }
}

#[test]
fn what_others_have_said_does_not_act_on_the_users_terminal() {
    let refusal = host_certificate_not_minted(&"no \u{1b}[2J\u{202e} \u{9b}6n");
    assert!(is_printable(&refusal.line(1)), "{}", refusal.line(1));
    let text = refusal.text(1);
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(is_printable), "{text:?}");
}

#[test]
fn the_audit_log_learns_more_than_the_user() {
    let denial = Denial::Policy {
        host: "db1".to_owned(),
        login: None,
        why: Box::new(PolicyDenial::NoRole("alice".to_owned())),
    };
    let refusal = Refusal::from(&denial).with_finding(&"db1 is not in the inventory");
    let event = format!("{:?}", refusal.event(testing::origin()));
    assert!(
        event.contains(r#"rule: Some("\"alice\" has no role; db1 is not in the inventory")"#),
        "{event}"
    );
    assert!(!refusal.text(1).contains("inventory"));
    // Without a rule there is nothing to add to.
    let refusal = shutting_down().with_finding(&"x");
    assert!(format!("{:?}", refusal.event(testing::origin())).contains("rule: None"));
}

#[test]
fn what_was_not_audited_is_counted_in_the_audit_log_alone() {
    let refusal = crowded_out(LimitExceeded::Connections(9));
    assert_eq!(refusal.after_unaudited(0), refusal);
    let audited = refusal.after_unaudited(7);
    assert_eq!(
        audited.message,
        "too many connections: the limit is 9; 7 more of these before"
    );
}

#[test]
fn lines_name_the_leg_and_the_id() {
    let refusal = shutting_down();
    assert_eq!(
        refusal.line("ID"),
        "rproxy: proxy: shutting down, connect again in a moment (id ID)"
    );
    assert_eq!(
        refusal.disconnect_text("ID"),
        "rproxy: shutting down, connect again in a moment (id ID)"
    );
    assert_eq!(refusal.line("ID"), format!("{SHUTTING_DOWN} (id ID)"));
    let legs = [
        (agent_not_forwarded(), "rproxy: client: "),
        (
            bad_host_key(&HostKeyError::UserCertificate {
                name: String::new(),
            }),
            "rproxy: host certificate: ",
        ),
        (no_host_session(&"no"), "rproxy: host authentication: "),
    ];
    for (refusal, start) in legs {
        assert!(
            refusal.line("ID").starts_with(start),
            "{}",
            refusal.line("ID")
        );
    }
    assert_eq!(
        not_authenticated(minutes(2), "ID"),
        "rproxy: client: not authenticated within 2m (id ID)"
    );
    assert_eq!(
        not_identified(Duration::from_secs(10), "ID"),
        "rproxy: client: no SSH identification within 10s (id ID)"
    );
    assert_eq!(login_broken(&"no"), "rproxy: client: no");
}
