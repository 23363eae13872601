//! A service with a state of its own, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::{Certificate, PrivateKey, PublicKey};
use tempfile::TempDir;

use super::provider::{FakeProvider, ORIGIN};
use crate::access::{Permissions, Policy, Role, RoleBinding, RolePermit, Rule};
use crate::audit::testing::Audited;
use crate::cert::proof::{public_key_request, signed_data};
use crate::cert::testing::{Browser, ed25519};
use crate::ipc::{
    OwnCommand, PeopleAnswer, PeopleQuestion, PeopleRefusal, PeopleRequest, Questions, SecretText,
    SignedIn, SignedProof,
};
use crate::metrics::AuthMeters;
use crate::model::ConnectionId;
use crate::nodes::Node;
use crate::people::context::PeopleParts;
use crate::people::password::Passwords;
use crate::people::testing::Issued;
use crate::people::totp::OtpSecret;
use crate::people::{
    Admin, BrowserSignIn, NewPerson, PeopleService, PeopleSettings, RequiredFactor,
};
use crate::state::State;
use crate::state::testing::{NOW, state_at};
use crate::sys::account::Actor;

/// The password of everybody here.
pub(super) const PASSWORD: &str = "correct horse battery";

/// A service with a state of its own.
pub(super) struct House {
    directory: Arc<TempDir>,
    factor: RequiredFactor,
    /// Whether people have passwords here.
    has_local: bool,
    pub(super) provider: Option<Arc<FakeProvider>>,
    pub(super) state: State,
    pub(super) audit: Arc<Audited>,
    pub(super) issued: Arc<Issued>,
    pub(super) meters: Arc<AuthMeters>,
    pub(super) service: PeopleService,
    now: u64,
}

impl House {
    pub(super) fn new(factor: RequiredFactor) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        Self::in_directory(Arc::new(directory), (factor, true, None), NOW)
    }

    /// One where people sign in with a browser, alone or beside passwords without a second factor.
    pub(super) fn with_provider(has_local: bool) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let provider = Some(Arc::default());
        let factor = RequiredFactor::Off;
        Self::in_directory(Arc::new(directory), (factor, has_local, provider), NOW)
    }

    /// The same state, where people do not sign in with a browser any more.
    pub(super) fn without_provider(&self) -> Self {
        let directory = Arc::clone(&self.directory);
        Self::in_directory(directory, (self.factor, true, None), self.now)
    }

    /// The same state, so many seconds later, after a restart.
    pub(super) fn later(&self, seconds: u64) -> Self {
        self.changed(self.factor, self.now + seconds)
    }

    /// The same state with another setting.
    pub(super) fn with_factor(&self, factor: RequiredFactor) -> Self {
        self.changed(factor, self.now)
    }

    /// The same, where the configuration lists these hosts.
    pub(super) fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        let new = self.changed(self.factor, self.now);
        new.service.replace_settings(PeopleSettings {
            nodes,
            ..settings(self.factor, self.has_local)
        });
        new
    }

    fn changed(&self, factor: RequiredFactor, now: u64) -> Self {
        let ways = (factor, self.has_local, self.provider.clone());
        Self::in_directory(Arc::clone(&self.directory), ways, now)
    }

    fn in_directory(
        directory: Arc<TempDir>,
        (factor, has_local, provider): (RequiredFactor, bool, Option<Arc<FakeProvider>>),
        now: u64,
    ) -> Self {
        let state = state_at(directory.path(), now);
        let (audit, issued) = (Arc::<Audited>::default(), Arc::<Issued>::default());
        let meters = Arc::<AuthMeters>::default();
        let parts = PeopleParts {
            state: state.clone(),
            audit: Arc::<Audited>::clone(&audit),
            issuer: Arc::<Issued>::clone(&issued),
            browser: provider.clone().map(|provider| BrowserSignIn {
                provider,
                origin: ORIGIN.to_owned(),
            }),
            settings: settings(factor, has_local),
            meters: Arc::<AuthMeters>::clone(&meters),
        };
        Self {
            directory,
            factor,
            has_local,
            provider,
            state,
            audit,
            issued,
            meters,
            service: PeopleService::with_passwords(parts, Passwords::fast()),
            now,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn admin(&self) -> Admin<'_> {
        let root = Actor::new("root".to_owned(), 0, None);
        Admin::new(&self.state, &*self.audit, root)
    }

    /// Adds a person; gives the invitation.
    pub(super) fn invite(&self, name: &str) -> String {
        let new = NewPerson {
            name: name.parse().unwrap(),
            roles: vec!["dba".to_owned()],
            logins: Some(vec!["postgres".parse().unwrap(), "root".parse().unwrap()]),
        };
        let added = self.admin().add(new, Duration::from_secs(3_600)).unwrap();
        added.invitation.to_string()
    }

    /// A client with a key of its own.
    pub(super) fn client(&self, user: &str) -> HouseClient<'_> {
        self.client_with(user, HouseKey::Plain(ed25519()))
    }

    pub(super) fn client_with(&self, user: &str, key: HouseKey) -> HouseClient<'_> {
        let connection = ConnectionId::new();
        HouseClient {
            house: self,
            caller: 1,
            connection,
            address: "203.0.113.7:50000".parse().unwrap(),
            user: user.to_owned(),
            session: connection.to_string().into_bytes(),
            key,
        }
    }

    /// Adds a person and signs up; gives the person with the key, and the authenticator.
    pub(super) fn signed_up(&self, name: &str) -> (HouseKey, OtpSecret) {
        let invitation = self.invite(name);
        let client = self.client("signup");
        let secret = client.sign_up(&invitation);
        (client.key, secret)
    }

    /// The same where no second factor is needed.
    pub(super) fn signed_up_without_codes(&self, name: &str) -> HouseKey {
        let client = self.client("signup");
        client.begin();
        client.answer(&[&self.invite(name)]);
        client.answer(&[PASSWORD, PASSWORD]);
        signed_in(client.prove());
        client.key
    }

    pub(super) fn fingerprints_of(&self, name: &str) -> Vec<String> {
        let keys = self.admin().show(name).unwrap().keys;
        keys.into_iter().map(|key| key.fingerprint).collect()
    }
}

/// Everybody may log in as `postgres` at hosts whose name begins with `db`.
fn settings(factor: RequiredFactor, has_local: bool) -> PeopleSettings {
    let rule = Rule {
        line: 2,
        logins: Some(vec!["postgres".parse().unwrap(), "app-*".parse().unwrap()]),
        nodes: Some(vec!["db*".parse().unwrap()]),
        labels: Vec::new(),
    };
    let dba = Role {
        name: "dba".to_owned(),
        line: 1,
        allow: Some(vec![rule]),
        deny: Vec::new(),
        may_connect_from: None,
        max_ttl: None,
        join: None,
        permit: RolePermit::default(),
    };
    let dba = Arc::new(dba);
    // The configuration gives a role to one name.
    let configured = RoleBinding {
        line: 9,
        name: "configured".parse().unwrap(),
        roles: vec![Arc::clone(&dba)],
    };
    let policy = Policy::new("f", Permissions::default(), vec![dba], vec![configured]);
    PeopleSettings {
        cluster: "example.com".parse().unwrap(),
        has_local,
        second_factor: factor,
        sign_in_ttl: Duration::from_secs(12 * 3_600),
        nodes: Vec::new(),
        source_addresses: vec!["192.0.2.1/32".to_owned()],
        policy: Arc::new(policy),
    }
}

/// A client's key.
#[derive(Clone)]
pub(super) enum HouseKey {
    Plain(PrivateKey),
    /// A security key.
    Security(Browser),
}

impl HouseKey {
    pub(super) fn security() -> Self {
        Self::Security(Browser::new())
    }

    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Plain(key) => key.public_key().clone(),
            Self::Security(key) => key.public().into(),
        }
    }

    pub(super) fn blob(&self) -> Vec<u8> {
        self.public().to_bytes().unwrap()
    }

    pub(super) fn fingerprint(&self) -> String {
        crate::people::keys::fingerprint(&self.public())
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain(key) => key.key_data().try_sign(data).unwrap().encode_vec().unwrap(),
            Self::Security(key) => key.sign_plainly(data),
        }
    }
}

/// A client on a connection of its own.
pub(super) struct HouseClient<'h> {
    house: &'h House,
    pub(super) caller: u64,
    pub(super) connection: ConnectionId,
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) session: Vec<u8>,
    pub(super) key: HouseKey,
}

impl HouseClient<'_> {
    pub(super) fn ask(&self, question: PeopleQuestion) -> PeopleAnswer {
        self.ask_after(0, question)
    }

    /// The same for a question that has waited so many seconds in its process.
    pub(super) fn ask_after(&self, waited: u64, question: PeopleQuestion) -> PeopleAnswer {
        let request = PeopleRequest {
            connection: self.connection,
            client: self.address,
            user: self.user.clone(),
            waited,
            ask: question,
        };
        self.house.service.answer(self.caller, &request)
    }

    pub(super) fn offer(&self) -> PeopleAnswer {
        self.ask(PeopleQuestion::Key {
            key: self.key.blob(),
        })
    }

    pub(super) fn proof(&self) -> SignedProof {
        let (key, algorithm) = (self.key.blob(), self.key.public().algorithm());
        let request = public_key_request(&self.user, algorithm.as_str(), &key, None, true);
        SignedProof {
            session: self.session.clone(),
            algorithm: algorithm.to_string(),
            signature: self.key.sign(&signed_data(&self.session, &request)),
            key,
            host_key: Vec::new(),
        }
    }

    /// Proves the key with a certificate for it.
    pub(super) fn prove_with(&self, certificate: &Certificate) -> PeopleAnswer {
        let (key, algorithm) = (
            certificate.to_bytes().unwrap(),
            "ssh-ed25519-cert-v01@openssh.com",
        );
        let request = public_key_request(&self.user, algorithm, &key, None, true);
        self.ask(PeopleQuestion::Prove(SignedProof {
            session: self.session.clone(),
            algorithm: algorithm.to_owned(),
            signature: self.key.sign(&signed_data(&self.session, &request)),
            key,
            host_key: Vec::new(),
        }))
    }

    pub(super) fn prove(&self) -> PeopleAnswer {
        self.ask(PeopleQuestion::Prove(self.proof()))
    }

    pub(super) fn begin(&self) -> PeopleAnswer {
        self.ask(PeopleQuestion::Begin)
    }

    pub(super) fn answer(&self, answers: &[&str]) -> PeopleAnswer {
        let secret = |text: &&str| SecretText::new((*text).to_owned());
        let answers = answers.iter().map(secret).collect();
        self.ask(PeopleQuestion::Answer(answers))
    }

    pub(super) fn own(&self, command: OwnCommand) -> PeopleAnswer {
        self.ask(PeopleQuestion::Own(command))
    }

    pub(super) fn certificate(&self, login: &str) -> PeopleAnswer {
        self.ask(PeopleQuestion::Certificate {
            login: login.parse().unwrap(),
            target: "db1".to_owned(),
            through_tunnel: false,
        })
    }

    /// Signs up with codes; gives the authenticator.
    pub(super) fn sign_up(&self, invitation: &str) -> OtpSecret {
        assert_eq!(prompts(self.begin()), ["rproxy example.com: invitation: "]);
        questions(self.answer(&[invitation]));
        let secret = authenticator(&questions(self.answer(&[PASSWORD, PASSWORD])));
        questions(self.answer(&[&secret.code(self.house.now)]));
        assert_eq!(self.answer(&[""]), PeopleAnswer::ProveKey);
        assert_eq!(self.offer(), PeopleAnswer::Usable);
        signed_in(self.prove());
        secret
    }

    /// Proves a registered key and answers, with a code that was not used yet.
    pub(super) fn sign_in(&self, secret: &OtpSecret) -> SignedIn {
        assert_eq!(self.prove(), PeopleAnswer::AskFirst);
        questions(self.begin());
        signed_in(self.answer(&[PASSWORD, &secret.code(self.house.now)]))
    }
}

/// The authenticator that reads the URI.
pub(super) fn authenticator(questions: &Questions) -> OtpSecret {
    let mut lines = questions.banner.lines();
    let uri = lines.find(|line| line.starts_with("otpauth://totp/"));
    let (_, rest) = uri.unwrap().split_once("secret=").unwrap();
    OtpSecret::from_base32(&rest[..32]).unwrap()
}

pub(super) fn questions(answer: PeopleAnswer) -> Questions {
    match answer {
        PeopleAnswer::Questions(questions) => questions,
        other => panic!("{other:?}"),
    }
}

pub(super) fn prompts(answer: PeopleAnswer) -> Vec<String> {
    let prompts = questions(answer).prompts.into_iter();
    prompts.map(|prompt| prompt.text).collect()
}

pub(super) fn signed_in(answer: PeopleAnswer) -> SignedIn {
    match answer {
        PeopleAnswer::SignedIn(signed_in) => signed_in,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refusal(answer: PeopleAnswer) -> PeopleRefusal {
    match answer {
        PeopleAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn reason(answer: PeopleAnswer) -> String {
    refusal(answer).reason
}

pub(super) fn text(answer: PeopleAnswer) -> String {
    match answer {
        PeopleAnswer::Text(text) => text,
        other => panic!("{other:?}"),
    }
}
