//! Decides what answers at a host's port: an SSH server, an SSH server that refuses connections, or
//! something else.
//!
//! If too many connections begin at once, sshd closes a connection without a word or after one of
//! two lines: the host is dialled again. A server that sends other text and no identification is not
//! an SSH server, and is not dialled again.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::leg::{Leg, LegError};
use crate::model::text::{self, Printable};

/// How long a server that has sent other text may take to identify itself.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest quote, in bytes.
const MAX_QUOTE: usize = 120;
/// What OpenSSH's sshd sends when it refuses a connection because of its own limits (`MaxStartups`,
/// `PerSourcePenalties`).
const TURNED_AWAY: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

/// Why no SSH server identified itself.
#[derive(Debug, Error)]
pub(crate) enum NoServer {
    /// Another kind of server answers: its first line.
    #[error("is no SSH server: it answers \"{0}\"")]
    Other(String),
    /// The connection was closed before any text, or after a line of `TURNED_AWAY`.
    #[error("drops connections before it identifies itself{}", words(.0.as_deref()))]
    TurnedAway(Option<String>, #[source] LegError),
    /// The identification is invalid.
    #[error(transparent)]
    Leg(LegError),
}

fn words(said: Option<&str>) -> String {
    said.map_or_else(String::new, |said| format!(", with \"{said}\""))
}

/// Waits until the server has identified itself.
///
/// # Errors
/// If the server does not identify itself. There is no timeout for a server that stays silent.
pub(crate) async fn identified<S>(leg: &mut Leg<S>) -> Result<(), NoServer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        // Before the identification, a read results in nothing or in an error.
        let failed = leg.poll_event().err();
        let said = leg.transport.said_instead().map(quote);
        if let Some(error) = failed {
            return Err(said.map_or(NoServer::Leg(error), NoServer::Other));
        }
        if leg.transport.peer_ident().is_some() {
            return Ok(());
        }
        let read = match &said {
            None => leg.transfer(true).await,
            Some(said) => match timeout(PATIENCE, leg.transfer(true)).await {
                Ok(read) => read,
                Err(_elapsed) => return Err(NoServer::Other(said.clone())),
            },
        };
        if let Err(error) = read {
            return Err(match said {
                Some(said) if !TURNED_AWAY.contains(&said.as_str()) => NoServer::Other(said),
                said => NoServer::TurnedAway(said, error),
            });
        }
    }
}

/// A line from the server, made safe to print and shortened.
fn quote(line: &[u8]) -> String {
    Printable(&text::bytes(line)).within(MAX_QUOTE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::wire::{ClientConfig, Transport};

    /// What is made of a server that says this, and hangs up or stays.
    async fn met(said: &[u8], stays: bool) -> Result<(), String> {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(said).await.unwrap();
        let kept = stays.then_some(theirs);
        let config = Arc::new(ClientConfig::default());
        let mut leg = Leg::new(ours, Transport::client(config));
        let met = identified(&mut leg).await.map_err(|no| no.to_string());
        drop(kept);
        met
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_ssh_is_quoted_whether_it_hangs_up_or_stays() {
        for stays in [false, true] {
            for (said, quoted) in [
                (
                    &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                    "HTTP/1.1 400 Bad Request",
                ),
                (
                    b"220 mail.example.com ESMTP\r\n",
                    "220 mail.example.com ESMTP",
                ),
                (
                    b"\x15\x03\x01\x00\x02\x02\x46",
                    "\\u{15}\\u{3}\\u{1}\\u{0}\\u{2}\\u{2}F",
                ),
                (b"\x1b[31mred\xff\n", "\\u{1b}[31mred\\xff"),
            ] {
                let says = format!("is no SSH server: it answers \"{quoted}\"");
                assert_eq!(met(said, stays).await, Err(says));
            }
        }
        let long = met(&b"x".repeat(20_000), true).await.unwrap_err();
        assert!(long.len() < 200 && long.ends_with("...\""), "{long}");
    }

    #[tokio::test(start_paused = true)]
    async fn sshd_without_a_place_is_told_from_what_is_no_ssh() {
        for (said, words) in [
            (&b""[..], ""),
            (b"SSH-", ""),
            (
                b"Exceeded MaxStartups\r\n",
                ", with \"Exceeded MaxStartups\"",
            ),
            (
                b"Not allowed at this time\r\n",
                ", with \"Not allowed at this time\"",
            ),
        ] {
            let says = format!("drops connections before it identifies itself{words}");
            assert_eq!(met(said, false).await, Err(says));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_greeting_may_come_before_the_identification() {
        assert_eq!(met(b"Welcome\r\nSSH-2.0-host\r\n", true).await, Ok(()));
        let other = met(b"SSH-1.5-old\r\n", true).await.unwrap_err();
        assert!(other.contains("SSH-1.5-old"), "{other}");
    }
}
