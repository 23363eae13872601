//! An authenticator: one-time codes (RFC 6238) from the URI that the proxy shows.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use totp_rs::{Builder, Secret, Totp};

/// Seconds of a step.
const STEP: u64 = 30;

/// An authenticator with one account.
#[derive(Debug)]
pub(crate) struct CodeGenerator {
    codes: Totp,
    /// The step of the last code that was given.
    last: Cell<u64>,
    /// How far its clock is ahead, in seconds.
    ahead: Cell<u64>,
}

impl CodeGenerator {
    /// Takes an `otpauth://` URI.
    pub(crate) fn scan(uri: &str) -> Self {
        let (_, secret) = uri.split_once("secret=").expect("a URI with a secret");
        let secret = secret.split('&').next().unwrap_or_default();
        let secret = Secret::try_from_base32(secret).expect("base32");
        let codes = Builder::new().with_secret(secret).build_noncompliant();
        Self {
            codes,
            last: Cell::new(0),
            ahead: Cell::new(0),
        }
    }

    /// A code that was not given before. The proxy takes those of one step ahead; beyond that it is
    /// waited for.
    pub(crate) fn code(&self) -> String {
        let step = self.now() / STEP;
        let next = step.max(self.last.get() + 1);
        while self.now() / STEP + 1 < next {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.last.set(next);
        self.at(next)
    }

    /// The code that was given last.
    pub(crate) fn last_code(&self) -> String {
        self.at(self.last.get())
    }

    /// Moves its clock so far ahead, in seconds.
    pub(crate) fn set_ahead(&self, seconds: u64) {
        self.ahead.set(seconds);
    }

    fn at(&self, step: u64) -> String {
        self.codes.generate(step * STEP).to_string()
    }

    fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("after 1970").as_secs() + self.ahead.get()
    }
}
