//! What is wrong with the client's agent. This is the user's side of the connection.

use std::error::Error;
use std::time::Duration;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::audit::Party;
use crate::model::format_duration;
use crate::ssh::agent::AgentError;

/// What to do about an agent that does not do what it should.
const CHECK_AGENT: &str = "on your machine, check the agent: ssh-add -L";
/// The agent was not forwarded, by whatever way.
const REQUIRED: &str = "agent forwarding required";

/// The client did not forward its agent to the proxy.
pub(crate) fn agent_not_forwarded() -> Refusal {
    Refusal::new(Party::Client, RefusalReason::AgentNotForwarded, REQUIRED).hint("on your machine: add -o ForwardAgent=yes to the ssh command in ProxyCommand, and load the key: ssh-add")
}

/// The session of a client with ProxyJump does not forward its agent.
pub(crate) fn agent_not_forwarded_by_jump() -> Refusal {
    Refusal::new(Party::Client, RefusalReason::AgentNotForwarded, REQUIRED).hint(
        "on your machine: with ProxyJump, add -A (scp and sftp too) and load the key with ssh-add; or use ProxyCommand, which `rproxy config` prints on the proxy",
    )
}

/// The client offered to forward its agent and opens no channel to it.
pub(crate) fn agent_not_opened() -> Refusal {
    Refusal::new(
        Party::Client,
        RefusalReason::AgentNotOpened,
        "agent forwarding required: it was asked for, but no agent answers",
    )
    .hint("on your machine: start an agent and load the key: eval $(ssh-agent); ssh-add")
}

/// An agent that does not do what it should.
pub(crate) fn agent_failed(error: &AgentError) -> Refusal {
    let (reason, hint) = match error {
        AgentError::NoKey => (
            RefusalReason::AgentWithoutKey,
            "on your machine, load it into the agent: ssh-add KEY (the certificate may stay in CertificateFile)",
        ),
        AgentError::Refused => (
            RefusalReason::AgentRefused,
            "was it asked to confirm, or constrained to other hosts?",
        ),
        AgentError::Unbound => (
            RefusalReason::AgentUnbound,
            "is it locked? on your machine, unlock it: ssh-add -X",
        ),
        AgentError::Io(_) | AgentError::Closed | AgentError::Codec(_) => {
            (RefusalReason::AgentFailed, CHECK_AGENT)
        }
    };
    Refusal::new(Party::Client, reason, with_source(error)).hint(hint)
}

/// An agent that does not sign with the bare key of a user who has signed in, for a certificate that only the
/// host is shown.
pub(crate) fn agent_refused_bare_key() -> Refusal {
    let text = AgentError::Refused.to_string();
    Refusal::new(Party::Client, RefusalReason::AgentRefused, text).hint(
        "was it asked to confirm? a key for certain hosts (ssh-add -h) needs its certificate in the agent: ssh -T NAME@PROXY cert > KEY-cert.pub, then ssh-add -h again",
    )
}

/// An agent that does not answer in time.
pub(crate) fn agent_silent(limit: Duration) -> Refusal {
    let limit = format_duration(limit);
    let text = format!("the forwarded agent has not answered within {limit}");
    Refusal::new(Party::Client, RefusalReason::AgentTimeout, text).hint(CHECK_AGENT)
}

/// An agent that has not signed within this time, while others wait for the host.
pub(crate) fn agent_late(limit: Duration) -> Refusal {
    let limit = format_duration(limit);
    let text = format!("your agent has not signed within {limit} and others wait for this host");
    Refusal::new(Party::Client, RefusalReason::AgentTimeout, text)
        .hint("confirm or touch the key sooner")
}

/// The agent returned an invalid signature, which was not sent to the host.
pub(crate) fn agent_lied(error: &dyn Error) -> Refusal {
    let text = format!(
        "the forwarded agent's answer is not the signature asked for: {}",
        with_source(error)
    );
    Refusal::new(Party::Client, RefusalReason::AgentFailed, text).hint(CHECK_AGENT)
}

/// An error and what is behind it, one step deep.
fn with_source(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
