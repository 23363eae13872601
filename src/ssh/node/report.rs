//! Reads the report of a host: text, one `name value` in each line, until a line `end`. One without that line
//! was cut on its way, and is not used: what is missing in it would be taken for gone, as labels.
//!
//! Names that are unknown are ignored, so that a host may have a newer script than the proxy. Has no
//! stream: bytes are passed in as they arrive.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::ipc::{NodeReport, SecretText, Service};
use crate::model::text::{MAX_REASON, Printable};

/// Longest report, in bytes.
pub(super) const MAX_REPORT: usize = 32 * 1024;
/// Longest line, without its end, in bytes.
pub(super) const MAX_LINE: usize = 4 * 1024;
/// Most labels.
const MAX_LABELS: usize = 64;
/// Most names.
const MAX_NAMES: usize = 16;
/// Most addresses.
const MAX_ADDRESSES: usize = 32;
/// Most fingerprints of one CA.
const MAX_KEYS: usize = 8;
/// Longest version of sshd, in bytes.
const MAX_VERSION: usize = 256;
/// Longest report as it is passed on, in bytes: the request has a signature's worth of other fields.
const MAX_PASSED: usize = Service::Nodes.max_request() - 2 * 1024;

/// The first line.
const HEADER: &str = "rproxy-report 1";
/// The last line.
const END: &str = "end";

/// Why a report is not used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReportError {
    /// It is longer than a report may be.
    #[error("it is longer than {} KiB", MAX_REPORT / 1024)]
    TooLong,
    /// One of its lines is longer than a line may be.
    #[error("a line is longer than {} KiB", MAX_LINE / 1024)]
    LineTooLong,
    /// It begins with something else.
    #[error("its first line is not {HEADER:?}")]
    Header,
    /// Its last line is missing.
    #[error("its last line is not {END:?}: it has not come whole")]
    Cut,
    /// There are more lines of this name than there may be.
    #[error("it has more than {1} lines {0:?}")]
    TooMany(&'static str, usize),
    /// The value of this name is not what it should be.
    #[error("the value of {0:?} is not {1}")]
    Value(&'static str, &'static str),
}

/// A report and the token that came with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReport {
    /// The token.
    pub token: Option<SecretText>,
    /// The rest.
    pub report: NodeReport,
}

/// A report that arrives in pieces.
#[derive(Debug)]
pub struct ReportReader {
    /// The line that is not finished. It can be that of the token.
    line: Zeroizing<Vec<u8>>,
    /// Bytes so far.
    length: usize,
    has_begun: bool,
    has_ended: bool,
    read: HostReport,
}

impl Default for ReportReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ReportReader {
    /// Nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        Self {
            // As long as it can become: a longer buffer would leave copies of a secret behind.
            line: Zeroizing::new(Vec::with_capacity(MAX_LINE)),
            length: 0,
            has_begun: false,
            has_ended: false,
            read: HostReport::default(),
        }
    }

    /// Takes what arrived; whether that was the last line. What follows it is ignored.
    ///
    /// # Errors
    /// It is no report.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, ReportError> {
        for byte in bytes {
            self.length += 1;
            if self.length > MAX_REPORT {
                return Err(ReportError::TooLong);
            }
            if *byte == b'\n' {
                if self.finish_line()? {
                    return Ok(true);
                }
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            } else {
                return Err(ReportError::LineTooLong);
            }
        }
        Ok(false)
    }

    /// The report, after its last line or the end of the input.
    ///
    /// # Errors
    /// It is no report.
    pub fn finish(mut self) -> Result<HostReport, ReportError> {
        if !self.line.is_empty() {
            self.finish_line()?;
        }
        if !self.has_begun {
            return Err(ReportError::Header);
        }
        if !self.has_ended {
            return Err(ReportError::Cut);
        }
        let passed = serde_json::to_vec(&self.read.report);
        match passed {
            Ok(passed) if passed.len() <= MAX_PASSED => Ok(self.read),
            // Characters that take several bytes there.
            Ok(_) | Err(_) => Err(ReportError::TooLong),
        }
    }

    /// Takes the line that is finished; whether it was the last one.
    fn finish_line(&mut self) -> Result<bool, ReportError> {
        let line = std::mem::replace(&mut self.line, Zeroizing::new(Vec::with_capacity(MAX_LINE)));
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (name, value) = match line.iter().position(|byte| *byte == b' ') {
            Some(space) => line.split_at(space),
            None => (line, &b""[..]),
        };
        if !self.has_begun {
            self.has_begun = line == HEADER.as_bytes();
            return match self.has_begun {
                true => Ok(false),
                false => Err(ReportError::Header),
            };
        }
        if line == END.as_bytes() {
            self.has_ended = true;
            return Ok(true);
        }
        let value = value.trim_ascii();
        match name {
            b"token" => {
                let text = String::from_utf8(value.to_vec());
                let text = text.map_err(|_error| ReportError::Value("token", "a token"))?;
                self.read.token = Some(SecretText::new(text));
            }
            name => set(&mut self.read.report, name, value)?,
        }
        Ok(false)
    }
}

/// Sets what a line says.
fn set(report: &mut NodeReport, name: &[u8], value: &[u8]) -> Result<(), ReportError> {
    match name {
        b"name" => add(&mut report.names, "name", MAX_NAMES, value),
        b"label" => add(&mut report.labels, "label", MAX_LABELS, value),
        b"address" => add(&mut report.addresses, "address", MAX_ADDRESSES, value),
        b"user-ca" => add(&mut report.user_cas, "user-ca", MAX_KEYS, value),
        b"host-ca" => add(&mut report.host_cas, "host-ca", MAX_KEYS, value),
        b"port" => {
            let port = number("port", value)?;
            report.port = u16::try_from(port).map_err(|_error| PORT)?;
            Ok(())
        }
        b"sshd" => {
            report.sshd = text(value, MAX_VERSION);
            Ok(())
        }
        b"uptime" => {
            report.uptime = number("uptime", value)?;
            Ok(())
        }
        b"clock" => {
            report.clock = number("clock", value)?;
            Ok(())
        }
        b"tunnel" => {
            report.tunnel = match value {
                b"yes" => true,
                b"no" => false,
                _ => return Err(ReportError::Value("tunnel", "yes or no")),
            };
            Ok(())
        }
        b"certificate" => {
            report.certificate = Some(number("certificate", value)?);
            Ok(())
        }
        b"revocations" => {
            report.revocations = Some(number("revocations", value)?);
            Ok(())
        }
        b"problem" => {
            let problem = text(value, MAX_REASON);
            report.problem = (!problem.is_empty()).then_some(problem);
            Ok(())
        }
        _ => Ok(()),
    }
}

const PORT: ReportError = ReportError::Value("port", "a port");

fn add(
    list: &mut Vec<String>,
    name: &'static str,
    most: usize,
    value: &[u8],
) -> Result<(), ReportError> {
    if list.len() >= most {
        return Err(ReportError::TooMany(name, most));
    }
    list.push(text(value, MAX_LINE));
    Ok(())
}

fn number(name: &'static str, value: &[u8]) -> Result<u64, ReportError> {
    let digits = std::str::from_utf8(value).ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or(ReportError::Value(name, "a number"))
}

/// A value in one line that shows what it is.
fn text(value: &[u8], limit: usize) -> String {
    Printable(&String::from_utf8_lossy(value)).within(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ipc::{NodesQuestion, NodesRequest, ServiceRequest, encode};
    use crate::model::ConnectionId;
    use crate::model::text::is_printable;

    fn read(text: impl AsRef<[u8]>) -> Result<HostReport, ReportError> {
        let mut reader = ReportReader::new();
        reader.take(text.as_ref())?;
        reader.finish()
    }

    fn with(lines: &str) -> String {
        format!("{HEADER}\n{lines}\nend\n")
    }

    const WHOLE: &str = "rproxy-report 1\ntoken rpt_abc\nname db1\nname db1.example.com\n\
        label env=prod\nlabel role=db server\naddress 10.0.0.5\nport 2222\n\
        sshd OpenSSH_9.2p1 Debian-2+deb12u3\nuptime 12345\nclock 1764520000\ntunnel yes\n\
        user-ca SHA256:u\nhost-ca SHA256:h\ncertificate 1234567890\nrevocations 17\n\
        problem disk full\nfuture thing\nend\nname ignored\n";

    #[test]
    fn a_report_has_what_its_lines_say() {
        let read = read(WHOLE).unwrap();
        assert_eq!(read.token, Some(SecretText::new("rpt_abc".to_owned())));
        let expected = NodeReport {
            names: vec!["db1".to_owned(), "db1.example.com".to_owned()],
            labels: vec!["env=prod".to_owned(), "role=db server".to_owned()],
            addresses: vec!["10.0.0.5".to_owned()],
            port: 2222,
            sshd: "OpenSSH_9.2p1 Debian-2+deb12u3".to_owned(),
            uptime: 12_345,
            clock: 1_764_520_000,
            tunnel: true,
            user_cas: vec!["SHA256:u".to_owned()],
            host_cas: vec!["SHA256:h".to_owned()],
            certificate: Some(1_234_567_890),
            revocations: Some(17),
            problem: Some("disk full".to_owned()),
        };
        assert_eq!(read.report, expected);
    }

    #[test]
    fn a_report_that_was_cut_is_not_used() {
        let (whole, _) = WHOLE.split_once("\nname ignored").unwrap();
        assert_eq!(read(whole), read(WHOLE), "the end of the input ends a line");
        let without_end = whole.len() - END.len();
        assert_eq!(read(&whole[..without_end]), Err(ReportError::Cut));
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn lines_end_as_they_do_on_any_system_and_may_have_no_value() {
        assert_eq!(read(WHOLE.replace('\n', "\r\n")), read(WHOLE));
        let empty = read(with("problem ")).unwrap().report;
        assert_eq!((empty.problem, empty.port), (None, 0));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for (text, expected) in [
            (String::new(), ReportError::Header),
            ("name db1\nend\n".to_owned(), ReportError::Header),
            ("rproxy-report 2\nend\n".to_owned(), ReportError::Header),
            (with("port 65536"), PORT),
            (with("port -1"), ReportError::Value("port", "a number")),
            (with("uptime +1"), ReportError::Value("uptime", "a number")),
            (with("clock"), ReportError::Value("clock", "a number")),
            (
                with("tunnel maybe"),
                ReportError::Value("tunnel", "yes or no"),
            ),
            (
                with(&"label a=b\n".repeat(65)),
                ReportError::TooMany("label", 64),
            ),
            (
                with(&"name a\n".repeat(17)),
                ReportError::TooMany("name", 16),
            ),
            (
                with(&"address ::1\n".repeat(33)),
                ReportError::TooMany("address", 32),
            ),
            (
                with(&format!("problem {}", "p".repeat(MAX_LINE))),
                ReportError::LineTooLong,
            ),
            (with(&"future f\n".repeat(4_000)), ReportError::TooLong),
        ] {
            assert_eq!(read(&text), Err(expected), "{text:.80}");
        }
        let bytes = b"rproxy-report 1\ntoken \xff\nend\n";
        assert_eq!(read(bytes), Err(ReportError::Value("token", "a token")));
    }

    /// Characters that a request needs more bytes for than the report has.
    #[test]
    fn a_report_that_would_not_fit_into_a_request_is_refused() {
        let quotes = format!("label {}\n", "\"".repeat(MAX_LINE - 100)).repeat(7);
        assert_eq!(read(with(&quotes)), Err(ReportError::TooLong));
        let plain = format!("label {}\n", "q".repeat(MAX_LINE - 100)).repeat(7);
        assert!(read(with(&plain)).is_ok());
    }

    proptest! {
        /// Bytes of any kind, in pieces of any size: the same result, and what is passed on is bounded and
        /// drives no terminal.
        #[test]
        fn any_bytes_give_a_bounded_report(
            lines in proptest::collection::vec(
                prop_oneof![
                    "(name|label|address|port|sshd|problem|token|tunnel|end|x) ?[ -~]{0,40}"
                        .prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..60),
                ],
                0..30,
            ),
            size in 1_usize..50,
        ) {
            let mut bytes = HEADER.as_bytes().to_vec();
            for line in lines {
                bytes.push(b'\n');
                bytes.extend(line);
            }
            bytes.extend(b"\nend");
            let mut reader = ReportReader::new();
            let mut failed = None;
            for piece in bytes.chunks(size) {
                match reader.take(piece) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let pieces = match failed {
                Some(error) => Err(error),
                None => reader.finish(),
            };
            prop_assert_eq!(&pieces, &read(&bytes));
            let Ok(HostReport { token, report }) = pieces else { return Ok(()) };
            let texts = [&report.names, &report.labels, &report.addresses].into_iter().flatten();
            for text in texts.chain([&report.sshd]).chain(&report.problem) {
                prop_assert!(is_printable(text), "{:?}", text);
            }
            let token = token.unwrap_or_else(|| SecretText::new(String::new()));
            let request = ServiceRequest::from(NodesRequest {
                connection: ConnectionId::new(),
                client: crate::ssh::testing::CLIENT,
                ask: NodesQuestion::Join { token, report },
            });
            prop_assert!(encode(&request).unwrap().len() <= Service::Nodes.max_request());
        }
    }
}
