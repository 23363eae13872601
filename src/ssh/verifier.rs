//! Who decides about what a client proves while it authenticates.

use std::future::{Future, ready};

use super::key_rounds::Fit;
use super::refusal::Refusal;
use crate::cert::proof::VerifiedRequest;
use crate::wire::auth::Offer;

/// Decides about one client. It may wait for another process; the caller limits the time.
pub(crate) trait Verifier {
    /// What it knows of a client that is authenticated.
    type Verdict;

    /// Whether a signature by this key would be of use, and how well the key fits. Nothing is proved.
    fn query(&mut self, offer: &Offer) -> impl Future<Output = Result<Fit, Refusal>> + Send;

    /// Decides about a signature that verifies.
    fn attempt(
        &mut self,
        offer: &Offer,
        proof: &VerifiedRequest,
    ) -> impl Future<Output = Result<Self::Verdict, Refusal>> + Send;
}

/// Lets this function decide about keys, which decides alike about queries and signatures. A signature
/// is enough.
pub(crate) struct ByKey<F>(pub(crate) F);

impl<T, F> Verifier for ByKey<F>
where
    T: Send,
    F: Fn(&Offer) -> Result<(T, Fit), Refusal>,
{
    type Verdict = T;

    fn query(&mut self, offer: &Offer) -> impl Future<Output = Result<Fit, Refusal>> + Send {
        ready((self.0)(offer).map(|(_, fit)| fit))
    }

    fn attempt(
        &mut self,
        offer: &Offer,
        _proof: &VerifiedRequest,
    ) -> impl Future<Output = Result<T, Refusal>> + Send {
        ready((self.0)(offer).map(|(verdict, _)| verdict))
    }
}
