//! Requests, of a channel and of the connection, and the replies that they want.

use bytes::Bytes;

use super::Side;
use super::channel::{Phase, Reply, Setup};
use super::forward::{Listener, text};
use super::message::{Fields, Message, Name};
use super::relaying::{Breach, Outgoing, end};
use super::step::Step;
use super::table::{AGENT_REQ, AGENT_REQ_OPENSSH, Feature, Place, Verdict, judge};
use super::tap::{ChannelKey, Exit, Kind, Note, Pty, Start, Tap, What};

/// "End of write": the sender takes no more data, so that a command that writes for ever ends.
const EOW: &str = "eow@openssh.com";
/// How a host says that a session has ended (RFC 4254, 6.10).
const ENDINGS: [&str; 2] = ["exit-status", "exit-signal"];

impl<T: Tap> Step<'_, T> {
    pub(super) fn global_request(
        &mut self,
        name: Name,
        want_reply: bool,
        data: Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let verdict = judge(from, Place::Global, name.as_str());
        let listener = match verdict {
            Verdict::Permit(_) => Listener::parse(name.as_str(), &data)?,
            _ => None,
        };
        let address = listener.as_ref().map(Listener::address);
        let reply = match verdict {
            Verdict::Relay | Verdict::RelayLastSession => Some(Reply::Relayed { start: false }),
            Verdict::Permit(feature) => self.judge_listener(feature, name.as_str(), listener),
            Verdict::Swallow | Verdict::Refuse | Verdict::Start | Verdict::Expected => None,
        };
        if verdict == Verdict::RelayLastSession {
            self.relay.last_session = true;
        }
        if reply.is_none() && verdict != Verdict::Swallow {
            let detail = address.as_deref();
            self.refused_exactly(What::GlobalRequest, name.as_str(), detail, None);
        }
        let relayed = reply.is_some();
        if want_reply {
            if !self
                .relay
                .global_replies(from)
                .expect(reply.unwrap_or(Reply::Refused))
            {
                return Err(Breach::TooManyRequests);
            }
        } else if let Some(Reply::Listen(listener)) = reply {
            self.listens(listener)?;
        }
        if relayed {
            self.send(
                from.other(),
                Message::GlobalRequest {
                    name,
                    want_reply,
                    data,
                },
            );
        } else {
            self.flush_global_refusals(from);
        }
        Ok(())
    }

    /// What to expect of a request that begins or ends a listener; `None` when it is not permitted.
    fn judge_listener(
        &mut self,
        feature: Feature,
        name: &str,
        listener: Option<Listener>,
    ) -> Option<Reply> {
        let listener = listener?;
        let permissions = &self.relay.permissions;
        let permitted = match (feature, &listener) {
            (Feature::Listen, Listener::Tcp { host, port }) => {
                permissions.may_listen(&text(host), *port)
            }
            (Feature::StreamlocalListen, Listener::Unix(_)) => {
                permissions.streamlocal.allows_remote()
            }
            _ => false,
        };
        if !permitted {
            return None;
        }
        if name.starts_with("cancel-") {
            self.relay.expected.stop_listening(&listener);
            return Some(Reply::Relayed { start: false });
        }
        Some(Reply::Listen(listener))
    }

    fn listens(&mut self, listener: Listener) -> Result<(), Breach> {
        if self.relay.expected.listen(listener) {
            Ok(())
        } else {
            Err(Breach::TooManyListeners)
        }
    }

    pub(super) fn global_reply(&mut self, message: Message) -> Result<(), Breach> {
        let asked = self.from.other();
        let reply = self
            .relay
            .global_replies(asked)
            .answered()
            .ok_or(Breach::Reply)?;
        match (reply, &message) {
            // Nobody on the other side has asked.
            (Reply::Own, _) => {}
            (Reply::Listen(listener), Message::RequestSuccess { data }) => {
                self.listens(listener.granted(data))?;
                self.send(asked, message);
                // The permissions may have changed since it was asked for.
                self.relay.cancel_unpermitted(self.out);
            }
            _ => self.send(asked, message),
        }
        self.flush_global_refusals(asked);
        Ok(())
    }

    fn flush_global_refusals(&mut self, to: Side) {
        while self.relay.global_replies(to).next_refusal() {
            self.send(to, Message::RequestFailure);
        }
    }

    pub(super) fn reply(&mut self, number: u32, success: bool) -> Result<(), Breach> {
        let asked = self.from.other();
        let channel = self.channel(number)?;
        let reply = channel.end(asked).replies.answered().ok_or(Breach::Reply)?;
        if channel.is_deaf(asked) {
            return Ok(());
        }
        let recipient = channel.end(asked).number;
        if reply == (Reply::Relayed { start: true }) && !success {
            self.tap.note(ChannelKey(number), &Note::StartRefused);
        }
        let message = if success {
            Message::Success { recipient }
        } else {
            Message::Failure { recipient }
        };
        self.send(asked, message);
        self.flush_refusals(number, asked);
        Ok(())
    }

    fn flush_refusals(&mut self, number: u32, to: Side) {
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return;
        };
        let end = channel.end(to);
        while end.replies.next_refusal() {
            let message = Message::Failure {
                recipient: end.number,
            };
            self.out.push(Outgoing { to, message });
        }
    }

    pub(super) fn request(
        &mut self,
        number: u32,
        kind: &Name,
        want_reply: bool,
        data: Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        let place = match channel.phase {
            Phase::Opening { .. } => return Err(Breach::Order("a request")),
            Phase::Ended => return Ok(()),
            Phase::Setup(_) => Place::Setup,
            Phase::Running => Place::Running,
            Phase::Forwarded(_) => Place::Forwarded,
        };
        // ssh closes as soon as both streams have ended, sshd once the command has: how it ended is
        // still heard in between.
        let is_ending = from == Side::Host && ENDINGS.contains(&kind.as_str());
        if channel.is_deaf(from.other()) && !is_ending {
            return Ok(());
        }
        if kind.as_str() == EOW && !self.relay.peers.takes_eow(from.other()) {
            return Ok(());
        }
        let start = match judge(from, place, kind.as_str()) {
            Verdict::Relay => {
                if !self.observe(number, kind.as_str(), &data)? {
                    return self.refuse_request(number, kind, None, want_reply);
                }
                false
            }
            Verdict::Start => {
                if !self.start(number, kind.as_str(), want_reply, &data)? {
                    return Ok(());
                }
                true
            }
            Verdict::Permit(feature) => {
                let permitted = self.permits(feature, &data)?;
                if !permitted || !self.observe(number, kind.as_str(), &data)? {
                    let detail = variable(feature, &data)?;
                    return self.refuse_request(number, kind, detail.as_deref(), want_reply);
                }
                false
            }
            Verdict::Expected | Verdict::Refuse | Verdict::RelayLastSession | Verdict::Swallow => {
                return self.refuse_request(number, kind, None, want_reply);
            }
        };
        let channel = self.channel(number)?;
        if want_reply && !channel.end(from).replies.expect(Reply::Relayed { start }) {
            return Err(Breach::TooManyRequests);
        }
        let recipient = channel.end(from.other()).number;
        let kind = self.known_there(kind);
        self.send(
            from.other(),
            Message::Request {
                recipient,
                kind,
                want_reply,
                data,
            },
        );
        Ok(())
    }

    /// A request's name as the other side knows it: agent forwarding has two.
    fn known_there(&mut self, kind: &Name) -> Name {
        if !matches!(kind.as_str(), AGENT_REQ | AGENT_REQ_OPENSSH) {
            return kind.clone();
        }
        self.relay.agent_is_by_rfc = kind.as_str() == AGENT_REQ;
        Name::from_static(match self.relay.peers.host_knows_agent_req {
            true => AGENT_REQ,
            false => AGENT_REQ_OPENSSH,
        })
    }

    /// Whether the permit has what a request asks for; channels that follow from it are expected then.
    fn permits(&mut self, feature: Feature, data: &Bytes) -> Result<bool, Breach> {
        let permissions = &self.relay.permissions;
        Ok(match feature {
            Feature::Agent => {
                self.relay.expected.agent |= permissions.agent;
                permissions.agent
            }
            Feature::X11 => {
                self.relay.expected.x11 |= permissions.x11;
                permissions.x11
            }
            Feature::Environment => {
                let name = Fields::of_request(data).string()?;
                std::str::from_utf8(&name).is_ok_and(|name| permissions.accepts_env(name))
            }
            Feature::Listen
            | Feature::Open
            | Feature::Session
            | Feature::StreamlocalListen
            | Feature::StreamlocalOpen => false,
        })
    }

    fn refuse_request(
        &mut self,
        number: u32,
        kind: &Name,
        detail: Option<&str>,
        want_reply: bool,
    ) -> Result<(), Breach> {
        let from = self.from;
        self.refused_exactly(
            What::ChannelRequest,
            kind.as_str(),
            detail,
            Some(ChannelKey(number)),
        );
        let channel = self.channel(number)?;
        if want_reply && !channel.end(from).replies.expect(Reply::Refused) {
            return Err(Breach::TooManyRequests);
        }
        self.flush_refusals(number, from);
        Ok(())
    }

    /// Begins a session, if the tap takes it. Otherwise the user reads why, as a session that ends.
    fn start(
        &mut self,
        number: u32,
        kind: &str,
        want_reply: bool,
        data: &Bytes,
    ) -> Result<bool, Breach> {
        let mut fields = Fields::of_request(data);
        let kind = match kind {
            "exec" => Kind::Exec(fields.string()?),
            "subsystem" => Kind::Subsystem(fields.string()?),
            _ => Kind::Shell,
        };
        fields.end()?;
        let channel = self.channel(number)?;
        let Phase::Setup(setup) = &mut channel.phase else {
            return Err(Breach::Order("the start of a session"));
        };
        let Setup {
            pty, environment, ..
        } = std::mem::take(setup);
        let start = Start {
            kind,
            pty,
            environment,
        };
        let refusal = self.tap.start(ChannelKey(number), &start);
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return Ok(false);
        };
        match refusal {
            Ok(()) => {
                channel.phase = Phase::Running;
                Ok(true)
            }
            Err(text) => {
                // OpenSSH shows nothing of a session whose start was answered with a failure.
                if want_reply {
                    let message = Message::Success {
                        recipient: channel.client.number,
                    };
                    self.out.push(Outgoing {
                        to: Side::Client,
                        message,
                    });
                }
                end(channel, &text, self.out);
                Ok(false)
            }
        }
    }

    /// Reads a request that is relayed as it is, for the recording; `false` when it goes too far.
    fn observe(&mut self, number: u32, kind: &str, data: &Bytes) -> Result<bool, Breach> {
        let key = ChannelKey(number);
        let from = self.from;
        let mut fields = Fields::of_request(data);
        let channel = self.channel(number)?;
        match (kind, &mut channel.phase) {
            ("pty-req", Phase::Setup(setup)) => {
                let term = fields.string()?;
                let (columns, rows) = (fields.uint32()?, fields.uint32()?);
                setup.pty = Some(Pty {
                    term,
                    columns,
                    rows,
                });
            }
            ("env", Phase::Setup(setup)) => {
                let (name, value) = (fields.string()?, fields.string()?);
                fields.end()?;
                return Ok(setup.add_variable(name, value));
            }
            ("window-change", phase) => {
                let (columns, rows) = (fields.uint32()?, fields.uint32()?);
                match phase {
                    Phase::Setup(setup) => {
                        if let Some(pty) = &mut setup.pty {
                            (pty.columns, pty.rows) = (columns, rows);
                        }
                    }
                    _ => self.tap.resize(key, columns, rows),
                }
            }
            ("signal", _) => {
                let name = fields.string()?;
                fields.end()?;
                self.tap.note(key, &Note::Signal(name));
            }
            ("exit-status", _) => {
                let status = fields.uint32()?;
                fields.end()?;
                self.tap.exit(key, &Exit::Status(status));
            }
            ("exit-signal", _) => {
                let name = fields.string()?;
                let core_dumped = fields.boolean()?;
                let message = fields.string()?;
                self.tap.exit(
                    key,
                    &Exit::Signal {
                        name,
                        core_dumped,
                        message,
                    },
                );
            }
            (_, Phase::Running | Phase::Forwarded(_)) => {
                self.tap.note(key, &Note::Request(from, kind.to_owned()));
            }
            _ => {}
        }
        Ok(true)
    }
}

/// The name of the variable, where a request is about one.
fn variable(feature: Feature, data: &Bytes) -> Result<Option<String>, Breach> {
    if feature != Feature::Environment {
        return Ok(None);
    }
    let name = Fields::of_request(data).string()?;
    Ok(Some(String::from_utf8_lossy(&name).into_owned()))
}
