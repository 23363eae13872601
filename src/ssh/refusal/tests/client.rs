//! What refusals of the client and of its agent say.

use std::time::Duration;

use super::{Expected, minutes, plain, row};
use crate::access::Denial;
use crate::audit::Party::Client;
use crate::ipc::SignInEnd::{Expired, KeyRemoved, Locked, Logout, PasswordChanged, Removed, Reset};
use crate::model::Login;
use crate::ssh::agent::AgentError;
use crate::ssh::leg::LegError;
use crate::ssh::refusal::*;
use crate::wire::auth::AuthError;

/// The constructors whose sentence is their own.
pub(super) fn client_rows() -> Vec<Expected> {
    let ended = |end, text: &str| {
        let text = format!("your sign-in has ended: {text}");
        row(sign_in_ended(end), Client, "sign-in-ended", text)
    };
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
            revoked_person(None),
            Client,
            "certificate-revoked",
            "your name or your key is revoked\nask the people who run this proxy",
        ),
        row(
            revoked_person(Some("laptop lost")),
            Client,
            "certificate-revoked",
            "your name or your key is revoked: laptop lost\nask the people who run this proxy",
        ),
        ended(Expired, "it has expired\nconnect again and sign in"),
        ended(Logout, "you have logged out\nconnect again and sign in"),
        ended(
            Locked,
            "your account here is locked\nask the people who run this proxy",
        ),
        ended(
            Removed,
            "your account here was removed\nask the people who run this proxy",
        ),
        ended(
            Reset,
            "your credentials were reset\nsign up again with a new invitation; the people who run this proxy have it",
        ),
        ended(
            PasswordChanged,
            "your password was changed\nconnect again and sign in with the new one",
        ),
        ended(
            KeyRemoved,
            "the key was removed from your account\nconnect again with another key",
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

pub(super) fn agent_rows() -> Vec<Expected> {
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
            agent_refused_bare_key(),
            Client,
            "agent-refused",
            "the forwarded agent refused to sign\nwas it asked to confirm? a key for certain hosts (ssh-add -h) needs its certificate in the agent: ssh -T NAME@PROXY cert > KEY-cert.pub, then ssh-add -h again",
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
