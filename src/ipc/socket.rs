//! The socket between two processes of this program: messages arrive whole, in order, and with the
//! attached file descriptors.
//!
//! A message is one send and one receive. When one process exits, the other reads the end of the
//! stream. A send never waits for the receiver. The socket does not interpret the messages.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most file descriptors of one message; Linux takes 253.
pub const MAX_FILES: usize = 200;

/// One end of a Unix socket pair of the type `SOCK_SEQPACKET`.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// A received message.
#[derive(Debug)]
pub struct Datagram {
    /// The content.
    pub bytes: Vec<u8>,
    /// The attached file descriptors. They are closed at `exec`, as all others.
    pub files: Vec<OwnedFd>,
}

impl MessageSocket {
    /// Creates a socket pair and returns both ends.
    ///
    /// # Errors
    /// When the operating system cannot create sockets.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// This process's end of the socket, which its parent passed as standard input.
    ///
    /// # Errors
    /// When standard input is something else.
    pub fn from_stdin() -> io::Result<Self> {
        let socket = Self(io::stdin().as_fd().try_clone_to_owned()?);
        let kind = sockopt::socket_type(&socket.0)?;
        if kind == SocketType::SEQPACKET {
            Ok(socket)
        } else {
            Err(io::Error::from(io::ErrorKind::InvalidInput))
        }
    }

    /// An end that was received as a file descriptor.
    ///
    /// # Errors
    /// When it is something else. To answer on it could block, as closing a TCP socket can.
    pub fn from_fd(file: OwnedFd) -> io::Result<Self> {
        let is_ours = sockopt::socket_domain(&file)? == AddressFamily::UNIX
            && sockopt::socket_type(&file)? == SocketType::SEQPACKET;
        match is_ours {
            true => Ok(Self(file)),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Limits how long [`Self::receive`] waits. After that, `receive` fails with `WouldBlock`. The
    /// default is no limit.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(
            &self.0,
            Timeout::Recv,
            Some(timeout),
        )?)
    }

    /// Sends a message. It does not wait: when the receiver has not read earlier messages and the
    /// socket's buffer is full, the message is not sent.
    ///
    /// # Errors
    /// When the other end is closed or full, or the message is empty or too long.
    pub fn send(&self, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.is_empty() || message.len() > MAX_MESSAGE || files.len() > MAX_FILES {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !along.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::sendmsg(&self.0, &[IoSlice::new(message)], &mut along, flags)?;
        Ok(())
    }

    /// Waits for the next message; `None` when the other end is closed.
    ///
    /// # Errors
    /// Errors of the operating system, `WouldBlock` after the timeout, or `InvalidData` when the
    /// message is longer than [`MAX_MESSAGE`].
    pub fn receive(&self) -> io::Result<Option<Datagram>> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let into = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.0, into, &mut along, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        bytes.truncate(received.bytes);
        let mut files = Vec::new();
        for one in along.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = one {
                files.extend(came);
            }
        }
        Ok(Some(Datagram { bytes, files }))
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<MessageSocket> for OwnedFd {
    fn from(socket: MessageSocket) -> Self {
        socket.0
    }
}

impl From<MessageSocket> for Stdio {
    fn from(socket: MessageSocket) -> Self {
        Self::from(socket.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_arrive_whole_in_order_and_with_their_files() {
        let (one, other) = MessageSocket::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        one.send(b"first", &[]).unwrap();
        one.send(b"second", &[far.as_fd()]).unwrap();
        drop(far);
        let first = other.receive().unwrap().unwrap();
        assert_eq!((&*first.bytes, first.files.len()), (&b"first"[..], 0));
        let mut second = other.receive().unwrap().unwrap();
        assert_eq!(second.bytes, b"second");
        let mut far = UnixStream::from(second.files.pop().unwrap());
        far.write_all(b"through").unwrap();
        drop(far);
        let mut said = String::new();
        near.read_to_string(&mut said).unwrap();
        assert_eq!(said, "through");
    }

    #[test]
    fn what_was_sent_outlives_its_sender() {
        let (one, other) = MessageSocket::pair().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        one.send(b"last words", &[far.as_fd(), far.as_fd()])
            .unwrap();
        drop(one);
        let last = other.receive().unwrap().unwrap();
        assert_eq!(last.files.len(), 2);
        assert!(other.receive().unwrap().is_none(), "then it is the end");
    }

    #[test]
    fn nobody_waits_for_who_takes_nothing() {
        let (one, _other) = MessageSocket::pair().unwrap();
        let full = (0..10_000).find_map(|_| one.send(&[7; 1_000], &[]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        for wrong in [&[][..], &[7; MAX_MESSAGE + 1]] {
            assert!(one.send(wrong, &[]).is_err());
        }
    }
}
