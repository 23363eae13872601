//! A user's ssh in memory, as far as it logs in.

use std::sync::Arc;
use std::time::Duration;

use ssh_key::{Certificate, PrivateKey};
use tokio::io::DuplexStream;

use super::agent::signature;
use crate::cert::PresentedKey;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::wire::auth::{Answers, ClientAuth, ClientAuthEvent};
use crate::wire::{ClientConfig, Transport};

/// A client with one certificate.
#[derive(Clone, Debug)]
pub(crate) struct TestUser {
    pub(crate) login: &'static str,
    pub(crate) key: PrivateKey,
    /// What it offers; its bare key without one.
    pub(crate) certificate: Option<Certificate>,
    /// What it answers to every question.
    pub(crate) answer: &'static str,
    /// How long it waits before it logs in.
    pub(crate) pause: Duration,
}

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct UserSaw {
    /// What the server has shown.
    pub(crate) host_key: Option<PresentedKey>,
    pub(crate) banners: Vec<String>,
    pub(crate) questions: Vec<String>,
    /// What stood before questions.
    pub(crate) instructions: Vec<String>,
    /// How often its key was refused, or was not enough.
    pub(crate) failures: usize,
    /// How often it was told that it was not enough.
    pub(crate) partial: usize,
    /// It is in.
    pub(crate) is_in: bool,
    /// What ended the connection, if that was before.
    pub(crate) ended: Option<LegError>,
}

impl UserSaw {
    /// The names of the certificate that it was shown.
    pub(crate) fn names(&self) -> Vec<&str> {
        let certificate = self.host_key.as_ref().and_then(PresentedKey::certificate);
        let names = certificate.map(|certificate| certificate.valid_principals());
        names
            .unwrap_or_default()
            .iter()
            .map(String::as_str)
            .collect()
    }

    /// Everything that it has read.
    pub(crate) fn text(&self) -> String {
        let mut text = self.banners.concat();
        if let Some(LegError::Disconnected { text: last, .. }) = &self.ended {
            text.push_str(last);
        }
        text
    }
}

impl TestUser {
    /// Logs in, as far as it gets.
    pub(crate) async fn log_in(&self, stream: DuplexStream) -> (UserSaw, Leg<DuplexStream>) {
        self.log_in_as("SSH-2.0-test", stream).await
    }

    /// The same, by a program of this name.
    pub(crate) async fn log_in_as(
        &self,
        ident: &str,
        stream: DuplexStream,
    ) -> (UserSaw, Leg<DuplexStream>) {
        let config = Arc::new(ClientConfig {
            ident: ident.to_owned(),
            ..ClientConfig::default()
        });
        let mut leg = Leg::new(stream, Transport::client(config));
        let mut saw = UserSaw::default();
        saw.ended = self.attempt(&mut leg, &mut saw).await.err();
        (saw, leg)
    }

    async fn attempt(
        &self,
        leg: &mut Leg<DuplexStream>,
        saw: &mut UserSaw,
    ) -> Result<(), LegError> {
        let mut auth = None;
        let mut out = Vec::new();
        loop {
            let payload = match leg.next().await? {
                LegEvent::Packet(payload) => payload,
                LegEvent::HostKey(blob) => {
                    saw.host_key = Some(PresentedKey::decode(&blob).unwrap());
                    leg.transport.accept_host_key()?;
                    continue;
                }
                LegEvent::Established => {
                    tokio::time::sleep(self.pause).await;
                    let mut fresh = self.offer(leg);
                    fresh.start(&mut out);
                    auth = Some(fresh);
                    leg.send_all(&mut out)?;
                    continue;
                }
            };
            let auth = auth.as_mut().expect("after the key exchange");
            match auth.on_packet(&payload, &mut out)? {
                ClientAuthEvent::Nothing => {}
                ClientAuthEvent::Banner(text) => saw.banners.push(text.shown().to_owned()),
                ClientAuthEvent::Sign { data } => {
                    auth.signed(&signature(&self.key, &data), &mut out)?;
                }
                ClientAuthEvent::Questions(challenge) => {
                    let prompts = challenge.prompts.iter();
                    let asked = prompts.map(|prompt| prompt.text.shown().to_owned());
                    saw.questions.extend(asked);
                    let answers = challenge.prompts.iter().map(|_| self.answer);
                    let packet = auth.answer(&Answers::from_iter(answers))?;
                    leg.transport.send(&packet)?;
                }
                ClientAuthEvent::Failure { partial, .. } => {
                    saw.failures += 1;
                    saw.partial += usize::from(partial);
                    if !auth.can_interact() {
                        // It has nothing left to try.
                        return Ok(());
                    }
                    assert!(auth.interact(&mut out));
                }
                ClientAuthEvent::Success => {
                    saw.is_in = true;
                    return Ok(());
                }
            }
            leg.send_all(&mut out)?;
        }
    }

    fn offer(&self, leg: &Leg<DuplexStream>) -> ClientAuth {
        let (algorithm, blob) = match &self.certificate {
            Some(certificate) => (
                certificate.algorithm().to_certificate_type(),
                certificate.to_bytes().unwrap(),
            ),
            None => (
                self.key.algorithm().as_str().to_owned(),
                self.key.public_key().to_bytes().unwrap(),
            ),
        };
        let session_id = leg.transport.session_id().unwrap().to_vec();
        ClientAuth::new(session_id, self.login, &algorithm, blob, None)
    }
}
