//! How one packet is relayed: data and the life of a channel. Openings and requests are in files of
//! their own.

use bytes::Bytes;

use super::Side;
use super::channel::{Channel, ChannelEnd, ChannelPhase};
use super::habits::Habit;
use super::relaying::{Outgoing, Relay, abandon, end, tell_close};
use super::tap::{ChannelKey, Note, RefusedMessage, Stream, Tap, What};
use super::window::Spent;
use crate::wire::connection::{Breach, Message, STDERR};

/// The text for the user when a session is ended because of SSH inside it. `CR LF` because it may
/// reach a terminal in raw mode.
pub(super) const NESTED_SSH: &str = "\r\nrproxy: proxy: SSH inside a session is not permitted here, it could not be recorded\r\n  hint: go to the other host through the proxy instead\r\n";

/// The state that one packet may change.
pub(super) struct Step<'a, T> {
    pub(super) relay: &'a mut Relay,
    pub(super) from: Side,
    pub(super) tap: &'a mut T,
    pub(super) out: &'a mut Vec<Outgoing>,
}

/// A message with data of a stream.
pub(super) fn data_of(stream: Stream, recipient: u32, data: Bytes) -> Message {
    match stream {
        Stream::Stdin | Stream::Stdout => Message::Data { recipient, data },
        Stream::Stderr => Message::ExtendedData {
            recipient,
            code: STDERR,
            data,
        },
    }
}

impl<T: Tap> Step<'_, T> {
    pub(super) fn take(&mut self, message: Message) -> Result<(), Breach> {
        match message {
            Message::GlobalRequest {
                name,
                want_reply,
                data,
            } => self.global_request(&name, want_reply, &data),
            Message::RequestSuccess { .. } | Message::RequestFailure => self.global_reply(message),
            Message::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } => self.open(&kind, sender, window, max_packet, &data),
            Message::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                data,
            } => self.open_confirmation(recipient, sender, window, max_packet, &data),
            Message::OpenFailure {
                recipient,
                reason,
                text,
                // The language tag of the text.
                language: _,
            } => self.open_failure(recipient, reason, &text),
            Message::WindowAdjust { recipient, bytes } => self.window_adjust(recipient, bytes),
            Message::Data { recipient, data } => self.data(recipient, data),
            Message::ExtendedData {
                recipient,
                code,
                data,
            } => self.extended_data(recipient, code, data),
            Message::Eof { recipient } => self.eof(recipient),
            Message::Close { recipient } => self.close(recipient),
            Message::Request {
                recipient,
                kind,
                want_reply,
                data,
            } => self.request(recipient, &kind, want_reply, &data),
            Message::Success { recipient } => self.reply(recipient, true),
            Message::Failure { recipient } => self.reply(recipient, false),
        }
    }

    pub(super) fn send(&mut self, to: Side, message: Message) {
        self.out.push(Outgoing { to, message });
    }

    pub(super) fn refused(&mut self, what: What, name: &str, channel: Option<ChannelKey>) {
        self.refused_exactly(what, name, None, channel);
    }

    /// As `refused`, with details.
    pub(super) fn refused_exactly(
        &mut self,
        what: What,
        name: &str,
        detail: Option<&str>,
        channel: Option<ChannelKey>,
    ) {
        let habit = match self.from {
            Side::Client => self.relay.habits.look(what, name, detail),
            Side::Host => Habit::No,
        };
        match habit {
            Habit::No => self.relay.refused += 1,
            Habit::First => {}
            Habit::Again => return,
        }
        self.tap.refused(RefusedMessage {
            from: self.from,
            what,
            name,
            detail,
            channel,
            by_habit: habit == Habit::First,
        });
    }

    /// The channel, if this side may send on it.
    pub(super) fn channel(&mut self, number: u32) -> Result<&mut Channel, Breach> {
        let from = self.from;
        let channel = self
            .relay
            .channels
            .get_mut(&number)
            .ok_or(Breach::NoChannel(number))?;
        if channel.end(from).said_close {
            return Err(Breach::NoChannel(number));
        }
        // The side that opens a channel learns our number only from the confirmation.
        match channel.phase {
            ChannelPhase::Opening { opener, .. } if opener == from => {
                Err(Breach::NoChannel(number))
            }
            _ => Ok(()),
        }?;
        Ok(channel)
    }

    fn window_adjust(&mut self, number: u32, bytes: u32) -> Result<(), Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        if matches!(channel.phase, ChannelPhase::Opening { .. }) {
            return Err(Breach::Order("a window adjustment"));
        }
        let window = &mut channel.end(from).window;
        if !window.add(bytes) {
            return Err(Breach::Window);
        }
        if window.is_holding() {
            self.release(number, from);
        }
        self.pass_grant(number, from)
    }

    /// Sends to this side what is held for it, as far as it accepts it now, and what has to follow.
    fn release(&mut self, number: u32, to: Side) {
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return;
        };
        let end = channel.end(to);
        while let Some((stream, data)) = end.window.release(end.max_packet) {
            let message = data_of(stream, end.number, data);
            self.out.push(Outgoing { to, message });
        }
        if end.window.is_holding() {
            return;
        }
        if std::mem::take(&mut end.owed_eof) {
            let recipient = end.number;
            let message = Message::Eof { recipient };
            self.out.push(Outgoing { to, message });
        }
        if std::mem::take(&mut end.owed_close) {
            tell_close(end, to, self.out);
        }
    }

    /// Passes on this side's grants to the other side, as far as they are due now.
    fn pass_grant(&mut self, number: u32, of: Side) -> Result<(), Breach> {
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return Err(Breach::NoChannel(number));
        };
        let to = of.other();
        if channel.is_deaf(to) || channel.end(to).told_close || channel.end(of).said_close {
            return Ok(());
        }
        let bytes = channel.end(of).window.promise();
        let recipient = channel.end(to).number;
        if bytes > 0 {
            self.send(to, Message::WindowAdjust { recipient, bytes });
        }
        Ok(())
    }

    fn data(&mut self, number: u32, data: Bytes) -> Result<(), Breach> {
        let stream = match self.from {
            Side::Client => Stream::Stdin,
            Side::Host => Stream::Stdout,
        };
        self.carry(number, stream, data)
    }

    fn extended_data(&mut self, number: u32, code: u32, data: Bytes) -> Result<(), Breach> {
        if self.from == Side::Client || code != STDERR {
            let spent = self.spend(number, data.len())?;
            self.receiver(number)?.window.discard(spent);
            self.refused(
                What::Data,
                &format!("extended data {code}"),
                Some(ChannelKey(number)),
            );
            return Ok(());
        }
        self.carry(number, Stream::Stderr, data)
    }

    /// The end of a channel to which this side sends.
    fn receiver(&mut self, number: u32) -> Result<&mut ChannelEnd, Breach> {
        let to = self.from.other();
        Ok(self.channel(number)?.end(to))
    }

    /// Subtracts data from the window that the other side has granted.
    fn spend(&mut self, number: u32, length: usize) -> Result<Spent, Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        if channel.end(from).said_eof || matches!(channel.phase, ChannelPhase::Opening { .. }) {
            return Err(Breach::Order("data"));
        }
        let receiver = channel.end(from.other());
        let length = u32::try_from(length).map_err(|_too_long| Breach::Overrun)?;
        if length > receiver.max_packet {
            return Err(Breach::Overrun);
        }
        let spent = receiver.window.spend(length).ok_or(Breach::Overrun)?;
        self.pass_grant(number, from.other())?;
        Ok(spent)
    }

    /// Shows data to the tap, and sends it on as far as the other side accepts it now.
    fn carry(&mut self, number: u32, stream: Stream, mut data: Bytes) -> Result<(), Breach> {
        let spent = self.spend(number, data.len())?;
        let passes = self.shows(number, stream, &data)?;
        let to = self.from.other();
        let receiver = self.receiver(number)?;
        if !passes {
            receiver.window.discard(spent);
            return Ok(());
        }
        if spent.later > 0 {
            let later = data.split_off(spent.now as usize);
            receiver.window.hold(stream, &later);
        }
        if !data.is_empty() {
            let message = data_of(stream, receiver.number, data);
            self.send(to, message);
        }
        Ok(())
    }

    /// Shows data to the tap; returns whether it is passed on.
    fn shows(&mut self, number: u32, stream: Stream, data: &Bytes) -> Result<bool, Breach> {
        let from = self.from;
        let nested_ssh = self.relay.permissions.nested_ssh;
        let channel = self.channel(number)?;
        // Empty data is not passed on.
        if channel.is_deaf(from.other()) || data.is_empty() {
            return Ok(false);
        }
        match &mut channel.phase {
            ChannelPhase::Running(watch) => {
                let sees_ssh = stream != Stream::Stderr && watch.sees_ssh(from, data);
                if sees_ssh && !nested_ssh {
                    self.end_nested_ssh(number, NESTED_SSH);
                    return Ok(false);
                }
                self.tap.data(ChannelKey(number), stream, data);
                Ok(true)
            }
            ChannelPhase::Forwarded(watch) => {
                if !nested_ssh && watch.sees_ssh(from, data) {
                    self.end_nested_ssh(number, "");
                    return Ok(false);
                }
                self.tap.data(ChannelKey(number), stream, data);
                Ok(true)
            }
            // sshd does not accept data before something runs, either.
            ChannelPhase::Setup(setup) => {
                if !std::mem::replace(&mut setup.data_refused, true) {
                    self.refused(What::Data, "before the session", Some(ChannelKey(number)));
                }
                Ok(false)
            }
            ChannelPhase::Opening { .. } | ChannelPhase::Ended => Ok(false),
        }
    }

    /// SSH inside a channel could not be recorded in readable form.
    pub(super) fn end_nested_ssh(&mut self, number: u32, text: &str) {
        self.relay.closed_nested_ssh |= text.is_empty();
        self.refused(What::Data, "nested SSH", Some(ChannelKey(number)));
        if let Some(channel) = self.relay.channels.get_mut(&number) {
            end(channel, text, self.out);
        }
        self.tap.closed(ChannelKey(number));
    }

    fn eof(&mut self, number: u32) -> Result<(), Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        if matches!(channel.phase, ChannelPhase::Opening { .. }) || channel.end(from).said_eof {
            return Err(Breach::Order("an EOF"));
        }
        channel.end(from).said_eof = true;
        if channel.is_deaf(from.other()) {
            return Ok(());
        }
        let recipient = channel.end(from.other()).number;
        if matches!(
            channel.phase,
            ChannelPhase::Running(_) | ChannelPhase::Forwarded(_)
        ) {
            self.tap.note(ChannelKey(number), &Note::Eof(from));
        }
        let receiver = self.receiver(number)?;
        if receiver.window.is_holding() {
            receiver.owed_eof = true;
        } else {
            self.send(from.other(), Message::Eof { recipient });
        }
        Ok(())
    }

    fn close(&mut self, number: u32) -> Result<(), Breach> {
        let from = self.from;
        let channel = self.channel(number)?;
        if matches!(channel.phase, ChannelPhase::Opening { .. }) {
            return Err(Breach::Order("a CLOSE"));
        }
        channel.end(from).said_close = true;
        let over = channel.client.said_close && channel.host.said_close;
        let Some(channel) = self.relay.channels.get_mut(&number) else {
            return Ok(());
        };
        // This side takes nothing more. If it has to be sent CLOSE after something, that is now.
        let end = channel.end(from);
        end.window.discard_all();
        if std::mem::take(&mut end.owed_close) {
            tell_close(end, from, self.out);
        }
        let receiver = channel.end(from.other());
        if receiver.window.is_holding() {
            receiver.owed_close = true;
        } else {
            tell_close(receiver, from.other(), self.out);
        }
        // The host has sent everything, and gets nothing more: the session's recording is complete
        // before the client reads that the session has ended.
        if from == Side::Host && matches!(channel.phase, ChannelPhase::Running(_)) {
            self.tap.closed(ChannelKey(number));
        }
        if abandon(channel, self.tap) {
            self.relay.in_vain += 1;
        }
        if over {
            let is_forwarded = matches!(channel.phase, ChannelPhase::Forwarded(_));
            self.relay.channels.remove(&number);
            if is_forwarded {
                self.tap.closed(ChannelKey(number));
            }
        }
        Ok(())
    }
}
