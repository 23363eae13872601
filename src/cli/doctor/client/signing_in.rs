//! Users who sign in with a password or a browser: whether ssh can ask them, and offers a key.

use super::super::checks::{CERTIFICATE, QUESTIONS};
use super::super::report::Finding;
use super::ssh::Effective;
use crate::cert::PresentedKey;

/// What ssh has to be able to do at the proxy.
const METHODS: [&str; 2] = ["publickey", "keyboard-interactive"];

/// What of ssh's configuration for the proxy keeps it from asking, or from offering a key.
pub(super) fn examine(outer: &Effective) -> Vec<Finding> {
    let error = |detail: &str, hint: &str| Finding::error(&QUESTIONS, "", detail, hint);
    let is = |keyword: &str, value: &str| outer.value(keyword) == Some(value);
    let mut findings = Vec::new();
    if is("batchmode", "yes") {
        findings.push(error(
            "BatchMode keeps ssh from asking for a password",
            "remove BatchMode for the proxy from ssh's configuration. A program that cannot ask goes \
             on with a sign-in that was made before it: ssh NAME@PROXY login",
        ));
    }
    if is("kbdinteractiveauthentication", "no") {
        findings.push(error(
            "KbdInteractiveAuthentication no keeps ssh from passing on the proxy's questions",
            "remove it for the proxy",
        ));
    }
    if is("numberofpasswordprompts", "0") {
        findings.push(error(
            "NumberOfPasswordPrompts 0 keeps ssh from passing on the proxy's questions",
            "remove it for the proxy",
        ));
    }
    if is("pubkeyauthentication", "no") {
        findings.push(error(
            "PubkeyAuthentication no keeps ssh from offering a key, and the proxy knows you by your key",
            "remove it for the proxy",
        ));
    }
    if let Some(preferred) = outer.path("preferredauthentications") {
        let has = |method: &&&str| preferred.split(',').any(|one| one.trim() == **method);
        let missing: Vec<&str> = METHODS
            .iter()
            .filter(|method| !has(method))
            .copied()
            .collect();
        if !missing.is_empty() {
            let detail = format!(
                "PreferredAuthentications has no {}",
                missing.join(" and no ")
            );
            let hint = "remove it for the proxy, or set it to publickey,keyboard-interactive";
            findings.push(Finding::error(&QUESTIONS, "", detail, hint));
        }
    }
    if findings.is_empty() {
        let detail = "ssh offers keys, and can ask for password and code";
        findings.push(Finding::ok(&QUESTIONS, "", detail));
    }
    findings
}

/// Whether the agent has a key that can be registered.
pub(super) fn keys(held: &[PresentedKey]) -> Finding {
    let is_bare = |key: &&PresentedKey| key.certificate().is_none();
    match held.iter().filter(is_bare).count() {
        0 => {
            let detail = "the agent has certificates and no bare key, and a bare key is registered";
            Finding::error(&CERTIFICATE, "", detail, "add the key: `ssh-add KEY`")
        }
        1 => Finding::ok(&CERTIFICATE, "", "none is needed: the agent has a key"),
        count => {
            let detail = format!("none is needed: the agent has {count} keys");
            Finding::ok(&CERTIFICATE, "", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    /// The findings for what `ssh -G` prints.
    fn found(lines: &str) -> Vec<Finding> {
        examine(&Effective::parse(lines))
    }

    #[test]
    fn what_keeps_ssh_from_asking_is_told() {
        let defaults = "batchmode no\nkbdinteractiveauthentication yes\npubkeyauthentication true\n\
                        numberofpasswordprompts 3\n";
        for good in [
            defaults,
            "preferredauthentications publickey,keyboard-interactive,password\n",
            "preferredauthentications none\n",
        ] {
            let findings = found(good);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].status, Status::Ok, "{findings:?}");
        }
        for (bad, says) in [
            ("batchmode yes\n", "BatchMode"),
            (
                "kbdinteractiveauthentication no\n",
                "KbdInteractiveAuthentication",
            ),
            ("pubkeyauthentication no\n", "PubkeyAuthentication"),
            ("numberofpasswordprompts 0\n", "NumberOfPasswordPrompts"),
            (
                "preferredauthentications publickey\n",
                "has no keyboard-interactive",
            ),
            (
                "preferredauthentications password\n",
                "has no publickey and no keyboard-interactive",
            ),
        ] {
            let findings = found(bad);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].status, Status::Error);
            let text = findings[0].to_string();
            assert!(text.contains(says), "{text}");
        }
        assert_eq!(found("batchmode yes\npubkeyauthentication no\n").len(), 2);
    }
}
