//! Hosts in memory: how they are dialled, what they show, and how they take a login.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use ssh_key::{Certificate, PrivateKey};
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use crate::cert::PresentedKey;
use crate::cert::testing::{CertSpec, ed25519};
use crate::model::HostAddress;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::tunnels::TunnelPatience;
use crate::ssh::upstream::Dial;
use crate::wire::auth::{
    AuthLimits, Challenge, ForeignText, Methods, Prompt, ServerAuth, ServerAuthEvent,
};
use crate::wire::{HostKey, ServerConfig, Transport};

/// The proxy's end of each connection to a host.
pub(crate) const EGRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 40_112);

/// What comes of dialling once.
#[derive(Debug)]
pub(crate) enum Dialled {
    /// This stream.
    Stream(DuplexStream),
    /// The port is closed.
    Refused,
    /// This happens.
    Failed(LegError),
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Dialled>,
    dialled: Vec<(HostAddress, Instant)>,
}

/// Dials what a test has prepared, in its order. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDial(Arc<Mutex<Script>>);

impl MemoryDial {
    /// The next one that dials gets this.
    pub(crate) fn next(&self, answer: Dialled) {
        self.0.lock().unwrap().answers.push_back(answer);
    }

    /// The next one that dials gets a stream; its other end.
    pub(crate) fn next_stream(&self) -> DuplexStream {
        let (near, far) = duplex(1 << 20);
        self.next(Dialled::Stream(near));
        far
    }

    /// What was dialled, and when.
    pub(crate) fn dialled(&self) -> Vec<(HostAddress, Instant)> {
        self.0.lock().unwrap().dialled.clone()
    }
}

impl Dial for MemoryDial {
    type Stream = DuplexStream;

    async fn dial(
        &self,
        address: HostAddress,
        patience: TunnelPatience,
    ) -> Result<DuplexStream, LegError> {
        let answer = {
            let mut script = self.0.lock().unwrap();
            script.dialled.push((address, Instant::now()));
            script.answers.pop_front()
        };
        match answer {
            Some(Dialled::Stream(stream)) => Ok(stream),
            Some(Dialled::Refused) => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            Some(Dialled::Failed(error)) => Err(error),
            // Nothing comes back.
            None => {
                let left = patience.deadline - Instant::now();
                tokio::time::sleep_until(patience.deadline).await;
                Err(LegError::Timeout(left))
            }
        }
    }

    fn egress(_stream: &DuplexStream) -> Option<SocketAddr> {
        Some(EGRESS)
    }
}

/// How a host answers a signed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnKey {
    /// The login succeeds.
    Accepts,
    /// The key is refused.
    Rejects,
    /// The key is accepted, and this question has to be answered with "123456".
    Asks(&'static str),
    /// The key is accepted, and a password is required too.
    WantsPassword,
    /// Nothing is answered.
    IsSilent,
}

/// A host.
#[derive(Clone, Debug)]
pub(crate) struct TestHost {
    pub(crate) key: PrivateKey,
    /// What it shows; its bare key without one.
    pub(crate) certificate: Option<Certificate>,
    pub(crate) banner: Option<&'static str>,
    pub(crate) on_key: OnKey,
}

/// What a host has seen of a login.
#[derive(Debug, Default)]
pub(crate) struct HostSaw {
    /// The account.
    pub(crate) login: Option<String>,
    /// How often a key was offered with a signature.
    pub(crate) signatures: usize,
    /// The key that was offered last, or its certificate.
    pub(crate) key: Option<PresentedKey>,
    /// What was answered.
    pub(crate) answers: Vec<Vec<u8>>,
    /// The user is in.
    pub(crate) let_in: bool,
}

impl TestHost {
    /// One with a certificate of this CA.
    pub(crate) fn certified(ca: &PrivateKey, change: impl FnOnce(&mut CertSpec)) -> Self {
        let key = ed25519();
        let certificate = CertSpec::host(&key).with(change).sign(ca);
        Self {
            key,
            certificate: Some(certificate),
            banner: None,
            on_key: OnKey::Accepts,
        }
    }

    /// The same, that takes keys so.
    pub(crate) fn on_key(mut self, on_key: OnKey) -> Self {
        self.on_key = on_key;
        self
    }

    pub(crate) fn transport(&self) -> Transport {
        let key = HostKey::new(self.key.clone(), self.certificate.clone()).unwrap();
        Transport::server(Arc::new(ServerConfig::new(vec![key])))
    }

    /// Serves one connection until the user is in, or it ends. The leg stays with what it saw.
    pub(crate) async fn serve(self, stream: DuplexStream) -> (HostSaw, Leg<DuplexStream>) {
        let mut leg = Leg::new(stream, self.transport());
        let mut saw = HostSaw::default();
        // However it ends, the test looks at what was seen.
        self.log_in(&mut leg, &mut saw).await.ok();
        (saw, leg)
    }

    async fn log_in(&self, leg: &mut Leg<DuplexStream>, saw: &mut HostSaw) -> Result<(), LegError> {
        let mut auth = None;
        let mut out = Vec::new();
        loop {
            let payload = match leg.next().await? {
                LegEvent::Packet(payload) => payload,
                LegEvent::HostKey(_) => continue,
                LegEvent::Established => {
                    let session_id = leg.transport.session_id().unwrap().to_vec();
                    let host_key = leg.transport.host_key_blob().unwrap().to_vec();
                    let mut fresh = ServerAuth::new(session_id, host_key, AuthLimits::default());
                    if let Some(text) = self.banner {
                        fresh.greet(text);
                    }
                    auth = Some(fresh);
                    continue;
                }
            };
            let auth = auth.as_mut().expect("after the key exchange");
            match auth.on_packet(&payload, &mut out)? {
                ServerAuthEvent::Nothing => {}
                ServerAuthEvent::Query(offer) => {
                    saw.login = Some(offer.user);
                    saw.key = Some(offer.key);
                    match self.on_key {
                        OnKey::IsSilent => continue,
                        OnKey::Rejects => auth.reject(None, &mut out),
                        _ => auth.accept_query(&mut out),
                    }
                }
                ServerAuthEvent::Attempt(..) => {
                    saw.signatures += 1;
                    match self.on_key {
                        OnKey::Asks(_) => {
                            assert!(auth.require_more(Methods::KEYBOARD_INTERACTIVE, &mut out));
                        }
                        OnKey::WantsPassword => {
                            assert!(auth.require_more(Methods::PUBLIC_KEY, &mut out));
                        }
                        _ => saw.let_in = true,
                    }
                    if saw.let_in {
                        auth.accept(&mut out);
                    }
                }
                ServerAuthEvent::Interactive { .. } => auth.ask(&self.question(), &mut out),
                ServerAuthEvent::Answers(answers) => {
                    saw.answers.extend(answers.iter().map(<[u8]>::to_vec));
                    saw.let_in = answers.iter().all(|answer| answer == b"123456");
                    if saw.let_in {
                        auth.accept(&mut out);
                    } else {
                        auth.reject(None, &mut out);
                    }
                }
                ServerAuthEvent::Refused { reason, .. } => panic!("{reason}"),
            }
            leg.send_all(&mut out)?;
            if saw.let_in {
                leg.send_ready().await;
                return Ok(());
            }
        }
    }

    fn question(&self) -> Challenge {
        let OnKey::Asks(question) = self.on_key else {
            panic!("it asks nothing");
        };
        Challenge {
            name: ForeignText::default(),
            instruction: ForeignText::default(),
            prompts: vec![Prompt {
                text: ForeignText::new(question.into(), 100),
                echo: false,
            }],
        }
    }
}
