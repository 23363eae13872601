//! Why the login at the host failed, after the host has proved its identity.

use std::fmt::Display;
use std::time::Duration;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::access::LoginPermit;
use crate::audit::Party;
use crate::model::format_duration;

/// The authentication was interrupted.
pub(crate) fn host_login_failed(permit: &LoginPermit, error: &dyn Display) -> Refusal {
    broken_off(permit, RefusalReason::HostAuthentication, error)
}

/// The authentication exceeded the time limit.
pub(crate) fn host_login_timed_out(permit: &LoginPermit, error: &dyn Display) -> Refusal {
    broken_off(permit, RefusalReason::HostAuthenticationTimeout, error)
}

fn broken_off(permit: &LoginPermit, reason: RefusalReason, error: &dyn Display) -> Refusal {
    let text = format!("cannot log in at {}: {error}", permit.route().target.host);
    Refusal::new(Party::HostAuthentication, reason, text)
}

/// The host refused the certificate. `needs_sha1`: it may accept RSA keys with SHA-1 only.
pub(crate) fn certificate_refused(permit: &LoginPermit, needs_sha1: bool) -> Refusal {
    let (login, host) = (permit.login(), &permit.route().target.host);
    let no = format!("{host} does not let {login} in with this certificate");
    let (text, hint) = match needs_sha1 {
        true => (
            format!("{no}, and does not say that it takes RSA keys but with SHA-1 (ssh-rsa)"),
            format!(
                "use an Ed25519 or ECDSA key, or update sshd on {host}; if neither is possible, on the proxy, in its configuration at the entry of {host} in nodes: legacy_algorithms: [ssh-rsa]"
            ),
        ),
        false => (
            no,
            format!(
                "on {host}: the file of TrustedUserCAKeys must hold what `rproxy auth export --type=user` prints on the proxy, and the account {login} must exist; the log of its sshd says why. If it says nothing of the kind, on the proxy: `rproxy doctor`, which tells whether `egress_addrs` or a clock that is off is the reason"
            ),
        ),
    };
    Refusal::new(Party::HostAuthentication, RefusalReason::HostRefused, text).hint(hint)
}

/// The host accepted the certificate, and refused the user's answers.
pub(crate) fn answers_refused(permit: &LoginPermit) -> Refusal {
    let (login, host) = (permit.login(), &permit.route().target.host);
    let text = format!(
        "{host} takes the certificate of {login}, and not what was answered to its questions"
    );
    Refusal::new(Party::HostAuthentication, RefusalReason::SecondFactor, text).hint(format!(
        "log in again; the log of sshd on {host} says what is wrong with the answers"
    ))
}

/// The host accepted the certificate, and requires one of these methods as well, which the proxy
/// cannot pass on here.
pub(crate) fn second_factor_wanted(permit: &LoginPermit, methods: &[String]) -> Refusal {
    let (login, host) = (permit.login(), &permit.route().target.host);
    let asks = methods
        .iter()
        .any(|method| method == "keyboard-interactive");
    let named = methods.iter().take(8).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    let text = format!(
        "{host} takes the certificate of {login}, and wants a second factor besides ({named})"
    );
    Refusal::new(Party::HostAuthentication, RefusalReason::SecondFactor, text).hint(match asks {
        true => format!(
            "with ProxyJump nobody can be asked before the session: use ProxyCommand, which `rproxy config` prints on the proxy; or on {host}, in sshd_config: AuthenticationMethods publickey"
        ),
        false => format!(
            "the proxy passes on questions of keyboard-interactive, and no passwords: on {host}, set AuthenticationMethods publickey,keyboard-interactive, or publickey alone"
        ),
    })
}

/// The host asked for a second factor, and the user's ssh did not answer.
pub(crate) fn second_factor_unanswered(permit: &LoginPermit, error: &dyn Display) -> Refusal {
    let host = &permit.route().target.host;
    let text = format!(
        "{host} takes the certificate and wants a second factor besides, and the client did not answer: {error}"
    );
    Refusal::new(Party::Client, RefusalReason::SecondFactor, text)
        .hint("on your machine: log in from a terminal, without BatchMode and with KbdInteractiveAuthentication")
}

/// The user did not answer the host's questions within this time. `others_wait`: other connections
/// wait for the same host.
pub(crate) fn answered_too_late(limit: Duration, others_wait: bool) -> Refusal {
    let others = match others_wait {
        true => " and others wait for this host",
        false => "",
    };
    let limit = format_duration(limit);
    let text = format!("the host's questions were not answered within {limit}{others}");
    Refusal::new(Party::Client, RefusalReason::SecondFactorTimeout, text)
        .hint("log in again and answer sooner")
}

/// The host opened no session for a client with ProxyJump.
pub(crate) fn no_host_session(why: &dyn Display) -> Refusal {
    Refusal::new(
        Party::HostAuthentication,
        RefusalReason::HostOpenedNoSession,
        format!("the host opened no session: {why}"),
    )
}
