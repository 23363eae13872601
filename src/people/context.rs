//! What all decisions about people use: the state, the clock, the audit log, the settings.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ssh_key::Certificate;

use super::counting;
use super::password::{HashFailed, Passwords};
use super::provider::BrowserSignIn;
use super::settings::PeopleSettings;
use super::throttle::Throttle;
use crate::audit::{AuditError, AuditEvent, AuditSink, PersonEvent};
use crate::ca::{IssueError, IssuedFor};
use crate::cert::{UserRequest, VerifiedUserCert};
use crate::metrics::AuthMeters;
use crate::model::chain;
use crate::state::{State, StateError};

/// Issues certificates to people who have signed in.
pub trait IssuesForPeople: fmt::Debug + Send + Sync {
    /// Issues one; it is in the ledger and audited when this returns.
    ///
    /// # Errors
    /// When a rule refuses it, the key does not sign, or it cannot be recorded.
    fn issue(&self, request: UserRequest, issued_for: IssuedFor)
    -> Result<Certificate, IssueError>;

    /// Verifies a certificate that a client has shown: `None` if the user CA has not signed it, if it is not
    /// valid now, or if it is revoked. The client's address is for the worker to check.
    fn verify(&self, certificate: &Certificate) -> Option<VerifiedUserCert>;
}

/// What decisions about people are made with.
#[derive(Debug)]
pub struct PeopleParts {
    /// The state. Its clock is the one of all decisions.
    pub state: State,
    /// Where every decision is written down.
    pub audit: Arc<dyn AuditSink>,
    /// The user CA.
    pub issuer: Arc<dyn IssuesForPeople>,
    /// How people sign in with a browser; `None` where they do not.
    pub browser: Option<BrowserSignIn>,
    /// What the configuration says.
    pub settings: PeopleSettings,
    /// Where decisions are counted.
    pub meters: Arc<AuthMeters>,
}

/// The same, shared by all conversations.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) passwords: Passwords,
    pub(super) throttle: Throttle,
    pub(super) issuer: Arc<dyn IssuesForPeople>,
    pub(super) meters: Arc<AuthMeters>,
    audit: Arc<dyn AuditSink>,
    browser: Option<BrowserSignIn>,
    settings: RwLock<Arc<PeopleSettings>>,
}

impl Context {
    pub(super) fn new(parts: PeopleParts, passwords: Passwords) -> Self {
        Self {
            state: parts.state,
            passwords,
            throttle: Throttle::default(),
            issuer: parts.issuer,
            meters: parts.meters,
            audit: parts.audit,
            browser: parts.browser,
            settings: RwLock::new(Arc::new(parts.settings)),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.state.now()
    }

    /// How people sign in with a browser; `None` where they do not.
    pub(super) fn browser(&self) -> Option<&BrowserSignIn> {
        self.browser.as_ref()
    }

    pub(super) fn settings(&self) -> Arc<PeopleSettings> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_settings(&self, settings: PeopleSettings) {
        let mut current = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
    }

    /// Writes an event down that something depends on. It counts only if it is written.
    pub(super) fn audit(&self, event: PersonEvent) -> Result<(), Unavailable> {
        self.audit.emit(&AuditEvent::from(event.clone()))?;
        counting::count(&self.meters, &event);
        Ok(())
    }

    /// Writes down that something was refused: it is refused, and counted, in any case.
    pub(super) fn audit_refusal(&self, event: PersonEvent) {
        counting::count(&self.meters, &event);
        if let Err(error) = self.audit.emit(&AuditEvent::from(event)) {
            let error = chain(&error);
            tracing::error!("cannot write the audit log: {error}");
        }
    }
}

/// A decision could not be made: the state or the audit log is out of reach, or there is no memory.
#[derive(Debug)]
pub(super) struct Unavailable(String);

impl Unavailable {
    pub(super) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StateError> for Unavailable {
    fn from(error: StateError) -> Self {
        Self(chain(&error))
    }
}

impl From<AuditError> for Unavailable {
    fn from(error: AuditError) -> Self {
        Self(chain(&error))
    }
}

impl From<HashFailed> for Unavailable {
    fn from(error: HashFailed) -> Self {
        Self(error.to_string())
    }
}
