//! The user's forwarded agent: it is asked for its list of keys, for a binding, and for exactly one
//! signature.
//!
//! Every answer is hostile input: the codec bounds its size, the caller bounds the time, and a
//! signature is used only after it was verified.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::channel::ChannelStream;
use crate::agent::{self, AgentIdentity, AgentReply, ReplyDecoder, SignFlags};
use crate::metrics::{AgentTask, Metrics};
use crate::wire::SessionBinding;

/// Why a request to the agent failed.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    /// The channel broke.
    #[error("the forwarded agent's channel broke")]
    Io(#[from] io::Error),
    /// The channel ended.
    #[error("the forwarded agent closed its channel")]
    Closed,
    /// The answer does not follow the agent protocol.
    #[error("the forwarded agent's answer makes no sense")]
    Codec(#[from] agent::AgentError),
    /// The agent refused to sign.
    #[error("the forwarded agent refused to sign")]
    Refused,
    /// The agent supports session binding and refused it: its signature would be made as if it was
    /// requested on the agent's own machine (CVE-2026-73281).
    #[error(
        "the forwarded agent refused to be bound to the session at the host ({})",
        agent::SESSION_BIND
    )]
    Unbound,
    /// The agent holds neither the certificate nor its key.
    #[error("the forwarded agent does not hold the key that authenticated you")]
    NoKey,
}

/// A channel to the agent.
#[derive(Debug)]
pub(crate) struct ForwardedAgent {
    stream: ChannelStream,
    decoder: ReplyDecoder,
    metrics: Arc<Metrics>,
}

impl ForwardedAgent {
    pub(crate) fn new(stream: ChannelStream, metrics: Arc<Metrics>) -> Self {
        Self {
            stream,
            decoder: ReplyDecoder::default(),
            metrics,
        }
    }

    /// The blob under which the agent signs for the user: the certificate, if there is one, or the
    /// bare key where the agent holds no certificates (GNOME Keyring, gpg-agent).
    pub(crate) async fn find(
        &mut self,
        certificate: Option<&[u8]>,
        key: &[u8],
    ) -> Result<Vec<u8>, AgentError> {
        let request = agent::request_identities();
        let reply = self.ask_timed(AgentTask::List, &request).await?;
        let identities = agent::expect_identities(reply)?;
        let holds = |blob: &[u8]| {
            identities
                .iter()
                .any(|identity: &AgentIdentity| identity.blob == blob)
        };
        let mut wanted = certificate.into_iter().chain([key]);
        match wanted.find(|blob| holds(blob)) {
            Some(blob) => Ok(blob.to_vec()),
            None => Err(AgentError::NoKey),
        }
    }

    /// Binds the channel to the host (`session-bind@openssh.com`), so that keys with destination
    /// constraints can decide. An agent without this extension answers with a failure; it holds no
    /// such keys, and the login continues. An agent that supports the extension and refuses,
    /// because it is locked or takes the binding for forged, gets no further request.
    pub(crate) async fn bind(&mut self, binding: &SessionBinding) -> Result<(), AgentError> {
        let request = agent::session_bind(
            &binding.host_key,
            &binding.session_id,
            &binding.signature,
            false,
        );
        let is_refused = match self.ask(&request).await? {
            AgentReply::Success => false,
            AgentReply::ExtensionFailure => true,
            // The agent does not support the extension, or refuses the binding.
            AgentReply::Failure => self
                .ask(&agent::query())
                .await?
                .announces(agent::SESSION_BIND),
            _ => return Err(agent::AgentError::WrongReply.into()),
        };
        match is_refused {
            true => Err(AgentError::Unbound),
            false => Ok(()),
        }
    }

    /// Requests one signature.
    pub(crate) async fn sign(
        &mut self,
        blob: &[u8],
        data: &[u8],
        flags: SignFlags,
    ) -> Result<Vec<u8>, AgentError> {
        let request = agent::sign_request(blob, data, flags);
        match self.ask_timed(AgentTask::Sign, &request).await? {
            AgentReply::Failure | AgentReply::ExtensionFailure => Err(AgentError::Refused),
            reply => Ok(agent::expect_signature(reply)?),
        }
    }

    /// Has the agent hold a key: the request is one of [`agent::add_identity`].
    pub(crate) async fn add(&mut self, request: &[u8]) -> Result<(), AgentError> {
        match self.ask(request).await? {
            AgentReply::Failure | AgentReply::ExtensionFailure => Err(AgentError::Refused),
            reply => Ok(agent::expect_success(reply)?),
        }
    }

    async fn ask_timed(
        &mut self,
        task: AgentTask,
        request: &[u8],
    ) -> Result<AgentReply, AgentError> {
        let asked = Instant::now();
        let reply = self.ask(request).await?;
        self.metrics.agent.observe(task, asked.elapsed());
        Ok(reply)
    }

    async fn ask(&mut self, request: &[u8]) -> Result<AgentReply, AgentError> {
        self.stream.write_all(request).await?;
        let mut buffer = [0; 4096];
        loop {
            if let Some(reply) = self.decoder.next_reply()? {
                return Ok(reply);
            }
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                return Err(AgentError::Closed);
            }
            self.decoder
                .feed(buffer.get(..length).unwrap_or_default())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{failure, identities_answer, sign_response};
    use crate::ssh::testing::memory_channel;

    const KEY: &[u8] = b"a key";
    const CERTIFICATE: &[u8] = b"its certificate";

    /// An agent that gives these answers, whatever it is asked, and hangs up after the last.
    fn agent(answers: Vec<Vec<u8>>) -> ForwardedAgent {
        let (stream, mut far) = memory_channel();
        tokio::spawn(async move {
            for answer in answers {
                let length = far.read_u32().await.unwrap();
                let mut request = vec![0; length as usize];
                far.read_exact(&mut request).await.unwrap();
                far.write_all(&answer).await.unwrap();
            }
        });
        ForwardedAgent::new(stream, Arc::default())
    }

    /// A message without anything but its type, or with a string too.
    fn message(kind: u8, string: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![kind];
        if let Some(string) = string {
            body.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
            body.extend(string);
        }
        let mut framed = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(body);
        framed
    }

    fn binding() -> SessionBinding {
        SessionBinding {
            host_key: vec![1],
            session_id: vec![2],
            signature: vec![3],
        }
    }

    #[tokio::test]
    async fn a_certificate_or_its_bare_key_is_found_and_nothing_else() {
        for held in [CERTIFICATE, KEY] {
            let mut agent = agent(vec![identities_answer(Some((held, "alice")))]);
            assert_eq!(agent.find(Some(CERTIFICATE), KEY).await.unwrap(), held);
        }
        let held = [CERTIFICATE, KEY].map(|held| identities_answer(Some((held, "alice"))));
        let [certificate, key] = held.map(|answer| agent(vec![answer]));
        let (mut certificate, mut key) = (certificate, key);
        assert_eq!(key.find(None, KEY).await.unwrap(), KEY);
        let found = certificate.find(None, KEY).await;
        assert!(matches!(found, Err(AgentError::NoKey)), "{found:?}");
        for answer in [
            identities_answer(Some((b"another", ""))),
            identities_answer(None),
        ] {
            let found = agent(vec![answer]).find(Some(CERTIFICATE), KEY).await;
            assert!(matches!(found, Err(AgentError::NoKey)), "{found:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_to_the_question_is_an_error() {
        for answer in [failure(), sign_response(b"x"), message(99, None)] {
            let found = agent(vec![answer]).find(Some(CERTIFICATE), KEY).await;
            assert!(matches!(found, Err(AgentError::Codec(_))), "{found:?}");
        }
        let long = u32::MAX.to_be_bytes().to_vec();
        let found = agent(vec![long]).find(Some(CERTIFICATE), KEY).await;
        assert!(matches!(found, Err(AgentError::Codec(_))), "{found:?}");
        let found = agent(Vec::new()).find(Some(CERTIFICATE), KEY).await;
        assert!(
            matches!(found, Err(AgentError::Closed | AgentError::Io(_))),
            "{found:?}"
        );
    }

    /// CVE-2026-73281: what it signs then would be signed as if it were asked on its own machine.
    #[tokio::test]
    async fn an_agent_that_could_be_bound_and_refuses_is_asked_for_nothing() {
        let knows = message(29, Some(agent::SESSION_BIND.as_bytes()));
        for answers in [vec![message(28, None)], vec![failure(), knows]] {
            let bound = agent(answers).bind(&binding()).await;
            assert!(matches!(bound, Err(AgentError::Unbound)), "{bound:?}");
        }
        let knows_others = message(29, Some(b"another@example.com"));
        for answers in [
            vec![message(6, None)],
            vec![failure(), failure()],
            vec![failure(), knows_others],
        ] {
            agent(answers).bind(&binding()).await.unwrap();
        }
        let odd = agent(vec![identities_answer(None)]).bind(&binding()).await;
        assert!(matches!(odd, Err(AgentError::Codec(_))), "{odd:?}");
    }

    #[tokio::test]
    async fn a_signature_is_passed_on_as_it_is_and_a_no_is_a_no() {
        let mut willing = agent(vec![sign_response(b"signature")]);
        let signed = willing.sign(KEY, b"data", SignFlags::NONE).await;
        assert_eq!(signed.unwrap(), b"signature");
        for answer in [failure(), message(28, None)] {
            let signed = agent(vec![answer])
                .sign(KEY, b"data", SignFlags::NONE)
                .await;
            assert!(matches!(signed, Err(AgentError::Refused)), "{signed:?}");
        }
    }
}
