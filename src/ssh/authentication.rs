//! Server-side authentication of a leg: one [`Verifier`] decides, and there is a reason for every
//! refusal.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use zeroize::Zeroize as _;

use super::key_rounds::{KeyRounds, QueryAnswer};
use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{self, Refusal};
use super::verifier::{Decision, Questioning, Verifier};
use crate::cert::PresentedKey;
use crate::wire::DisconnectReason;
use crate::wire::auth::{AuthLimits, Methods, ServerAuth, ServerAuthEvent};

/// Failed attempts after which a leg ends. More than sshd's `MaxAuthTries` because an agent offers
/// its plain keys first, and each is one attempt.
const MAX_ATTEMPTS: u32 = 20;

/// How long a client may take to identify itself: it sends one line, and needs no input for it.
const IDENTIFICATION: Duration = Duration::from_secs(10);

/// How long a client whose person is asked may take in all.
const WITH_QUESTIONS: Duration = Duration::from_secs(5 * 60);

/// How the authentication of a leg failed.
#[derive(Debug)]
pub(crate) struct Unauthenticated {
    /// The refusal that explains most, if the client was refused. If the client broke the protocol
    /// after that, the breach.
    pub(crate) refusal: Option<Refusal>,
    /// The key that was refused.
    pub(crate) offered: Option<PresentedKey>,
    /// The error that ended the leg.
    pub(crate) ended: LegError,
}

/// A leg whose client has proved that it holds a key. The client is not informed yet.
#[derive(Debug)]
pub(crate) struct Authenticated<T> {
    /// What the verifier returned.
    pub(crate) verdict: T,
    /// Accepts the client, or still refuses it.
    pub(crate) auth: ServerAuth,
}

/// How long a client may take to authenticate. People type slowly: with each question the time begins
/// anew, up to [`WITH_QUESTIONS`] in all.
struct TimeAllowed {
    began: Instant,
    grace: Duration,
    until: Instant,
}

impl TimeAllowed {
    fn new(grace: Duration) -> Self {
        let began = Instant::now();
        let until = began + grace;
        Self {
            began,
            grace,
            until,
        }
    }

    fn asked(&mut self) {
        let again = Instant::now() + self.grace;
        self.until = self.until.max(again.min(self.began + WITH_QUESTIONS));
    }

    /// Ends the leg because the time is over.
    async fn over<S>(&self, leg: &mut Leg<S>, id: &str) -> LegError
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.until - self.began;
        let text = refusal::not_authenticated(limit, id);
        leg.disconnect(DisconnectReason::ByApplication, &text).await;
        LegError::Timeout(limit)
    }
}

/// Authentication on a leg whose key exchange is complete.
struct Started {
    auth: ServerAuth,
    rounds: KeyRounds,
}

impl Started {
    fn new<S>(leg: &Leg<S>, greeting: Option<&str>, methods: Methods) -> Self {
        let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
        let host_key = leg.transport.host_key_blob().unwrap_or_default().to_vec();
        let limits = AuthLimits {
            max_attempts: MAX_ATTEMPTS,
        };
        let mut auth = ServerAuth::new(session_id, host_key, limits);
        auth.allow(methods);
        if let Some(text) = greeting {
            auth.greet(text);
        }
        Self {
            auth,
            rounds: KeyRounds::new(leg.transport.peer_ident()),
        }
    }
}

/// Runs key exchange and authentication until the verifier accepts the client, for as long as `grace`;
/// longer if the client's person is asked.
///
/// The verifier also decides about queries, so that no security key asks for a touch in vain. [`KeyRounds`]
/// decides which of several keys is taken, and when a banner gives the reason for a refusal. `greeting`
/// is a banner that every client gets first.
pub(crate) async fn authenticate<S, V>(
    leg: &mut Leg<S>,
    id: &str,
    grace: Duration,
    greeting: Option<&str>,
    verifier: &mut V,
) -> Result<Authenticated<V::Verdict>, Unauthenticated>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Verifier,
{
    let mut started = None;
    let attempt = attempt(leg, id, (grace, greeting), verifier, &mut started).await;
    let (verdict, ended) = match attempt {
        Ok(verdict) => (Some(verdict), LegError::Closed),
        Err(ended) => (None, ended),
    };
    let (auth, rounds) = started.map_or((None, None), |Started { auth, rounds }| {
        (Some(auth), Some(rounds))
    });
    if let (Some(verdict), Some(auth)) = (verdict, auth) {
        return Ok(Authenticated { verdict, auth });
    }
    let (refusal, offered) = rounds.map_or((None, None), KeyRounds::into_refusal);
    // The user, the log and the audit log get the error that ended the leg, not an earlier refusal.
    let refusal = refusal.map(|refusal| breach(&ended).unwrap_or(refusal));
    Err(Unauthenticated {
        refusal,
        offered,
        ended,
    })
}

/// The client's breach of the protocol, if that ended the leg.
fn breach(ended: &LegError) -> Option<Refusal> {
    let is_breach = match ended {
        LegError::Protocol(_) | LegError::Breach(_) => true,
        LegError::Authentication(error) => error.is_breach(),
        LegError::Io(_)
        | LegError::Closed
        | LegError::Disconnected { .. }
        | LegError::Refused
        | LegError::Timeout(_) => false,
    };
    is_breach.then(|| refusal::broke_login_protocol(ended))
}

/// Waits until the client has identified itself; returns the event that followed, if there was one.
async fn identified<S>(leg: &mut Leg<S>, id: &str) -> Result<Option<LegEvent>, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = async {
        loop {
            let event = leg.poll_event()?;
            if event.is_some() || leg.transport.peer_ident().is_some() {
                return Ok(event);
            }
            leg.transfer(true).await?;
        }
    };
    if let Ok(identified) = tokio::time::timeout(IDENTIFICATION, line).await {
        return identified;
    }
    let text = refusal::not_identified(IDENTIFICATION, id);
    leg.disconnect(DisconnectReason::ByApplication, &text).await;
    Err(LegError::Timeout(IDENTIFICATION))
}

async fn attempt<S, V>(
    leg: &mut Leg<S>,
    id: &str,
    (grace, greeting): (Duration, Option<&str>),
    verifier: &mut V,
    started: &mut Option<Started>,
) -> Result<V::Verdict, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Verifier,
{
    let mut time = TimeAllowed::new(grace);
    let mut early = match timeout_at(time.until, identified(leg, id)).await {
        Ok(event) => event?,
        Err(_elapsed) => return Err(time.over(leg, id).await),
    };
    loop {
        let Some(Started { auth, rounds }) = started else {
            let established = established(leg, early.take());
            match timeout_at(time.until, established).await {
                Ok(established) => established?,
                Err(_elapsed) => return Err(time.over(leg, id).await),
            }
            *started = Some(Started::new(leg, greeting, verifier.methods()));
            continue;
        };
        let step = step(leg, auth, rounds, verifier);
        let judged = match timeout_at(time.until, step).await {
            Ok(judged) => judged?,
            Err(_elapsed) => return Err(time.over(leg, id).await),
        };
        let mut out = Vec::new();
        match judged {
            Judged::Decided(Decision::Accept(verdict)) if auth.can_accept() => return Ok(verdict),
            Judged::Decided(Decision::Ask(questioning)) => {
                time.asked();
                ask(auth, &questioning, &mut out);
            }
            Judged::Decided(Decision::End(no)) => {
                auth.reject(Some(&no.text(id)), &mut out);
                leg.send_all(&mut out)?;
                let text = no.disconnect_text(id);
                let reason = DisconnectReason::NoMoreAuthMethodsAvailable;
                leg.disconnect(reason, &text).await;
                return Err(LegError::Refused);
            }
            judged => {
                if !verifier.methods().keyboard_interactive {
                    auth.allow(Methods::PUBLIC_KEY);
                }
                reply(auth, rounds, judged, id, &mut out);
            }
        }
        leg.send_all(&mut out)?;
    }
}

/// Waits for the end of the key exchange.
async fn established<S>(leg: &mut Leg<S>, early: Option<LegEvent>) -> Result<(), LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut event = early;
    loop {
        match event.take() {
            Some(LegEvent::Established) => return Ok(()),
            // No packet of a client comes before it.
            Some(LegEvent::Packet(_) | LegEvent::HostKey(_)) | None => {}
        }
        event = Some(leg.next().await?);
    }
}

/// The client's next message, and what is decided about it.
async fn step<S, V>(
    leg: &mut Leg<S>,
    auth: &mut ServerAuth,
    rounds: &mut KeyRounds,
    verifier: &mut V,
) -> Result<Judged<V::Verdict>, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Verifier,
{
    // It may contain a password.
    let mut payload = leg.next_secret().await?;
    let mut out = Vec::new();
    let event = auth.on_packet(&payload, &mut out);
    payload.as_mut().zeroize();
    leg.send_all(&mut out)?;
    match event {
        Ok(event) => Ok(judged(event, verifier, rounds).await),
        Err(error) => {
            let text = refusal::login_broken(&error);
            leg.disconnect(error.disconnect_reason(), &text).await;
            Err(error.into())
        }
    }
}

/// What a client's message results in.
enum Judged<T> {
    /// A query gets this answer.
    Query(QueryAnswer),
    /// A query is refused, and questions are what is left. The client reads these first.
    AskInstead(Vec<Refusal>),
    /// Refused, for this reason if it is to be sent now. Nothing, if nothing waits for an answer.
    Refuse(Option<Refusal>),
    /// Everything else.
    Decided(Decision<T>),
}

async fn judged<V: Verifier>(
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

fn ask(auth: &mut ServerAuth, questioning: &Questioning, out: &mut Vec<Vec<u8>>) {
    if !questioning.banner.is_empty() {
        auth.banner(&questioning.banner, out);
    }
    auth.ask(&questioning.challenge, out);
}

fn reply<T>(
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::ssh::key_rounds::Fit;
    use crate::ssh::testing::user::{TestUser, UserSaw};
    use crate::ssh::verifier::ByKey;
    use crate::wire::auth::Offer;
    use crate::wire::{HostKey, ServerConfig, Transport};

    const GRACE: Duration = Duration::from_secs(120);

    /// After what time a client that says this and no more is given up.
    async fn given_up_after(says: &[u8]) -> Duration {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let host_key = HostKey::new(ed25519(), None).unwrap();
        let config = Arc::new(ServerConfig::new(vec![host_key]));
        let mut leg = Leg::new(ours, Transport::server(config));
        theirs.write_all(says).await.unwrap();
        let began = Instant::now();
        let refuse = |offer: &Offer| Err::<((), Fit), _>(refusal::plain_key(&offer.key));
        let failed = authenticate(&mut leg, "id", GRACE, None, &mut ByKey(refuse)).await;
        let failed = failed.expect_err("nobody authenticates");
        assert!(matches!(failed.ended, LegError::Timeout(_)), "{failed:?}");
        began.elapsed()
    }

    /// A silent client is given up long before one that has begun to speak.
    #[tokio::test(start_paused = true)]
    async fn an_identification_must_come_soon() {
        for says in [&b""[..], b"SSH-2.0-OpenS"] {
            let took = given_up_after(says).await;
            assert!(took < IDENTIFICATION * 2, "{took:?}");
        }
        let took = given_up_after(b"SSH-2.0-test\r\n").await;
        assert!(took >= GRACE, "{took:?}");
    }

    /// A client that breaks the protocol after a refusal has not failed because of the refusal.
    #[test]
    fn a_breach_is_no_refusal() {
        use crate::wire::auth::AuthError;
        let breach = |error: AuthError| breach(&error.into()).map(|refusal| refusal.message);
        let told = breach(AuthError::Unexpected(80)).unwrap();
        assert!(told.contains("message 80 is not allowed"), "{told}");
        assert_eq!(breach(AuthError::TooManyAttempts), None);
    }

    /// A user of alice's key, and what a judge that takes these keys makes of it.
    async fn log_in(
        user: TestUser,
        ident: &str,
        judge: impl Fn(&Offer) -> Result<(u8, Fit), Refusal>,
    ) -> (Result<u8, Unauthenticated>, UserSaw) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let host_key = HostKey::new(ed25519(), None).unwrap();
        let config = Arc::new(ServerConfig::new(vec![host_key]));
        let mut leg = Leg::new(ours, Transport::server(config));
        let client = async { user.log_in_as(ident, theirs).await.0 };
        let proxy = async {
            let authenticated =
                authenticate(&mut leg, "ID", GRACE, Some("hello"), &mut ByKey(judge)).await;
            let result = authenticated.map(|Authenticated { verdict, mut auth }| {
                let mut out = Vec::new();
                auth.accept(&mut out);
                leg.send_all(&mut out).unwrap();
                verdict
            });
            leg.send_ready().await;
            drop(leg);
            result
        };
        tokio::join!(proxy, client)
    }

    fn alice(certificate: bool) -> TestUser {
        let key = ed25519();
        let signed = CertSpec::user(&key).sign(&ed25519());
        TestUser {
            login: "deploy",
            certificate: certificate.then_some(signed),
            key,
            answer: "",
            pause: Duration::ZERO,
        }
    }

    const OTHER: &str = "SSH-2.0-paramiko_5.0";
    const OPENSSH: &str = "SSH-2.0-OpenSSH_9.2p1";

    #[tokio::test(start_paused = true)]
    async fn a_key_that_counts_is_taken_and_the_greeting_comes_before_it() {
        let judge = |offer: &Offer| {
            assert_eq!(offer.user, "deploy");
            Ok((7, Fit::Good))
        };
        let (result, saw) = log_in(alice(true), OPENSSH, judge).await;
        assert_eq!(result.unwrap(), 7);
        assert!(saw.is_in);
        assert_eq!(saw.banners, ["hello\n"]);
    }

    /// A client that does not offer its keys again reads why at once, with the id to ask about.
    #[tokio::test(start_paused = true)]
    async fn who_is_refused_reads_why() {
        let judge = |_: &Offer| Err(refusal::bad_login(&"no"));
        let (result, saw) = log_in(alice(true), OTHER, judge).await;
        let failed = result.unwrap_err();
        let refusal = failed.refusal.expect("a reason");
        assert_eq!(
            saw.banners.last(),
            Some(&refusal.text("ID").replace("\r\n", "\n"))
        );
        assert!(failed.offered.expect("the key").certificate().is_some());
        assert!(!saw.is_in && saw.failures == 1, "{saw:?}");
    }

    /// Agents offer plain keys as a matter of course: nothing is said about them before the last.
    #[tokio::test(start_paused = true)]
    async fn a_plain_key_is_refused_without_a_word_and_is_the_reason_in_the_end() {
        let judge = |offer: &Offer| Err(refusal::plain_key(&offer.key));
        let (result, saw) = log_in(alice(false), OTHER, judge).await;
        assert_eq!(saw.banners, ["hello\n"]);
        let refusal = result.unwrap_err().refusal.unwrap();
        assert_eq!(refusal.reason, "not-a-certificate");
    }

    /// OpenSSH's client offers all its keys again after a partial success.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_is_sent_round_before_it_reads_why() {
        let judge = |_: &Offer| Err(refusal::bad_login(&"no"));
        let (_, saw) = log_in(alice(true), OPENSSH, judge).await;
        assert_eq!(saw.partial, 1, "{saw:?}");
        assert_eq!(saw.banners, ["hello\n"], "this one does not come back");
    }

    /// What is true of a query need not be true of the signature that follows.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_revoked_between_query_and_signature_is_refused() {
        let asked = std::cell::Cell::new(0);
        let judge = |_: &Offer| match asked.replace(asked.get() + 1) {
            0 => Ok((7, Fit::Good)),
            _ => Err(refusal::revoked_user(None)),
        };
        let (result, saw) = log_in(alice(true), OPENSSH, judge).await;
        assert_eq!(
            result.unwrap_err().refusal.unwrap().reason,
            "certificate-revoked"
        );
        assert!(saw.text().contains("certificate revoked"), "{saw:?}");
    }
}
