//! Changes the permissions of a live connection: what is not permitted any more is ended.

use std::sync::Arc;

use super::Side;
use super::channel::ChannelPhase;
use super::forward::{Destination, Listener, text};
use super::relaying::{Outgoing, Relay, end};
use super::step::NESTED_SSH;
use super::tap::{ChannelKey, RefusedMessage, Tap, What};
use crate::access::Permissions;
use crate::wire::connection::{Head, Message, Name};

impl Relay {
    /// Replaces the permissions. Forwarded channels that are not permitted any more are closed on
    /// both sides, listeners at the host are cancelled. Returns how many of both.
    ///
    /// While SSH was permitted inside forwards, their beginnings were not checked: when it is not
    /// permitted any more, all forwarded channels are closed, and the sessions in which SSH was
    /// detected.
    pub fn permit(
        &mut self,
        permissions: Arc<Permissions>,
        tap: &mut impl Tap,
        out: &mut Vec<Outgoing>,
    ) -> usize {
        let permissions = if self.forwards_nothing {
            Arc::new(permissions.without_forwarding())
        } else {
            permissions
        };
        let is_unseen = self.permissions.nested_ssh && !permissions.nested_ssh;
        self.permissions = permissions;
        self.expected.agent &= self.permissions.agent;
        self.expected.x11 &= self.permissions.x11;
        let cancelled = self.cancel_unpermitted(out);
        let numbers: Vec<u32> = self.channels.keys().copied().collect();
        let ended = numbers.into_iter().filter(|number| {
            if is_unseen && self.end_nested(*number, tap, out) {
                return true;
            }
            if is_unseen {
                self.end_forwarded(*number, tap, out)
            } else {
                self.end_unpermitted(*number, tap, out)
            }
        });
        cancelled + ended.count()
    }

    /// Closes all forwarded channels and listeners, and permits none in the rest of the connection.
    /// Returns how many were closed.
    pub fn stop_forwarding(&mut self, tap: &mut impl Tap, out: &mut Vec<Outgoing>) -> usize {
        self.forwards_nothing = true;
        let permissions = Arc::clone(&self.permissions);
        self.permit(permissions, tap, out)
    }

    /// Cancels listeners at the host that are not permitted any more; returns how many.
    pub(super) fn cancel_unpermitted(&mut self, out: &mut Vec<Outgoing>) -> usize {
        let permissions = &self.permissions;
        let gone = self.expected.forget(|listener| match listener {
            Listener::Tcp { host, port } => !permissions.may_listen(&text(host), *port),
            Listener::Unix(_) => !permissions.streamlocal.allows_remote(),
        });
        out.extend(gone.iter().map(cancel));
        gone.len()
    }

    /// Whether a forwarded channel may lead there, whichever side has opened it.
    pub(super) fn permits(&self, destination: &Destination) -> bool {
        let permissions = &self.permissions;
        match destination {
            Destination::Tcp { host, port } => permissions.may_open(&text(host), *port),
            Destination::Unix(_) => permissions.streamlocal.allows_local(),
            Destination::ListeningTcp { host, port } => permissions.may_listen(&text(host), *port),
            Destination::ListeningUnix(_) => permissions.streamlocal.allows_remote(),
            Destination::X11 => permissions.x11,
            Destination::Agent => permissions.agent,
        }
    }

    /// Closes an open forwarded channel if it is not permitted any more; returns whether it was
    /// closed.
    pub(super) fn end_unpermitted(
        &mut self,
        number: u32,
        tap: &mut impl Tap,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        let channel = self.channels.get(&number);
        let destination = channel.and_then(|channel| channel.destination.as_ref());
        destination.is_some_and(|one| !self.permits(one)) && self.end_forwarded(number, tap, out)
    }

    /// Ends a session in which SSH was detected; returns whether it was one.
    fn end_nested(&mut self, number: u32, tap: &mut impl Tap, out: &mut Vec<Outgoing>) -> bool {
        let Some(channel) = self.channels.get_mut(&number) else {
            return false;
        };
        if !matches!(&channel.phase, ChannelPhase::Running(watch) if watch.seen) {
            return false;
        }
        tap.refused(RefusedMessage {
            from: Side::Client,
            what: What::Data,
            name: "nested SSH",
            detail: None,
            by_habit: false,
            channel: Some(ChannelKey(number)),
        });
        end(channel, NESTED_SSH, out);
        tap.closed(ChannelKey(number));
        true
    }

    /// Closes an open forwarded channel; returns whether it was one.
    fn end_forwarded(&mut self, number: u32, tap: &mut impl Tap, out: &mut Vec<Outgoing>) -> bool {
        let Some(channel) = self.channels.get_mut(&number) else {
            return false;
        };
        let (ChannelPhase::Forwarded(_), Some(destination)) =
            (&channel.phase, &channel.destination)
        else {
            return false;
        };
        tap.refused(RefusedMessage {
            from: Side::Client,
            what: What::Channel,
            name: destination.kind(),
            detail: Some(&destination.address()),
            channel: Some(ChannelKey(number)),
            by_habit: false,
        });
        end(channel, "", out);
        tap.closed(ChannelKey(number));
        true
    }
}

/// A request to the host to stop listening. It needs no reply.
fn cancel(listener: &Listener) -> Outgoing {
    let (name, data) = match listener {
        Listener::Tcp { host, port } => (
            "cancel-tcpip-forward",
            Head::of_data().string(host).uint32(*port),
        ),
        Listener::Unix(path) => (
            "cancel-streamlocal-forward@openssh.com",
            Head::of_data().string(path),
        ),
    };
    Outgoing {
        to: Side::Host,
        message: Message::GlobalRequest {
            name: Name::from_static(name),
            want_reply: false,
            data: data.into_bytes(),
        },
    }
}
