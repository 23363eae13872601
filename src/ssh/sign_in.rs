//! How people sign in on the outer connection: by a certificate, or by a key and, if it has no live
//! sign-in, by answers.
//!
//! Certificates are decided about here. Keys without one are the matter of another process, which is
//! asked ([`PersonClient`]), gets each signature as it was made, and verifies it again.

use std::net::SocketAddr;

use ssh_key::public::KeyData;

use super::key_rounds::Fit;
use super::people_client::{PeopleClient, PersonClient};
use super::policy_monitor::PolicySource;
use super::proxy_address::ProxyAddress;
use super::refusal::{self, Refusal};
use super::verifier::{Decision, Questioning, Verifier};
use crate::access::{ConfirmedSignIn, Identity, SignIn};
use crate::cert::proof::VerifiedRequest;
use crate::cert::{PresentedKey, VerifiedUserCert};
use crate::ipc::{
    self, PeopleAnswer, PeopleQuestion, Questions, SecretText, SignedIn, SignedProof,
};
use crate::model::{ConnectionId, UserName};
use crate::sys::clock::Clock;
use crate::wire::auth::{Answers, Challenge, ForeignText, MAX_PROMPTS, Methods, Offer, Prompt};

/// Longest user name that a command in a hint repeats, in bytes.
const MAX_NAME: usize = 64;

/// Where the people of one connection sign in.
#[derive(Clone, Debug)]
pub(super) struct SignInPlace {
    pub(super) people: PeopleClient,
    pub(super) connection: ConnectionId,
    pub(super) client: SocketAddr,
    /// How clients reach this proxy, for hints.
    pub(super) reached: ProxyAddress,
    pub(super) policy: PolicySource,
    pub(super) clock: Clock,
}

/// Decides about the client of one outer connection. `F` decides about certificates.
pub(super) struct PersonVerifier<F> {
    by_certificate: F,
    place: SignInPlace,
    person: Option<PersonClient>,
    /// The plain key that has signed last.
    proved: Option<KeyData>,
    /// The number of the latest change of a sign-in that was known before the last question.
    known_changes: u64,
    /// Right answers were given, and a key has to prove itself.
    is_answered: bool,
    /// Why the other process is not asked any more on this connection.
    failed: Option<Refusal>,
}

impl<F> PersonVerifier<F>
where
    F: Fn(&Offer) -> Result<(Identity, Fit), Refusal> + Send + Sync,
{
    pub(super) fn new(by_certificate: F, place: SignInPlace) -> Self {
        Self {
            by_certificate,
            place,
            person: None,
            proved: None,
            known_changes: 0,
            is_answered: false,
            failed: None,
        }
    }

    /// Asks about the person from now on; `None` if nothing was asked so far.
    pub(super) fn into_person(self) -> Option<PersonClient> {
        self.person
    }

    async fn ask(&mut self, user: &str, ask: PeopleQuestion) -> Result<PeopleAnswer, Refusal> {
        if let Some(refusal) = &self.failed {
            return Err(refusal.clone());
        }
        self.known_changes = self.place.policy.known_changes();
        let SignInPlace {
            people,
            connection,
            client,
            ..
        } = &self.place;
        let person = self
            .person
            .get_or_insert_with(|| people.person(*connection, *client, user.to_owned()));
        match person.clone().ask(ask).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::error!(%error, "cannot ask about a person");
                let refusal = refusal::people_unavailable(&error);
                // A client with many keys does not wait for each of them.
                self.failed = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    /// What the answer to a signature, to [`PeopleQuestion::Begin`] or to answers means.
    fn decide(&mut self, answer: PeopleAnswer, user: &str) -> Decision<Identity> {
        match answer {
            PeopleAnswer::SignedIn(signed_in) => match self.signed_in(signed_in) {
                Ok(identity) => Decision::Accept(identity),
                Err(refusal) => Decision::Refuse(refusal),
            },
            PeopleAnswer::AskFirst => Decision::RequireAnswers(self.not_signed_in(user)),
            PeopleAnswer::ProveKey => {
                self.is_answered = true;
                Decision::RequireKey
            }
            PeopleAnswer::Questions(questions) => match questioning(questions) {
                Some(questioning) => Decision::Ask(questioning),
                None => Decision::Refuse(refusal::unexpected_answer()),
            },
            PeopleAnswer::Refused(refused) => {
                let refusal = refusal::refused_person(&refused);
                match refused.is_final {
                    true => Decision::End(refusal),
                    false => Decision::Refuse(refusal),
                }
            }
            PeopleAnswer::Usable
            | PeopleAnswer::Useless
            | PeopleAnswer::Certificate(_)
            | PeopleAnswer::Text(_)
            | PeopleAnswer::Closed => Decision::Refuse(refusal::unexpected_answer()),
        }
    }

    /// The person with the key that has signed last.
    fn signed_in(&self, signed_in: SignedIn) -> Result<Identity, Refusal> {
        let key = self.proved.clone();
        let key = key.ok_or_else(refusal::unexpected_answer)?;
        let SignedIn {
            id,
            name,
            roles,
            logins,
            since,
            until,
            was_asked: _,
        } = signed_in;
        let confirmed = ConfirmedSignIn {
            id,
            name,
            roles,
            logins,
            since,
            until,
            known_changes: self.known_changes,
        };
        let sign_in = SignIn::new(confirmed, key, self.place.clock.unix_seconds());
        let sign_in = sign_in.map_err(|error| refusal::people_unavailable(&error))?;
        Ok(Identity::new(sign_in))
    }

    fn not_signed_in(&self, user: &str) -> Refusal {
        refusal::not_signed_in(&self.command(user))
    }

    /// What signs in ahead of time.
    fn command(&self, user: &str) -> String {
        if UserName::is_sign_up(user) {
            return self.place.reached.ssh_as(UserName::SIGN_UP);
        }
        // It is there to be typed: a name that a shell would read differently is left out.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=MAX_NAME).contains(&user.len())
            && user.chars().all(is_plain)
            && !user.starts_with('-');
        let name = if fits { user } else { "NAME" };
        format!("{} login", self.place.reached.ssh_as(name))
    }
}

impl<F> Verifier for PersonVerifier<F>
where
    F: Fn(&Offer) -> Result<(Identity, Fit), Refusal> + Send + Sync,
{
    type Verdict = Identity;

    fn methods(&self) -> Methods {
        match self.failed {
            None => Methods::PUBLIC_KEY_AND_QUESTIONS,
            Some(_) => Methods::PUBLIC_KEY,
        }
    }

    async fn query(&mut self, offer: &Offer) -> Result<Fit, Refusal> {
        if offer.key.certificate().is_some() {
            return (self.by_certificate)(offer).map(|(_, fit)| fit);
        }
        let key = offer.blob.clone();
        match self.ask(&offer.user, PeopleQuestion::Key { key }).await? {
            PeopleAnswer::Usable => Ok(Fit::Good),
            PeopleAnswer::Useless if self.is_answered => Err(refusal::key_not_usable(&offer.key)),
            PeopleAnswer::Useless => {
                let command = self.command(&offer.user);
                Err(refusal::unknown_key(&offer.key, &command))
            }
            PeopleAnswer::Refused(refused) => Err(refusal::refused_person(&refused)),
            _ => Err(refusal::unexpected_answer()),
        }
    }

    fn takes_early(&self, offer: &Offer) -> bool {
        UserName::is_sign_up(&offer.user)
            && offer.key.certificate().is_none()
            && !self.is_answered
            && self.failed.is_none()
    }

    async fn attempt(&mut self, offer: &Offer, proof: &VerifiedRequest) -> Decision<Identity> {
        let certificate = match proof.key() {
            PresentedKey::Plain(_) => None,
            PresentedKey::Certificate(_) => match (self.by_certificate)(offer) {
                Ok((identity, _)) => match made_for_sign_in(&identity) {
                    Some(certificate) => Some(certificate),
                    None => return Decision::Accept(identity),
                },
                Err(refusal) => return Decision::Refuse(refusal),
            },
        };
        let signed = PeopleQuestion::Prove(SignedProof::from(proof.request()));
        let decision = match self.ask(&offer.user, signed).await {
            Ok(answer) => {
                if !matches!(answer, PeopleAnswer::Refused(_)) {
                    self.proved = Some(proof.key().key_data().clone());
                }
                self.decide(answer, &offer.user)
            }
            Err(refusal) => Decision::Refuse(refusal),
        };
        match (decision, certificate) {
            (Decision::Accept(identity), Some(certificate)) => certified(&identity, certificate),
            (decision, _) => decision,
        }
    }

    fn announcement(&self, user: &str) -> Option<Refusal> {
        // A user who signs up is told what to do by the questions.
        (!UserName::is_sign_up(user)).then(|| self.not_signed_in(user))
    }

    async fn begin(&mut self, user: &str) -> Option<Decision<Identity>> {
        Some(match self.ask(user, PeopleQuestion::Begin).await {
            Ok(answer) => self.decide(answer, user),
            Err(refusal) => Decision::Refuse(refusal),
        })
    }

    async fn answer(&mut self, answers: Answers) -> Option<Decision<Identity>> {
        let answers = answers.iter().map(secret).collect();
        let person = self.person.clone()?;
        let user = person.user().to_owned();
        Some(
            match self.ask(&user, PeopleQuestion::Answer(answers)).await {
                Ok(answer) => self.decide(answer, &user),
                Err(refusal) => Decision::Refuse(refusal),
            },
        )
    }
}

/// The certificate of an identity, if it was made for a sign-in.
fn made_for_sign_in(identity: &Identity) -> Option<VerifiedUserCert> {
    let certificate = identity.certificate()?;
    certificate.sign_in().map(|_| certificate.clone())
}

/// The identity of a sign-in, with a certificate that was made for it and has proved itself.
fn certified(identity: &Identity, certificate: VerifiedUserCert) -> Decision<Identity> {
    match identity.sign_in() {
        Some(sign_in) if certificate.sign_in() == Some(sign_in.id()) => {
            Decision::Accept(Identity::new((certificate, sign_in.clone())))
        }
        _ => Decision::Refuse(refusal::unexpected_answer()),
    }
}

/// An answer as text: what is no UTF-8 is no right answer.
fn secret(answer: &[u8]) -> SecretText {
    SecretText::new(String::from_utf8_lossy(answer).into_owned())
}

/// The questions as a client is asked them; `None` if they are too many.
fn questioning(questions: Questions) -> Option<Questioning> {
    let Questions { banner, prompts } = questions;
    if prompts.len() > MAX_PROMPTS {
        return None;
    }
    let prompts = prompts
        .into_iter()
        .map(|ipc::Prompt { text, echo }| Prompt {
            text: ForeignText::from(text.as_str()),
            echo,
        });
    let challenge = Challenge {
        prompts: prompts.collect(),
        ..Challenge::default()
    };
    Some(Questioning { banner, challenge })
}
