//! `login --add`: a new key and a certificate for it, in the forwarded agent.

use std::time::Duration;

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, PrivateKey};
use zeroize::Zeroizing;

use super::context::ProgramContext;
use super::failure::ProgramError;
use super::own::OwnAffairs;
use crate::agent::add_identity;
use crate::cert::{PresentedKey, certificate_blob};
use crate::ipc::OwnCommand;
use crate::model::format_duration;
use crate::ssh::agent::{AgentError, ForwardedAgent};

/// How long the agent may take for everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a key and its certificate into the agent; what the user reads.
///
/// # Errors
/// There is no agent, it refuses, or there is no certificate.
pub(super) async fn add(
    context: &ProgramContext,
    own: &OwnAffairs<'_>,
) -> Result<String, ProgramError> {
    let Some(opener) = &context.agent else {
        return Err(ProgramError::Unusable(format!(
            "no agent is forwarded: {} login --add",
            context.command("-A")
        )));
    };
    let pair = Ed25519Keypair::random(&mut rand::rng());
    let key = PrivateKey::new(KeypairData::Ed25519(pair.clone()), "").map_err(broken)?;
    let public = key.public_key().to_bytes().map_err(broken)?;
    let line = own
        .certificate(OwnCommand::CertificateFor {
            key: public.clone(),
        })
        .await?;
    let certificate = certificate(&line, &key)?;
    let blob = certificate_blob(&certificate).map_err(broken)?;
    let left = certificate.valid_before().saturating_sub(context.now());
    let seconds = u32::try_from(left).unwrap_or(u32::MAX);
    let comment = format!("{}@{}", context.caller.identity.name(), context.cluster());
    let pair = Zeroizing::new(pair.to_bytes());
    let stream = opener.open().await.map_err(|_none| refused(context))?;
    let mut agent = ForwardedAgent::new(stream, context.services.metrics.clone());
    let added = async {
        // The certificate first: a key without it is of no use, and would stay.
        for certificate in [Some(blob.as_slice()), None] {
            agent
                .add(&add_identity(&pair, certificate, &comment, seconds))
                .await?;
        }
        agent.find(Some(&blob), &blob).await
    };
    match tokio::time::timeout(PATIENCE, added).await {
        Ok(Ok(_listed)) => Ok(format!(
            "your agent has a key with a certificate for {}\n",
            format_duration(Duration::from_secs(left))
        )),
        Ok(Err(AgentError::NoKey)) => Err(ProgramError::Unusable(format!(
            "your agent took the certificate and does not list it; {}",
            another_way(context)
        ))),
        Ok(Err(_)) | Err(_) => Err(refused(context)),
    }
}

/// The certificate in this line, which has to be one for this key.
fn certificate(line: &str, key: &PrivateKey) -> Result<Certificate, ProgramError> {
    let presented = PresentedKey::from_line(line).map_err(broken)?;
    let certificate = presented
        .certificate()
        .filter(|certificate| certificate.public_key() == key.public_key().key_data());
    certificate
        .cloned()
        .ok_or_else(|| broken("it is for another key"))
}

fn broken(error: impl std::fmt::Display) -> ProgramError {
    ProgramError::Unusable(format!("the proxy made no usable certificate: {error}"))
}

/// Some agents hold no certificates, and some know no lifetimes.
fn refused(context: &ProgramContext) -> ProgramError {
    ProgramError::Unusable(format!(
        "your agent does not take a certificate with a lifetime; {}",
        another_way(context)
    ))
}

fn another_way(context: &ProgramContext) -> String {
    format!(
        "hosts can be reached without it, and a file can hold one: {} cert > ~/.ssh/id_ed25519-cert.pub",
        context.command("-T")
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::identities_answer;
    use crate::cert::testing::{CertSpec, NOW, ed25519};
    use crate::ipc::{CallError, People, PeopleAnswer, PeopleQuestion, PeopleRequest};
    use crate::model::ConnectionId;
    use crate::ssh::endpoint::{AgentOpener, AgentRequest};
    use crate::ssh::outer::programs::testing::signed_in;
    use crate::ssh::people_client::PeopleClient;
    use crate::ssh::testing::{CLIENT, SshFixture, memory_channel};

    const SUCCESS: &[u8] = &[0, 0, 0, 1, 6];
    const FAILURE: &[u8] = &[0, 0, 0, 1, 5];
    /// Where the certificate begins in a request that adds one: after the length, the kind and the name.
    const CERTIFICATE_AT: usize = 4 + 1 + 4 + "ssh-ed25519-cert-v01@openssh.com".len();

    /// Certifies the key that it is asked for, or another one.
    #[derive(Debug)]
    struct Certifies {
        the_right_key: bool,
    }

    impl People for Certifies {
        fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
            let PeopleQuestion::Own(OwnCommand::CertificateFor { key }) = request.ask else {
                return Ok(PeopleAnswer::Closed);
            };
            let asked = PresentedKey::decode(&key).unwrap().key_data().clone();
            let spec = CertSpec::user(&ed25519()).with(|spec| {
                if self.the_right_key {
                    spec.key = asked;
                }
            });
            let certificate = spec.sign(&ed25519());
            Ok(PeopleAnswer::Certificate(certificate.to_openssh().unwrap()))
        }
    }

    /// An agent that answers requests to add with these, and lists the first certificate that it took.
    async fn agent(mut far: DuplexStream, answers: &'static [&'static [u8]], lists: bool) -> usize {
        let (mut added, mut certificate) = (0, None);
        while let Ok(length) = far.read_u32().await {
            let mut request = length.to_be_bytes().to_vec();
            request.resize(4 + length as usize, 0);
            far.read_exact(&mut request[4..]).await.unwrap();
            let answer = match request[4] {
                25 => {
                    let body = &request[CERTIFICATE_AT..];
                    let size = u32::from_be_bytes(*body.first_chunk().unwrap()) as usize;
                    certificate.get_or_insert_with(|| body[4..4 + size].to_vec());
                    added += 1;
                    answers[added - 1].to_vec()
                }
                _ => {
                    let held = certificate.as_deref().filter(|_| lists);
                    identities_answer(held.map(|blob| (blob, "")))
                }
            };
            far.write_all(&answer).await.unwrap();
        }
        added
    }

    /// What comes of it with this agent; how many requests to add the agent got.
    async fn add_to(
        answers: &'static [&'static [u8]],
        lists: bool,
        the_right_key: bool,
    ) -> (Result<String, ProgramError>, usize) {
        let proxy = SshFixture::new();
        let (requests, mut asked) = mpsc::channel::<AgentRequest>(1);
        let people = PeopleClient::new(Arc::new(Certifies { the_right_key }));
        let person = people.person(ConnectionId::new(), CLIENT, "alice".to_owned());
        let context = ProgramContext {
            agent: Some(AgentOpener { requests }),
            ..signed_in(&proxy, person.clone())
        };
        let serving = tokio::spawn(async move {
            let Some(reply) = asked.recv().await else {
                return 0;
            };
            let (stream, far) = memory_channel();
            reply.send(Ok(stream)).unwrap();
            agent(far, answers, lists).await
        });
        let added = add(&context, &OwnAffairs::new(&person)).await;
        drop(context);
        (added, serving.await.unwrap())
    }

    #[tokio::test]
    async fn a_certificate_and_its_key_are_added() {
        let (added, count) = add_to(&[SUCCESS, SUCCESS], true, true).await;
        assert_eq!(
            added.unwrap(),
            "your agent has a key with a certificate for 1h\n"
        );
        assert_eq!(count, 2);
        assert_eq!(NOW + 3600, CertSpec::user(&ed25519()).validity.1);
    }

    #[tokio::test]
    async fn an_agent_that_refuses_is_said_to() {
        for (answers, lists, expected, count) in [
            (&[FAILURE][..], true, "does not take a certificate", 1),
            (&[SUCCESS, FAILURE], true, "does not take a certificate", 2),
            (&[SUCCESS, SUCCESS], false, "does not list it", 2),
        ] {
            let (added, asked) = add_to(answers, lists, true).await;
            let error = added.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(
                error.contains("ssh -T -p 3023 alice@PROXY cert >"),
                "{error}"
            );
            assert_eq!(asked, count);
        }
    }

    /// The agent gets no certificate that is not for the key beside it.
    #[tokio::test]
    async fn a_certificate_for_another_key_is_not_added() {
        let (added, asked) = add_to(&[], true, false).await;
        let error = added.unwrap_err().to_string();
        assert!(error.contains("it is for another key"), "{error}");
        assert_eq!(asked, 0);
    }
}
