//! Limits what a peer may cause: traffic before it is authenticated, and key exchanges after that.
//!
//! A key exchange costs the answering side far more than the requesting side. Before user
//! authentication there is exactly one. After it, a peer may request more, as often as real peers
//! do: `ssh -o RekeyLimit=16K` requests one after every 16 KiB.

use std::time::Duration;

use crate::wire::algorithm::Kex;
use crate::wire::error::{Error, Violation};
use crate::wire::packet::Usage;

/// Most bytes and packets that a peer may send before it is authenticated. Twenty attempts with the
/// largest packets stay below it.
const MAX_EARLY: Usage = Usage {
    packets: 8192,
    bytes: 8 << 20,
};

/// Key exchanges that a peer may ask for in a row, and that it can save up.
const MAX_SAVED: u64 = 100;
/// Bytes on the wire, in both directions together, that earn another key exchange. Half of the
/// smallest limit that is in use, because OpenSSH asks before it would be passed.
const BYTES_EACH: u64 = 8 * 1024;
/// Time that earns another key exchange.
const TIME_EACH: Duration = Duration::from_secs(1);

/// Whether an unauthenticated peer has sent more than it may.
pub(super) const fn is_too_much(early: Usage) -> bool {
    early.packets > MAX_EARLY.packets || early.bytes > MAX_EARLY.bytes
}

/// Key exchanges that the peer may still ask for.
#[derive(Debug)]
pub(super) struct RekeyAllowance {
    saved: u64,
    /// Up to when time has been paid for, as [`tick`](super::Transport::tick) counts it.
    paid_until: Duration,
}

impl Default for RekeyAllowance {
    fn default() -> Self {
        Self {
            saved: MAX_SAVED,
            paid_until: Duration::ZERO,
        }
    }
}

impl RekeyAllowance {
    /// Charges the peer for a key exchange by this method, after so many bytes since the last.
    ///
    /// # Errors
    /// When it asks more often than it may.
    pub(super) fn charge(&mut self, kex: Kex, bytes: u64, now: Duration) -> Result<(), Error> {
        let seconds = now.saturating_sub(self.paid_until).as_secs() / TIME_EACH.as_secs();
        self.paid_until = self.paid_until.max(now);
        let earned = seconds.saturating_add(bytes / BYTES_EACH);
        let saved = self.saved.saturating_add(earned).min(MAX_SAVED);
        self.saved = saved.checked_sub(kex.weight()).ok_or(Violation::Rekeys)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEX: Kex = Kex::Curve25519Sha256;

    /// How many of these a peer gets before it is refused.
    fn count(mut charge: impl FnMut(u64) -> Result<(), Error>) -> u64 {
        (0..10_000)
            .find(|number| charge(*number).is_err())
            .unwrap_or(10_000)
    }

    #[test]
    fn key_exchanges_without_traffic_or_time_are_few() {
        let mut allowance = RekeyAllowance::default();
        assert_eq!(
            count(|_| allowance.charge(KEX, 3_000, Duration::ZERO)),
            MAX_SAVED
        );
    }

    #[test]
    fn bytes_and_time_earn_more() {
        let mut allowance = RekeyAllowance::default();
        let by_bytes = count(|_| allowance.charge(KEX, 16 * 1024, Duration::ZERO));
        assert_eq!(by_bytes, 10_000);
        let mut allowance = RekeyAllowance::default();
        let by_time = count(|number| allowance.charge(KEX, 0, Duration::from_secs(number)));
        assert_eq!(by_time, 10_000);
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let mut allowance = RekeyAllowance::default();
        let later = Duration::from_secs(1_000_000);
        assert!(allowance.charge(KEX, 1 << 40, later).is_ok());
        assert_eq!(count(|_| allowance.charge(KEX, 0, later)), MAX_SAVED - 1);
    }

    #[test]
    fn finite_fields_cost_more() {
        let mut allowance = RekeyAllowance::default();
        let slow = Kex::DiffieHellmanGroup16Sha512;
        let got = count(|_| allowance.charge(slow, 0, Duration::ZERO));
        assert_eq!(got, MAX_SAVED / slow.weight());
        assert!(slow.weight() > KEX.weight());
    }
}
