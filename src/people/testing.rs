//! People, for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssh_key::Certificate;

use super::context::{IssuesForPeople, PeopleParts};
use super::settings::{PeopleSettings, RequiredFactor};
use crate::access::{Permissions, Policy};
use crate::audit::testing::Audited;
use crate::ca::{IssueError, IssuedFor};
use crate::cert::testing::{CertSpec, ed25519};
use crate::cert::{UserRequest, VerifiedUserCert, verify_user};
use crate::state::testing::NOW;
use crate::state::{NewUser, RegisteredKey, State, User};

/// A person who was added, with the role `dba`.
pub(crate) fn person(state: &State, name: &str) -> User {
    let new = NewUser {
        name: name.parse().unwrap(),
        roles: vec!["dba".to_owned()],
        logins: None,
        created: NOW,
    };
    state.users().add(new).unwrap()
}

/// A key that the user has registered.
pub(crate) fn registered_key(state: &State, user: &User) -> RegisteredKey {
    let key = RegisteredKey {
        user: user.id,
        fingerprint: "SHA256:abc".to_owned(),
        line: "ssh-ed25519 AAAA".to_owned(),
        comment: String::new(),
        registered: NOW,
        used: None,
    };
    state.keys().register(&key).unwrap();
    key
}

/// The parts of a service with this state, where nothing is required and no role exists.
pub(crate) fn parts(state: &State) -> PeopleParts {
    let policy = Policy::new("f", Permissions::default(), Vec::new(), Vec::new());
    PeopleParts {
        state: state.clone(),
        audit: Arc::<Audited>::default(),
        issuer: Arc::<Issued>::default(),
        browser: None,
        settings: PeopleSettings {
            cluster: "example.com".parse().unwrap(),
            has_local: true,
            second_factor: RequiredFactor::Off,
            sign_in_ttl: Duration::from_secs(60),
            nodes: Vec::new(),
            source_addresses: Vec::new(),
            policy: Arc::new(policy),
        },
        meters: Arc::default(),
    }
}

/// A user CA that keeps what it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Issued(pub(crate) Mutex<Vec<UserRequest>>);

impl IssuesForPeople for Issued {
    fn issue(&self, request: UserRequest, _: IssuedFor) -> Result<Certificate, IssueError> {
        let certificate = CertSpec::user(&ed25519()).sign(&ed25519());
        self.0.lock().unwrap().push(request);
        Ok(certificate)
    }

    fn verify(&self, certificate: &Certificate) -> Option<VerifiedUserCert> {
        let any = [certificate.signature_key().clone().into()];
        let now = certificate.valid_before() - 1;
        verify_user(certificate, &any.into_iter().collect(), None, now).ok()
    }
}
