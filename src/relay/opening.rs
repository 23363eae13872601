//! Channels: requested, judged, opened.

use bytes::Bytes;

use super::Side;
use super::channel::{Channel, ChannelEnd, ChannelPhase, Setup};
use super::content::{Content, Value};
use super::forward::{Destination, text};
use super::nested::NestedSsh;
use super::step::Step;
use super::table::{Feature, NameContext, Verdict, find, judge};
use super::tap::{ChannelKey, Note, RelayedMessage, Tap, What};
use crate::wire::connection::{Breach, Fields, Message, Name, OpenFailure, agent_channel};

/// Why a channel is not opened.
type OpenRefusal = (OpenFailure, &'static str);

/// The longest text in a refusal to open a channel, in bytes.
const MAX_TEXT: usize = 1_024;

/// The text for the client when the host opens no session. With sshd, the reason is usually its `MaxSessions`.
const NO_SESSION: &str = "rproxy: host: it opens no session";

const NOT_SERVED: &str = "rproxy: this type of channel is not permitted";

impl<T: Tap> Step<'_, T> {
    pub(super) fn open(
        &mut self,
        kind: &Name,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: &Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let row = find(from, NameContext::Open, kind.as_str());
        let content = match row {
            // Channels that the client has not requested are refused, whatever they contain.
            Some(row) if row.verdict == Verdict::Expected && !self.relay.expected.any(row.name) => {
                Content::default()
            }
            Some(row) => Content::parse(row.fields, Fields::of_open(data))?,
            None => Content::default(),
        };
        let destination = row.and_then(|row| Destination::of(row.name, &content));
        let judged = self
            .judge_open(kind.as_str(), destination.as_ref())
            .and_then(|()| {
                let crowded = (OpenFailure::ResourceShortage, "rproxy: too many channels");
                self.relay.free_number().ok_or(crowded)
            });
        let number = match judged {
            Ok(number) => number,
            Err((reason, text)) => {
                let address = destination.as_ref().map(Destination::address);
                self.refused_exactly(What::Channel, kind.as_str(), address.as_deref(), None);
                self.refuse_open(sender, reason, text);
                return Ok(());
            }
        };
        if let Some(destination) = &destination
            && let Err(text) = self.tap.forward(ChannelKey(number), destination)
        {
            self.refuse_open(sender, OpenFailure::ResourceShortage, &text);
            return Ok(());
        }
        if destination.is_some() {
            self.note_origin(number, &content, max_packet);
        }
        let forwarded = destination.is_some();
        let phase = ChannelPhase::Opening {
            opener: from,
            forwarded,
        };
        let mut channel = Channel {
            client: ChannelEnd::default(),
            host: ChannelEnd::default(),
            phase,
            destination,
        };
        let kind = match channel.destination {
            Some(Destination::Agent) => {
                Name::from_static(agent_channel(self.relay.agent_is_by_rfc))
            }
            _ => kind.clone(),
        };
        *channel.end(from) = ChannelEnd::new(sender, window, max_packet);
        let window = channel.end(from).window.promised();
        self.relay.channels.insert(number, channel);
        self.send(
            from.other(),
            Message::Open {
                kind,
                sender: number,
                window,
                max_packet,
                data: content.data,
            },
        );
        Ok(())
    }

    /// Records the fields of a forward's opening, other than its destination.
    fn note_origin(&mut self, number: u32, content: &Content, max_packet: u32) {
        let is_told = |name: &str, value: &Value| match value {
            Value::Text(text) => {
                matches!(name, "host" | "path") && std::str::from_utf8(text).is_ok()
            }
            Value::Number(_) => name == "port",
            Value::Flag(_) | Value::Bytes(_) => false,
        };
        let mut fields = content.values.clone();
        fields.retain(|(name, value)| !is_told(name, value));
        fields.extend(odd_packet(max_packet));
        self.note_forward(number, "origin", fields);
    }

    fn note_forward(
        &mut self,
        number: u32,
        name: &'static str,
        fields: Vec<(&'static str, Value)>,
    ) {
        if !fields.is_empty() {
            let from = self.from;
            let note = Note::Request(RelayedMessage { from, name, fields });
            self.tap.note(ChannelKey(number), &note);
        }
    }

    fn judge_open(&self, kind: &str, destination: Option<&Destination>) -> Result<(), OpenRefusal> {
        let refuse = |text| Err((OpenFailure::AdministrativelyProhibited, text));
        let permissions = &self.relay.permissions;
        let (permitted, text) = match judge(self.from, NameContext::Open, kind) {
            Verdict::Permit(Feature::Session) => {
                if self.relay.last_session {
                    return refuse("rproxy: no more sessions were promised on this connection");
                }
                if self.relay.sessions() >= permissions.max_sessions as usize {
                    return Err((OpenFailure::ResourceShortage, "rproxy: too many sessions"));
                }
                (true, "")
            }
            Verdict::Permit(_) => match destination {
                Some(Destination::Tcp { host, port }) => (
                    permissions.may_open(&text(host), *port),
                    "rproxy: forwarding to this host and port is not permitted",
                ),
                Some(Destination::Unix(_)) => (
                    permissions.streamlocal.allows_local(),
                    "rproxy: forwarding to Unix sockets is not permitted",
                ),
                _ => (false, NOT_SERVED),
            },
            Verdict::Expected => (
                destination.is_some_and(|one| self.relay.expected.includes(one)),
                "rproxy: nobody has asked for this channel",
            ),
            Verdict::Relay
            | Verdict::Ask
            | Verdict::RelayLastSession
            | Verdict::Start
            | Verdict::Swallow
            | Verdict::Refuse => (false, NOT_SERVED),
        };
        if permitted { Ok(()) } else { refuse(text) }
    }

    fn refuse_open(&mut self, sender: u32, reason: OpenFailure, text: &str) {
        let failure = Message::OpenFailure {
            recipient: sender,
            reason: reason as u32,
            text: Bytes::copy_from_slice(text.trim_end().as_bytes()),
            language: Bytes::new(),
        };
        self.send(self.from, failure);
    }

    pub(super) fn open_confirmation(
        &mut self,
        number: u32,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: &Bytes,
    ) -> Result<(), Breach> {
        // No type of channel has further fields in a confirmation.
        Fields::of_confirmation(data).end()?;
        let (from, opener) = (self.from, self.from.other());
        let (channel, forwarded) = self.opening(number)?;
        *channel.end(from) = ChannelEnd::new(sender, window, max_packet);
        let window = channel.end(from).window.promised();
        let recipient = channel.end(opener).number;
        let odd = odd_packet(max_packet);
        if forwarded {
            channel.phase = ChannelPhase::Forwarded(NestedSsh::default());
            self.note_forward(number, "confirmation", odd.into_iter().collect());
        } else {
            let mut setup = Setup::default();
            let asked = odd_packet(channel.end(opener).max_packet);
            for (from, name, field) in [(opener, "open", asked), (from, "confirmation", odd)] {
                if let Some(field) = field {
                    let fields = vec![field];
                    // There was no earlier request, so there is room.
                    let _fits = setup.add(RelayedMessage { from, name, fields });
                }
            }
            channel.phase = ChannelPhase::Setup(setup);
        }
        self.send(
            opener,
            Message::OpenConfirmation {
                recipient,
                sender: number,
                window,
                max_packet,
                data: Bytes::new(),
            },
        );
        self.relay.end_unpermitted(number, self.tap, self.out);
        Ok(())
    }

    pub(super) fn open_failure(
        &mut self,
        number: u32,
        reason: u32,
        text: &Bytes,
    ) -> Result<(), Breach> {
        let opener = self.from.other();
        let (channel, forwarded) = self.opening(number)?;
        let recipient = channel.end(opener).number;
        self.relay.channels.remove(&number);
        let (reason, text) = if forwarded {
            let text = text.slice(..text.len().min(MAX_TEXT));
            let fields = vec![
                ("reason", Value::Number(reason)),
                ("text", Value::Text(text.clone())),
            ];
            self.note_forward(number, "open-failure", fields);
            self.tap.closed(ChannelKey(number));
            (reason, text)
        } else {
            // There is no recording that could contain the host's own text.
            self.relay.in_vain += 1;
            let known = OpenFailure::AdministrativelyProhibited as u32
                ..=OpenFailure::ResourceShortage as u32;
            let reason = if known.contains(&reason) {
                reason
            } else {
                OpenFailure::ConnectFailed as u32
            };
            (reason, Bytes::from_static(NO_SESSION.as_bytes()))
        };
        self.send(
            opener,
            Message::OpenFailure {
                recipient,
                reason,
                text,
                language: Bytes::new(),
            },
        );
        Ok(())
    }

    /// The channel whose opening this side has to answer, and whether it is a forwarded one.
    fn opening(&mut self, number: u32) -> Result<(&mut Channel, bool), Breach> {
        let asked: Side = self.from;
        let channel = self.relay.channels.get_mut(&number).ok_or(Breach::Reply)?;
        match channel.phase {
            ChannelPhase::Opening { opener, forwarded } if opener != asked => {
                Ok((channel, forwarded))
            }
            _ => Err(Breach::Reply),
        }
    }
}

/// The field with the largest packet size, unless it is one of the usual values, which carry no
/// information.
fn odd_packet(max_packet: u32) -> Option<(&'static str, Value)> {
    let is_usual = max_packet.is_power_of_two() && max_packet <= 256 * 1024;
    (!is_usual).then_some(("max_packet", Value::Number(max_packet)))
}
