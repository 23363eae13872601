//! What all decisions about hosts use: the state, the host CA, the audit log, the settings.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ssh_key::{Certificate, Fingerprint};

use super::host::HostConnection;
use super::refusal::Refused;
use super::settings::EnrolmentSettings;
use crate::audit::{AuditError, AuditEvent, AuditSink, NodeEvent};
use crate::ca::{CaError, IssueError};
use crate::cert::HostRequest;
use crate::ipc::{NodesAnswer, PublicCaKeys};
use crate::metrics::AuthMeters;
use crate::model::chain;
use crate::state::{State, StateError};

/// The CAs, as the service for hosts uses them.
pub trait IssuesForHosts: fmt::Debug + Send + Sync {
    /// Issues a host certificate; it is in the ledger and audited when this returns.
    ///
    /// # Errors
    /// When a rule refuses it, the key does not sign, or it cannot be recorded.
    fn issue(&self, request: HostRequest) -> Result<Certificate, IssueError>;

    /// The public keys of both CAs, as they are now.
    fn keys(&self) -> PublicCaKeys;

    /// Whether a host certificate for this key id and key would be refused, because one of them is revoked.
    ///
    /// # Errors
    /// When it cannot be read what is revoked.
    fn is_revoked(&self, key_id: &str, key: &Fingerprint) -> Result<bool, CaError>;

    /// The certificates that lead from earlier keys of the host CA to the one of today, the oldest first, each
    /// in one line.
    fn successors(&self) -> Vec<String>;

    /// The certificates in which the host CA's key of today names each key of the user CA, each in one line,
    /// with that key behind it.
    ///
    /// # Errors
    /// When the key does not sign.
    fn user_ca_proofs(&self) -> Result<Vec<String>, CaError>;
}

/// What decisions about hosts are made with.
#[derive(Debug)]
pub struct EnrolmentParts {
    /// The state. Its clock is the one of all decisions.
    pub state: State,
    /// Where every decision is written down.
    pub audit: Arc<dyn AuditSink>,
    /// The CAs.
    pub issuer: Arc<dyn IssuesForHosts>,
    /// What the configuration says.
    pub settings: EnrolmentSettings,
    /// Where decisions are counted.
    pub meters: Arc<AuthMeters>,
}

/// The same, shared by all connections.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) issuer: Arc<dyn IssuesForHosts>,
    pub(super) meters: Arc<AuthMeters>,
    audit: Arc<dyn AuditSink>,
    settings: RwLock<Arc<EnrolmentSettings>>,
}

impl Context {
    pub(super) fn new(parts: EnrolmentParts) -> Self {
        Self {
            state: parts.state,
            issuer: parts.issuer,
            meters: parts.meters,
            audit: parts.audit,
            settings: RwLock::new(Arc::new(parts.settings)),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.state.now()
    }

    pub(super) fn settings(&self) -> Arc<EnrolmentSettings> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace_settings(&self, settings: EnrolmentSettings) {
        let mut current = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
    }

    /// Writes an event down that something depends on. It counts only if it is written.
    pub(super) fn audit(&self, event: NodeEvent) -> Result<(), Unavailable> {
        self.audit.emit(&AuditEvent::from(event))?;
        Ok(())
    }

    /// Refuses a host, and writes that down: it is refused in any case.
    pub(super) fn refuse(
        &self,
        host: &HostConnection,
        what: &'static str,
        refused: Refused,
    ) -> NodesAnswer {
        let event = NodeEvent::NodeRefused {
            what,
            reason: refused.reason,
            message: refused.message.clone(),
            name: refused.node.clone(),
            fingerprint: host.proved.as_ref().map(|key| key.fingerprint.to_string()),
            client_addr: host.client,
            connection: host.connection,
        };
        if let Err(error) = self.audit.emit(&AuditEvent::from(event)) {
            let error = chain(&error);
            tracing::error!("cannot write the audit log: {error}");
        }
        refused.into()
    }
}

/// A decision could not be made: the state, the CAs' records or the audit log are out of reach.
#[derive(Debug)]
pub(super) struct Unavailable(String);

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

impl From<CaError> for Unavailable {
    fn from(error: CaError) -> Self {
        Self(chain(&error))
    }
}
