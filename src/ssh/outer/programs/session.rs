//! The channel of a program: output, and the exit status.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::model::text::Lines;
use crate::ssh::channel::{ChannelHandle, ChannelStream};
use crate::ssh::endpoint::PendingSession;

/// How long a client may take to read a piece of output.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is written at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// The channel that a program runs on. Dropping it closes the channel.
#[derive(Debug)]
pub(super) struct ProgramSession {
    stream: ChannelStream,
    handle: ChannelHandle,
    /// The client's terminal is in raw mode: it shows what it gets.
    has_terminal: bool,
}

impl ProgramSession {
    /// The channel of a session on which nothing has been started.
    pub(super) fn new(session: PendingSession) -> Self {
        Self {
            handle: session.stream.handle(),
            stream: session.stream,
            has_terminal: session.has_terminal,
        }
    }

    /// Prints lines. Characters that would drive a terminal are escaped.
    ///
    /// # Errors
    /// The client is gone, or does not read.
    pub(super) async fn print(&mut self, text: &str) -> io::Result<()> {
        let shown = self.shown(text);
        for piece in shown.as_bytes().chunks(PIECE) {
            let written = async {
                self.stream.write_all(piece).await?;
                self.stream.flush().await
            };
            timeout(PATIENCE, written).await??;
        }
        Ok(())
    }

    /// Prints lines to standard error, at most 16 KiB in all.
    pub(super) fn complain(&self, text: &str) {
        self.handle.stderr(&self.shown(text));
    }

    /// Ends the program with this exit status.
    pub(super) fn exit(self, status: u32) {
        self.handle.exit_status(status);
    }

    fn shown(&self, text: &str) -> String {
        let text = Lines(text).to_string();
        match self.has_terminal {
            true => text.replace('\n', "\r\n"),
            false => text,
        }
    }
}
