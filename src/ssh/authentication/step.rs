//! One message of a client: what is decided about it, and the answer.

use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroize as _;

use crate::ssh::key_rounds::{KeyRounds, QueryAnswer};
use crate::ssh::leg::{Leg, LegError};
use crate::ssh::refusal::{self, Refusal};
use crate::ssh::verifier::{Decision, Questioning, Verifier};
use crate::wire::auth::{ForeignText, Methods, ServerAuth, ServerAuthEvent};

/// The client's next message.
pub(super) async fn message<S>(
    leg: &mut Leg<S>,
    auth: &mut ServerAuth,
) -> Result<ServerAuthEvent, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // It may contain a password.
    let mut payload = leg.next_secret().await?;
    let mut out = Vec::new();
    let event = auth.on_packet(&payload, &mut out);
    payload.as_mut().zeroize();
    leg.send_all(&mut out)?;
    match event {
        Ok(event) => Ok(event),
        Err(error) => {
            let text = refusal::login_broken(&error);
            leg.disconnect(error.disconnect_reason(), &text).await;
            Err(error.into())
        }
    }
}

/// What a client's message results in.
pub(super) enum Judged<T> {
    /// A query gets this answer.
    Query(QueryAnswer),
    /// A query is refused, and questions are what is left. The client reads these first.
    AskInstead(Vec<Refusal>),
    /// Refused, for this reason if it is to be sent now. Nothing, if nothing waits for an answer.
    Refuse(Option<Refusal>),
    /// Everything else.
    Decided(Decision<T>),
}

/// What is decided about a message.
pub(super) async fn judged<V: Verifier>(
    event: ServerAuthEvent,
    verifier: &mut V,
    rounds: &mut KeyRounds,
) -> Judged<V::Verdict> {
    let (decided, key) = match event {
        ServerAuthEvent::Nothing => (None, None),
        ServerAuthEvent::Query(offer) => {
            let answer = match verifier.query(&offer).await {
                Ok(fit) => rounds.good(&offer.blob, fit),
                Err(_) if !rounds.comes_back() && verifier.takes_early(&offer) => QueryAnswer::Take,
                Err(no) => {
                    let asks = asks(verifier, rounds);
                    rounds.bad(&offer.blob, Some(offer.key), no, asks)
                }
            };
            return queried(answer, &offer.user, verifier, rounds);
        }
        ServerAuthEvent::Attempt(offer, proof) => {
            let decided = verifier.attempt(&offer, &proof).await;
            (Some(decided), Some(offer.key))
        }
        ServerAuthEvent::Interactive { user } => (verifier.begin(&user).await, None),
        ServerAuthEvent::Answers(answers) => (verifier.answer(answers).await, None),
        ServerAuthEvent::Refused {
            user,
            blob,
            signed: false,
            reason,
        } => {
            let asks = asks(verifier, rounds);
            let answer = rounds.bad(&blob, None, refusal::unusable_key(&reason), asks);
            return queried(answer, &user, verifier, rounds);
        }
        ServerAuthEvent::Refused { reason, .. } => {
            return Judged::Refuse(rounds.refuse(None, refusal::unusable_key(&reason)));
        }
    };
    match decided {
        None => Judged::Refuse(None),
        Some(Decision::Refuse(no)) => Judged::Refuse(rounds.refuse(key, no)),
        Some(Decision::End(no)) => Judged::Decided(Decision::End(rounds.tell_instead(no))),
        Some(decided) => Judged::Decided(decided),
    }
}

/// Whether a client that has no further key to offer can be asked.
fn asks(verifier: &impl Verifier, rounds: &KeyRounds) -> bool {
    verifier.methods().keyboard_interactive && !rounds.is_answered()
}

fn queried<T>(
    answer: QueryAnswer,
    user: &str,
    verifier: &impl Verifier,
    rounds: &mut KeyRounds,
) -> Judged<T> {
    match answer {
        QueryAnswer::Ask(why) => {
            let announced = verifier.announcement(user);
            let announced = announced.map(|no| rounds.tell_instead(no));
            Judged::AskInstead(why.into_iter().chain(announced).collect())
        }
        answer => Judged::Query(answer),
    }
}

/// Puts questions to the client. OpenSSH's shows a banner at once, and an instruction with everything
/// escaped that is not ASCII; others, such as PuTTY, show banners when all questions are answered.
pub(super) fn ask(
    auth: &mut ServerAuth,
    rounds: &KeyRounds,
    questioning: Questioning,
    out: &mut Vec<Vec<u8>>,
) {
    let Questioning {
        banner,
        mut challenge,
    } = questioning;
    match rounds.is_openssh() {
        true if banner.is_empty() => {}
        true => auth.banner(&banner, out),
        false => challenge.instruction = ForeignText::from(banner.as_str()),
    }
    auth.ask(&challenge, out);
}

/// Answers everything that neither authenticates the client nor asks it nor ends the connection.
pub(super) fn reply<T>(
    auth: &mut ServerAuth,
    rounds: &mut KeyRounds,
    judged: Judged<T>,
    id: &str,
    out: &mut Vec<Vec<u8>>,
) {
    let goes_on = match judged {
        Judged::Query(QueryAnswer::Take) => {
            auth.accept_query(out);
            return;
        }
        Judged::Query(QueryAnswer::Postpone) => auth.postpone(out),
        Judged::Query(QueryAnswer::Refuse(why) | QueryAnswer::Ask(why)) | Judged::Refuse(why) => {
            auth.reject(why.map(|no| no.text(id)).as_deref(), out);
            return;
        }
        Judged::AskInstead(announced) => {
            for no in announced {
                auth.banner(&no.text(id), out);
            }
            auth.allow(Methods::KEYBOARD_INTERACTIVE);
            false
        }
        Judged::Decided(Decision::RequireAnswers(no)) => {
            auth.banner(&rounds.tell_instead(no).text(id), out);
            auth.require_more(Methods::KEYBOARD_INTERACTIVE, out)
        }
        Judged::Decided(Decision::RequireKey) => {
            if !(rounds.comes_back() && rounds.has_candidate()) {
                let no = rounds.tell_instead(refusal::key_required());
                auth.banner(&no.text(id), out);
            }
            rounds.answered();
            auth.require_key(out)
        }
        // Without a signature nothing is accepted, whatever the verifier says.
        Judged::Decided(_) => false,
    };
    if !goes_on {
        auth.reject(None, out);
    }
}
