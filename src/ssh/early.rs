//! Sends a refusal that is known before there is an inner connection.
//!
//! With `ControlPersist`, ssh discards what its ProxyCommand writes to stderr, so the user would not
//! read a reason there. The user's own ssh reads it inside the channel: as a disconnect, before any key
//! exchange and so without a certificate for a name that leads nowhere. A client that speaks no SSH
//! inside the channel reads stderr. The reason is written once, to one of the two.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::channel::ChannelStream;
use super::leg::Leg;
use crate::wire::connection::EXIT_REFUSED;
use crate::wire::{DisconnectReason, ServerConfig, Transport};

/// How long the client may take to identify itself as an SSH client. ssh does so first.
const PATIENCE: Duration = Duration::from_secs(2);
/// How an SSH connection begins (RFC 4253 section 4.2).
const IDENT: [u8; 4] = *b"SSH-";

/// Tells the client of a channel why it is refused, and closes the channel: [`refuse_with`] the exit status
/// of refusals, where the channel has one.
pub(crate) async fn refuse(
    stream: ChannelStream,
    config: Arc<ServerConfig>,
    has_stderr: bool,
    text: &str,
) {
    refuse_with(stream, config, has_stderr.then_some(EXIT_REFUSED), text).await;
}

/// Tells the client of a channel why it is refused, and closes the channel. Of `config` only the
/// identification is sent: no keys are exchanged. A client that speaks no SSH reads the text on stderr and
/// gets the exit status; a channel of ProxyJump has neither, and there it reads the text as data.
pub(crate) async fn refuse_with(
    mut stream: ChannelStream,
    config: Arc<ServerConfig>,
    status: Option<u32>,
    text: &str,
) {
    if speaks_ssh(&mut stream).await {
        let mut leg = Leg::new(stream, Transport::server(config));
        let text = text.trim_end().replace("\r\n", "\n");
        leg.disconnect_once_read(DisconnectReason::ByApplication, &text)
            .await;
    } else if let Some(status) = status {
        let terminal = stream.handle();
        terminal.stderr(text);
        terminal.exit_status(status);
    } else {
        // A client that is gone, or does not read, gets no reason.
        let said = async {
            stream.write_all(text.as_bytes()).await?;
            stream.flush().await
        };
        let _elapsed = tokio::time::timeout(PATIENCE, said).await;
    }
}

async fn speaks_ssh(stream: &mut ChannelStream) -> bool {
    let mut first = [0; IDENT.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await;
    matches!(read, Ok(Ok(_))) && first == IDENT
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::ssh::channel::{ChannelPort, Piece, channel};

    const TEXT: &str = "rproxy: proxy: no\r\n  hint: yes\r\n  id: 1\r\n";

    /// What is said to a client that sends this: on its output, on stderr, and as its exit status.
    async fn told(sent: Option<&'static [u8]>) -> (Vec<u8>, Vec<u8>, Option<u32>) {
        let (stream, port): (_, ChannelPort) = channel(Arc::new(Notify::new()));
        match sent {
            Some(sent) => port.deliver(sent),
            None => port.deliver_eof(),
        }
        let config = Arc::new(ServerConfig::new(Vec::new()));
        let task = tokio::spawn(refuse(stream, config, true, TEXT));
        let (mut output, mut stderr) = (Vec::new(), Vec::new());
        while !task.is_finished() || !port.output_ended() {
            if !output.is_empty() {
                port.deliver_eof();
            }
            match port.next_piece(1000) {
                Some(Piece::Data(data)) => output.extend_from_slice(&data),
                Some(Piece::Stderr(text)) => stderr.extend_from_slice(&text),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        task.await.expect("it ends");
        (output, stderr, port.take_exit_status())
    }

    #[tokio::test(start_paused = true)]
    async fn an_ssh_client_reads_it_as_a_disconnect_and_others_on_stderr() {
        let (output, stderr, status) = told(Some(b"SSH-2.0-OpenSSH_9.2\r\n")).await;
        let text = String::from_utf8_lossy(&output).into_owned();
        assert!(text.starts_with("SSH-2.0-"), "{text}");
        assert!(
            text.contains("rproxy: proxy: no\n  hint: yes\n  id: 1"),
            "{text}"
        );
        assert_eq!((stderr, status), (Vec::new(), None));

        for sent in [None, Some(&b"GET / HTTP/1.1"[..]), Some(b"SSH")] {
            let (output, stderr, status) = told(sent).await;
            assert!(output.is_empty());
            assert_eq!((stderr.as_slice(), status), (TEXT.as_bytes(), Some(255)));
        }
    }
}
