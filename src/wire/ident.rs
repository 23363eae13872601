//! The identification lines (RFC 4253 section 4.2).
//!
//! Never reads more than one line ahead, and never more than the limits below.

use bytes::{Buf, BytesMut};

use super::error::{Error, Mismatch, Violation};

/// Longest identification line, CR and LF included.
const MAX_LINE: usize = 255;
/// What a server may send before its identification: lines and bytes in all.
const MAX_BANNER_LINES: u32 = 1024;
const MAX_BANNER_BYTES: usize = 8 * 1024;
/// How much is kept of the first line that is no identification, in bytes.
const MAX_KEPT: usize = 256;

/// Reads the peer's identification.
#[derive(Debug)]
pub(super) struct IdentReader {
    /// Only a server may send other lines first.
    banner_allowed: bool,
    banner_lines: u32,
    banner_bytes: usize,
    /// The beginning of the first line that was not blank and no identification.
    first: Vec<u8>,
    first_is_whole: bool,
}

impl IdentReader {
    /// `banner_allowed`: whether other lines may precede, that is, whether the peer is a server.
    pub(super) const fn new(banner_allowed: bool) -> Self {
        Self {
            banner_allowed,
            banner_lines: 0,
            banner_bytes: 0,
            first: Vec::new(),
            first_is_whole: false,
        }
    }

    /// What the peer has said first that is no identification, as far as it has come: its first line,
    /// without the end of it, or what is there of that. 256 bytes at most; hostile input.
    pub(super) fn first(&self) -> Option<&[u8]> {
        (!self.first.is_empty()).then_some(&self.first)
    }

    fn note(&mut self, line: &[u8], is_whole: bool) {
        if !self.first_is_whole {
            let line = line.trim_ascii();
            self.first = line.get(..MAX_KEPT).unwrap_or(line).to_vec();
            self.first_is_whole = is_whole && !line.is_empty();
        }
    }

    /// The peer's identification without CR LF, or `None` if more input is needed.
    ///
    /// # Errors
    /// When what comes is not SSH 2.0, or does not come within the limits.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<String>, Error> {
        loop {
            let is_ident = starts_like_ident(input);
            if !is_ident && !self.banner_allowed {
                return Err(Violation::Identification("the first line is not one").into());
            }
            let limit = if is_ident {
                MAX_LINE
            } else {
                MAX_BANNER_BYTES - self.banner_bytes
            };
            let Some(end) = input.iter().take(limit).position(|byte| *byte == b'\n') else {
                if !is_ident {
                    self.note(input, false);
                }
                if input.len() >= limit {
                    return Err(Violation::Identification("line too long").into());
                }
                return Ok(None);
            };
            let line = input.split_to(end);
            input.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.starts_with(b"SSH-") {
                return parse(line).map(Some);
            }
            if !self.banner_allowed {
                return Err(Violation::Identification("the first line is not one").into());
            }
            self.note(line, true);
            self.banner_lines += 1;
            self.banner_bytes += end + 1;
            if self.banner_lines > MAX_BANNER_LINES || self.banner_bytes >= MAX_BANNER_BYTES {
                return Err(Violation::Identification("too much text before it").into());
            }
        }
    }
}

/// Whether `input` begins like an identification, as far as it is there.
fn starts_like_ident(input: &[u8]) -> bool {
    let prefix = b"SSH-";
    input.iter().zip(prefix).all(|(got, want)| got == want)
}

fn parse(line: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)))
        .ok_or(Violation::Identification("not printable ASCII"))?;
    // A server that also speaks version 1 says 1.99 (RFC 4253 section 5.1).
    let software = text
        .strip_prefix("SSH-2.0-")
        .or_else(|| text.strip_prefix("SSH-1.99-"));
    match software {
        Some(software) if !software.is_empty() => Ok(text.to_owned()),
        Some(_) => Err(Violation::Identification("no software version").into()),
        None => Err(Mismatch::Version(text.to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(banner_allowed: bool, bytes: &[u8]) -> Result<(Option<String>, Vec<u8>), Error> {
        let mut reader = IdentReader::new(banner_allowed);
        let mut input = BytesMut::new();
        for byte in bytes {
            input.extend_from_slice(&[*byte]);
            if let Some(ident) = reader.read(&mut input)? {
                return Ok((Some(ident), input.to_vec()));
            }
        }
        Ok((None, input.to_vec()))
    }

    #[test]
    fn reads_line_by_line_and_leaves_the_rest() {
        let mut input = BytesMut::from(&b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\0\0"[..]);
        let ident = IdentReader::new(false).read(&mut input).expect("valid");
        assert_eq!(ident.as_deref(), Some("SSH-2.0-OpenSSH_9.2p1 Debian"));
        assert_eq!(&input[..], b"\0\0");
        let (ident, _) = read(false, b"SSH-2.0-x\n").expect("LF alone is tolerated");
        assert_eq!(ident.as_deref(), Some("SSH-2.0-x"));
    }

    #[test]
    fn a_server_may_greet_first_a_client_not() {
        let greeting = b"Welcome\r\nto this host\r\nSSH-2.0-host\r\n";
        let (ident, _) = read(true, greeting).expect("valid");
        assert_eq!(ident.as_deref(), Some("SSH-2.0-host"));
        let refused = read(false, greeting);
        assert!(matches!(
            refused,
            Err(Error::Violation(Violation::Identification(_)))
        ));
    }

    #[test]
    fn what_is_said_instead_is_kept_as_far_as_it_came() {
        let first = |bytes: &[u8]| {
            let mut reader = IdentReader::new(true);
            let mut input = BytesMut::new();
            let mut kept = Vec::new();
            for byte in bytes {
                input.extend_from_slice(&[*byte]);
                let read = reader.read(&mut input);
                kept = reader.first().unwrap_or_default().to_vec();
                if !matches!(read, Ok(None)) {
                    break;
                }
            }
            String::from_utf8_lossy(&kept).into_owned()
        };
        let http = "HTTP/1.1 400 Bad Request";
        assert_eq!(
            first(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
            http
        );
        assert_eq!(first(b"\r\n \nHTTP/1.1 400 Bad Request\nmore"), http);
        assert_eq!(first(b"\x15\x03\x01"), "\x15\x03\x01");
        assert_eq!(first(b"220 mail"), "220 mail");
        assert_eq!(first(b"SS"), "");
        assert_eq!(first(b"SSH-2.0-x\r\n"), "");
        assert_eq!(first(&[b'a'; 9000]).len(), MAX_KEPT);
    }

    #[test]
    fn limits_hold() {
        let long = [b"SSH-2.0-".as_slice(), &[b'x'; 300]].concat();
        assert!(read(true, &long).is_err());
        let endless_line = vec![b'a'; MAX_BANNER_BYTES + 1];
        assert!(read(true, &endless_line).is_err());
        assert!(read(true, &b"a\n".repeat(1025)).is_err());
        assert!(read(true, &b"aaaaaaaaaaaaaaa\n".repeat(512)).is_err());
        let exactly = [b"SSH-2.0-".as_slice(), &[b'x'; 245], b"\r\n"].concat();
        assert_eq!(exactly.len(), MAX_LINE);
        assert!(read(false, &exactly).expect("valid").0.is_some());
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(read(true, b"SSH-1.99-x\r\n").is_ok());
        for line in ["SSH-1.5-x\r\n", "SSH-2.1-x\r\n", "SSH-\r\n"] {
            assert!(matches!(
                read(true, line.as_bytes()),
                Err(Error::Mismatch(Mismatch::Version(_)))
            ));
        }
        assert!(read(true, b"SSH-2.0-\r\n").is_err());
        assert!(read(true, b"SSH-2.0-a\0b\r\n").is_err());
    }
}
