//! The service that decides about people: the room `people`, with what it needs of this process.

use std::sync::{Arc, PoisonError, RwLock};

use ssh_key::Certificate;

use super::authorities::CurrentAuthorities;
use super::caller::caller_number;
use super::error::AuthProcessError;
use super::identity_provider::ReadProvider;
use crate::audit::AuditLog;
use crate::ca::{
    CaKind, CaRecords, IssueError, IssueRequest, IssuedFor, Issuer, IssuingRules, TtlLimits,
};
use crate::cert::{UserRequest, VerifiedUserCert, verify_user};
use crate::config::Config;
use crate::ipc::{
    BrowserAnswer, BrowserPasswordRequest, BrowserRequest, BrowserSessionAnswer,
    BrowserSessionRefusal, BrowserSessionRefusalKind, BrowserSessionRequest, CallerProcess,
    PeopleAnswer, PeopleRequest,
};
use crate::metrics::AuthMeters;
use crate::people::{IssuesForPeople, PeopleParts, PeopleService, PeopleSettings};
use crate::state::State;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// What of this process the services about people and hosts use.
#[derive(Debug)]
pub(super) struct PeopleGround {
    /// The state.
    pub(super) state: State,
    /// What the CAs have issued, and what is revoked.
    pub(super) records: CaRecords,
    /// The CAs.
    pub(super) authorities: CurrentAuthorities,
    /// Where every decision is written down.
    pub(super) audit: AuditLog,
    /// Where decisions are counted.
    pub(super) meters: Arc<AuthMeters>,
    /// The identity provider; `None` where people do not sign in with a browser.
    pub(super) provider: Option<ReadProvider>,
}

/// Decides about people, by the configuration in force.
#[derive(Debug)]
pub(super) struct PeopleProvider {
    service: PeopleService,
    /// Whether people sign in with a browser.
    has_browsers: bool,
    user_ca: Arc<UserCa>,
}

impl PeopleProvider {
    /// The service; `None` if people do not sign in here.
    ///
    /// # Errors
    /// When there is no memory to hash a password, or no thread.
    pub(super) fn new(
        config: &Config,
        ground: PeopleGround,
    ) -> Result<Option<Self>, AuthProcessError> {
        if !config.auth.authentication.has_sign_in() {
            return Ok(None);
        }
        let user_ca = Arc::new(UserCa {
            authorities: ground.authorities,
            records: ground.records,
            audit: ground.audit.clone(),
            limits: RwLock::new(limits(config)),
            clock: ground.state.clock(),
        });
        let browser = ground.provider.map(ReadProvider::follow).transpose();
        let browser = browser.map_err(AuthProcessError::Start)?;
        let has_browsers = browser.is_some();
        let parts = PeopleParts {
            state: ground.state,
            audit: Arc::new(ground.audit),
            issuer: Arc::<UserCa>::clone(&user_ca),
            browser,
            settings: settings(config),
            meters: ground.meters,
        };
        Ok(Some(Self {
            service: PeopleService::new(parts)?,
            has_browsers,
            user_ca,
        }))
    }

    /// Answers a request of a process.
    pub(super) fn answer(&self, caller: &CallerProcess, request: &PeopleRequest) -> PeopleAnswer {
        self.service.answer(caller_number(caller), request)
    }

    /// Answers a browser; `None` where people do not sign in with one.
    pub(super) fn answer_browser(&self, request: &BrowserRequest) -> Option<BrowserAnswer> {
        self.has_browsers
            .then(|| self.service.answer_browser(request))
    }

    /// Answers a browser with a token.
    pub(super) fn answer_session(&self, request: &BrowserSessionRequest) -> BrowserSessionAnswer {
        self.service.answer_session(request)
    }

    /// Answers a browser that brings a password.
    pub(super) fn answer_password(&self, request: &BrowserPasswordRequest) -> BrowserSessionAnswer {
        self.service.answer_password(request)
    }

    /// Forgets a process that has exited.
    pub(super) fn forget(&self, caller: &CallerProcess) {
        self.service.forget_caller(caller_number(caller));
    }

    /// Takes what can change while the proxy runs.
    pub(super) fn apply(&self, config: &Config) {
        self.service.replace_settings(settings(config));
        self.user_ca.replace_limits(limits(config));
    }
}

/// What the configuration says about people.
fn settings(config: &Config) -> PeopleSettings {
    let authentication = &config.auth.authentication;
    PeopleSettings {
        cluster: config.cluster_name.clone(),
        has_local: authentication.has_local(),
        second_factor: authentication.second_factor,
        sign_in_ttl: authentication.sign_in_ttl,
        source_addresses: config.proxy.egress_addrs.clone(),
        nodes: config.nodes.clone(),
        policy: Arc::new(config.policy()),
    }
}

/// The answer to browsers where people do not sign in at all.
pub(super) fn no_sign_in() -> BrowserSessionAnswer {
    BrowserSessionAnswer::Refused(BrowserSessionRefusal {
        kind: BrowserSessionRefusalKind::NotSignedIn,
        reason: "no-sign-in".to_owned(),
        message: "people do not sign in here: the proxy takes certificates".to_owned(),
        hint: Some(
            "ask an administrator: auth_service.authentication in the configuration".to_owned(),
        ),
    })
}

/// How long certificates of people may live.
fn limits(config: &Config) -> Arc<TtlLimits> {
    Arc::new(TtlLimits::new(config.policy(), config.auth.max_ttl))
}

/// The user CA, for people who have signed in.
#[derive(Debug)]
struct UserCa {
    authorities: CurrentAuthorities,
    records: CaRecords,
    audit: AuditLog,
    limits: RwLock<Arc<TtlLimits>>,
    clock: Clock,
}

impl UserCa {
    fn limits(&self) -> Arc<TtlLimits> {
        let limits = self.limits.read();
        Arc::clone(&limits.unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_limits(&self, limits: Arc<TtlLimits>) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

impl IssuesForPeople for UserCa {
    fn issue(
        &self,
        request: UserRequest,
        issued_for: IssuedFor,
    ) -> Result<Certificate, IssueError> {
        let revocations = self.records.revoked.shared()?;
        let (authorities, limits) = (self.authorities.now(), self.limits());
        let rules = IssuingRules {
            limits: &limits,
            revocations: &revocations,
            ledger: &*self.records.issued,
            issued_for,
            clock: self.clock,
        };
        let issuer = Issuer::new(&authorities, rules, &self.audit);
        let issued = issuer.issue(IssueRequest::User(request), &Actor::of_this_process())?;
        Ok(issued.certificate)
    }

    fn verify(&self, certificate: &Certificate) -> Option<VerifiedUserCert> {
        let trusted = self.authorities.now().of(CaKind::User).trusted();
        let verified = verify_user(certificate, &trusted, None, self.clock.unix_seconds()).ok()?;
        let revocations = self.records.revoked.read().ok()?;
        let is_revoked = revocations.of_certificate(certificate).is_some();
        (!is_revoked).then_some(verified)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::testing;
    use super::*;
    use crate::cert::testing::ed25519;
    use crate::ipc::PeopleQuestion;
    use crate::model::ConnectionId;

    const LOCAL: &str = "cluster_name: example.test\n\
        auth_service: { authentication: { type: local } }\n";

    /// The provider of a new installation, and its CAs.
    fn provider(directory: &Path, text: &str) -> (Option<PeopleProvider>, CurrentAuthorities) {
        let config = testing::parsed(directory, text);
        let ground = testing::laid(&config);
        let current = ground.authorities.clone();
        (PeopleProvider::new(&config, ground).unwrap(), current)
    }

    fn worker(pid: i32) -> CallerProcess {
        CallerProcess {
            kind: "worker".to_owned(),
            pid,
        }
    }

    #[test]
    fn where_only_certificates_count_there_is_no_service() {
        let directory = crate::sys::fs::private_tempdir();
        let (provider, _) = provider(directory.path(), "cluster_name: example.test\n");
        assert!(provider.is_none());
    }

    #[test]
    fn a_process_is_answered_about_its_own_connections() {
        let directory = crate::sys::fs::private_tempdir();
        let (provider, _) = provider(directory.path(), LOCAL);
        let provider = provider.unwrap();
        let mut request = PeopleRequest {
            connection: ConnectionId::new(),
            client: "203.0.113.7:50000".parse().unwrap(),
            user: "alice".to_owned(),
            waited: 0,
            ask: PeopleQuestion::Begin,
        };
        let answer = provider.answer(&worker(7), &request);
        assert!(matches!(answer, PeopleAnswer::Questions(_)), "{answer:?}");
        request.ask = PeopleQuestion::Answer(vec![crate::ipc::SecretText::new(String::new())]);
        let answer = provider.answer(&worker(8), &request);
        assert!(matches!(answer, PeopleAnswer::Refused(_)), "{answer:?}");
        provider.forget(&worker(7));
        let answer = provider.answer(&worker(7), &request);
        assert!(matches!(answer, PeopleAnswer::Refused(_)), "{answer:?}");
    }

    #[test]
    fn certificates_are_the_user_cas_and_in_the_ledger() {
        let directory = crate::sys::fs::private_tempdir();
        let (provider, authorities) = provider(directory.path(), LOCAL);
        let user_ca = provider.unwrap().user_ca;
        let request = UserRequest {
            identity: "alice".parse().unwrap(),
            logins: vec!["deploy".parse().unwrap()],
            public_key: ed25519().public_key().clone(),
            ttl: Duration::from_secs(300),
            source_addresses: vec!["192.0.2.1/32".to_owned()],
            sign_in: None,
        };
        let issued = user_ca.issue(request, IssuedFor::Connection).unwrap();
        let authorities = authorities.now();
        let key = authorities.of(CaKind::User).public_key();
        assert_eq!(issued.signature_key(), key.key_data());
        assert_eq!(issued.valid_principals(), ["deploy"]);
        let ledger = user_ca.records.issued.issued_for_connections().unwrap();
        let [record] = ledger.as_slice() else {
            panic!("{ledger:?}")
        };
        assert_eq!(record.serial.number(), issued.serial());
        assert_eq!(record.issued_for, IssuedFor::Connection);
    }
}
