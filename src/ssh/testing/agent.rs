//! A user's agent in memory, honest or not.

use ::signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::PrivateKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::agent::{AgentRequest, failure, identities_answer, sign_response};

/// What the agent does when it is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSign {
    /// It signs.
    Signs,
    /// It refuses.
    Refuses,
    /// It does not answer.
    IsSilent,
    /// It signs something else.
    Lies,
}

/// Serves an agent that holds this key, if any, at the end of a stream; how often it was asked to sign.
pub(crate) async fn serve(
    mut stream: DuplexStream,
    key: Option<PrivateKey>,
    on_sign: OnSign,
) -> usize {
    let mut asked = 0;
    while let Ok(length) = stream.read_u32().await {
        let mut message = vec![0; length as usize];
        if stream.read_exact(&mut message).await.is_err() {
            break;
        }
        let answer = match (AgentRequest::parse(&message).unwrap(), &key) {
            (AgentRequest::Identities, key) => {
                let blob = key.as_ref().map(|key| key.public_key().to_bytes().unwrap());
                identities_answer(blob.as_deref().map(|blob| (blob, "alice")))
            }
            (AgentRequest::Sign { data, .. }, Some(key)) => {
                asked += 1;
                match on_sign {
                    OnSign::Signs => sign(key, &data),
                    OnSign::Lies => sign(key, b"something else"),
                    OnSign::Refuses => failure(),
                    OnSign::IsSilent => std::future::pending().await,
                }
            }
            // It supports no extension, so it need not be bound.
            (AgentRequest::Sign { .. } | AgentRequest::Other, _) => failure(),
        };
        if stream.write_all(&answer).await.is_err() {
            break;
        }
    }
    asked
}

fn sign(key: &PrivateKey, data: &[u8]) -> Vec<u8> {
    sign_response(&signature(key, data))
}

/// A signature as SSH has it.
pub(crate) fn signature(key: &PrivateKey, data: &[u8]) -> Vec<u8> {
    key.try_sign(data).unwrap().encode_vec().unwrap()
}
