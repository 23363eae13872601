//! One-time codes (RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator has them.

use std::fmt;

use rand::RngExt as _;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::model::{ClusterName, UserName};

/// Bytes of a secret (RFC 4226 section 4 recommends 160 bits).
const SECRET: usize = 20;
/// Seconds of a step.
const STEP: u64 = 30;
/// Steps by which the clocks may differ in either direction.
const TOLERATED: u64 = 1;
/// Steps in either direction that tell that the clocks differ. Such a code is never accepted.
const RECOGNISED: u64 = 10;

/// What a code is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeVerdict {
    /// It is right, if its step was not used before.
    Right {
        /// The step, as RFC 6238 section 4.2 counts them.
        step: u64,
    },
    /// It is the code of another time: the clocks differ by this many minutes, rounded up. Positive if
    /// the authenticator's clock is ahead.
    ClockOff {
        /// The difference.
        minutes: i64,
    },
    /// It is wrong.
    Wrong,
}

/// A secret that an authenticator and the state share.
#[derive(Clone)]
pub(super) struct OtpSecret(Zeroizing<[u8; SECRET]>);

impl fmt::Debug for OtpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtpSecret(..)")
    }
}

impl OtpSecret {
    /// A random one.
    #[must_use]
    pub(super) fn random() -> Self {
        let mut secret = Zeroizing::new([0; SECRET]);
        rand::rng().fill(&mut *secret);
        Self(secret)
    }

    /// Reads what [`Self::to_base32`] wrote.
    #[must_use]
    pub(super) fn from_base32(text: &str) -> Option<Self> {
        let secret = Secret::try_from_base32(text).ok()?;
        let bytes: [u8; SECRET] = secret.as_bytes().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// In the alphabet of RFC 4648 section 6, without padding.
    #[must_use]
    pub(super) fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(Secret::new_stack(*self.0).to_base32())
    }

    /// The URI that sets up an authenticator, with the cluster as the issuer. What it leaves out is
    /// what every authenticator takes for granted.
    #[must_use]
    pub(super) fn uri(&self, cluster: &ClusterName, name: &UserName) -> Zeroizing<String> {
        let label = name.as_str().replace('+', "%2B").replace('@', "%40");
        let secret = self.to_base32();
        let secret = secret.as_str();
        Zeroizing::new(format!(
            "otpauth://totp/{cluster}:{label}?secret={secret}&issuer={cluster}"
        ))
    }

    /// What a code is worth at `now`, in seconds since the epoch. It always takes the same time.
    #[must_use]
    pub(super) fn check(&self, typed: &str, now: u64) -> CodeVerdict {
        let totp = self.totp();
        let code: Zeroizing<String> =
            Zeroizing::new(typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect());
        let current = now / STEP;
        let first = current.saturating_sub(RECOGNISED);
        let mut found = None;
        for step in first..=current + RECOGNISED {
            let is_right = totp.check(&code, step * STEP).is_some();
            let is_nearer =
                found.is_none_or(|other: u64| step.abs_diff(current) < other.abs_diff(current));
            if is_right && is_nearer {
                found = Some(step);
            }
        }
        match found {
            Some(step) if step.abs_diff(current) <= TOLERATED => CodeVerdict::Right { step },
            Some(step) => {
                let minutes = (step.abs_diff(current) * STEP).div_ceil(60);
                let minutes = i64::try_from(minutes).unwrap_or(i64::MAX);
                CodeVerdict::ClockOff {
                    minutes: if step > current { minutes } else { -minutes },
                }
            }
            None => CodeVerdict::Wrong,
        }
    }

    /// The code at a time, as an authenticator shows it.
    #[cfg(test)]
    pub(crate) fn code(&self, at: u64) -> String {
        self.totp().generate(at).to_string()
    }

    /// The secret has a length that every check of the crate accepts.
    fn totp(&self) -> Totp {
        Builder::new()
            .with_secret(Secret::new_stack(*self.0))
            .with_skew(0)
            .build_noncompliant()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// The test vectors of RFC 6238 appendix B for SHA-1, their last six digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = OtpSecret(Zeroizing::new(*b"12345678901234567890"));
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(time), code);
            let step = time / STEP;
            assert_eq!(secret.check(code, time), CodeVerdict::Right { step });
        }
        assert_eq!(*secret.to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_step_to_either_side_is_right_and_further_ones_tell_the_clocks() {
        let secret = OtpSecret(Zeroizing::new(*b"12345678901234567890"));
        let check = |seconds: i64| {
            let at = NOW.checked_add_signed(seconds).unwrap();
            secret.check(&secret.code(at), NOW)
        };
        let current = NOW / STEP;
        for (seconds, step) in [
            (0, current),
            (29, current),
            (30, current + 1),
            (-30, current - 1),
        ] {
            assert_eq!(check(seconds), CodeVerdict::Right { step });
        }
        for (seconds, minutes) in [(60, 1), (90, 2), (300, 5), (-60, -1), (-300, -5)] {
            assert_eq!(check(seconds), CodeVerdict::ClockOff { minutes });
        }
        for seconds in [330, -330, 100_000] {
            assert_eq!(check(seconds), CodeVerdict::Wrong);
        }
    }

    #[test]
    fn spaces_do_not_count_and_everything_else_is_wrong() {
        let secret = OtpSecret::random();
        let code = secret.code(NOW);
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        assert!(matches!(
            secret.check(&spaced, NOW),
            CodeVerdict::Right { .. }
        ));
        let longer = format!("{code}0");
        for wrong in ["", "12345", &longer, "+12345", "abcdef", "\u{661}23456"] {
            assert_eq!(secret.check(wrong, NOW), CodeVerdict::Wrong, "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_kept_as_text() {
        let secret = OtpSecret::random();
        let text = secret.to_base32();
        assert_eq!(text.len(), 32);
        assert_eq!(OtpSecret::from_base32(&text).unwrap().0, secret.0);
        for wrong in ["", "GEZDGNBV", "0189", &text.to_lowercase()[1..]] {
            assert!(OtpSecret::from_base32(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(format!("{secret:?}"), "OtpSecret(..)");
    }

    #[test]
    fn the_uri_names_the_cluster_and_the_person() {
        let secret = OtpSecret(Zeroizing::new(*b"12345678901234567890"));
        let cluster = "example.com".parse().unwrap();
        let name = "alice+ops@example.com".parse().unwrap();
        assert_eq!(
            *secret.uri(&cluster, &name),
            "otpauth://totp/example.com:alice%2Bops%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=example.com"
        );
    }
}
