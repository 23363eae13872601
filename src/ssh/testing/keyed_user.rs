//! Clients with several keys, which try the methods in the order that real programs have.

use std::collections::VecDeque;
use std::sync::Arc;

use ssh_key::PrivateKey;
use tokio::io::DuplexStream;

use super::agent::signature;
use super::user::UserSaw;
use crate::cert::proof::{public_key_request, signed_data};
use crate::cert::testing::string;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::wire::{ClientConfig, Transport};

/// How often OpenSSH's client lets itself be asked (`NumberOfPasswordPrompts`).
const TRIES: usize = 3;

/// The answer of a person who gives none.
pub(crate) const SILENT: &str = "...";

/// Which program a client behaves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// OpenSSH's: after a partial success all keys are offered again, the longest untried first; a
    /// method that it ran out of is never used again (sshconnect2.c).
    OpenSsh,
    /// PuTTY's or dropbear's: each key is offered once, then it is asked.
    OffersOnce,
    /// As libssh's and paramiko's calls are used by a program that is asked first.
    AnswersFirst,
}

/// A client with keys and somebody who answers.
#[derive(Clone, Debug)]
pub(crate) struct KeyedUser {
    pub(crate) program: Program,
    pub(crate) name: &'static str,
    pub(crate) keys: Vec<PrivateKey>,
    /// What is answered to every question; `None` for a client that cannot ask (`BatchMode`).
    pub(crate) answer: Option<&'static str>,
}

/// What such a client tries, as far as it has come.
struct Trying<'a> {
    user: &'a KeyedUser,
    /// The keys, the next one first, and whether it was offered.
    queue: VecDeque<(usize, bool)>,
    listed: String,
    /// Methods that are not used any more.
    spent: Vec<&'static str>,
    current: Option<&'static str>,
    asked: usize,
    session_id: Vec<u8>,
    signed: Vec<usize>,
}

impl KeyedUser {
    /// Logs in, as far as it gets; which of its keys have signed.
    pub(crate) async fn log_in(
        &self,
        stream: DuplexStream,
    ) -> (UserSaw, Vec<usize>, Leg<DuplexStream>) {
        let ident = match self.program {
            Program::OpenSsh => "SSH-2.0-OpenSSH_9.2p1 Debian-2",
            Program::OffersOnce => "SSH-2.0-PuTTY_Release_0.83",
            Program::AnswersFirst => "SSH-2.0-libssh_0.11.1",
        };
        let config = Arc::new(ClientConfig {
            ident: ident.to_owned(),
            ..ClientConfig::default()
        });
        let mut leg = Leg::new(stream, Transport::client(config));
        let mut saw = UserSaw::default();
        let mut trying = Trying {
            user: self,
            queue: (0..self.keys.len()).map(|key| (key, false)).collect(),
            listed: String::new(),
            spent: Vec::new(),
            current: None,
            asked: 0,
            session_id: Vec::new(),
            signed: Vec::new(),
        };
        saw.ended = trying.attempt(&mut leg, &mut saw).await.err();
        (saw, trying.signed, leg)
    }
}

impl Trying<'_> {
    async fn attempt(
        &mut self,
        leg: &mut Leg<DuplexStream>,
        saw: &mut UserSaw,
    ) -> Result<(), LegError> {
        loop {
            let payload = match leg.next().await? {
                LegEvent::HostKey(_) => {
                    leg.transport.accept_host_key()?;
                    continue;
                }
                LegEvent::Established => {
                    self.session_id = leg.transport.session_id().unwrap().to_vec();
                    let service = [vec![5], string(b"ssh-userauth")].concat();
                    leg.transport.send(&service)?;
                    continue;
                }
                LegEvent::Packet(payload) => payload,
            };
            let (number, mut body) = (payload[0], &payload[1..]);
            let answer = match number {
                6 => Some(self.request("none")),
                51 => {
                    let methods = text(&mut body);
                    saw.failures += 1;
                    saw.partial += usize::from(body == [1]);
                    self.failed(methods, body == [1])
                }
                52 => {
                    saw.is_in = true;
                    return Ok(());
                }
                53 => {
                    saw.banners.push(text(&mut body).replace("\r\n", "\n"));
                    continue;
                }
                60 if self.current == Some("publickey") => Some(self.sign()),
                // Nobody is at the terminal.
                60 if self.user.answer == Some(SILENT) => continue,
                60 => Some(self.answer(body, saw)),
                _ => continue,
            };
            // A client that has nothing left to try reads nothing more.
            let Some(packet) = answer else { return Ok(()) };
            leg.transport.send(&packet)?;
        }
    }

    /// What is tried next.
    fn failed(&mut self, methods: String, is_partial: bool) -> Option<Vec<u8>> {
        if is_partial && self.user.program == Program::OpenSsh {
            for (_, was_offered) in &mut self.queue {
                *was_offered = false;
            }
        }
        if is_partial && self.user.program == Program::AnswersFirst {
            self.queue = (0..self.user.keys.len()).map(|key| (key, false)).collect();
            self.spent.retain(|method| *method != "publickey");
        }
        if methods != self.listed {
            self.listed = methods;
            self.current = None;
        }
        let order = match self.user.program {
            Program::OpenSsh | Program::OffersOnce => ["publickey", "keyboard-interactive"],
            Program::AnswersFirst => ["keyboard-interactive", "publickey"],
        };
        let from = order
            .iter()
            .position(|method| Some(*method) == self.current);
        for method in order.into_iter().skip(from.unwrap_or(0)) {
            if self.spent.contains(&method) || !self.listed.split(',').any(|one| one == method) {
                continue;
            }
            self.current = Some(method);
            let next = match method {
                "publickey" => self.offer(),
                _ => self.be_asked(),
            };
            if next.is_some() {
                return next;
            }
            self.spent.push(method);
        }
        None
    }

    fn offer(&mut self) -> Option<Vec<u8>> {
        let &(key, was_offered) = self.queue.front()?;
        if was_offered {
            return None;
        }
        self.queue.rotate_left(1);
        self.queue.back_mut()?.1 = true;
        Some(self.key_request(key, false))
    }

    /// The key that was offered last signs.
    fn sign(&mut self) -> Vec<u8> {
        let key = self.queue.back().unwrap().0;
        self.signed.push(key);
        let mut request = self.key_request(key, true);
        let data = signed_data(&self.session_id, &request);
        request.extend(string(&signature(&self.user.keys[key], &data)));
        request
    }

    fn key_request(&self, key: usize, is_signed: bool) -> Vec<u8> {
        let key = &self.user.keys[key];
        let blob = key.public_key().to_bytes().unwrap();
        let algorithm = key.algorithm();
        public_key_request(self.user.name, algorithm.as_str(), &blob, None, is_signed)
    }

    fn be_asked(&mut self) -> Option<Vec<u8>> {
        self.user.answer?;
        self.asked += 1;
        let wishes = [string(b""), string(b"")].concat();
        let request = self.request("keyboard-interactive");
        (self.asked <= TRIES).then(|| [request, wishes].concat())
    }

    fn answer(&self, mut body: &[u8], saw: &mut UserSaw) -> Vec<u8> {
        let [_name, instruction, _language] = [(); 3].map(|()| text(&mut body));
        saw.instructions.push(instruction);
        let count: [u8; 4] = body[..4].try_into().unwrap();
        body = &body[4..];
        let mut packet = [vec![61], count.to_vec()].concat();
        for _ in 0..u32::from_be_bytes(count) {
            saw.questions.push(text(&mut body));
            body = &body[1..];
            packet.extend(string(self.user.answer.unwrap().as_bytes()));
        }
        packet
    }

    fn request(&self, method: &str) -> Vec<u8> {
        let fields = [self.user.name, "ssh-connection", method];
        let fields = fields.map(|field| string(field.as_bytes()));
        [vec![50], fields.concat()].concat()
    }
}

/// Takes a string off the beginning.
fn text(body: &mut &[u8]) -> String {
    let length = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
    let text = String::from_utf8(body[4..4 + length].to_vec()).unwrap();
    *body = &body[4 + length..];
    text
}
