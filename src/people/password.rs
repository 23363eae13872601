//! Passwords: the rule for new ones, and their hashes (Argon2id, RFC 9106).
//!
//! A password is the bytes that were typed: it is not normalised, trimmed or folded, because terminals
//! of one person send the same bytes each time, and a change of the rules would lock people out.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use rand::RngExt as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::common_passwords::is_common;

/// Fewest characters of a new password.
pub const MIN_PASSWORD: usize = 12;
/// Most bytes of a password: what is longer is refused before it is hashed.
pub const MAX_PASSWORD: usize = 1024;

/// Memory of one hash in KiB, its passes, and its lanes.
///
/// Measured on 2026-11-30 in a release build on two processors of a shared machine, 15 hashes each:
/// 19 MiB and 2 passes take 26 ms (median), 32 MiB and 2 passes 49 ms, 46 MiB and 2 passes 74 ms, 64 MiB
/// and 3 passes 143 ms. RFC 9106 prefers more memory; a proxy of two processors has to hash twenty
/// passwords in half a second when a team comes back from lunch.
const COST: (u32, u32, u32) = (32 * 1024, 2, 1);
/// Bytes of a salt (RFC 9106 section 3.1).
const SALT: usize = 16;

/// Why a text cannot be a new password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum PasswordError {
    /// Fewer characters than [`MIN_PASSWORD`].
    #[error("a password has at least {MIN_PASSWORD} characters, this one has {0}")]
    Short(usize),
    /// More bytes than [`MAX_PASSWORD`].
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    Long,
    /// It is in the list of common passwords.
    #[error("this password is common, and attackers try common passwords first")]
    Common,
    /// Bytes that are no UTF-8 stand in it: they arrive as U+FFFD, so different ones would be the same.
    #[error("this password is not UTF-8, which your terminal has to send")]
    NotText,
}

/// The hash could not be made: the machine has no memory left.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the password could not be hashed: not enough memory")]
pub struct HashFailed;

/// Refuses texts that are too short, too long or common. There is no other rule.
///
/// # Errors
/// Which rule it breaks.
pub(super) fn check_new(password: &str) -> Result<(), PasswordError> {
    if password.len() > MAX_PASSWORD {
        return Err(PasswordError::Long);
    }
    if password.contains(char::REPLACEMENT_CHARACTER) {
        return Err(PasswordError::NotText);
    }
    match password.chars().count() {
        few if few < MIN_PASSWORD => Err(PasswordError::Short(few)),
        _ if is_common(password) => Err(PasswordError::Common),
        _ => Ok(()),
    }
}

/// What [`Passwords::verify`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is right.
    Right,
    /// It is right, and its hash was made with other parameters than today's.
    RightRehash,
    /// It is wrong, or there is no such account.
    Wrong,
}

impl Verdict {
    /// Whether the password is right.
    #[must_use]
    pub(super) fn is_right(self) -> bool {
        self != Self::Wrong
    }
}

/// Makes and verifies hashes, no more at a time than there are processors, which bounds their memory
/// too.
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// A hash of today's parameters that no password has, for accounts that do not exist.
    nobody: Zeroizing<String>,
    free: Mutex<usize>,
    freed: Condvar,
    /// How many hashes were made.
    #[cfg(test)]
    made: std::sync::atomic::AtomicUsize,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    /// With the parameters that were measured.
    ///
    /// # Errors
    /// When there is no memory for a hash.
    pub(super) fn new() -> Result<Self, HashFailed> {
        Self::with_cost(COST)
    }

    /// With hashes that take no time.
    #[cfg(test)]
    pub(crate) fn fast() -> Self {
        Self::with_cost((16, 1, 1)).unwrap()
    }

    /// How many hashes were made so far.
    #[cfg(test)]
    pub(crate) fn made(&self) -> usize {
        self.made.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The same, with other parameters.
    #[cfg(test)]
    pub(crate) fn fast_and_old() -> Self {
        Self::with_cost((32, 1, 1)).unwrap()
    }

    fn with_cost((memory, passes, lanes): (u32, u32, u32)) -> Result<Self, HashFailed> {
        let params = Params::new(memory, passes, lanes, None).map_err(|_range| HashFailed)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut new = Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            nobody: Zeroizing::default(),
            free: Mutex::new(processors),
            freed: Condvar::new(),
            #[cfg(test)]
            made: std::sync::atomic::AtomicUsize::new(0),
        };
        let mut unknown = Zeroizing::new([0_u8; 32]);
        rand::rng().fill(&mut *unknown);
        new.nobody = new.hash_bytes(&*unknown)?;
        Ok(new)
    }

    /// The hash of a password, in the PHC string format.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn hash(&self, password: &str) -> Result<Zeroizing<String>, HashFailed> {
        self.hash_bytes(password.as_bytes())
    }

    fn hash_bytes(&self, password: &[u8]) -> Result<Zeroizing<String>, HashFailed> {
        let mut salt = [0_u8; SALT];
        rand::rng().fill(&mut salt);
        let _turn = self.turn();
        let hash = self.argon2.hash_password_with_salt(password, &salt);
        let hash = hash.map_err(|_memory| HashFailed)?;
        Ok(Zeroizing::new(hash.to_string()))
    }

    /// Compares a password with a hash; with `None`, for an account that does not exist or has no
    /// password, it takes as long and is wrong.
    #[must_use]
    pub(super) fn verify(&self, password: &str, hash: Option<&str>) -> Verdict {
        let is_long = password.len() > MAX_PASSWORD;
        let parsed = hash.and_then(|text| PasswordHash::new(text).ok());
        let password = if is_long { "" } else { password };
        let compared = match &parsed {
            Some(hash) => self.matches(password, hash),
            None => {
                // The result is of no interest, only the time that it takes.
                if let Ok(nobody) = PasswordHash::new(&self.nobody) {
                    let _wrong = self.matches(password, &nobody);
                }
                false
            }
        };
        match (compared && !is_long, parsed) {
            (true, Some(hash)) if self.is_of_today(&hash) => Verdict::Right,
            (true, Some(_)) => Verdict::RightRehash,
            _ => Verdict::Wrong,
        }
    }

    fn matches(&self, password: &str, hash: &PasswordHash) -> bool {
        let _turn = self.turn();
        self.argon2
            .verify_password(password.as_bytes(), hash)
            .is_ok()
    }

    fn is_of_today(&self, hash: &PasswordHash) -> bool {
        let params = self.argon2.params();
        Params::try_from(hash).is_ok_and(|of_hash| {
            hash.algorithm == argon2::ARGON2ID_IDENT
                && of_hash.m_cost() == params.m_cost()
                && of_hash.t_cost() == params.t_cost()
                && of_hash.p_cost() == params.p_cost()
        })
    }

    /// Waits for a processor. The callers are few: their number is bounded by the service.
    fn turn(&self) -> Turn<'_> {
        #[cfg(test)]
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Turn(self)
    }
}

/// A processor that is in use for a hash.
struct Turn<'p>(&'p Passwords);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let free = self.0.free.lock();
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_twelve_characters_and_at_most_1024_bytes() {
        assert_eq!(check_new("correct hor"), Err(PasswordError::Short(11)));
        assert_eq!(check_new("correct hors"), Ok(()));
        // Characters count, not bytes.
        assert_eq!(
            check_new(&"\u{1f40e}".repeat(11)),
            Err(PasswordError::Short(11))
        );
        assert_eq!(check_new(&"\u{1f40e}".repeat(12)), Ok(()));
        assert_eq!(check_new(&"x".repeat(MAX_PASSWORD)), Ok(()));
        assert_eq!(
            check_new(&"x".repeat(MAX_PASSWORD + 1)),
            Err(PasswordError::Long)
        );
        // What a terminal sends that is not set to UTF-8, as it arrives.
        let lossy = String::from_utf8_lossy(b"\xd0\xc1\xd2\xcf\xcc\xd8 \xd0\xc1\xd2\xcf\xcc\xd8");
        assert_eq!(check_new(&lossy), Err(PasswordError::NotText));
    }

    #[test]
    fn a_common_password_is_refused() {
        assert_eq!(check_new("1QAZ2wsx3edc"), Err(PasswordError::Common));
        assert_eq!(check_new("1qaz2wsx3ed"), Err(PasswordError::Short(11)));
        assert_eq!(check_new("1qaz2wsx3edc."), Ok(()));
    }

    #[test]
    fn a_hash_is_of_one_password_and_salted() {
        let passwords = Passwords::fast();
        let hash = passwords.hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=16,t=1,p=1$"), "{hash:?}");
        assert_ne!(hash, passwords.hash("correct horse").unwrap());
        let verify = |password: &str| passwords.verify(password, Some(&hash));
        assert_eq!(verify("correct horse"), Verdict::Right);
        for wrong in ["correct hors", "correct horse ", "", "Correct horse"] {
            assert_eq!(verify(wrong), Verdict::Wrong, "{wrong:?}");
        }
    }

    #[test]
    fn no_account_and_a_damaged_hash_have_no_password() {
        let passwords = Passwords::fast();
        for hash in [None, Some(""), Some("$argon2id$"), Some("x")] {
            assert_eq!(passwords.verify("", hash), Verdict::Wrong);
            assert_eq!(passwords.verify("correct horse", hash), Verdict::Wrong);
        }
    }

    #[test]
    fn a_password_that_is_too_long_is_wrong_and_is_not_hashed() {
        let passwords = Passwords::fast();
        let empty = passwords.hash("").unwrap();
        let long = "x".repeat(MAX_PASSWORD + 1);
        assert_eq!(passwords.verify(&long, Some(&empty)), Verdict::Wrong);
    }

    #[test]
    fn hashes_of_other_parameters_are_made_again() {
        let old = Passwords::fast_and_old();
        let hash = old.hash("correct horse").unwrap();
        let today = Passwords::fast();
        let verify = |password: &str| today.verify(password, Some(&hash));
        assert_eq!(verify("correct horse"), Verdict::RightRehash);
        assert_eq!(verify("another horse"), Verdict::Wrong);
    }

    #[test]
    fn the_hash_for_no_account_costs_what_others_cost() {
        let passwords = Passwords::new().unwrap();
        let nobody = PasswordHash::new(&passwords.nobody).unwrap();
        assert!(passwords.is_of_today(&nobody));
        assert!(Params::try_from(&nobody).unwrap().m_cost() >= 19 * 1024);
    }

    #[test]
    fn as_many_hashes_as_processors_are_made_at_a_time() {
        let passwords = Passwords::fast();
        *passwords.free.lock().unwrap() = 1;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| passwords.hash("correct horse").unwrap());
            }
        });
        assert_eq!(*passwords.free.lock().unwrap(), 1);
    }
}
