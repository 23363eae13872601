//! Who decides about what a client proves while it authenticates.

use std::future::{Future, ready};

use super::key_rounds::Fit;
use super::refusal::Refusal;
use crate::cert::proof::VerifiedRequest;
use crate::wire::auth::{Answers, Challenge, Methods, Offer};

/// What is decided about a signature or about answers.
#[derive(Debug)]
pub(crate) enum Decision<T> {
    /// The client is authenticated.
    Accept(T),
    /// The signature is right, and questions have to be answered too. The client reads why first: it
    /// may be unable to answer, and then it reads nothing more.
    RequireAnswers(Refusal),
    /// The answers are right, and a key has to prove itself.
    RequireKey,
    /// The client is asked.
    Ask(Questioning),
    /// Refused; the client may try something else.
    Refuse(Refusal),
    /// Refused, and the connection ends.
    End(Refusal),
}

/// Questions, and a text before them.
#[derive(Debug)]
pub(crate) struct Questioning {
    /// A text of several lines for the terminal; may be empty.
    pub(crate) banner: String,
    /// The questions.
    pub(crate) challenge: Challenge,
}

/// Decides about one client. It may wait for another process; the caller limits the time.
pub(crate) trait Verifier {
    /// What it knows of a client that is authenticated.
    type Verdict: Send;

    /// The methods that a client may begin with now.
    fn methods(&self) -> Methods {
        Methods::PUBLIC_KEY
    }

    /// Whether refused queries use up no attempts: the client may have more keys than attempts, and only
    /// one of them can be the right one.
    fn forgives_queries(&self) -> bool {
        false
    }

    /// Whether a signature by this key would be of use, and how well the key fits. Nothing is proved.
    fn query(&mut self, offer: &Offer) -> impl Future<Output = Result<Fit, Refusal>> + Send;

    /// Whether a key that was not accepted may sign nevertheless, if its client offers every key once
    /// only.
    fn takes_early(&self, _offer: &Offer) -> bool {
        false
    }

    /// Decides about a signature that verifies.
    fn attempt(
        &mut self,
        offer: &Offer,
        proof: &VerifiedRequest,
    ) -> impl Future<Output = Decision<Self::Verdict>> + Send;

    /// What a client of this user name reads before it is asked.
    fn announcement(&self, user: &str) -> Option<Refusal> {
        let _nothing_is_asked = user;
        None
    }

    /// The client wants to be asked. `None` if nothing is asked.
    fn begin(
        &mut self,
        user: &str,
    ) -> impl Future<Output = Option<Decision<Self::Verdict>>> + Send {
        let _nothing_is_asked = user;
        ready(None)
    }

    /// Decides about answers. `None` if nothing was asked.
    fn answer(
        &mut self,
        answers: Answers,
    ) -> impl Future<Output = Option<Decision<Self::Verdict>>> + Send {
        drop(answers);
        ready(None)
    }
}

/// Lets this function decide about keys, which decides alike about queries and signatures. A signature
/// is enough.
pub(crate) struct ByKey<F> {
    judge: F,
    forgives_queries: bool,
}

impl<F> ByKey<F> {
    /// Refused queries are attempts.
    pub(crate) fn new(judge: F) -> Self {
        Self {
            judge,
            forgives_queries: false,
        }
    }

    /// The same; refused queries are no attempts where `forgives`.
    pub(crate) fn forgiving_queries(self, forgives: bool) -> Self {
        Self {
            forgives_queries: forgives,
            ..self
        }
    }
}

impl<T, F> Verifier for ByKey<F>
where
    T: Send,
    F: Fn(&Offer) -> Result<(T, Fit), Refusal>,
{
    type Verdict = T;

    fn forgives_queries(&self) -> bool {
        self.forgives_queries
    }

    fn query(&mut self, offer: &Offer) -> impl Future<Output = Result<Fit, Refusal>> + Send {
        ready((self.judge)(offer).map(|(_, fit)| fit))
    }

    fn attempt(
        &mut self,
        offer: &Offer,
        _proof: &VerifiedRequest,
    ) -> impl Future<Output = Decision<T>> + Send {
        ready(match (self.judge)(offer) {
            Ok((verdict, _)) => Decision::Accept(verdict),
            Err(refusal) => Decision::Refuse(refusal),
        })
    }
}
