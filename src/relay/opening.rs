//! Channels: asked for, judged, opened.

use bytes::Bytes;

use super::Side;
use super::channel::{Channel, End, Phase, Setup};
use super::forward::{Destination, text};
use super::message::{Message, Name, OpenFailure};
use super::nested::NestedSsh;
use super::relaying::Breach;
use super::step::Step;
use super::table::{Feature, Place, Verdict, agent_channel, judge};
use super::tap::{ChannelKey, Tap, What};

/// Why a channel is not opened.
type Refusal = (OpenFailure, &'static str);

const NOT_SERVED: &str = "rproxy: this type of channel is not permitted";

impl<T: Tap> Step<'_, T> {
    pub(super) fn open(
        &mut self,
        kind: Name,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: Bytes,
    ) -> Result<(), Breach> {
        let from = self.from;
        let destination = Destination::parse(kind.as_str(), &data)?;
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
        let forwarded = destination.is_some();
        let phase = Phase::Opening {
            opener: from,
            forwarded,
        };
        let mut channel = Channel {
            client: End::default(),
            host: End::default(),
            phase,
            destination,
        };
        *channel.end(from) = End {
            number: sender,
            window,
            max_packet,
            ..End::default()
        };
        let kind = match channel.destination {
            Some(Destination::Agent) => {
                Name::from_static(agent_channel(self.relay.agent_is_by_rfc))
            }
            _ => kind,
        };
        self.relay.channels.insert(number, channel);
        self.send(
            from.other(),
            Message::Open {
                kind,
                sender: number,
                window,
                max_packet,
                data,
            },
        );
        Ok(())
    }

    fn judge_open(&self, kind: &str, destination: Option<&Destination>) -> Result<(), Refusal> {
        let refuse = |text| Err((OpenFailure::AdministrativelyProhibited, text));
        let permissions = &self.relay.permissions;
        let (permitted, text) = match judge(self.from, Place::Open, kind) {
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
        data: Bytes,
    ) -> Result<(), Breach> {
        let (from, opener) = (self.from, self.from.other());
        let (channel, forwarded) = self.opening(number)?;
        *channel.end(from) = End {
            number: sender,
            window,
            max_packet,
            ..End::default()
        };
        channel.phase = if forwarded {
            Phase::Forwarded(NestedSsh::default())
        } else {
            Phase::Setup(Setup::default())
        };
        let recipient = channel.end(opener).number;
        self.send(
            opener,
            Message::OpenConfirmation {
                recipient,
                sender: number,
                window,
                max_packet,
                data,
            },
        );
        self.relay.end_unpermitted(number, self.tap, self.out);
        Ok(())
    }

    pub(super) fn open_failure(
        &mut self,
        number: u32,
        reason: u32,
        text: Bytes,
        language: Bytes,
    ) -> Result<(), Breach> {
        let opener = self.from.other();
        let (channel, forwarded) = self.opening(number)?;
        let recipient = channel.end(opener).number;
        self.relay.channels.remove(&number);
        if forwarded {
            self.tap.closed(ChannelKey(number));
        }
        self.send(
            opener,
            Message::OpenFailure {
                recipient,
                reason,
                text,
                language,
            },
        );
        Ok(())
    }

    /// The channel whose opening this side may answer, and whether it is a forwarded one.
    fn opening(&mut self, number: u32) -> Result<(&mut Channel, bool), Breach> {
        let asked: Side = self.from;
        let channel = self.relay.channels.get_mut(&number).ok_or(Breach::Reply)?;
        match channel.phase {
            Phase::Opening { opener, forwarded } if opener != asked => Ok((channel, forwarded)),
            _ => Err(Breach::Reply),
        }
    }
}
