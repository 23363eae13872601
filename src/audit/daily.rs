//! Warnings that stay true for weeks: one event a day for each thing that they are about.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg};

use super::{AuditError, AuditEvent, AuditLog, ForeignSerial, UnixSeconds};
use crate::model::HostAddress;

/// How long one event stands for those that would follow it.
const DAY: TimeDelta = TimeDelta::days(1);
/// How much of the log's end is looked through, in bytes. Where a day's events need more, a warning
/// may be repeated; looking takes milliseconds.
const TAIL: u64 = 4 << 20;

impl AuditLog {
    /// Warns of a host's certificate that ends soon, once a day; `true` when it was written.
    /// `seen_by` is the process that met the host.
    ///
    /// # Errors
    /// As [`AuditLog::emit`].
    pub fn warn_of_ending(
        &self,
        host: &str,
        host_addr: HostAddress,
        certificate: &Certificate,
        seen_by: &'static str,
    ) -> Result<bool, AuditError> {
        let sha256 = |key: &KeyData| key.fingerprint(HashAlg::Sha256).to_string();
        let event = AuditEvent::HostCertificateExpiring {
            host: host.to_owned(),
            host_addr,
            serial: ForeignSerial(certificate.serial()),
            key_id: certificate.key_id().to_owned(),
            principals: certificate.valid_principals().to_vec(),
            valid_before: UnixSeconds(certificate.valid_before()),
            fingerprint: sha256(certificate.public_key()),
            ca_fingerprint: sha256(certificate.signature_key()),
            seen_by,
        };
        self.emit_daily(&event, "host")
    }

    /// Writes an event, unless the log has one of its kind with the same value in `field` already that
    /// is less than a day old, by whichever process; `true` when it was written.
    ///
    /// # Errors
    /// As [`AuditLog::emit`]. A log that cannot be read is one without such an event.
    fn emit_daily(&self, event: &AuditEvent, field: &str) -> Result<bool, AuditError> {
        let since = self.clock().now() - DAY;
        let about = serde_json::to_value(event)?.get(field).cloned();
        let code = event.kind().code();
        let is_same = |line: &Value| {
            line.get("code").is_some_and(|found| found == code)
                && line.get(field) == about.as_ref()
                && time(line).is_some_and(|time| time > since)
        };
        let tail = self.tail(TAIL).unwrap_or_default();
        let is_told = tail
            .split(|byte| *byte == b'\n')
            // Most lines are about something else, and need no parsing.
            .filter(|line| line.windows(code.len()).any(|part| part == code.as_bytes()))
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .any(|line| is_same(&line));
        if !is_told {
            self.emit(event)?;
        }
        Ok(!is_told)
    }
}

fn time(line: &Value) -> Option<DateTime<Utc>> {
    let time = line.get("time")?.as_str()?;
    DateTime::parse_from_rfc3339(time).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::sys::clock::Clock;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn the_same_is_told_once_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let certificate = CertSpec::host(&ed25519()).sign(&ed25519());
        let address: std::net::SocketAddr = "127.0.0.1:22".parse().unwrap();
        let tell = |at: u64, host: &str| {
            // Each time another process, as a command beside the running proxy.
            let cluster = "example.com".parse().unwrap();
            let log = AuditLog::open(
                &crate::model::DataDir::new(directory.path()),
                cluster,
                Clock::Fixed(at),
            )
            .unwrap();
            log.emit(&AuditEvent::ServerStopped { reason: "db1" })
                .unwrap();
            let told = log.warn_of_ending(host, address.into(), &certificate, "proxy");
            told.unwrap()
        };
        assert!(tell(NOW, "db1"));
        assert!(!tell(NOW, "db1"));
        assert!(tell(NOW, "db2"));
        assert!(!tell(NOW + 86_399, "db1"));
        assert!(tell(NOW + 86_400, "db1"));
        assert!(!tell(NOW + 86_401, "db1"));
    }
}
