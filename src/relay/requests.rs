//! Requests of channels and of the connection, and their replies.

use bytes::Bytes;

use super::Side;
use super::channel::{ChannelPhase, PendingReply, Setup, kept};
use super::content::{Content, Value};
use super::forward::{Listener, text};
use super::nested::Handshakes;
use super::relaying::{Outgoing, end};
use super::step::Step;
use super::table::{Feature, MessageRow, NameContext, Verdict, find};
use super::tap::{ChannelKey, Exit, Kind, Note, Pty, RelayedMessage, Tap, What};
use crate::wire::connection::{AGENT_REQ, AGENT_REQ_OPENSSH, Breach, Fields, Head, Message, Name};

/// "End of write": the sender accepts no more data, so that a command that writes endlessly ends.
const EOW: &str = "eow@openssh.com";
/// How a host reports the end of a session (RFC 4254, 6.10).
const ENDINGS: [&str; 2] = ["exit-status", "exit-signal"];

impl<T: Tap> Step<'_, T> {
    pub(super) fn global_request(
        &mut self,
        name: &Name,
        want_reply: bool,
        data: &Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let Some(row) = find(from, NameContext::Global, name.as_str()) else {
            self.refused(What::GlobalRequest, name.as_str(), None);
            return self.refuse_global(want_reply);
        };
        if row.verdict == Verdict::Swallow {
            self.relay.in_vain += 1;
            return self.refuse_global(want_reply);
        }
        let content = Content::parse(row.fields, Fields::of_global(data))?;
        let reply = match row.verdict {
            // The other side is asked for a reply even if the sender wants none: otherwise that flag
            // would cross without being recorded.
            Verdict::Ask if want_reply => Some(PendingReply::Bare),
            Verdict::Ask => Some(PendingReply::Own),
            Verdict::Relay | Verdict::RelayLastSession => {
                Some(PendingReply::Relayed { start: false })
            }
            Verdict::Permit(feature) => {
                let listener = Listener::of(row.name, &content);
                let address = listener.as_ref().map(Listener::address);
                let reply = self.judge_listener(feature, row.name, listener);
                if reply.is_none() {
                    let detail = address.as_deref();
                    self.refused_exactly(What::GlobalRequest, row.name, detail, None);
                }
                reply.filter(|_| self.tap.global(&request(from, row, &content)).is_ok())
            }
            Verdict::Swallow | Verdict::Refuse | Verdict::Start | Verdict::Expected => None,
        };
        let Some(reply) = reply else {
            return self.refuse_global(want_reply);
        };
        if row.verdict == Verdict::RelayLastSession {
            self.relay.last_session = true;
        }
        let want_reply = want_reply || row.verdict == Verdict::Ask;
        if want_reply {
            self.expect_global(reply)?;
        } else if let PendingReply::Listen(listener) = reply {
            self.listens(listener)?;
        }
        self.send(
            from.other(),
            Message::GlobalRequest {
                name: Name::from_static(row.name),
                want_reply,
                data: content.data,
            },
        );
        Ok(())
    }

    /// Replies with a failure, in its order, to a request that is not passed on.
    fn refuse_global(&mut self, want_reply: bool) -> Result<(), Breach> {
        if want_reply {
            self.expect_global(PendingReply::Refused)?;
        }
        self.flush_global_refusals(self.from);
        Ok(())
    }

    fn expect_global(&mut self, reply: PendingReply) -> Result<(), Breach> {
        if self.relay.global_replies(self.from).expect(reply) {
            Ok(())
        } else {
            Err(Breach::TooManyRequests)
        }
    }

    /// The reply to expect for a request that opens or closes a listener; `None` when it is not
    /// permitted.
    fn judge_listener(
        &mut self,
        feature: Feature,
        name: &str,
        listener: Option<Listener>,
    ) -> Option<PendingReply> {
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
            return Some(PendingReply::Relayed { start: false });
        }
        Some(PendingReply::Listen(listener))
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
        match (reply, message) {
            // The request was our own; the other side expects no reply.
            (PendingReply::Own, _) => {}
            (PendingReply::Listen(listener), Message::RequestSuccess { data }) => {
                self.granted(listener, &data)?;
            }
            (
                PendingReply::Relayed { .. } | PendingReply::Refused,
                Message::RequestSuccess { data },
            ) => {
                Fields::of_success(&data).end()?;
                self.send(asked, Message::RequestSuccess { data: Bytes::new() });
            }
            _ => self.send(asked, Message::RequestFailure),
        }
        self.flush_global_refusals(asked);
        Ok(())
    }

    /// The host listens. If it had to choose a port, the reply contains the port.
    fn granted(&mut self, listener: Listener, reply: &Bytes) -> Result<(), Breach> {
        let (from, asked) = (self.from, self.from.other());
        let port = listener.chosen(reply)?;
        if let Some(port) = port {
            let listening = RelayedMessage {
                from,
                name: "listening",
                fields: vec![("port", Value::Number(port))],
            };
            if self.tap.global(&listening).is_err() {
                self.send(asked, Message::RequestFailure);
                return Ok(());
            }
        }
        self.listens(listener.at(port))?;
        let data = port.map(|port| Head::of_data().uint32(port).into_bytes());
        self.send(
            asked,
            Message::RequestSuccess {
                data: data.unwrap_or_default(),
            },
        );
        // The permissions may have changed since the request.
        self.relay.cancel_unpermitted(self.out);
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
        if reply == (PendingReply::Relayed { start: true }) && !success {
            self.tap.note(ChannelKey(number), &Note::StartRefused);
        }
        match reply {
            PendingReply::Own => {}
            PendingReply::Relayed { .. } if success => {
                self.send(asked, Message::Success { recipient });
            }
            PendingReply::Relayed { .. }
            | PendingReply::Bare
            | PendingReply::Listen(_)
            | PendingReply::Refused => {
                self.send(asked, Message::Failure { recipient });
            }
        }
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
        data: &Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        let place = match channel.phase {
            ChannelPhase::Opening { .. } => return Err(Breach::Order("a request")),
            ChannelPhase::Ended => return Ok(()),
            ChannelPhase::Setup(_) => NameContext::Setup,
            ChannelPhase::Running(_) => NameContext::Running,
            ChannelPhase::Forwarded(_) => NameContext::Forwarded,
        };
        // ssh closes when both streams have ended, sshd when the command has: in between, the exit
        // status still has to be passed on.
        let is_ending = from == Side::Host && ENDINGS.contains(&kind.as_str());
        if channel.is_deaf(from.other()) && !is_ending {
            return Ok(());
        }
        if kind.as_str() == EOW && !self.relay.peers.takes_eow(from.other()) {
            return Ok(());
        }
        let Some(row) = find(from, place, kind.as_str()) else {
            return self.refuse_request(number, kind, None, want_reply);
        };
        let content = Content::parse(row.fields, Fields::of_request(data))?;
        let reply = match row.verdict {
            // As with keepalives of the connection.
            Verdict::Ask if want_reply => PendingReply::Bare,
            Verdict::Ask => PendingReply::Own,
            Verdict::Relay => {
                if !self.observe(number, row, &content)? {
                    return self.refuse_request(number, kind, None, want_reply);
                }
                PendingReply::Relayed { start: false }
            }
            Verdict::Start => {
                if !self.start(number, row, want_reply, &content)? {
                    return Ok(());
                }
                PendingReply::Relayed { start: true }
            }
            Verdict::Permit(feature) => {
                let permitted = self.permits(feature, &content);
                if !permitted || !self.observe(number, row, &content)? {
                    let detail = variable(feature, &content);
                    return self.refuse_request(number, kind, detail.as_deref(), want_reply);
                }
                PendingReply::Relayed { start: false }
            }
            Verdict::Expected | Verdict::Refuse | Verdict::RelayLastSession | Verdict::Swallow => {
                return self.refuse_request(number, kind, None, want_reply);
            }
        };
        let want_reply = want_reply || row.verdict == Verdict::Ask;
        let channel = self.channel(number)?;
        if want_reply && !channel.end(from).replies.expect(reply) {
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
                data: content.data,
            },
        );
        Ok(())
    }

    /// A request's name as the other side knows it: agent forwarding has two names.
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

    /// Whether a request is permitted; if so, the channels that follow from it are expected.
    fn permits(&mut self, feature: Feature, content: &Content) -> bool {
        let permissions = &self.relay.permissions;
        match feature {
            Feature::Agent => {
                self.relay.expected.agent |= permissions.agent;
                permissions.agent
            }
            Feature::X11 => {
                self.relay.expected.x11 |= permissions.x11;
                permissions.x11
            }
            Feature::Environment => {
                let name = content.text("variable");
                std::str::from_utf8(&name).is_ok_and(|name| permissions.accepts_env(name))
            }
            Feature::Listen
            | Feature::Open
            | Feature::Session
            | Feature::StreamlocalListen
            | Feature::StreamlocalOpen => false,
        }
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
        if want_reply && !channel.end(from).replies.expect(PendingReply::Refused) {
            return Err(Breach::TooManyRequests);
        }
        self.flush_refusals(number, from);
        Ok(())
    }

    /// Begins a session, if the tap accepts it. Otherwise the user reads the reason, as the output
    /// of a session that ends.
    fn start(
        &mut self,
        number: u32,
        row: &MessageRow,
        want_reply: bool,
        content: &Content,
    ) -> Result<bool, Breach> {
        let kind = match row.name {
            "exec" => Kind::Exec(content.text("command")),
            "subsystem" => Kind::Subsystem(content.text("command")),
            _ => Kind::Shell,
        };
        let channel = self.channel(number)?;
        let ChannelPhase::Setup(setup) = &mut channel.phase else {
            return Err(Breach::Order("the start of a session"));
        };
        let start = std::mem::take(setup).into_start(kind);
        let refusal = self.tap.start(ChannelKey(number), &start);
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return Ok(false);
        };
        match refusal {
            Ok(()) => {
                channel.phase = ChannelPhase::Running(Handshakes::default());
                Ok(true)
            }
            Err(text) => {
                // OpenSSH shows no output of a session whose start was answered with a failure.
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

    /// Records a request that is passed on; `false` when there are too many.
    fn observe(
        &mut self,
        number: u32,
        row: &'static MessageRow,
        content: &Content,
    ) -> Result<bool, Breach> {
        let key = ChannelKey(number);
        let request = request(self.from, row, content);
        let channel = self.channel(number)?;
        if let ChannelPhase::Setup(setup) = &mut channel.phase {
            return Ok(prepare(setup, request, content));
        }
        match row.name {
            "window-change" => {
                self.tap
                    .resize(key, content.number("cols"), content.number("rows"));
                if content.number("width") != 0 || content.number("height") != 0 {
                    self.tap.note(key, &Note::Request(request));
                }
            }
            "exit-status" => {
                let status = content.number("status");
                self.tap.exit(key, &Exit::Status(status));
            }
            "exit-signal" => {
                let exit = Exit::Signal {
                    name: content.text("signal"),
                    core_dumped: content.flag("core"),
                    message: content.text("message"),
                };
                self.tap.exit(key, &exit);
            }
            _ => self.tap.note(key, &Note::Request(request)),
        }
        Ok(true)
    }
}

/// Adds a request before the session begins; `false` when there are too many.
fn prepare(setup: &mut Setup, request: RelayedMessage, content: &Content) -> bool {
    match request.name {
        "env" => {
            let (name, value) = (content.text("variable"), content.text("value"));
            return setup.add_variable(&name, &value);
        }
        "pty-req" => {
            setup.pty = Some(Pty {
                term: kept(&content.text("term")),
                columns: content.number("cols"),
                rows: content.number("rows"),
            });
        }
        "window-change" => {
            if let Some(pty) = &mut setup.pty {
                (pty.columns, pty.rows) = (content.number("cols"), content.number("rows"));
            }
        }
        _ => {}
    }
    setup.add(request)
}

/// A message of the table, as it is recorded.
pub(super) fn request(from: Side, row: &'static MessageRow, content: &Content) -> RelayedMessage {
    RelayedMessage {
        from,
        name: row.name,
        fields: content.values.clone(),
    }
}

/// The name of the variable, if the request is about one.
fn variable(feature: Feature, content: &Content) -> Option<String> {
    let name = content.text("variable");
    (feature == Feature::Environment).then(|| String::from_utf8_lossy(&name).into_owned())
}
