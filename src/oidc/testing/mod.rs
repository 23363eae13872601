//! A provider of OpenID Connect for tests, which answers rightly or as a test wants it to.
//!
//! It uses nothing of this crate, so that end-to-end tests can include it too.

mod jose;
mod pages;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub(crate) use jose::{SigningKey, base64url, unsigned_token};
pub(crate) use server::{ProviderAnswer, ProviderRequest};

use server::ProviderListener;

/// The client that the provider knows.
pub(crate) const CLIENT_ID: &str = "rproxy";
/// Its secret.
pub(crate) const CLIENT_SECRET: &str = "correct-horse-battery-staple";
/// A person whom the provider knows.
pub(crate) const SUBJECT: &str = "24400320";

type Change = Box<dyn Fn(&mut Value) + Send>;
type TokenMaker = Box<dyn Fn(&Value, &[SigningKey]) -> String + Send>;
type Page = Box<dyn Fn(&ProviderRequest) -> Option<ProviderAnswer> + Send>;

/// A running provider; it stops when it is dropped.
pub(crate) struct HostileProvider {
    listener: ProviderListener,
    behaviour: Arc<Mutex<Behaviour>>,
}

/// How the provider behaves, rightly by default.
pub(crate) struct Behaviour {
    issuer: String,
    /// The keys that it publishes; the first one signs.
    pub(crate) keys: Vec<SigningKey>,
    /// Its clock: seconds since the epoch.
    clock: fn() -> i64,
    /// By how many seconds that is ahead.
    pub(crate) ahead: i64,
    /// Whether answers say the time.
    pub(crate) tells_time: bool,
    /// Changes what it says about itself.
    pub(crate) metadata: Change,
    /// Changes the claims of ID tokens.
    pub(crate) claims: Change,
    /// Makes an ID token of its claims.
    pub(crate) token: TokenMaker,
    /// Changes the answer to a token request.
    pub(crate) token_answer: Change,
    /// What the userinfo endpoint adds.
    pub(crate) userinfo: Value,
    /// Answers in the place of a page.
    pub(crate) page: Page,
    /// What was asked for, by path.
    pub(crate) asked: BTreeMap<String, usize>,
    grants: BTreeMap<String, PendingCode>,
}

/// What an authorization was asked for, until its code is redeemed.
#[derive(Clone)]
struct PendingCode {
    nonce: String,
    challenge: String,
    redirect_url: String,
}

/// What a browser comes back with.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    /// Where to, without what follows.
    pub(crate) redirect_url: String,
    /// The three parameters.
    pub(crate) code: String,
    pub(crate) state: String,
    pub(crate) iss: String,
}

impl HostileProvider {
    /// One on a port of this machine, without TLS.
    pub(crate) fn start(clock: fn() -> i64) -> Self {
        Self::serve(ProviderListener::plain(), "http", clock)
    }

    /// One with TLS: a certificate and a key, both in DER.
    pub(crate) fn start_with_tls(clock: fn() -> i64, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self::serve(ProviderListener::tls(certificate, key), "https", clock)
    }

    fn serve(listener: ProviderListener, scheme: &str, clock: fn() -> i64) -> Self {
        let behaviour = Behaviour {
            issuer: format!("{scheme}://{}", listener.address()),
            keys: vec![SigningKey::p256("key-1")],
            clock,
            ahead: 0,
            tells_time: true,
            metadata: Box::new(|_| ()),
            claims: Box::new(|_| ()),
            token: Box::new(|claims, keys| keys[0].token(claims)),
            token_answer: Box::new(|_| ()),
            userinfo: json!({}),
            page: Box::new(|_| None),
            asked: BTreeMap::new(),
            grants: BTreeMap::new(),
        };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let pages = Arc::clone(&behaviour);
        listener.serve(move |request| pages::answer(&pages, request));
        Self {
            listener,
            behaviour,
        }
    }

    /// The name of the provider.
    pub(crate) fn issuer(&self) -> String {
        self.behaviour().issuer.clone()
    }

    /// Changes how it behaves from now on.
    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.behaviour().asked.get(path).copied().unwrap_or(0)
    }

    /// What a person does in the browser: follows the link and signs in.
    pub(crate) fn sign_in(&self, link: &str) -> Callback {
        let query = link.split_once('?').expect("a query").1;
        self.behaviour().grant(&pages::parameters(query))
    }

    /// Takes no connection any more; they are refused.
    pub(crate) fn go_down(&self) {
        self.listener.stop();
    }

    /// Takes connections again, on the same port.
    pub(crate) fn come_back(&self) {
        let pages = Arc::clone(&self.behaviour);
        self.listener.start_again();
        self.listener
            .serve(move |request| pages::answer(&pages, request));
    }
}

impl Behaviour {
    /// Seconds since the epoch, by the provider's clock.
    pub(crate) fn now(&self) -> i64 {
        (self.clock)() + self.ahead
    }

    /// The claims of an ID token for this authorization.
    fn id_token_claims(&self, nonce: &str) -> Value {
        let now = self.now();
        json!({
            "iss": self.issuer, "sub": SUBJECT, "aud": CLIENT_ID, "nonce": nonce,
            "iat": now, "exp": now + 300,
            "preferred_username": "ada", "groups": ["dba", "staff"],
        })
    }

    fn grant(&mut self, asked: &BTreeMap<String, String>) -> Callback {
        let parameter = |name: &str| asked.get(name).cloned().unwrap_or_default();
        assert_eq!(parameter("response_type"), "code");
        assert_eq!(parameter("client_id"), CLIENT_ID);
        assert_eq!(parameter("code_challenge_method"), "S256");
        assert!(parameter("scope").split(' ').any(|scope| scope == "openid"));
        let code = format!("code-{}-{}", self.grants.len(), parameter("nonce"));
        let grant = PendingCode {
            nonce: parameter("nonce"),
            challenge: parameter("code_challenge"),
            redirect_url: parameter("redirect_uri"),
        };
        self.grants.insert(code.clone(), grant.clone());
        Callback {
            redirect_url: grant.redirect_url,
            code,
            state: parameter("state"),
            iss: self.issuer.clone(),
        }
    }
}
