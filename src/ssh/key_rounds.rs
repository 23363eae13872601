//! Decides which of a client's keys is accepted, and when the reason for a refusal is sent.
//!
//! A client offers its keys one after the other and does not say which is the last. ssh exits without
//! reading another message once it has no more keys. If the server explained the refusal of the first key
//! at once, it would do so before logins that succeed; if it never explained, a failed login would have no
//! reason. OpenSSH's client can be made to start again: after a "partial success" it offers all its keys
//! again, beginning with those that it has not offered yet. When the first refused key is offered again, no
//! other key follows, and the reason is sent. A key that was postponed was not refused, and no key is
//! accepted that would not have been accepted before. Other clients handle a partial success worse (some
//! stop), so they are refused at once.
//!
//! Where the client can be asked questions, that comes in place of the reason. OpenSSH's client never uses
//! a method again that it ran out of, and a key may have to prove itself after the answers: so questions
//! are made the only method while it has a key left to offer. After the answers, the first plain key that
//! it has offered is the one that is expected.

use super::refusal::{Refusal, Worth};
use crate::cert::{PresentedKey, weak_rsa_bits};

/// How well an acceptable key fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The key is the one that the client needs.
    Good,
    /// The key is acceptable; the client may have one that fits better.
    Spare,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryAnswer {
    /// The key is accepted.
    Take,
    /// Not now: the client will offer the key again.
    Postpone,
    /// The key is refused, for this reason if it is to be sent now.
    Refuse(Option<Refusal>),
    /// All keys are refused, for this reason if it is of use, and questions are what is left.
    Ask(Option<Refusal>),
}

/// Which round of offers the client is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyStage {
    /// The client offers each key for the first time.
    First,
    /// All keys were offered; an acceptable one that was postponed is expected again.
    Spare,
    /// All keys were offered, and none is acceptable.
    Last,
}

/// The keys of one client on one leg.
#[derive(Debug)]
pub(super) struct KeyRounds {
    /// Whether the client offers its keys again after a partial success.
    comes_back: bool,
    /// The first key that was not accepted, as it was sent.
    first: Option<Vec<u8>>,
    /// The first plain key that was not accepted and could be registered.
    candidate: Option<Vec<u8>>,
    /// The candidate is expected; others fit less well.
    is_answered: bool,
    stage: KeyStage,
    has_spare: bool,
    best: Option<(Refusal, Option<PresentedKey>)>,
    told: bool,
}

impl KeyRounds {
    /// `ident` is the client's identification string.
    pub(super) fn new(ident: Option<&str>) -> Self {
        Self {
            comes_back: ident.is_some_and(|ident| ident.starts_with("SSH-2.0-OpenSSH_")),
            first: None,
            candidate: None,
            is_answered: false,
            stage: KeyStage::First,
            has_spare: false,
            best: None,
            told: false,
        }
    }

    /// Whether the client offers its keys again after a partial success.
    pub(super) fn comes_back(&self) -> bool {
        self.comes_back
    }

    /// Whether it is OpenSSH's client, the only one that comes back.
    pub(super) fn is_openssh(&self) -> bool {
        self.comes_back
    }

    /// Whether the client has answered its questions.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the client has offered a plain key that could be registered.
    pub(super) fn has_candidate(&self) -> bool {
        self.candidate.is_some()
    }

    /// The client has answered its questions, and offers its keys once more.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
        self.first = None;
        self.stage = KeyStage::First;
        self.has_spare = false;
    }

    /// Answers a query for an acceptable key.
    pub(super) fn good(&mut self, blob: &[u8], fit: Fit) -> QueryAnswer {
        let is_second_time = self.first.as_deref() == Some(blob);
        let is_expected = self.candidate.as_deref().is_none_or(|key| key == blob);
        let fit = match self.is_answered && !is_expected {
            true => Fit::Spare,
            false => fit,
        };
        if fit == Fit::Good || !self.comes_back || self.stage != KeyStage::First || is_second_time {
            return QueryAnswer::Take;
        }
        self.has_spare = true;
        self.turn_down(blob)
    }

    /// Answers a query for a key that is not acceptable. `asks`: the client can be asked questions.
    pub(super) fn bad(
        &mut self,
        blob: &[u8],
        key: Option<PresentedKey>,
        no: Refusal,
        asks: bool,
    ) -> QueryAnswer {
        if let Some(PresentedKey::Plain(plain)) = &key
            && self.candidate.is_none()
            && weak_rsa_bits(plain.key_data()).is_none()
        {
            self.candidate = Some(blob.to_vec());
        }
        if !self.comes_back {
            return QueryAnswer::Refuse(self.refuse(key, no));
        }
        self.remember(key, no);
        match self.turn_down(blob) {
            QueryAnswer::Refuse(why) if asks && self.stage == KeyStage::Last => {
                QueryAnswer::Ask(why.filter(|no| no.worth > Worth::PlainKey))
            }
            answer => answer,
        }
    }

    /// Handles what the client has to do besides offering keys, and is told now.
    pub(super) fn tell_instead(&mut self, no: Refusal) -> Refusal {
        self.remember(None, no.clone());
        self.told = true;
        no
    }

    /// Handles a signature by a key that is not acceptable; returns the reason, if it is to be
    /// sent.
    pub(super) fn refuse(&mut self, key: Option<PresentedKey>, no: Refusal) -> Option<Refusal> {
        let worth_telling = no.worth != Worth::PlainKey;
        self.remember(key, no.clone());
        worth_telling.then(|| {
            self.told = true;
            no
        })
    }

    /// The refusal that explains most, and its key.
    pub(super) fn into_refusal(self) -> (Option<Refusal>, Option<PresentedKey>) {
        match self.best {
            Some((refusal, key)) => (Some(refusal), key),
            None => (None, None),
        }
    }

    fn turn_down(&mut self, blob: &[u8]) -> QueryAnswer {
        let Some(first) = &self.first else {
            self.first = Some(blob.to_vec());
            return QueryAnswer::Postpone;
        };
        if first != blob {
            return QueryAnswer::Refuse(None);
        }
        // One more round to get the postponed key, and no further one.
        if self.has_spare && self.stage == KeyStage::First {
            self.stage = KeyStage::Spare;
            return QueryAnswer::Postpone;
        }
        self.stage = KeyStage::Last;
        QueryAnswer::Refuse(self.tell())
    }

    fn tell(&mut self) -> Option<Refusal> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.best.as_ref().map(|(refusal, _)| refusal.clone())
    }

    fn remember(&mut self, key: Option<PresentedKey>, no: Refusal) {
        let is_better = self
            .best
            .as_ref()
            .is_none_or(|(best, _)| no.worth > best.worth);
        if is_better {
            self.best = Some((no, key));
            self.told = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::refusal::testing;

    const OPENSSH: Option<&str> = Some("SSH-2.0-OpenSSH_9.2p1 Debian-2");

    fn no(reason: &'static str, worth: Worth) -> Refusal {
        testing::refusal(reason, worth)
    }

    /// What a client has: keys that count or do not.
    #[derive(Clone)]
    enum Key {
        Counts(Fit),
        DoesNot(&'static str, Worth),
    }

    /// The result of a login: which key was accepted, and which reason was sent.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct LoginOutcome {
        taken: Option<usize>,
        told: Vec<&'static str>,
    }

    /// Does as OpenSSH's client does: the key at the head is offered and goes to the end; one that was
    /// tried ends it, and a partial success makes all of them untried.
    fn log_in(keys: &[Key]) -> LoginOutcome {
        let mut rounds = KeyRounds::new(OPENSSH);
        let mut queue: std::collections::VecDeque<_> = (0..keys.len()).collect();
        let mut tried = vec![false; keys.len()];
        let mut login = LoginOutcome::default();
        while let Some(index) = queue.pop_front() {
            if std::mem::replace(&mut tried[index], true) {
                break;
            }
            queue.push_back(index);
            let blob = [u8::try_from(index).unwrap()];
            let answer = match &keys[index] {
                Key::Counts(fit) => rounds.good(&blob, *fit),
                Key::DoesNot(reason, worth) => rounds.bad(&blob, None, no(reason, *worth), false),
            };
            match answer {
                QueryAnswer::Take => {
                    login.taken = Some(index);
                    break;
                }
                QueryAnswer::Postpone => tried.fill(false),
                QueryAnswer::Refuse(why) | QueryAnswer::Ask(why) => {
                    login.told.extend(why.map(|no| no.reason));
                }
            }
        }
        login
    }

    const PLAIN: Key = Key::DoesNot("plain", Worth::PlainKey);
    const FOREIGN: Key = Key::DoesNot("foreign", Worth::Foreign);
    const EXPIRED: Key = Key::DoesNot("expired", Worth::Usual);
    const GOOD: Key = Key::Counts(Fit::Good);
    const SPARE: Key = Key::Counts(Fit::Spare);

    #[test]
    fn a_login_that_succeeds_tells_no_refusal() {
        for keys in [
            vec![GOOD],
            vec![PLAIN, GOOD],
            vec![EXPIRED, PLAIN, FOREIGN, GOOD],
            vec![SPARE, EXPIRED, GOOD],
        ] {
            let login = log_in(&keys);
            assert_eq!(login.taken, Some(keys.len() - 1));
            assert_eq!(login.told, Vec::<&str>::new());
        }
    }

    #[test]
    fn a_login_that_fails_tells_the_most_telling_refusal_once() {
        for (keys, told) in [
            (vec![PLAIN], "plain"),
            (vec![PLAIN, PLAIN], "plain"),
            (vec![EXPIRED], "expired"),
            (vec![PLAIN, FOREIGN], "foreign"),
            (vec![FOREIGN, PLAIN, EXPIRED, FOREIGN], "expired"),
        ] {
            let login = log_in(&keys);
            assert_eq!((login.taken, login.told), (None, vec![told]));
        }
    }

    #[test]
    fn a_key_that_serves_less_well_is_taken_when_nothing_better_follows() {
        for (keys, taken) in [
            (vec![SPARE], 0),
            (vec![SPARE, SPARE], 0),
            (vec![SPARE, GOOD], 1),
            (vec![PLAIN, SPARE, PLAIN, GOOD], 3),
            (vec![PLAIN, EXPIRED, SPARE, PLAIN], 2),
            (vec![EXPIRED, SPARE, SPARE], 1),
        ] {
            let login = log_in(&keys);
            assert_eq!((login.taken, login.told), (Some(taken), vec![]));
        }
    }

    #[test]
    fn clients_that_do_not_come_back_are_told_at_once() {
        for ident in [
            None,
            Some("SSH-2.0-paramiko_5.0"),
            Some("SSH-2.0-PuTTY_0.83"),
        ] {
            let mut rounds = KeyRounds::new(ident);
            let plain = no("plain", Worth::PlainKey);
            assert_eq!(
                rounds.bad(b"1", None, plain, false),
                QueryAnswer::Refuse(None)
            );
            let expired = no("expired", Worth::Usual);
            let told = QueryAnswer::Refuse(Some(expired.clone()));
            assert_eq!(rounds.bad(b"2", None, expired.clone(), false), told);
            assert_eq!(rounds.good(b"3", Fit::Spare), QueryAnswer::Take);
            assert_eq!(rounds.into_refusal().0, Some(expired));
        }
    }
}
