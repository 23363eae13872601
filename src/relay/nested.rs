//! Detects SSH inside a forwarded stream or inside a session.
//!
//! SSH begins with a line `SSH-VERSION-SOFTWARE` from either side. The server may send other lines
//! before it (RFC 4253, 4.2), and clients skip them: OpenSSH's client skips up to 1,024 lines of at most
//! 8,192 bytes. So each side's lines are checked until one is an identification, or until it is certain
//! that none can follow:
//!
//! - Both sides have begun with something else. In SSH only the server may, so this is another
//!   protocol: an HTTP answer, for example, may contain anything.
//! - A line contains a NUL or is too long, or there were too many lines.
//!
//! The other protocol may lead to SSH later: `CONNECT` of HTTP, SOCKS, a command that dials. And the output
//! of a command may contain such lines at any time. So there, and in sessions, an identification counts only
//! together with the packet that follows it in SSH and nowhere else, the first packet of a key exchange (RFC
//! 4253, 6 and 7.1): if that is within the first MiB of a direction, it is SSH.
//!
//! Nothing is delayed. At most an identification is passed on before SSH is detected.
//!
//! False positive: a forward in which one side sends nothing, and the other sends a line that begins with
//! `SSH-2.0-` or similar among its first 1,024. Not detected: SSH inside another encoding that the user's
//! own programs apply at both ends, or SSH that begins after the first MiB.

use super::Side;

/// How many lines may precede the identification; OpenSSH's client gives up after as many.
const MAX_LINES: u32 = 1_024;
/// The longest line, in bytes.
const MAX_LINE: usize = 8_192;
/// The beginning of an identification.
const SSH: &[u8] = b"SSH-";

/// How many bytes of one direction are searched for a key exchange.
const MAX_PREAMBLE: usize = 1024 * 1024;
/// The longest rest of an identification line (RFC 4253, 4.2: 255 bytes in all).
const MAX_IDENTIFICATION: usize = 255;
/// `SSH_MSG_KEXINIT`
const KEXINIT: u8 = 20;
/// The offset of the message number in a packet: after the packet length and the padding length.
const NUMBER_AT: usize = 5;

/// Checks both directions of one forwarded stream.
#[derive(Debug, Default)]
pub(super) struct NestedSsh {
    client: PeerStart,
    host: PeerStart,
    handshakes: Handshakes,
}

impl NestedSsh {
    /// Checks the next bytes of one direction; `true` once they complete an SSH identification.
    pub(super) fn sees_ssh(&mut self, from: Side, data: &[u8]) -> bool {
        let (own, other) = match from {
            Side::Client => (&mut self.client, &self.host),
            Side::Host => (&mut self.host, &self.client),
        };
        own.sees_ssh(data, other.is_other()) || self.handshakes.sees_ssh(from, data)
    }
}

/// Checks both directions of a session, or of a forward that has begun with something else.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    client: Handshake,
    host: Handshake,
    /// SSH was detected. It may have been permitted at that time.
    pub(super) seen: bool,
}

impl Handshakes {
    /// Checks the next bytes of one direction; `true` once they begin a key exchange.
    pub(super) fn sees_ssh(&mut self, from: Side, data: &[u8]) -> bool {
        let own = match from {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        };
        let sees = own.sees_ssh(data);
        self.seen |= sees;
        sees
    }
}

/// How much of the beginning of SSH one direction has matched, at any position.
#[derive(Debug, Default)]
struct Handshake {
    at: At,
    /// How many bytes were checked.
    looked: usize,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before or in an identification.
    Identification(VersionLine),
    /// In the rest of its line, of which there were so many bytes.
    Software(usize),
    /// In the packet behind it, of which there were so many bytes.
    Packet(usize),
}

impl Default for At {
    fn default() -> Self {
        Self::Identification(VersionLine::default())
    }
}

impl Handshake {
    fn sees_ssh(&mut self, data: &[u8]) -> bool {
        let left = MAX_PREAMBLE.saturating_sub(self.looked);
        let data = data.get(..left).unwrap_or(data);
        self.looked += data.len();
        for byte in data {
            if self.at.takes_last(*byte) {
                self.looked = MAX_PREAMBLE;
                return true;
            }
        }
        false
    }
}

impl At {
    /// Checks one byte; `true` when it completes the beginning of a key exchange.
    fn takes_last(&mut self, byte: u8) -> bool {
        *self = match *self {
            // The only beginning that is also an end of what was read.
            Self::Identification(VersionLine::Name(2)) if byte == b'S' => return false,
            Self::Identification(mut line) => {
                line.take(byte);
                match line {
                    VersionLine::Identification => Self::Software(0),
                    VersionLine::Other => Self::anew(byte),
                    line => Self::Identification(line),
                }
            }
            Self::Software(_) if byte == b'\n' => Self::Packet(0),
            Self::Software(length) if byte != 0 && length < MAX_IDENTIFICATION => {
                Self::Software(length + 1)
            }
            // No first packet is as long as 64 KiB.
            Self::Packet(at @ (0 | 1)) if byte == 0 => Self::Packet(at + 1),
            Self::Packet(at @ 2..NUMBER_AT) => Self::Packet(at + 1),
            Self::Packet(NUMBER_AT) if byte == KEXINIT => return true,
            Self::Software(_) | Self::Packet(_) => Self::anew(byte),
        };
        false
    }

    /// Begins with this byte.
    fn anew(byte: u8) -> Self {
        let mut line = VersionLine::default();
        line.take(byte);
        match line {
            VersionLine::Other => Self::default(),
            line => Self::Identification(line),
        }
    }
}

/// What one side has sent so far.
#[derive(Debug)]
enum PeerStart {
    /// Its first line, which matches an identification so far.
    First(VersionLine),
    /// It has begun with something else. A later line may be an identification.
    Later {
        line: VersionLine,
        /// Lines that have ended.
        lines: u32,
        /// Bytes of this one.
        length: usize,
    },
    /// SSH cannot follow.
    Settled,
}

impl Default for PeerStart {
    fn default() -> Self {
        Self::First(VersionLine::default())
    }
}

impl PeerStart {
    /// Whether it has begun with something that is not an identification.
    fn is_other(&self) -> bool {
        match self {
            Self::First(_) => false,
            Self::Later { .. } | Self::Settled => true,
        }
    }

    fn sees_ssh(&mut self, data: &[u8], other_side_is_other: bool) -> bool {
        for byte in data {
            match self {
                Self::First(line) => line.take(*byte),
                Self::Later { .. } if other_side_is_other => *self = Self::Settled,
                Self::Later {
                    line,
                    lines,
                    length,
                } => {
                    line.take(*byte);
                    *length += 1;
                    if *byte == b'\n' {
                        (*line, *lines, *length) = (VersionLine::default(), *lines + 1, 0);
                    }
                    if *byte == 0 || *length > MAX_LINE || *lines > MAX_LINES {
                        *self = Self::Settled;
                    }
                }
                Self::Settled => return false,
            }
            match self {
                Self::First(VersionLine::Identification)
                | Self::Later {
                    line: VersionLine::Identification,
                    ..
                } => return true,
                Self::First(VersionLine::Other) => *self = Self::after_mismatch(*byte),
                Self::First(_) | Self::Later { .. } | Self::Settled => {}
            }
        }
        false
    }

    /// The first line is no identification, as this byte says.
    fn after_mismatch(byte: u8) -> Self {
        match byte {
            0 => Self::Settled,
            b'\n' => Self::Later {
                line: VersionLine::default(),
                lines: 1,
                length: 0,
            },
            _ => Self::Later {
                line: VersionLine::Other,
                lines: 0,
                length: 1,
            },
        }
    }
}

/// A line, compared with `SSH-DIGITS.DIGITS-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionLine {
    /// The first bytes of [`SSH`], this many.
    Name(usize),
    /// In the version, before or after its dot, with or without a digit there.
    Version { after_dot: bool, digits: bool },
    /// It is an identification.
    Identification,
    /// It is not an identification.
    Other,
}

impl Default for VersionLine {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl VersionLine {
    fn take(&mut self, byte: u8) {
        *self = match *self {
            Self::Name(matched) if SSH.get(matched) == Some(&byte) => match matched + 1 {
                all if all == SSH.len() => Self::Version {
                    after_dot: false,
                    digits: false,
                },
                some => Self::Name(some),
            },
            Self::Version { after_dot, .. } if byte.is_ascii_digit() => Self::Version {
                after_dot,
                digits: true,
            },
            Self::Version {
                after_dot: false,
                digits: true,
            } if byte == b'.' => Self::Version {
                after_dot: true,
                digits: false,
            },
            Self::Version {
                after_dot: true,
                digits: true,
            } if byte == b'-' => Self::Identification,
            Self::Identification => Self::Identification,
            Self::Name(_) | Self::Version { .. } | Self::Other => Self::Other,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What one side says, in pieces of these lengths; whether SSH was seen.
    fn watched(watch: &mut NestedSsh, from: Side, stream: &[u8], cuts: &[usize]) -> bool {
        let mut rest = stream;
        for cut in cuts.iter().cycle() {
            let (piece, next) = rest.split_at((*cut).min(rest.len()));
            if watch.sees_ssh(from, piece) {
                return true;
            }
            rest = next;
            if rest.is_empty() {
                return false;
            }
        }
        false
    }

    fn alone(stream: &[u8]) -> bool {
        watched(&mut NestedSsh::default(), Side::Host, stream, &[usize::MAX])
    }

    /// The plainest way to say which streams of one side are SSH.
    fn naive(stream: &[u8]) -> bool {
        let is_ident = |line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let Some((version, _)) = text
                .strip_prefix("SSH-")
                .and_then(|rest| rest.split_once('-'))
            else {
                return false;
            };
            let is_number =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            version
                .split_once('.')
                .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
        };
        let before = stream.split(|byte| *byte == 0).next().unwrap_or_default();
        // A line that goes on as one, and ends in a NUL, is one already.
        before.split(|byte| *byte == b'\n').any(is_ident)
    }

    /// An identification, and the beginning of a first packet.
    const HANDSHAKE: &[u8] = b"SSH-2.0-OpenSSH_9.2p1\r\n\0\0\x04\x1c\x0a\x14cookie";

    #[test]
    fn ssh_after_the_request_of_a_proxy_is_seen() {
        let preambles: [(&[u8], &[u8]); 4] = [
            (
                b"CONNECT db2:22 HTTP/1.1\r\nHost: db2:22\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n",
            ),
            (
                b"\x05\x01\0\x05\x01\0\x03\x03db2\0\x16",
                b"\x05\0\x05\0\0\x01\x7f\0\0\x01\0\x16",
            ),
            (
                b"\x04\x01\0\x16\x7f\0\0\x01me\0",
                b"\0\x5a\0\x16\x7f\0\0\x01",
            ),
            (b"a line that is read away\n", b"and one that is not\n"),
        ];
        for (request, answer) in preambles {
            for cuts in [&[1][..], &[7], &[usize::MAX]] {
                for from in [Side::Client, Side::Host] {
                    let mut watch = NestedSsh::default();
                    assert!(!watched(&mut watch, Side::Client, request, cuts));
                    assert!(!watched(&mut watch, Side::Host, answer, cuts));
                    assert!(
                        watched(&mut watch, from, HANDSHAKE, cuts),
                        "{request:?} {from}"
                    );
                }
            }
        }
    }

    #[test]
    fn text_about_ssh_is_no_key_exchange() {
        let mut page = b"SSH-2.0-OpenSSH_9.2p1\r\nSSH-1.99-x\n".to_vec();
        page.extend(b"SSH-2.0-x\n\0\0\x04\x1c\x0a\x15SSH-2.0-x\n\x14SSSSH-2.0");
        let mut watch = Handshakes::default();
        for from in [Side::Client, Side::Host] {
            assert!(!watch.sees_ssh(from, &page));
        }
        assert!(!watch.seen);
        let again = [b"-y\n".as_slice(), &HANDSHAKE[HANDSHAKE.len() - 12..]].concat();
        assert!(watch.sees_ssh(Side::Host, &again));
        assert!(watch.seen);
    }

    #[test]
    fn what_comes_after_a_mebibyte_is_not_looked_at() {
        let mut watch = Handshakes::default();
        assert!(!watch.sees_ssh(Side::Client, &vec![b'x'; MAX_PREAMBLE]));
        assert!(!watch.sees_ssh(Side::Client, HANDSHAKE));
        assert!(watch.sees_ssh(Side::Host, HANDSHAKE));
    }

    fn side() -> impl Strategy<Value = Side> {
        prop_oneof![Just(Side::Client), Just(Side::Host)]
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "SSH-[12]\\.[0-9]{1,2}-[a-z]{0,4}".prop_map(String::into_bytes),
            "(SSH|S|SSH-|SSH-2|SSH-2\\.|SSH-2\\.0|SSH-\\.0-|SSH--|ssh-2\\.0-| SSH-2\\.0-)[a-z]{0,4}"
                .prop_map(String::into_bytes),
            "[ -~\r]{0,12}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..6),
        ]
    }

    proptest! {
        #[test]
        fn a_key_exchange_is_seen_whatever_came_before(
            from in side(),
            before in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::vec(1usize..9, 1..9),
        ) {
            // What ends as an identification ends would make this one the end of a longer one.
            let mut stream = before;
            stream.extend(b"\n\n\n\n\n\n\n");
            stream.extend(HANDSHAKE);
            let mut watch = Handshakes::default();
            let mut rest = stream.as_slice();
            let mut sees = false;
            for cut in cuts.iter().cycle() {
                let (piece, next) = rest.split_at((*cut).min(rest.len()));
                sees |= watch.sees_ssh(from, piece);
                rest = next;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(sees);
        }

        #[test]
        fn ssh_is_seen_however_it_is_cut(
            from in side(),
            lines in proptest::collection::vec("[a-zA-Z -]{0,20}\r?\n", 0..8),
            version in "(2\\.0|1\\.99|1\\.5)",
            cuts in proptest::collection::vec(1usize..5, 1..20),
            tail: Vec<u8>,
        ) {
            let mut stream = lines.concat().into_bytes();
            stream.extend(format!("SSH-{version}-").into_bytes());
            stream.extend(tail);
            let mut watch = NestedSsh::default();
            prop_assert!(watched(&mut watch, from, &stream, &cuts));
        }

        #[test]
        fn it_sees_what_the_plain_definition_sees(
            from in side(),
            lines in proptest::collection::vec(line(), 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..9),
        ) {
            let stream = lines.join(&b'\n');
            let mut watch = NestedSsh::default();
            prop_assert_eq!(watched(&mut watch, from, &stream, &cuts), naive(&stream));
        }

        #[test]
        fn the_side_that_connects_is_seen_whatever_the_other_says(
            from in side(),
            before: Vec<u8>,
            cuts in proptest::collection::vec(1usize..5, 1..9),
        ) {
            prop_assume!(!naive(&before));
            let mut watch = NestedSsh::default();
            watched(&mut watch, from.other(), &before, &cuts);
            prop_assert!(watched(&mut watch, from, b"SSH-2.0-x", &cuts));
        }

        #[test]
        fn once_both_sides_have_begun_otherwise_anything_may_follow(
            from in side(),
            cuts in proptest::collection::vec(1usize..5, 1..9),
        ) {
            let mut watch = NestedSsh::default();
            let answer = b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH_9.2\r\nSSH-1.99-x\r\n";
            prop_assert!(!watched(&mut watch, from, b"GET / HTTP/1.1\r\n\r\n", &cuts));
            prop_assert!(!watched(&mut watch, from.other(), answer, &cuts));
            prop_assert!(!watched(&mut watch, from, b"POST / HTTP/1.1\r\nSSH-2.0-x\r\n", &cuts));
        }
    }

    #[test]
    fn it_waits_for_as_many_lines_as_ssh_does() {
        let lines = |count: usize| [b"line\r\n".repeat(count), b"SSH-2.0-x".to_vec()].concat();
        assert!(alone(&lines(1_024)));
        assert!(!alone(&lines(1_025)));
        let long = |length: usize| [vec![b'x'; length], b"\nSSH-2.0-x".to_vec()].concat();
        assert!(alone(&long(8_191)));
        assert!(!alone(&long(8_193)));
    }

    #[test]
    fn a_nul_is_no_text() {
        assert!(!alone(b"\0SSH-2.0-x"));
        assert!(!alone(b"\x16\x03\x01\0\nSSH-2.0-x"));
    }

    #[test]
    fn words_about_ssh_are_not_ssh() {
        for text in [
            "SSH-KEYGEN(1)\n",
            "SSH-2.0\n",
            "SSH-2-x\n",
            "SSH-.0-x\n",
            "SSH-2.-x\n",
            "say SSH-2.0-x\n",
            "ssh-2.0-x\n",
        ] {
            assert!(!alone(text.as_bytes()), "{text:?}");
        }
    }
}
