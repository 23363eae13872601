//! Watches what may change during a connection: its certificates are revoked, the policy no longer
//! permits it or permits other things, or the proxy is about to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::sync::watch::error::RecvError;
use tokio::time::Instant;

use super::end_reason::EndReason;
use super::refusal::{self, Origin, Refusal};
use super::revocation::{revoked_host, revoked_identity};
use super::route::Router;
use super::settings::{CurrentSettings, Settings};
use crate::access::{Identity, LoginPermit, Permissions};
use crate::audit::AuditLog;
use crate::ca::Revocations;
use crate::cert::PresentedKey;

/// What has changed.
#[derive(Debug)]
pub(crate) enum PolicyChange {
    /// The connection has to end; this is audited already.
    End(EndReason),
    /// The connection's permissions have changed to these.
    Permissions(Arc<Permissions>),
    /// The proxy stops, and ends the connection at this time at the latest. Reported once.
    Stopping(Instant),
}

/// The sources that may withdraw a permission. Each clone sees every change.
#[derive(Clone, Debug)]
pub(crate) struct PolicySource {
    revocations: Receiver<Arc<Revocations>>,
    settings: CurrentSettings,
    stopping: Receiver<Option<Instant>>,
    router: Arc<Router>,
    audit: AuditLog,
}

impl PolicySource {
    /// `stopping` is the time at which connections end because the proxy stops, once that is known.
    /// The end of a connection is written to `audit`.
    #[must_use]
    pub(crate) fn new(
        revocations: Receiver<Arc<Revocations>>,
        settings: CurrentSettings,
        stopping: Receiver<Option<Instant>>,
        router: Arc<Router>,
        audit: AuditLog,
    ) -> Self {
        Self {
            revocations,
            settings,
            stopping,
            router,
            audit,
        }
    }

    async fn changed(&mut self) -> Result<(), RecvError> {
        tokio::select! {
            changed = self.revocations.changed() => changed,
            changed = self.settings.changed() => changed,
            changed = self.stopping.changed() => changed,
        }
    }
}

/// A connection whose permission is watched.
#[derive(Debug)]
pub(crate) struct PolicyMonitor {
    source: PolicySource,
    told_of_stop: bool,
    user: Identity,
    /// The login, once it was permitted.
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

/// Writes the end of one connection to the audit log.
#[derive(Debug)]
pub(crate) struct AuditContext {
    audit: AuditLog,
    origin: Origin,
}

impl AuditContext {
    /// Audits why it ends.
    pub(crate) fn tell(&self, refusal: &Refusal) {
        self.audit.emit_or_log(&refusal.event(self.origin.clone()));
    }
}

impl PolicyMonitor {
    /// A connection that is authenticated and not logged in at a host.
    pub(crate) fn new(source: &PolicySource, user: Identity, origin: Origin) -> Self {
        Self {
            source: source.clone(),
            told_of_stop: false,
            user,
            login: None,
            origin,
        }
    }

    /// A connection that is logged in at the host at this address, which has presented this key.
    pub(crate) fn logged_in(
        source: &PolicySource,
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
            ..Self::new(source, user, origin)
        }
    }

    /// Audits other reasons for the end of this connection.
    pub(crate) fn witness(&self) -> AuditContext {
        AuditContext {
            audit: self.source.audit.clone(),
            origin: self.origin.clone(),
        }
    }

    /// What the connection may carry; the defaults before the login.
    pub(crate) fn permissions(&self) -> Arc<Permissions> {
        match &self.login {
            Some(login) => Arc::clone(&login.permissions),
            None => Arc::default(),
        }
    }

    /// Waits until the connection has to end. Returns at once if that is so already.
    pub(crate) async fn withdrawn(mut self) -> Refusal {
        loop {
            if let PolicyChange::End(EndReason::Withdrawn(refusal)) = self.change().await {
                return *refusal;
            }
        }
    }

    /// Waits for the next change. Returns at once if there is one. Cancel-safe: may be dropped and
    /// called again.
    pub(crate) async fn change(&mut self) -> PolicyChange {
        loop {
            if let Some(change) = self.look() {
                return change;
            }
            if self.source.changed().await.is_err() {
                // No further change follows: the proxy is about to exit.
                std::future::pending::<()>().await;
            }
        }
    }

    fn look(&mut self) -> Option<PolicyChange> {
        let revocations = Arc::clone(&self.source.revocations.borrow_and_update());
        let settings = self.source.settings.take();
        let revoked = revoked_identity(&revocations, &self.user).or_else(|| {
            let login = self.login.as_ref()?;
            revoked_host(&revocations, &login.host)
        });
        if let Some(refusal) = revoked {
            return Some(self.withdraw(refusal));
        }
        let stopping = *self.source.stopping.borrow_and_update();
        if let Some(at) = stopping.filter(|_| !self.told_of_stop) {
            self.told_of_stop = true;
            return Some(PolicyChange::Stopping(at));
        }
        self.judge_again(&settings)
    }

    fn judge_again(&mut self, settings: &Settings) -> Option<PolicyChange> {
        let login = self.login.as_mut()?;
        let judged =
            self.source
                .router
                .judge_login(settings, &login.permit, login.address, &login.host);
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
        let event = refusal.event(self.origin.clone());
        self.source.audit.emit_or_log(&event);
        PolicyChange::End(EndReason::Withdrawn(Box::new(refusal)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::Revoked;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::ssh::testing::{DB1, SshFixture, origin};

    /// What changes within a day.
    async fn change(watched: &mut PolicyMonitor) -> Option<PolicyChange> {
        let day = Duration::from_secs(86_400);
        tokio::time::timeout(day, watched.change()).await.ok()
    }

    /// The refusal that a connection ends with.
    async fn withdrawn(watched: &mut PolicyMonitor) -> Refusal {
        match change(watched).await {
            Some(PolicyChange::End(EndReason::Withdrawn(refusal))) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Alice's certificate for the login `deploy` at `db1`, which shows `host`.
    fn logged_in(proxy: &SshFixture, host: &PresentedKey) -> PolicyMonitor {
        let permit = proxy.login_permit("db1:22");
        PolicyMonitor::logged_in(&proxy.policy(), permit, (DB1, host.clone()), origin())
    }

    fn host(proxy: &SshFixture) -> PresentedKey {
        let certificate = CertSpec::host(&ed25519()).sign(&proxy.host_ca.key);
        PresentedKey::decode(&certificate.to_bytes().unwrap()).unwrap()
    }

    const OPS_MAY: &str = "
roles:
  - name: ops
    allow: [{ logins: [deploy], nodes: [db1] }]
    permit: { agent: yes }
users: [{ name: alice, roles: [ops] }]
nodes: [{ name: db1, addr: 10.0.0.5 }]
";

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_its_certificate_is_revoked_also_before_its_login() {
        let proxy = SshFixture::new();
        let policy = proxy.policy();
        let mut watched = PolicyMonitor::new(&policy, proxy.identity(), origin());
        assert!(change(&mut watched).await.is_none());
        proxy.revoke(Revoked::of_key_id("mallory".to_owned()));
        assert!(change(&mut watched).await.is_none());
        proxy.revoke(Revoked::of_key_id("alice".to_owned()));
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(refusal.message, "certificate revoked: stolen");
        assert_eq!(proxy.audited_briefly(), ["refusal certificate-revoked"]);
        // One that begins now learns of it at once.
        let late = PolicyMonitor::new(&policy, proxy.identity(), origin());
        assert_eq!(late.withdrawn().await.reason, "certificate-revoked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_its_host_is_revoked() {
        let proxy = SshFixture::new();
        let host = host(&proxy);
        let mut watched = logged_in(&proxy, &host);
        assert!(change(&mut watched).await.is_none());
        proxy.revoke(Revoked::of_key_id("db1".to_owned()));
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(refusal.message, "remote host's certificate revoked: stolen");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_the_policy_has_it_no_more_and_the_rule_is_audited_only() {
        let proxy = SshFixture::new();
        proxy.configure(OPS_MAY);
        let mut watched = logged_in(&proxy, &host(&proxy));
        assert!(change(&mut watched).await.is_none());
        proxy.configure(&OPS_MAY.replace("[deploy]", "[root]"));
        let refusal = withdrawn(&mut watched).await;
        let told = "access to db1 as deploy is denied, the policy has changed";
        assert_eq!(refusal.message, told);
        let audited = proxy.audited();
        assert_eq!(audited[0]["reason"], "policy");
        assert!(
            audited[0]["rule"].as_str().unwrap().contains("ops"),
            "{audited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn other_terms_are_told_once_and_the_connection_goes_on() {
        let proxy = SshFixture::new();
        proxy.configure(OPS_MAY);
        let mut watched = logged_in(&proxy, &host(&proxy));
        assert!(watched.permissions().agent);
        proxy.configure(&OPS_MAY.replace("agent: yes", "agent: no"));
        match change(&mut watched).await {
            Some(PolicyChange::Permissions(new)) => assert!(!new.agent),
            other => panic!("{other:?}"),
        }
        assert!(change(&mut watched).await.is_none());
        assert!(!watched.permissions().agent);
        // What is read again and says the same is no change.
        proxy.configure(&OPS_MAY.replace("agent: yes", "agent: no"));
        assert!(change(&mut watched).await.is_none());
        assert!(proxy.audited().is_empty());
    }

    /// The host turns out to be a second node, where alice may not go.
    #[tokio::test(start_paused = true)]
    async fn a_new_node_at_the_hosts_address_counts() {
        let proxy = SshFixture::new();
        proxy.configure(OPS_MAY);
        let mut watched = logged_in(&proxy, &host(&proxy));
        let another = "nodes: [{ name: db1, addr: 10.0.0.5 }, { name: vault, addr: 10.0.0.5 }]";
        proxy.configure(&OPS_MAY.replace("nodes: [{ name: db1, addr: 10.0.0.5 }]", another));
        assert_eq!(withdrawn(&mut watched).await.reason, "policy");
    }

    #[tokio::test(start_paused = true)]
    async fn the_policy_does_not_matter_to_a_connection_without_a_login() {
        let proxy = SshFixture::new();
        let mut watched = PolicyMonitor::new(&proxy.policy(), proxy.identity(), origin());
        proxy.configure(&OPS_MAY.replace("alice", "bob"));
        assert!(change(&mut watched).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn that_the_proxy_stops_is_told_once_and_a_revocation_still_after_it() {
        let proxy = SshFixture::new();
        let mut watched = logged_in(&proxy, &host(&proxy));
        let end = Instant::now() + Duration::from_secs(60);
        proxy.stopping.send_replace(Some(end));
        match change(&mut watched).await {
            Some(PolicyChange::Stopping(at)) => assert_eq!(at, end),
            other => panic!("{other:?}"),
        }
        assert!(change(&mut watched).await.is_none());
        proxy.revoke(Revoked::of_key_id("alice".to_owned()));
        assert_eq!(withdrawn(&mut watched).await.reason, "certificate-revoked");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_withdrawn_because_the_settings_change_no_more() {
        let proxy = SshFixture::new();
        let mut watched = logged_in(&proxy, &host(&proxy));
        let SshFixture { settings, .. } = proxy;
        drop(settings);
        assert!(change(&mut watched).await.is_none());
    }
}
