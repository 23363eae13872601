//! Other settings in ssh's configuration: agent forwarding, host keys, sockets.

use super::super::checks::{CONTROL_PATH, FORWARD_AGENT, HOST_KEY_CHECKING};
use super::super::report::Finding;
use super::proxy_path::ProxyPath;
use super::ssh::Effective;

/// Longest path of a socket, without the zero after it.
const MAX_SOCKET: usize = 107;
/// What ssh appends to the path while it makes the socket.
const WHILE_MADE: usize = 17;

pub(super) fn examine(way: &ProxyPath, findings: &mut Vec<Finding>) {
    findings.push(forwarding(way));
    let both = [
        ("the proxy", Some(&way.outer)),
        ("the host", way.inner.as_ref()),
    ];
    for (name, effective) in both {
        let Some(effective) = effective else { continue };
        findings.push(checking(name, effective));
        findings.extend(control_path(name, effective));
    }
}

/// The proxy asks the user's agent to sign the login at the host.
fn forwarding(way: &ProxyPath) -> Finding {
    let check = &FORWARD_AGENT;
    let (effective, keyword) = match &way.inner {
        Some(inner) if way.is_jump => (inner, "ForwardAgent yes for the host, or `ssh -A`"),
        Some(_) => (
            &way.outer,
            "`-o ForwardAgent=yes` in the ProxyCommand, after `ssh`",
        ),
        None => (&way.outer, "ForwardAgent yes for the proxy"),
    };
    match effective.value("forwardagent") {
        Some("no") | None if way.inner.is_none() => Finding::warning(
            check,
            "",
            "ssh forwards no agent to the proxy, unless the ProxyCommand of hosts says so",
            format!("set {keyword}; --host=NAME looks at the way to a host"),
        ),
        Some("no") | None => Finding::error(
            check,
            "",
            "the agent does not go along: the proxy has nobody to sign the login at the host",
            format!("set {keyword}"),
        ),
        Some(value) => Finding::ok(check, "", value),
    }
}

fn checking(name: &str, effective: &Effective) -> Finding {
    let check = &HOST_KEY_CHECKING;
    match effective.value("stricthostkeychecking") {
        Some("no" | "off" | "false") => Finding::warning(
            check,
            name,
            "StrictHostKeyChecking is off: anybody on the way can be the proxy",
            "remove it; the host CA in known hosts makes it needless",
        ),
        value => Finding::ok(check, name, value.unwrap_or("as it is by default")),
    }
}

fn control_path(name: &str, effective: &Effective) -> Option<Finding> {
    let path = effective.path("controlpath")?;
    let is_used = effective
        .value("controlmaster")
        .is_some_and(|v| v != "false" && v != "no");
    if path.len() + WHILE_MADE > MAX_SOCKET && is_used {
        let detail = format!(
            "{} characters are too long for a socket: {path}",
            path.len()
        );
        let hint = "set a shorter one, such as ControlPath ~/.ssh/%C";
        return Some(Finding::error(&CONTROL_PATH, name, detail, hint));
    }
    Some(Finding::ok(&CONTROL_PATH, name, path))
}
