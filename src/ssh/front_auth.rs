//! Decides which user certificates are accepted: by the rules for certificates, the address that a
//! certificate is bound to, and revocation.

use std::net::{IpAddr, SocketAddr};

use ssh_key::Certificate;

use super::criteria::Criteria;
use super::refusal::{self, Refusal};
use super::revocation::revoked_user;
use crate::cert::{SourceAddresses, VerifiedUserCert, verify_user};
use crate::net::canonical;

/// Decides about the certificates of clients, on the outer and on the inner connection.
#[derive(Clone, Debug)]
pub(crate) struct FrontAuth(Criteria);

impl FrontAuth {
    /// Each decision uses what is in force at that time.
    #[must_use]
    pub(crate) fn new(criteria: Criteria) -> Self {
        Self(criteria)
    }

    /// Decides about the certificate of a client at an address: all checks of [`verify_user`], and
    /// revocation, as long as it is known well enough what is revoked.
    ///
    /// # Errors
    /// The refusal for the user.
    pub(crate) fn admit(
        &self,
        certificate: &Certificate,
        client: SocketAddr,
    ) -> Result<VerifiedUserCert, Refusal> {
        let certificate = verify_user(
            certificate,
            &self.0.trust.now().users,
            self.bound_address(certificate, client),
            self.0.clock.unix_seconds(),
        )
        .map_err(|error| refusal::bad_certificate(&error))?;
        if self.0.freshness.is_stale() {
            return Err(refusal::state_stale(self.0.freshness.age()));
        }
        match revoked_user(&self.0.revocations.borrow(), &certificate) {
            Some(refusal) => Err(refusal),
            None => Ok(certificate),
        }
    }

    /// Decides about a certificate that was made for one login at a host: all checks of [`verify_user`]
    /// but the address, which the host checks, and revocation.
    ///
    /// # Errors
    /// The refusal for the user.
    pub(crate) fn admit_minted(
        &self,
        certificate: &Certificate,
    ) -> Result<VerifiedUserCert, Refusal> {
        let users = &self.0.trust.now().users;
        let certificate = verify_user(certificate, users, None, self.0.clock.unix_seconds())
            .map_err(|error| refusal::certificate_not_minted(&error))?;
        match revoked_user(&self.0.revocations.borrow(), &certificate) {
            Some(refusal) => Err(refusal),
            None => Ok(certificate),
        }
    }

    /// The address that a client's certificate must be valid for. `None` for a certificate that is
    /// bound to this proxy: it names only egress addresses, the present ones or those in force when
    /// it was made. Such a certificate cannot be used at hosts past the proxy; the hosts check that.
    fn bound_address(&self, certificate: &Certificate, client: SocketAddr) -> Option<IpAddr> {
        let bound = certificate
            .critical_options()
            .iter()
            .find(|(name, _)| name.as_str() == "source-address")
            .and_then(|(_, list)| list.parse::<SourceAddresses>().ok());
        let settings = self.0.settings.now();
        let egress = settings.egress.as_ref();
        let is_to_us =
            bound.is_some_and(|bound| egress.is_some_and(|egress| bound.is_within(egress)));
        (!is_to_us).then(|| canonical(client.ip()))
    }
}

#[cfg(test)]
mod tests {
    use crate::ca::Revoked;
    use crate::cert::testing::{CertSpec, NOW, ed25519};
    use crate::ssh::testing::{CLIENT, SshFixture};
    use crate::ssh::trust::Trust;

    /// The reason why a certificate is refused, if it is.
    fn reason(proxy: &SshFixture, change: impl FnOnce(&mut CertSpec)) -> Option<&'static str> {
        let certificate = proxy.alices(change);
        let refused = proxy.auth().admit(&certificate, CLIENT).err();
        refused.map(|refusal| refusal.reason)
    }

    fn bound_to(addresses: &str) -> impl FnOnce(&mut CertSpec) {
        let option = ("source-address".to_owned(), addresses.to_owned());
        |spec| spec.critical.push(option)
    }

    #[test]
    fn what_is_wrong_with_a_certificate_has_a_name() {
        let proxy = SshFixture::new();
        assert_eq!(reason(&proxy, |_| {}), None);
        let expired = reason(&proxy, |spec| spec.validity.1 = NOW);
        assert_eq!(expired, Some("certificate-expired"));
        let early = reason(&proxy, |spec| spec.validity.0 = NOW + 1);
        assert_eq!(early, Some("certificate-not-yet-valid"));
        let foreign = CertSpec::user(&proxy.alice).sign(&ed25519());
        let refused = proxy.auth().admit(&foreign, CLIENT).unwrap_err();
        assert_eq!(refused.reason, "unknown-authority");
        let host = CertSpec::host(&proxy.alice).sign(&proxy.user_ca);
        let refused = proxy.auth().admit(&host, CLIENT).unwrap_err();
        assert_eq!(refused.reason, "user-certificate-of-type-host");
    }

    #[test]
    fn who_is_revoked_reads_why_and_others_are_let_in() {
        let proxy = SshFixture::new();
        proxy.revoke(Revoked::of_key_id("mallory".to_owned()));
        let auth = proxy.auth();
        auth.admit(&proxy.alices(|_| {}), CLIENT).unwrap();
        proxy.revoke(Revoked::of_key_id("alice".to_owned()));
        let refused = auth.admit(&proxy.alices(|_| {}), CLIENT).unwrap_err();
        assert_eq!(refused.reason, "certificate-revoked");
        assert_eq!(refused.message, "certificate revoked: stolen");
    }

    #[test]
    fn a_certificate_that_is_bound_to_the_proxy_is_taken_from_everywhere() {
        let proxy = SshFixture::new();
        let egress = "198.51.100.7/32,198.51.100.8/32";
        proxy.change(|settings| settings.egress = Some(egress.parse().unwrap()));
        for bound in [egress, "198.51.100.8/32"] {
            assert_eq!(reason(&proxy, bound_to(bound)), None, "{bound}");
        }
        assert_eq!(
            reason(&proxy, bound_to("192.0.2.0/24")),
            None,
            "the client's"
        );
        for bound in ["203.0.113.0/24", "198.51.100.0/24"] {
            let refused = reason(&proxy, bound_to(bound));
            assert_eq!(refused, Some("source-address"), "{bound}");
        }
        proxy.change(|settings| settings.egress = None);
        let refused = reason(&proxy, bound_to("198.51.100.8/32"));
        assert_eq!(refused, Some("source-address"));
    }

    #[test]
    fn after_a_rotation_the_new_ca_counts_from_the_next_decision_on() {
        let (proxy, next) = (SshFixture::new(), SshFixture::new());
        let auth = proxy.auth();
        let old = proxy.alices(|_| {});
        let new = CertSpec::user(&proxy.alice).sign(&next.user_ca);
        assert!(auth.admit(&old, CLIENT).is_ok() && auth.admit(&new, CLIENT).is_err());
        let now = proxy.trust.now();
        proxy.trust.replace(Trust {
            users: next.trust.now().users.clone(),
            hosts: now.hosts.clone(),
            mint: now.mint.under(proxy.host_ca.clone()),
        });
        assert!(auth.admit(&old, CLIENT).is_err() && auth.admit(&new, CLIENT).is_ok());
    }
}
