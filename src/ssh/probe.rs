//! Asks a host which key it presents and which logins it would accept, without logging in.
//!
//! Stock sshd refuses a certificate with the wrong principal in the same words, whether it trusts
//! the CA or not. It does distinguish the two before the signature: a certificate that would be
//! accepted is answered with `SSH_MSG_USERAUTH_PK_OK` (RFC 4252 section 7). So these certificates
//! have the login itself as their principal, and nothing is ever signed with them: their private
//! key does not exist.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssh_key::Certificate;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::identify::{NoServer, identified};
use super::leg::{Leg, LegError, LegEvent};
use crate::cert::{KeyError, PresentedKey};
use crate::wire::auth::{ClientAuth, ClientAuthEvent, certificate_algorithms};
use crate::wire::{self, ClientConfig, DisconnectReason, Mismatch, Transport};

/// How long one host may take for all questions.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a host gave no answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// No connection.
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The connection ended, or was not SSH.
    #[error("the connection to {0} broke")]
    Broken(SocketAddr, #[source] Box<dyn Error + Send + Sync>),
    /// No SSH server identifies itself there.
    #[error("{0} {1}")]
    NoServer(SocketAddr, Box<dyn Error + Send + Sync>),
    /// The host's RSA key is too short: its bits.
    #[error("{0} shows a host key that is too short")]
    ShortHostKey(SocketAddr, #[source] Mismatch),
    /// The host presented something that is not a key.
    #[error("the host key of {0} cannot be read")]
    HostKey(SocketAddr, #[source] KeyError),
    /// The host took too long.
    #[error("{0} does not answer within {seconds} seconds", seconds = PATIENCE.as_secs())]
    Timeout(SocketAddr),
}

/// What a host presented and answered.
#[derive(Debug)]
pub struct Answers {
    /// The host's own claim about its software (RFC 4253 section 4.2): software, a space, comments.
    /// Hostile input.
    pub software: String,
    /// What it presented; the host has proved to hold the key.
    pub host_key: PresentedKey,
    /// For each certificate in order, whether it would be let in; what stopped the questions
    /// otherwise.
    pub accepted: Result<Vec<bool>, ProbeError>,
}

/// Connects to a host, sees its key, and asks about certificates for `login`.
///
/// # Errors
/// When there is no SSH server that proves to hold its host key.
pub async fn ask(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    login: &str,
    certificates: &[Certificate],
) -> Result<Answers, ProbeError> {
    let asking = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| ProbeError::Connect(address, error))?;
        ask_over(stream, address, config, login, certificates).await
    };
    timeout(PATIENCE, asking)
        .await
        .unwrap_or(Err(ProbeError::Timeout(address)))
}

/// The same, over a stream that leads to the host, without a limit.
async fn ask_over<S>(
    stream: S,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    login: &str,
    certificates: &[Certificate],
) -> Result<Answers, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let signs_with_sha1 = config.signs_with_sha1;
    let mut leg = Leg::new(stream, Transport::client(config));
    identified(&mut leg).await.map_err(|error| match error {
        NoServer::Leg(error) => ProbeError::Broken(address, error.into()),
        other => ProbeError::NoServer(address, other.into()),
    })?;
    let host_key = host_key(&mut leg, address).await?;
    let ident = leg.transport.peer_ident().unwrap_or_default();
    let software = ident.splitn(3, '-').nth(2).unwrap_or_default().to_owned();
    let accepted = questions(&mut leg, login, certificates, signs_with_sha1)
        .await
        .map_err(|error| ProbeError::Broken(address, error));
    leg.disconnect(DisconnectReason::ByApplication, "rproxy only asks")
        .await;
    Ok(Answers {
        software,
        host_key,
        accepted,
    })
}

async fn host_key<S>(leg: &mut Leg<S>, address: SocketAddr) -> Result<PresentedKey, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: LegError| match error {
        LegError::Protocol(wire::Error::Mismatch(short @ Mismatch::ShortHostKey(_))) => {
            ProbeError::ShortHostKey(address, short)
        }
        other => ProbeError::Broken(address, other.into()),
    };
    let mut presented = None;
    loop {
        match leg.next().await.map_err(broken)? {
            LegEvent::HostKey(blob) => {
                let key = PresentedKey::decode(&blob)
                    .map_err(|error| ProbeError::HostKey(address, error))?;
                presented = Some(key);
                leg.transport
                    .accept_host_key()
                    .map_err(|error| broken(error.into()))?;
            }
            LegEvent::Established => return presented.ok_or_else(|| broken(LegError::Closed)),
            LegEvent::Packet(_) => return Err(broken(LegError::Closed)),
        }
    }
}

/// One question after the other on one connection: the service is asked for once, and the answer
/// to that begins every question.
async fn questions<S>(
    leg: &mut Leg<S>,
    login: &str,
    certificates: &[Certificate],
    signs_with_sha1: bool,
) -> Result<Vec<bool>, Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut accepted = Vec::new();
    let mut service_accepted: Option<Bytes> = None;
    let signature_algorithms = leg.transport.peer_extensions().server_sig_algs.clone();
    for certificate in certificates {
        let algorithm = certificate_algorithms(
            certificate,
            signature_algorithms.as_deref(),
            signs_with_sha1,
        );
        let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
        let mut auth =
            ClientAuth::new(session_id, login, &algorithm, certificate.to_bytes()?, None);
        let mut out = Vec::new();
        auth.start(&mut out);
        if let Some(payload) = &service_accepted {
            out.clear();
            auth.on_packet(payload, &mut out)?;
        }
        loop {
            leg.send_all(&mut out)?;
            let LegEvent::Packet(payload) = leg.next().await? else {
                continue;
            };
            match auth.on_packet(&payload, &mut out)? {
                ClientAuthEvent::Nothing => service_accepted = Some(payload),
                ClientAuthEvent::Banner(_) => {}
                ClientAuthEvent::Sign { .. } => {
                    accepted.push(true);
                    break;
                }
                ClientAuthEvent::Failure { .. }
                | ClientAuthEvent::Questions(_)
                | ClientAuthEvent::Success => {
                    accepted.push(false);
                    break;
                }
            }
        }
    }
    Ok(accepted)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::ssh::testing::DB1_SOCKET;
    use crate::ssh::testing::host::{OnKey, TestHost};

    /// What a host that takes keys so says about so many certificates.
    async fn ask_host(host: TestHost, count: usize) -> Answers {
        let (near, far) = duplex(1 << 16);
        let serving = tokio::spawn(host.serve(far));
        let certificates: Vec<_> = (0..count)
            .map(|_| CertSpec::user(&ed25519()).sign(&ed25519()))
            .collect();
        let answers = ask_over(near, DB1_SOCKET, Arc::default(), "deploy", &certificates).await;
        let (saw, _) = serving.await.unwrap();
        assert!(saw.signatures == 0 && !saw.let_in, "nothing is signed");
        answers.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_shows_its_key_and_says_of_each_certificate_whether_it_would_do() {
        for (on_key, verdict) in [(OnKey::Accepts, true), (OnKey::Rejects, false)] {
            let host = TestHost::certified(&ed25519(), |_| {}).on_key(on_key);
            let key = host.key.public_key().key_data().clone();
            let answers = ask_host(host, 3).await;
            assert_eq!(answers.accepted.unwrap(), [verdict; 3]);
            assert_eq!(*answers.host_key.key_data(), key);
            assert!(answers.host_key.certificate().is_some());
            assert!(
                answers.software.starts_with("OpenSSH_rproxy"),
                "{}",
                answers.software
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_up_is_known_by_its_key_still() {
        let (near, far) = duplex(1 << 16);
        let host = TestHost::certified(&ed25519(), |_| {}).on_key(OnKey::IsSilent);
        let serving = tokio::spawn(host.serve(far));
        let certificate = CertSpec::user(&ed25519()).sign(&ed25519());
        let asking = tokio::spawn(async move {
            ask_over(near, DB1_SOCKET, Arc::default(), "deploy", &[certificate]).await
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        serving.abort();
        let answers = asking.await.unwrap().unwrap();
        assert!(matches!(answers.accepted, Err(ProbeError::Broken(..))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_ssh_server_is_told_from_a_connection_that_breaks() {
        for (said, is_ssh) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false),
            (b"SSH-2.0-host\r\n", true),
        ] {
            let (near, mut far) = duplex(1 << 16);
            far.write_all(said).await.unwrap();
            drop(far);
            let failed = ask_over(near, DB1_SOCKET, Arc::default(), "deploy", &[]).await;
            match failed.unwrap_err() {
                ProbeError::Broken(..) => assert!(is_ssh),
                ProbeError::NoServer(_, why) => assert!(!is_ssh, "{why}"),
                other => panic!("{other}"),
            }
        }
    }
}
