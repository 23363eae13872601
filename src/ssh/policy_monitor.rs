//! Watches what may change during a connection: its certificates are revoked, its sign-in ends, the
//! policy no longer permits it or permits other things, its host is locked or removed, or the proxy is
//! about to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::sync::watch::error::RecvError;
use tokio::time::Instant;

use super::end_reason::EndReason;
use super::refusal::{self, Origin, Refusal};
use super::revocation::{revoked_host, revoked_identity, revoked_user};
use super::route::{Router, has_left};
use super::settings::{CurrentSettings, Settings};
use super::sign_in_changes::SignInChanges;
use crate::access::{Identity, LoginPermit, Permissions};
use crate::audit::AuditLog;
use crate::ca::Revocations;
use crate::cert::PresentedKey;
use crate::ipc::SignInEnd;
use crate::model::HostAddress;
use crate::sys::clock::Clock;

/// How often the time of day is read, which an administrator may change at any time.
const LOOK: Duration = Duration::from_secs(60);

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
    sign_in_changes: Receiver<SignInChanges>,
    settings: CurrentSettings,
    stopping: Receiver<Option<Instant>>,
    router: Arc<Router>,
    audit: AuditLog,
    clock: Clock,
}

impl PolicySource {
    /// `stopping` is the time at which connections end because the proxy stops, once that is known.
    /// The end of a connection is written to `audit`. Sign-ins expire by `clock`.
    #[must_use]
    pub(crate) fn new(
        (revocations, sign_in_changes): (Receiver<Arc<Revocations>>, Receiver<SignInChanges>),
        settings: CurrentSettings,
        stopping: Receiver<Option<Instant>>,
        router: Arc<Router>,
        audit: AuditLog,
        clock: Clock,
    ) -> Self {
        Self {
            revocations,
            sign_in_changes,
            settings,
            stopping,
            router,
            audit,
            clock,
        }
    }

    /// The number of the latest change of a sign-in that is known.
    pub(super) fn known_changes(&self) -> u64 {
        self.sign_in_changes.borrow().last()
    }

    async fn changed(&mut self) -> Result<(), RecvError> {
        tokio::select! {
            changed = self.revocations.changed() => changed,
            changed = self.sign_in_changes.changed() => changed,
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
    address: HostAddress,
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
        (address, host): (HostAddress, PresentedKey),
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
            self.wait(self.next_look()).await;
        }
    }

    /// Waits until a person who has joined a session of somebody else may not stay: for the reasons
    /// that end a connection of their own, and because of what `judge` decides with the settings in
    /// force. Returns a sentence. Audits nothing.
    pub(crate) async fn unwelcome(
        mut self,
        judge: impl Fn(&Settings, &Identity) -> Result<(), String>,
    ) -> String {
        loop {
            let settings = self.source.settings.take();
            self.source.stopping.borrow_and_update();
            if let Some(refusal) = self.revoked().or_else(|| self.ended_sign_in()) {
                return refusal.message;
            }
            self.take_access();
            if let Err(why) = judge(&settings, &self.user) {
                return why;
            }
            let ends = settings.time.ends_with_certificate && self.user.sign_in().is_none();
            let left = self.user.valid_before();
            let left = left.saturating_sub(self.source.clock.unix_seconds());
            if ends && left == 0 {
                return "the certificate has expired".to_owned();
            }
            let expires = ends.then(|| Duration::from_secs(left).min(LOOK));
            self.wait(self.next_look().or(expires)).await;
        }
    }

    /// Waits for a change, or until the clock has to be read again.
    async fn wait(&mut self, next_look: Option<Duration>) {
        tokio::select! {
            changed = self.source.changed() => if changed.is_err() {
                // No further change follows: the proxy is about to exit.
                std::future::pending::<()>().await;
            },
            () = tokio::time::sleep(next_look.unwrap_or_default()), if next_look.is_some() => {}
        }
    }

    /// In which time the clock has to be read again: a sign-in expires.
    fn next_look(&self) -> Option<Duration> {
        let until = self.user.sign_in()?.until();
        let left = until.saturating_sub(self.source.clock.unix_seconds());
        Some(Duration::from_secs(left).min(LOOK))
    }

    fn look(&mut self) -> Option<PolicyChange> {
        let settings = self.source.settings.take();
        let ended = self.revoked().or_else(|| self.ended_sign_in());
        if let Some(refusal) = ended {
            return Some(self.withdraw(refusal));
        }
        let stopping = *self.source.stopping.borrow_and_update();
        if let Some(at) = stopping.filter(|_| !self.told_of_stop) {
            self.told_of_stop = true;
            return Some(PolicyChange::Stopping(at));
        }
        self.take_access();
        self.judge_again(&settings)
    }

    /// Takes over the roles and logins that the user has now.
    fn take_access(&mut self) {
        let Some(sign_in) = self.user.sign_in() else {
            return;
        };
        let changes = self.source.sign_in_changes.borrow();
        let access = changes.access(sign_in.id(), sign_in.known_changes());
        drop(changes);
        let Some(access) = access else {
            return;
        };
        if sign_in.roles() == access.roles && sign_in.logins() == access.logins.as_deref() {
            return;
        }
        let sign_in = sign_in.with_access(access.roles.clone(), access.logins.clone());
        if let Some(login) = &mut self.login {
            login.permit = login.permit.clone().with_sign_in(sign_in.clone());
        }
        self.user = self.user.with_sign_in(sign_in);
    }

    /// Why the connection ends: a certificate or key that it uses is revoked.
    fn revoked(&mut self) -> Option<Refusal> {
        let revocations = Arc::clone(&self.source.revocations.borrow_and_update());
        revoked_identity(&revocations, &self.user).or_else(|| {
            let login = self.login.as_ref()?;
            let credential = login.permit.credential();
            credential
                .and_then(|credential| revoked_user(&revocations, credential))
                .or_else(|| revoked_host(&revocations, &login.host))
        })
    }

    /// Why the connection ends: its sign-in has ended.
    fn ended_sign_in(&mut self) -> Option<Refusal> {
        let announced = self.source.sign_in_changes.borrow_and_update();
        let sign_in = self.user.sign_in()?;
        let is_expired = sign_in.until() <= self.source.clock.unix_seconds();
        let reason = announced.reason(sign_in.id());
        let reason = reason.or_else(|| is_expired.then_some(SignInEnd::Expired))?;
        Some(refusal::sign_in_ended(reason))
    }

    fn judge_again(&mut self, settings: &Settings) -> Option<PolicyChange> {
        let login = self.login.as_mut()?;
        if has_left(settings, login.permit.route()) {
            let refusal = refusal::node_removed(&login.permit.route().target);
            return Some(self.withdraw(refusal));
        }
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
    use crate::access::InnerProof;
    use crate::ca::Revoked;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::ipc::UserAccess;
    use crate::model::TunnelRule;
    use crate::nodes::Node;
    use crate::ssh::testing::{DB1, SshFixture, app, origin};

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

    /// Alice, who has signed in.
    fn signed_in(proxy: &SshFixture) -> PolicyMonitor {
        PolicyMonitor::new(&proxy.policy(), proxy.signed_in(|_| {}), origin())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_sign_in_and_with_no_other() {
        let proxy = SshFixture::new();
        let mut watched = signed_in(&proxy);
        let certificate = PolicyMonitor::new(&proxy.policy(), proxy.identity(), origin());
        let id = watched.user.sign_in().unwrap().id();
        proxy.end_sign_in(uuid::Uuid::now_v7(), SignInEnd::Locked);
        assert!(change(&mut watched).await.is_none());
        proxy.end_sign_in(id, SignInEnd::Locked);
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(refusal.reason, "sign-in-ended");
        assert_eq!(
            refusal.message,
            "your sign-in has ended: your account here is locked"
        );
        assert_eq!(proxy.audited_briefly(), ["refusal sign-in-ended"]);
        // One that begins now learns of it at once; a certificate has nothing to do with it.
        let late = PolicyMonitor::new(&proxy.policy(), watched.user.clone(), origin());
        assert_eq!(late.withdrawn().await.reason, "sign-in-ended");
        let mut certificate = certificate;
        assert!(change(&mut certificate).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_that_expires_ends_its_connections_also_before_the_login() {
        let until = signed_in(&SshFixture::new()).user.valid_before();
        let proxy = SshFixture::at(Clock::Fixed(until));
        let refusal = withdrawn(&mut signed_in(&proxy)).await;
        assert_eq!(refusal.message, "your sign-in has ended: it has expired");
        let proxy = SshFixture::at(Clock::Fixed(until - 90));
        let watched = signed_in(&proxy);
        assert_eq!(watched.next_look(), Some(Duration::from_secs(60)));
        let proxy = SshFixture::at(Clock::Fixed(until - 2));
        let mut watched = signed_in(&proxy);
        assert_eq!(watched.next_look(), Some(Duration::from_secs(2)));
        assert!(change(&mut watched).await.is_none(), "the clock stands");
        let certificate = PolicyMonitor::new(&proxy.policy(), proxy.identity(), origin());
        assert_eq!(certificate.next_look(), None);
    }

    /// A sign-in has no certificate that could be revoked; its key, its name and the certificates that
    /// were made for it can.
    #[tokio::test(start_paused = true)]
    async fn a_sign_in_whose_key_or_name_is_revoked_ends() {
        for revoked in [
            |_: &SshFixture| Revoked::of_key_id("alice".to_owned()),
            |proxy: &SshFixture| {
                let key = proxy
                    .alice
                    .public_key()
                    .fingerprint(ssh_key::HashAlg::Sha256);
                Revoked::PublicKey {
                    public_key: key.to_string(),
                }
            },
        ] {
            let proxy = SshFixture::new();
            let mut watched = signed_in(&proxy);
            proxy.revoke(revoked(&proxy));
            let refusal = withdrawn(&mut watched).await;
            assert_eq!(refusal.message, "your name or your key is revoked: stolen");
        }
        let proxy = SshFixture::new();
        let inner = InnerProof::Key(proxy.alice.public_key().key_data().clone());
        let permit = proxy.permit_of(&proxy.signed_in(|_| {}), "db1:22");
        let permit = permit.for_login(
            &proxy.settings.borrow().policy,
            inner,
            "deploy".parse().unwrap(),
        );
        let minted = proxy.minted("deploy");
        let serial = minted.serial();
        let permit = permit.unwrap().with_credential(minted).unwrap();
        let mut watched =
            PolicyMonitor::logged_in(&proxy.policy(), permit, (DB1, host(&proxy)), origin());
        assert!(change(&mut watched).await.is_none());
        proxy.revoke_serial(serial);
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(refusal.message, "certificate revoked: stolen");
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
    async fn a_connection_is_judged_again_when_its_user_has_other_roles_or_logins() {
        let access = |roles: &[&str], logins: Option<&[&str]>| UserAccess {
            roles: roles.iter().map(ToString::to_string).collect(),
            logins: logins.map(|all| all.iter().map(|one| one.parse().unwrap()).collect()),
        };
        for (changed, ended) in [
            (access(&["ops"], None), None),
            (access(&["ops", "more"], Some(&["deploy"])), None),
            (access(&[], None), Some("policy")),
            (access(&["more"], Some(&["deploy"])), Some("policy")),
            (access(&["ops"], Some(&["root"])), Some("login-not-of-user")),
        ] {
            let proxy = SshFixture::new();
            proxy.configure(&OPS_MAY.replace("name: alice", "name: nobody"));
            let user = proxy.signed_in(|answer| answer.roles = vec!["ops".to_owned()]);
            let id = user.sign_in().unwrap().id();
            let inner = InnerProof::Key(proxy.alice.public_key().key_data().clone());
            let permit = proxy.permit_of(&user, "db1:22").for_login(
                &proxy.settings.borrow().policy,
                inner,
                "deploy".parse().unwrap(),
            );
            let permit = permit.unwrap();
            let begin = || {
                let (permit, host) = (permit.clone(), host(&proxy));
                PolicyMonitor::logged_in(&proxy.policy(), permit, (DB1, host), origin())
            };
            let mut watched = begin();
            assert!(change(&mut watched).await.is_none());
            proxy.change_access(uuid::Uuid::now_v7(), access(&[], None));
            assert!(change(&mut watched).await.is_none(), "of another sign-in");
            proxy.change_access(id, changed.clone());
            let Some(reason) = ended else {
                assert!(change(&mut watched).await.is_none(), "{changed:?}");
                continue;
            };
            assert_eq!(withdrawn(&mut watched).await.reason, reason, "{changed:?}");
            // One that begins now, by what was true before, learns of it at once.
            assert_eq!(begin().withdrawn().await.reason, reason);
        }
    }

    /// Its revocation still ends the connection.
    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_was_made_for_a_sign_in_stays_when_the_user_has_other_roles() {
        let proxy = SshFixture::new();
        let certificate = proxy.minted("deploy");
        let serial = certificate.serial();
        let sign_in = proxy.signed_in(|_| {}).sign_in().unwrap().clone();
        let id = sign_in.id();
        let user = Identity::new((certificate, sign_in));
        let mut watched = PolicyMonitor::new(&proxy.policy(), user, origin());
        let access = UserAccess {
            roles: vec!["more".to_owned()],
            logins: None,
        };
        proxy.change_access(id, access);
        assert!(change(&mut watched).await.is_none());
        assert_eq!(watched.user.roles(), ["more"]);
        proxy.revoke_serial(serial);
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(refusal.message, "certificate revoked: stolen");
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
    async fn a_connection_ends_when_its_node_is_locked_or_removed() {
        let proxy = SshFixture::new();
        let node = app(TunnelRule::No);
        let begin = || {
            let permit = proxy.login_permit("app:22");
            let at = HostAddress::Tcp("10.0.0.8:22".parse().unwrap());
            PolicyMonitor::logged_in(&proxy.policy(), permit, (at, host(&proxy)), origin())
        };
        proxy.join(vec![node.clone()]);
        let (mut watched, mut other) = (begin(), begin());
        let mut elsewhere = logged_in(&proxy, &host(&proxy));
        let moved = Node {
            host: "10.0.0.9".to_owned(),
            ..node.clone()
        };
        proxy.join(vec![moved]);
        assert!(
            change(&mut watched).await.is_none(),
            "it has another address"
        );
        let locked = Node {
            is_locked: true,
            ..node
        };
        proxy.join(vec![locked]);
        let refusal = withdrawn(&mut watched).await;
        assert_eq!(
            (refusal.reason, &*refusal.message),
            ("node-locked", "app is locked")
        );
        proxy.join(Vec::new());
        let refusal = withdrawn(&mut other).await;
        assert_eq!(refusal.reason, "node-removed");
        let row = EndReason::Withdrawn(Box::new(refusal)).row(origin().connection);
        assert_eq!(row.name, "node-removed");
        assert!(change(&mut elsewhere).await.is_none());
        assert_eq!(
            proxy.audited_briefly(),
            ["refusal node-locked", "refusal node-removed"]
        );
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
