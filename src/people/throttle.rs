//! How many wrong answers are looked at. The counters are in the state, so all processes of all proxies
//! share them.
//!
//! No account can be locked by other people. Wrong answers without the person's key count for the pair
//! of account and source address, and those from many addresses delay only addresses that the person has
//! never signed in from. On a connection on which a registered key of the person has proved itself, only
//! the wrong answers with that key count.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ssh_key::HashAlg;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::model::network;
use crate::model::text::hex;
use crate::state::{AttemptsOf, FailedAttempt, Failures, State, StateError};

/// Wrong answers of one pair that cost no time.
const FREE: u64 = 5;
/// The first delay in seconds; each further wrong answer doubles it.
const FIRST_DELAY: u64 = 10;
/// The longest delay in seconds.
const LONGEST_DELAY: u64 = 15 * 60;
/// How long the wrong answers of a pair are remembered, in seconds.
const PAIR_WINDOW: u64 = 24 * 60 * 60;
/// How long those of a source, and those of an account from all sources, are remembered, in seconds.
const WINDOW: u64 = 10 * 60;
/// Wrong answers of one source within [`WINDOW`].
const OF_SOURCE: u64 = 50;
/// Wrong answers for one account within [`WINDOW`], above which new sources are delayed.
const OF_ACCOUNT: u64 = 30;
/// Digits of an account's name in the counters: enough that no two accounts share one.
const COUNTER: usize = 20;
/// For how long an address counts as one that the person signs in from, in seconds.
const FAMILIAR: u64 = 90 * 24 * 60 * 60;

/// Whose answers are to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Attempt<'a> {
    /// The account, as it was typed; there need be no such person. Empty for an invitation.
    pub(super) account: &'a str,
    /// The person, if there is one.
    pub(super) person: Option<Uuid>,
    /// The client.
    pub(super) client: IpAddr,
    /// The person's registered key that has proved itself on the connection.
    pub(super) key: Option<&'a str>,
}

impl Attempt<'_> {
    /// The name under which the account is counted. It is not what was typed, which can be a password by
    /// mistake. Case does not count.
    fn counter(&self) -> String {
        if self.account.is_empty() {
            return String::new();
        }
        let folded = Zeroizing::new(self.account.to_ascii_lowercase());
        let mut counter = hex(&HashAlg::Sha256.digest(folded.as_bytes()));
        counter.truncate(COUNTER);
        counter
    }
}

/// An attempt has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// Until when, in seconds since the epoch.
    pub(super) until: u64,
    /// Which counter says so.
    pub(super) because: &'static str,
}

/// Admits attempts, one decision at a time: of many at once each counts before the next is judged.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    deciding: Mutex<()>,
}

impl Throttle {
    /// Whether an attempt may be made now. If so it is counted as a failure, until [`Self::succeeded`].
    /// One that has to wait is not counted, so that waiting comes to an end.
    pub(super) fn begin(
        &self,
        state: &State,
        attempt: &Attempt<'_>,
        now: u64,
    ) -> Result<Option<Wait>, StateError> {
        let _one_at_a_time = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = Self::look(state, attempt, now)?;
        if wait.is_none() {
            let source = network(attempt.client).to_string();
            let failed = FailedAttempt {
                account: &attempt.counter(),
                source: &source,
                fingerprint: attempt.key,
            };
            state.attempts().record(&failed, now)?;
        }
        Ok(wait)
    }

    /// Whether an attempt would have to wait. Nothing is counted.
    pub(super) fn look(
        state: &State,
        attempt: &Attempt<'_>,
        now: u64,
    ) -> Result<Option<Wait>, StateError> {
        let attempts = state.attempts();
        let account = attempt.counter();
        let account = account.as_str();
        let since = now.saturating_sub(PAIR_WINDOW);
        if let Some(fingerprint) = attempt.key {
            let with_key = AttemptsOf::AccountWithKey {
                account,
                fingerprint,
            };
            return Ok(delayed(attempts.failures(with_key, since)?, "key", now));
        }
        let source = network(attempt.client).to_string();
        let recent = now.saturating_sub(WINDOW);
        let of_source = attempts.failures(AttemptsOf::Source(&source), recent)?;
        if of_source.count >= OF_SOURCE {
            return Ok(Some(window_after(of_source, "source")));
        }
        if account.is_empty() {
            // An invitation: all of an address have this one account. None can be guessed.
            return Ok(None);
        }
        let pair = AttemptsOf::Pair {
            account,
            source: &source,
        };
        if let Some(wait) = delayed(attempts.failures(pair, since)?, "account", now) {
            return Ok(Some(wait));
        }
        let everywhere = attempts.failures(AttemptsOf::Account(account), recent)?;
        if everywhere.count < OF_ACCOUNT {
            return Ok(None);
        }
        let person = attempt.person.unwrap_or_default();
        let client = attempt.client.to_canonical().to_string();
        let familiar = now.saturating_sub(FAMILIAR);
        let is_familiar = state.sign_ins().was_from(person, &client, familiar)?;
        Ok((!is_familiar).then(|| window_after(everywhere, "everywhere")))
    }

    /// The answers were right: what was wrong before counts no longer against this pair, or this key.
    pub(super) fn succeeded(state: &State, attempt: &Attempt<'_>) -> Result<(), StateError> {
        let source = network(attempt.client).to_string();
        let account = attempt.counter();
        let account = account.as_str();
        state.attempts().reset(match attempt.key {
            Some(fingerprint) => AttemptsOf::AccountWithKey {
                account,
                fingerprint,
            },
            None => AttemptsOf::Pair {
                account,
                source: &source,
            },
        })
    }
}

/// The wait after the last of so many wrong answers of one pair.
fn delayed(failures: Failures, because: &'static str, now: u64) -> Option<Wait> {
    let until = failures.last + delay(failures.count);
    (until > now && failures.count >= FREE).then_some(Wait { until, because })
}

/// How long to wait after so many wrong answers, in seconds.
fn delay(count: u64) -> u64 {
    let Some(doublings) = count.checked_sub(FREE) else {
        return 0;
    };
    // Seven doublings are more than the longest delay.
    let doublings = u32::try_from(doublings.min(7)).unwrap_or(7);
    (FIRST_DELAY << doublings).min(LONGEST_DELAY)
}

/// What was counted is forgotten then.
fn window_after(failures: Failures, because: &'static str) -> Wait {
    Wait {
        until: failures.last + WINDOW + 1,
        because,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::testing::{person, registered_key};
    use crate::state::NewSignIn;
    use crate::state::testing::{NOW, own_state};

    fn client(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    fn attempt(last: u8) -> Attempt<'static> {
        Attempt {
            account: "alice",
            person: None,
            client: client(last),
            key: None,
        }
    }

    #[test]
    fn the_delay_doubles_after_five_wrong_answers_up_to_a_quarter_of_an_hour() {
        let delays: Vec<_> = (3..15).map(delay).collect();
        assert_eq!(delays, [0, 0, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert_eq!(delay(u64::MAX), LONGEST_DELAY);
    }

    #[test]
    fn a_pair_waits_and_then_has_one_more_try() {
        let state = own_state();
        let throttle = Throttle::default();
        let begin = |now| throttle.begin(&state, &attempt(1), now).unwrap();
        for _ in 0..5 {
            assert_eq!(begin(NOW), None);
        }
        let wait = Wait {
            until: NOW + 10,
            because: "account",
        };
        // Waiting attempts do not lengthen the wait.
        for later in [0, 1, 9] {
            assert_eq!(begin(NOW + later), Some(wait));
        }
        assert_eq!(begin(NOW + 10), None);
        assert_eq!(begin(NOW + 11).unwrap().until, NOW + 10 + 20);
        // Names are compared without case; another name and another address are other pairs.
        let mut other = attempt(1);
        other.account = "ALICE";
        let begin = |attempt: &Attempt<'_>| throttle.begin(&state, attempt, NOW + 11).unwrap();
        assert!(begin(&other).is_some());
        other.account = "bob";
        assert_eq!(begin(&other), None);
        assert_eq!(begin(&attempt(2)), None);
        Throttle::succeeded(&state, &attempt(1)).unwrap();
        assert_eq!(begin(&attempt(1)), None);
    }

    #[test]
    fn of_many_at_once_five_are_admitted() {
        let state = own_state();
        let throttle = Throttle::default();
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| throttle.begin(&state, &attempt(1), NOW).unwrap()))
                .collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results.filter(Option::is_none).count()
        });
        assert_eq!(admitted, 5);
    }

    #[test]
    fn a_source_that_tries_many_accounts_waits() {
        let state = own_state();
        let throttle = Throttle::default();
        let names: Vec<_> = (0..60).map(|number| format!("user{number}")).collect();
        let begin = |account: &str, last, now| {
            let attempt = Attempt {
                account,
                ..attempt(last)
            };
            throttle.begin(&state, &attempt, now).unwrap()
        };
        for name in &names[..50] {
            assert_eq!(begin(name, 1, NOW), None);
        }
        let wait = begin(&names[50], 1, NOW).unwrap();
        assert_eq!(wait.because, "source");
        assert_eq!(begin(&names[50], 2, NOW), None);
        assert_eq!(begin(&names[51], 1, wait.until), None);
    }

    #[test]
    fn nobody_is_locked_out_by_others() {
        let state = own_state();
        let throttle = Throttle::default();
        let alice = person(&state, "alice");
        let fingerprint = registered_key(&state, &alice).fingerprint;
        let new = NewSignIn {
            user: alice.id,
            fingerprint: fingerprint.clone(),
            client: client(200).to_string(),
            started: NOW,
            until: NOW + 60,
        };
        state.sign_ins().begin(&new).unwrap().unwrap();
        // An attacker with many addresses.
        for last in 0..30 {
            assert_eq!(throttle.begin(&state, &attempt(last), NOW).unwrap(), None);
        }
        let of_alice = |last, key| Attempt {
            person: Some(alice.id),
            key,
            ..attempt(last)
        };
        let begin = |attempt: &Attempt<'_>| throttle.begin(&state, attempt, NOW).unwrap();
        let new_address = begin(&of_alice(100, None)).unwrap();
        assert_eq!(new_address.because, "everywhere");
        assert_eq!(begin(&of_alice(200, None)), None);
        assert_eq!(begin(&of_alice(100, Some(&fingerprint))), None);
    }

    #[test]
    fn a_key_has_a_counter_of_its_own() {
        let state = own_state();
        let throttle = Throttle::default();
        let with_key = Attempt {
            key: Some("SHA256:abc"),
            ..attempt(1)
        };
        let begin = |attempt: &Attempt<'_>| throttle.begin(&state, attempt, NOW).unwrap();
        for _ in 0..5 {
            assert_eq!(begin(&attempt(1)), None);
        }
        assert!(begin(&attempt(1)).is_some());
        for _ in 0..5 {
            assert_eq!(begin(&with_key), None);
        }
        assert_eq!(begin(&with_key).unwrap().because, "key");
    }
}
