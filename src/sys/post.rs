//! Messages between the processes of this program: whole, in order, with open files that go along.
//!
//! A message is one send and one receive, and the end of one process is the end of the stream for the
//! other. Nothing here waits for a receiver that takes nothing, and nothing knows what is said.

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
pub const LONGEST: usize = 64 * 1024;
/// Most files that go along with one message; Linux has 253 for it.
pub const MOST_FILES: usize = 200;

/// One end of the way between two processes.
#[derive(Debug)]
pub struct Post(OwnedFd);

/// What came.
#[derive(Debug)]
pub struct Parcel {
    /// The message.
    pub message: Vec<u8>,
    /// The files that came along, closed at an `exec` like all others.
    pub files: Vec<OwnedFd>,
}

impl Post {
    /// A new way, both of its ends.
    ///
    /// # Errors
    /// When the operating system has no more sockets.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// The way to whoever started this process and gave it one as its standard input.
    ///
    /// # Errors
    /// When standard input is something else.
    pub fn of_stdin() -> io::Result<Self> {
        let post = Self(io::stdin().as_fd().try_clone_to_owned()?);
        let kind = sockopt::socket_type(&post.0)?;
        if kind == SocketType::SEQPACKET {
            Ok(post)
        } else {
            Err(io::Error::from(io::ErrorKind::InvalidInput))
        }
    }

    /// An end that came as a file.
    #[must_use]
    pub fn of(file: OwnedFd) -> Self {
        Self(file)
    }

    /// Another handle of this end.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// How long [`Self::receive`] waits; without this, for ever.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(
            &self.0,
            Timeout::Recv,
            Some(patience),
        )?)
    }

    /// Sends a message. It waits for nobody: a receiver that lets messages pile up is told no more.
    ///
    /// # Errors
    /// When the other end is closed or full, or the message is too long.
    pub fn send(&self, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.is_empty() || message.len() > LONGEST || files.len() > MOST_FILES {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
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
    /// When the operating system says so, patience is at its end, or the message is longer than any
    /// that is sent.
    pub fn receive(&self) -> io::Result<Option<Parcel>> {
        let mut message = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let into = &mut [IoSliceMut::new(&mut message)];
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
        message.truncate(received.bytes);
        let mut files = Vec::new();
        for one in along.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = one {
                files.extend(came);
            }
        }
        Ok(Some(Parcel { message, files }))
    }
}

impl AsFd for Post {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Post> for Stdio {
    fn from(post: Post) -> Self {
        Self::from(post.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_arrive_whole_in_order_and_with_their_files() {
        let (one, other) = Post::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        one.send(b"first", &[]).unwrap();
        one.send(b"second", &[far.as_fd()]).unwrap();
        drop(far);
        let first = other.receive().unwrap().unwrap();
        assert_eq!((&*first.message, first.files.len()), (&b"first"[..], 0));
        let mut second = other.receive().unwrap().unwrap();
        assert_eq!(second.message, b"second");
        let mut far = UnixStream::from(second.files.pop().unwrap());
        far.write_all(b"through").unwrap();
        drop(far);
        let mut said = String::new();
        near.read_to_string(&mut said).unwrap();
        assert_eq!(said, "through");
    }

    #[test]
    fn what_was_sent_outlives_its_sender() {
        let (one, other) = Post::pair().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        one.send(b"last words", &[far.as_fd(), far.as_fd()])
            .unwrap();
        drop(one);
        let parcel = other.receive().unwrap().unwrap();
        assert_eq!(parcel.files.len(), 2);
        assert!(other.receive().unwrap().is_none(), "then it is the end");
    }

    #[test]
    fn nobody_waits_for_who_takes_nothing() {
        let (one, _other) = Post::pair().unwrap();
        let full = (0..10_000).find_map(|_| one.send(&[7; 1_000], &[]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        for wrong in [&[][..], &[7; LONGEST + 1]] {
            assert!(one.send(wrong, &[]).is_err());
        }
    }
}
