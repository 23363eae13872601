//! Clients in memory, and what is decided about them.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::*;
use crate::cert::proof::VerifiedRequest;
use crate::cert::testing::{CertSpec, ed25519};
use crate::ssh::key_rounds::Fit;
use crate::ssh::testing::keyed_user::{KeyedUser, Program};
use crate::ssh::testing::user::{TestUser, UserSaw};
use crate::ssh::verifier::{ByKey, Decision};
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
    let failed = authenticate(&mut leg, "id", GRACE, None, &mut ByKey::new(refuse)).await;
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
            authenticate(&mut leg, "ID", GRACE, Some("hello"), &mut ByKey::new(judge)).await;
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

/// An agent with more keys than a client has attempts, the last of which is the right one.
#[tokio::test(start_paused = true)]
async fn many_keys_use_up_the_attempts_unless_refused_queries_are_forgiven() {
    for forgives in [false, true] {
        let user = KeyedUser {
            program: Program::OpenSsh,
            name: "deploy",
            keys: (0..30).map(|_| ed25519()).collect(),
            answer: None,
        };
        let right = user.keys.last().unwrap().public_key().to_bytes().unwrap();
        let judge = |offer: &Offer| match offer.blob == right {
            true => Ok((7, Fit::Good)),
            false => Err(refusal::plain_key(&offer.key)),
        };
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let host_key = HostKey::new(ed25519(), None).unwrap();
        let config = Arc::new(ServerConfig::new(vec![host_key]));
        let mut leg = Leg::new(ours, Transport::server(config));
        let mut verifier = ByKey::new(judge).forgiving_queries(forgives);
        let proxy = async {
            let authenticated = authenticate(&mut leg, "ID", GRACE, None, &mut verifier).await;
            drop(leg);
            authenticated
        };
        let client = async { user.log_in(theirs).await.1 };
        let (authenticated, _signed) = tokio::join!(proxy, client);
        let verdict = authenticated.map(|authenticated| authenticated.verdict);
        assert_eq!(verdict.is_ok(), forgives, "{verdict:?}");
    }
}

/// Decides slowly, as a process does that many clients wait for.
struct Slow(Duration);

impl Verifier for Slow {
    type Verdict = u8;

    async fn query(&mut self, _offer: &Offer) -> Result<Fit, Refusal> {
        tokio::time::sleep(self.0).await;
        Ok(Fit::Good)
    }

    async fn attempt(&mut self, _offer: &Offer, _proof: &VerifiedRequest) -> Decision<u8> {
        tokio::time::sleep(self.0).await;
        Decision::Accept(7)
    }
}

/// Whether a client is let in where each decision takes so long, and when it is decided.
async fn decided_in(each: Duration) -> (Result<u8, Unauthenticated>, Duration) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let host_key = HostKey::new(ed25519(), None).unwrap();
    let config = Arc::new(ServerConfig::new(vec![host_key]));
    let mut leg = Leg::new(ours, Transport::server(config));
    let began = Instant::now();
    let client = async { alice(true).log_in_as(OPENSSH, theirs).await.0 };
    let proxy = async {
        let authenticated = authenticate(&mut leg, "ID", GRACE, None, &mut Slow(each)).await;
        drop(leg);
        authenticated.map(|authenticated| authenticated.verdict)
    };
    let (verdict, _saw) = tokio::join!(proxy, client);
    (verdict, began.elapsed())
}

/// A client that waits for its turn does not run out of time, but it does not wait for ever.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_client_does_not_pass_while_it_waits_for_a_decision() {
    let (verdict, took) = decided_in(GRACE * 3 / 4).await;
    assert_eq!(verdict.unwrap(), 7);
    assert!(took > GRACE, "{took:?}");
    let (verdict, took) = decided_in(GRACE * 2).await;
    let failed = verdict.unwrap_err();
    assert!(matches!(failed.ended, LegError::Timeout(_)), "{failed:?}");
    assert_eq!(took, Duration::from_secs(5 * 60));
}
