//! The line with which a proxy answers on a channel that is to lead into a tunnel, before the bytes of the
//! host: the tunnel's answer takes a while, and a channel is confirmed at once.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::model::text::Printable;

/// Longest reason, in bytes.
pub(super) const MAX_REASON: usize = 400;

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamStatus {
    /// The bytes of the host follow.
    Open,
    /// Nothing follows, for this reason: there is no tunnel of the host, or it opens no stream.
    Failed(String),
    /// Nothing follows: the host's ssh has refused the stream, with this text.
    Refused(String),
}

impl StreamStatus {
    /// Writes the line.
    ///
    /// # Errors
    /// Those of the stream.
    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let line = match self {
            Self::Open => "+\n".to_owned(),
            Self::Failed(why) => format!("-{}\n", Printable(why).within(MAX_REASON)),
            Self::Refused(why) => format!("!{}\n", Printable(why).within(MAX_REASON)),
        };
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await
    }

    /// Reads the line, and nothing behind it.
    ///
    /// # Errors
    /// Those of the stream, and for a line that is none.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await? {
                b'\n' => break,
                byte if line.len() <= 2 * MAX_REASON => line.push(byte),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        match line.split_first() {
            Some((b'+', [])) => Ok(Self::Open),
            Some((kind @ (b'-' | b'!'), why)) => {
                let why = String::from_utf8_lossy(why);
                let why = Printable(&why).within(MAX_REASON);
                Ok(match kind {
                    b'!' => Self::Refused(why),
                    _ => Self::Failed(why),
                })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_read_as_it_was_written_and_nothing_behind_it() {
        for status in [
            StreamStatus::Open,
            StreamStatus::Failed("the host's tunnel has ended".to_owned()),
            StreamStatus::Refused("Connection refused".to_owned()),
        ] {
            let mut bytes = Vec::new();
            status.write(&mut bytes).await.unwrap();
            bytes.extend(b"SSH-2.0");
            let mut rest = bytes.as_slice();
            assert_eq!(StreamStatus::read(&mut rest).await.unwrap(), status);
            assert_eq!(rest, b"SSH-2.0");
        }
    }

    #[tokio::test]
    async fn what_another_proxy_says_is_bounded_and_safe_to_show() {
        let long = [b"-".as_slice(), &[b'x'; 10_000], b"\n"].concat();
        for wrong in [
            long.as_slice(),
            b"\n",
            b"+more\n",
            b"SSH-2.0-x\n",
            b"",
            b"+",
        ] {
            let read = StreamStatus::read(&mut &*wrong).await;
            assert!(read.is_err(), "{wrong:?}");
        }
        let mut hostile: &[u8] = b"-\x1b[31mred\xff\n";
        let Ok(StreamStatus::Failed(why)) = StreamStatus::read(&mut hostile).await else {
            panic!("a reason");
        };
        assert!(!why.contains('\u{1b}') && why.contains("red"), "{why:?}");
        let mut bytes = Vec::new();
        let failed = StreamStatus::Failed("a\nb".repeat(1_000));
        failed.write(&mut bytes).await.unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
