//! The user's agent: whether it answers, and its keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::checks::{AGENT, AGENT_KEYS};
use super::super::report::Finding;
use super::ssh::Effective;
use crate::agent::{self, ReplyDecoder};
use crate::cert::PresentedKey;
use crate::model::chain;

/// The variable that names its socket.
const VARIABLE: &str = "SSH_AUTH_SOCK";
/// How long it may take to list its keys.
const PATIENCE: Duration = Duration::from_secs(5);
const START: &str = "start one and add the key: `eval $(ssh-agent)`, `ssh-add`";

/// Where the agent is that ssh asks.
pub(super) fn socket(outer: Option<&Effective>) -> Option<PathBuf> {
    let environment = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let named = outer.and_then(|outer| outer.value("identityagent"));
    match named {
        None | Some("SSH_AUTH_SOCK" | "${SSH_AUTH_SOCK}" | "$SSH_AUTH_SOCK") => {
            environment().map(PathBuf::from)
        }
        Some("none") => None,
        Some(path) => Some(super::certificate::expanded(path)),
    }
}

/// What the agent gave.
#[derive(Debug)]
pub(super) enum AgentContents {
    /// Keys and certificates, those that can be read.
    Keys(Vec<PresentedKey>),
    /// There is none, or it has nothing.
    Nothing,
    /// It is there and does not answer.
    Silence,
}

/// Asks for its keys.
pub(super) async fn examine(socket: Option<&Path>, findings: &mut Vec<Finding>) -> AgentContents {
    let Some(socket) = socket else {
        let detail = "there is none: SSH_AUTH_SOCK is not set, and IdentityAgent names none";
        findings.push(Finding::error(&AGENT, "", detail, START));
        return AgentContents::Nothing;
    };
    let subject = socket.display();
    let listed = match timeout(PATIENCE, identities(socket)).await {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => {
            let detail = format!("does not answer: {}", chain(&*error));
            let hint = format!("the agent there is gone, or is another user's: {START}");
            findings.push(Finding::error(&AGENT, subject, detail, hint));
            return AgentContents::Nothing;
        }
        Err(_late) => {
            let detail = format!("does not answer within {} seconds", PATIENCE.as_secs());
            let hint = format!("it hangs, or waits for somebody to unlock it; or {START}");
            findings.push(Finding::error(&AGENT, subject, detail, hint));
            return AgentContents::Silence;
        }
    };
    findings.push(Finding::ok(&AGENT, subject, "answers"));
    if listed.is_empty() {
        let hint = "add the key with `ssh-add`, or unlock the agent with `ssh-add -X`";
        findings.push(Finding::error(
            &AGENT_KEYS,
            "",
            "it holds no keys, or is locked",
            hint,
        ));
        return AgentContents::Nothing;
    }
    let (mut keys, mut unknown) = (Vec::new(), BTreeSet::new());
    for identity in &listed {
        match PresentedKey::decode(&identity.blob) {
            Ok(key) => keys.push(key),
            Err(error) => {
                unknown.insert((error.to_string(), error.hint()));
            }
        }
    }
    let certificates = keys
        .iter()
        .filter(|key| key.certificate().is_some())
        .count();
    let plain = keys.len() - certificates;
    let detail = format!("keys: {plain}, certificates: {certificates}");
    findings.push(Finding::ok(&AGENT_KEYS, "", detail));
    for (detail, hint) in unknown {
        let detail = format!("it has one that rproxy cannot read: {detail}");
        findings.push(Finding::warning(&AGENT_KEYS, "", detail, hint));
    }
    AgentContents::Keys(keys)
}

async fn identities(
    socket: &Path,
) -> Result<Vec<agent::AgentIdentity>, Box<dyn std::error::Error + Send + Sync>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&agent::request_identities()).await?;
    let mut decoder = ReplyDecoder::default();
    let mut buffer = [0; 4096];
    loop {
        if let Some(reply) = decoder.next_reply()? {
            return Ok(agent::expect_identities(reply)?);
        }
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err("it closed the connection".into());
        }
        decoder.feed(buffer.get(..length).unwrap_or_default())?;
    }
}
