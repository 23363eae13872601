//! Judges a host's key: whether this is the host that was asked for.

use crate::access::Route;
use crate::cert::{HostPolicy, PresentedKey, VerifiedHost, verify_host};
use crate::ssh::criteria::Criteria;
use crate::ssh::own_address;
use crate::ssh::refusal::{self, Refusal};
use crate::ssh::revocation::revoked_host;

/// Decides about the keys and certificates of hosts.
#[derive(Clone, Debug)]
pub(crate) struct HostKeys(Criteria);

impl HostKeys {
    /// Each decision uses what is in force at that time.
    #[must_use]
    pub(crate) fn new(criteria: Criteria) -> Self {
        Self(criteria)
    }

    /// The only place where a host's key is judged: it must not be this proxy's own, must have a
    /// valid host certificate for the names of the route, and must not be revoked. If it names a node
    /// that has joined, that is the node of the route.
    ///
    /// # Errors
    /// The refusal for the user.
    pub(super) fn judge(&self, route: &Route, blob: &[u8]) -> Result<VerifiedHost, Refusal> {
        let (trust, settings) = (self.0.trust.now(), self.0.settings.now());
        let policy = HostPolicy {
            trusted: &trust.hosts,
            accept_plain_keys: !settings.checks_host_keys,
        };
        let key = PresentedKey::decode(blob)
            .map_err(|error| refusal::malformed_host_key(&route.target, &error))?;
        own_address::refuse_key(&trust, &settings, route, &key)?;
        let verified = verify_host(&key, policy, &route.names, self.0.clock.unix_seconds());
        let verified = verified.map_err(|error| refusal::bad_host_key(&error))?;
        if let (Some(joined), Some(named)) = (route.joined, verified.node_id())
            && joined != named
        {
            return Err(refusal::other_node(route));
        }
        match revoked_host(&self.0.revocations.borrow(), verified.presented()) {
            Some(refusal) => Err(refusal),
            None => Ok(verified),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ssh_key::{Certificate, PrivateKey};

    use super::*;
    use crate::ca::Revoked;
    use crate::cert::testing::{CertSpec, NOW, ed25519};
    use crate::cert::{HostExtensions, HostRequest, random_serial};
    use crate::model::{NodeId, TunnelRule};
    use crate::ssh::testing::SshFixture;

    /// The verdict on a host that was asked for as `db1`.
    fn judge(proxy: &SshFixture, blob: &[u8]) -> Result<VerifiedHost, &'static str> {
        let permit = proxy.permit("db1:22");
        let verdict = proxy.host_keys().judge(permit.route(), blob);
        verdict.map_err(|refusal| refusal.reason)
    }

    fn certificate(proxy: &SshFixture, change: impl FnOnce(&mut CertSpec)) -> Vec<u8> {
        signed(&proxy.host_ca.key, change)
    }

    fn signed(ca: &PrivateKey, change: impl FnOnce(&mut CertSpec)) -> Vec<u8> {
        let certificate: Certificate = CertSpec::host(&ed25519()).with(change).sign(ca);
        certificate.to_bytes().unwrap()
    }

    #[test]
    fn a_certificate_of_the_host_ca_for_the_name_that_was_asked_for_counts() {
        let proxy = SshFixture::new();
        let host = judge(&proxy, &certificate(&proxy, |_| {})).unwrap();
        assert!(host.is_checked());
        for (blob, reason) in [
            (signed(&ed25519(), |_| {}), "unknown-authority"),
            (
                certificate(&proxy, |spec| spec.principals = vec!["db2".to_owned()]),
                "name-not-in-principals",
            ),
            (
                certificate(&proxy, |spec| spec.validity.1 = NOW),
                "certificate-expired",
            ),
            (
                CertSpec::user(&ed25519())
                    .sign(&proxy.host_ca.key)
                    .to_bytes()
                    .unwrap(),
                "host-certificate-of-type-user",
            ),
            (b"no key".to_vec(), "malformed-key"),
        ] {
            assert_eq!(judge(&proxy, &blob).unwrap_err(), reason);
        }
    }

    #[test]
    fn a_bare_key_counts_only_where_keys_are_not_checked() {
        let proxy = SshFixture::new();
        let key = ed25519().public_key().to_bytes().unwrap();
        assert_eq!(judge(&proxy, &key).unwrap_err(), "plain-host-key");
        proxy.change(|settings| settings.checks_host_keys = false);
        assert!(!judge(&proxy, &key).unwrap().is_checked());
        let wrong = signed(&ed25519(), |_| {});
        assert_eq!(judge(&proxy, &wrong).unwrap_err(), "unknown-authority");
    }

    #[test]
    fn a_host_that_is_revoked_is_refused_also_with_its_bare_key() {
        let proxy = SshFixture::new();
        proxy.change(|settings| settings.checks_host_keys = false);
        let key = ed25519().public_key().clone();
        judge(&proxy, &key.to_bytes().unwrap()).unwrap();
        proxy.revoke(Revoked::PublicKey {
            public_key: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
        });
        let refused = judge(&proxy, &key.to_bytes().unwrap());
        assert_eq!(refused.unwrap_err(), "certificate-revoked");
        let shown = certificate(&proxy, |_| {});
        judge(&proxy, &shown).unwrap();
        proxy.revoke(Revoked::of_key_id("db1".to_owned()));
        assert_eq!(judge(&proxy, &shown).unwrap_err(), "certificate-revoked");
    }

    /// However the proxy was reached: by its key, or by a certificate for the names of its
    /// listener.
    #[test]
    fn this_proxy_is_no_host() {
        let proxy = SshFixture::new();
        let own = proxy.trust.now().mint.host_key().to_bytes().unwrap();
        assert_eq!(judge(&proxy, &own).unwrap_err(), "own-listener");
        let names = ["db1", "proxy.example.com"];
        let shown = certificate(&proxy, |spec| {
            spec.principals = names.map(str::to_owned).to_vec();
        });
        judge(&proxy, &shown).unwrap();
        proxy.change(|settings| {
            settings.listener_names = vec!["Proxy.example.com".parse().unwrap()];
        });
        assert_eq!(judge(&proxy, &shown).unwrap_err(), "own-listener");
    }

    /// A certificate of a host that has joined says which one it is. One that was made by hand says
    /// nothing, and counts by its names.
    #[test]
    fn a_host_that_has_joined_is_known_by_the_id_in_its_certificate() {
        let proxy = SshFixture::new();
        let id = proxy.join_app(TunnelRule::Required);
        let judge = |target: &str, blob: &[u8]| {
            let permit = proxy.permit(target);
            let verdict = proxy.host_keys().judge(permit.route(), blob);
            verdict.map(drop).map_err(|refusal| refusal.reason)
        };
        let made_for = |name: &str, node_id: NodeId| {
            let request = HostRequest {
                names: vec![name.parse().unwrap()],
                public_key: ed25519().public_key().clone(),
                ttl: Duration::from_secs(3600),
                extensions: Some(HostExtensions {
                    node_id,
                    node_name: name.parse().unwrap(),
                    cluster: "example.test".parse().unwrap(),
                }),
            };
            let template = request.template(random_serial(), NOW).unwrap();
            template
                .sign(&proxy.host_ca.key)
                .unwrap()
                .to_bytes()
                .unwrap()
        };
        let by_hand = |name: &str, extensions: Vec<String>| {
            certificate(&proxy, |spec| {
                spec.principals = vec![name.to_owned()];
                spec.extensions = extensions;
            })
        };
        assert_eq!(judge("app:22", &made_for("app", id)), Ok(()));
        assert_eq!(judge("app:22", &by_hand("app", Vec::new())), Ok(()));
        let other = made_for("app", NodeId::new());
        assert_eq!(judge("app:22", &other), Err("other-node"));
        let broken = by_hand("app", vec!["node-id@rproxy".to_owned()]);
        assert_eq!(judge("app:22", &broken), Err("other-node"));
        // A node of the configuration has no id.
        assert_eq!(judge("db1:22", &made_for("db1", id)), Ok(()));
    }
}
