//! What may change for a connection while it lives: its certificates are revoked, the policy has it
//! no more or on other terms, or the proxy is about to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::end_reason::EndReason;
use super::refusal::{self, Origin, Refusal};
use super::revocation::{revoked_host, revoked_user};
use super::route::judge_login;
use super::{Proxy, Settings};
use crate::access::{Identity, LoginPermit, Permissions};
use crate::ca::Revocations;
use crate::cert::PresentedKey;

/// What has changed.
#[derive(Debug)]
pub(crate) enum PolicyChange {
    /// The connection has to end; it is audited already.
    End(EndReason),
    /// From now on it may carry this.
    Permissions(Arc<Permissions>),
    /// The proxy stops, and the connection with it, at this time at the latest. Told once.
    Stopping(Instant),
}

/// A connection, as far as others may change their mind about it.
#[derive(Debug)]
pub(crate) struct PolicyMonitor {
    proxy: Arc<Proxy>,
    revocations: Receiver<Arc<Revocations>>,
    settings: Receiver<Arc<Settings>>,
    stopping: Receiver<Option<Instant>>,
    told_of_stop: bool,
    user: Identity,
    /// The rest of what was decided about it, once it was.
    login: Option<HostLogin>,
    origin: Origin,
}

/// A login at a host that has shown its key.
#[derive(Debug)]
struct HostLogin {
    permit: LoginPermit,
    host: PresentedKey,
    address: SocketAddr,
    permissions: Arc<Permissions>,
}

/// Puts the end of one connection into the audit log.
#[derive(Debug)]
pub(crate) struct AuditContext {
    proxy: Arc<Proxy>,
    origin: Origin,
}

impl AuditContext {
    /// Audits why it ends.
    pub(crate) fn tell(&self, refusal: &Refusal) {
        self.proxy.tell(&refusal.event(self.origin.clone()));
    }
}

impl PolicyMonitor {
    /// A connection that is in, and has not logged in anywhere.
    pub(crate) fn new(proxy: &Arc<Proxy>, user: Identity, origin: Origin) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            revocations: proxy.revocations.clone(),
            settings: proxy.settings.clone(),
            stopping: proxy.stopping.clone(),
            told_of_stop: false,
            user,
            login: None,
            origin,
        }
    }

    /// A connection that is logged in at the host at this address, which has presented this key.
    pub(crate) fn logged_in(
        proxy: &Arc<Proxy>,
        permit: LoginPermit,
        (address, host): (SocketAddr, PresentedKey),
        origin: Origin,
    ) -> Self {
        let permissions = Arc::new(permit.grant().permits().permissions().clone());
        let user = permit.identity().clone();
        let login = HostLogin {
            permit,
            host,
            address,
            permissions,
        };
        Self {
            login: Some(login),
            ..Self::new(proxy, user, origin)
        }
    }

    /// What puts other ends of this connection into the audit log.
    pub(crate) fn witness(&self) -> AuditContext {
        AuditContext {
            proxy: Arc::clone(&self.proxy),
            origin: self.origin.clone(),
        }
    }

    /// What the connection may carry as far as is known; the defaults without a login.
    pub(crate) fn permissions(&self) -> Arc<Permissions> {
        match &self.login {
            Some(login) => Arc::clone(&login.permissions),
            None => Arc::default(),
        }
    }

    /// Waits until the connection has to end, which may be at once.
    pub(crate) async fn withdrawn(mut self) -> Refusal {
        loop {
            if let PolicyChange::End(EndReason::Withdrawn(refusal)) = self.change().await {
                return *refusal;
            }
        }
    }

    /// Waits for the next change, which may be there at once. May be dropped and called again.
    pub(crate) async fn change(&mut self) -> PolicyChange {
        loop {
            if let Some(change) = self.look() {
                return change;
            }
            let changed = tokio::select! {
                changed = self.revocations.changed() => changed,
                changed = self.settings.changed() => changed,
                changed = self.stopping.changed() => changed,
            };
            if changed.is_err() {
                // Nobody looks any more: the proxy is about to end.
                std::future::pending::<()>().await;
            }
        }
    }

    fn look(&mut self) -> Option<PolicyChange> {
        let revocations = Arc::clone(&self.revocations.borrow_and_update());
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let revoked = revoked_user(&revocations, self.user.certificate()).or_else(|| {
            let login = self.login.as_ref()?;
            revoked_host(&revocations, &login.host)
        });
        if let Some(refusal) = revoked {
            return Some(self.withdraw(refusal));
        }
        let stopping = *self.stopping.borrow_and_update();
        if let Some(at) = stopping.filter(|_| !self.told_of_stop) {
            self.told_of_stop = true;
            return Some(PolicyChange::Stopping(at));
        }
        self.judge_again(&settings)
    }

    fn judge_again(&mut self, settings: &Settings) -> Option<PolicyChange> {
        let login = self.login.as_mut()?;
        let judged = judge_login(
            &self.proxy,
            settings,
            &login.permit,
            login.address,
            &login.host,
        );
        match judged {
            Ok(grant) if grant.permits().permissions() == &*login.permissions => None,
            Ok(grant) => {
                login.permissions = Arc::new(grant.permits().permissions().clone());
                Some(PolicyChange::Permissions(Arc::clone(&login.permissions)))
            }
            Err(denial) => Some(self.withdraw(refusal::policy_changed(&denial))),
        }
    }

    fn withdraw(&self, refusal: Refusal) -> PolicyChange {
        tracing::info!(connection = %self.origin.connection, "{}", refusal.message);
        self.proxy.tell(&refusal.event(self.origin.clone()));
        PolicyChange::End(EndReason::Withdrawn(Box::new(refusal)))
    }
}
