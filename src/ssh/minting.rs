//! The certificate that a person who has signed in gets for one login at a host.
//!
//! The process with the user CA makes it, for the key that has signed in. It is used once, for the login
//! of this connection, and is given to no one but the host.

use std::net::{IpAddr, Ipv4Addr};

use super::front_auth::FrontAuth;
use super::people_client::PersonClient;
use super::refusal::{self, Refusal};
use crate::access::LoginPermit;
use crate::cert::{PresentedKey, VerifiedUserCert};
use crate::ipc::{PeopleAnswer, PeopleQuestion};
use crate::model::HostAddress;

/// What the sshd of a host sees that is reached through its own tunnel.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The permit with what the host is to be shown: a person who has signed in gets a certificate for this
/// login; a person with a certificate has one already.
///
/// A certificate that is bound to the addresses of the proxy does not count at a host that is reached
/// through its tunnel: a person who has signed in gets another one for that.
///
/// # Errors
/// The refusal for the user: no certificate was made, or not the one that was asked for; or the
/// certificate does not count there.
pub(crate) async fn with_credential(
    permit: LoginPermit,
    reached_at: HostAddress,
    person: Option<&PersonClient>,
    auth: &FrontAuth,
) -> Result<LoginPermit, Refusal> {
    let through_tunnel = reached_at.socket().is_none();
    let person = match permit.credential() {
        Some(credential) => {
            let bound = credential.source_addresses();
            let bound = bound.filter(|bound| through_tunnel && !bound.contains(LOOPBACK));
            let Some(bound) = bound else {
                return Ok(permit);
            };
            let person = person.filter(|_| permit.identity().sign_in().is_some());
            person.ok_or_else(|| refusal::not_for_tunnels(permit.route(), &bound))?
        }
        None => person
            .ok_or_else(|| refusal::certificate_not_minted(&"this client has not signed in"))?,
    };
    let question = PeopleQuestion::Certificate {
        login: permit.login().clone(),
        target: permit.route().target.to_string(),
        through_tunnel,
    };
    let answer = person.ask(question).await;
    let answer = answer.map_err(|error| refusal::certificate_not_minted(&error))?;
    let minted = match answer {
        PeopleAnswer::Certificate(line) => verified(&line, auth)?,
        PeopleAnswer::Refused(refused) => return Err(refusal::refused_person(&refused)),
        _ => return Err(refusal::certificate_not_minted(&UNEXPECTED)),
    };
    permit.with_credential(minted).map_err(|error| {
        tracing::error!(%error, "the certificate that was made for a login is for another one");
        refusal::certificate_not_minted(&error)
    })
}

const UNEXPECTED: &str = "the answer does not fit the question";

fn verified(line: &str, auth: &FrontAuth) -> Result<VerifiedUserCert, Refusal> {
    match PresentedKey::from_line(line) {
        Ok(PresentedKey::Certificate(certificate)) => auth.admit_minted(&certificate),
        Ok(PresentedKey::Plain(_)) => Err(refusal::certificate_not_minted(&UNEXPECTED)),
        Err(error) => Err(refusal::certificate_not_minted(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{Identity, InnerProof};
    use crate::cert::testing::CertSpec;
    use crate::cert::testing::NOW;
    use crate::cert::verify_user;
    use crate::model::NodeId;
    use crate::ssh::testing::people::MintingPeople;
    use crate::ssh::testing::{DB1, SshFixture};

    const EGRESS: &str = "203.0.113.10/32";

    fn verified(proxy: &SshFixture, bound: Option<&str>) -> VerifiedUserCert {
        let certificate = proxy.alices(|spec: &mut CertSpec| {
            let bound = bound.map(|bound| ("source-address".to_owned(), bound.to_owned()));
            spec.critical.extend(bound);
        });
        verify_user(&certificate, &proxy.trust.now().users, None, NOW).unwrap()
    }

    /// The permit of this person for `deploy` at `db1`, with this proof on the inner connection.
    fn permit(proxy: &SshFixture, identity: &Identity) -> LoginPermit {
        let inner = match identity.certificate() {
            Some(certificate) => InnerProof::Certificate(Box::new(certificate.clone())),
            None => InnerProof::Key(identity.key().clone()),
        };
        let policy = &proxy.settings.borrow().policy;
        let permit = proxy.permit_of(identity, "db1:22");
        permit
            .for_login(policy, inner, "deploy".parse().unwrap())
            .unwrap()
    }

    /// Makes certificates without conditions for alice's key.
    fn minting(proxy: &SshFixture) -> Arc<MintingPeople> {
        let (ca, alice) = (proxy.user_ca.clone(), proxy.alice.clone());
        MintingPeople::new(move |login| {
            let spec = CertSpec::user(&alice);
            let spec = spec.with(|spec| spec.principals = vec![login.to_string()]);
            let line = spec.sign(&ca).to_openssh().unwrap();
            Ok(PeopleAnswer::Certificate(line))
        })
    }

    fn question(through_tunnel: bool) -> PeopleQuestion {
        PeopleQuestion::Certificate {
            login: "deploy".parse().unwrap(),
            target: "db1:22".to_owned(),
            through_tunnel,
        }
    }

    #[tokio::test]
    async fn a_certificate_that_counts_at_the_host_is_shown_as_it_is() {
        let proxy = SshFixture::new();
        let tunnel = HostAddress::Tunnel(NodeId::new());
        let people = minting(&proxy);
        for (bound, address) in [
            (None, DB1),
            (None, tunnel),
            (Some(EGRESS), DB1),
            (Some("203.0.113.10/32,127.0.0.1/32"), tunnel),
        ] {
            let certificate = verified(&proxy, bound);
            let permit = permit(&proxy, &Identity::new(certificate.clone()));
            let person = people.person();
            let shown = with_credential(permit, address, Some(&person), &proxy.auth()).await;
            assert_eq!(shown.unwrap().credential(), Some(&certificate));
        }
        assert!(people.asked().is_empty());
    }

    #[tokio::test]
    async fn a_certificate_bound_to_the_proxy_is_refused_for_a_tunnel_before_the_login() {
        let proxy = SshFixture::new();
        let permit = permit(&proxy, &Identity::new(verified(&proxy, Some(EGRESS))));
        let (people, tunnel) = (minting(&proxy), HostAddress::Tunnel(NodeId::new()));
        let person = people.person();
        let refused = with_credential(permit, tunnel, Some(&person), &proxy.auth()).await;
        assert_eq!(refused.unwrap_err().reason, "certificate-not-for-tunnels");
        assert!(people.asked().is_empty(), "nobody has signed in");
    }

    /// Also with a certificate of the sign-in that the user keeps.
    #[tokio::test]
    async fn who_has_signed_in_gets_one_that_counts_behind_the_tunnel() {
        let proxy = SshFixture::new();
        let bare = proxy.signed_in(|_| {});
        let sign_in = bare.sign_in().unwrap().clone();
        let kept = Identity::new((verified(&proxy, Some(EGRESS)), sign_in));
        let tunnel = HostAddress::Tunnel(NodeId::new());
        for (identity, address, asked) in [
            (&bare, DB1, vec![question(false)]),
            (&bare, tunnel, vec![question(true)]),
            (&kept, DB1, Vec::new()),
            (&kept, tunnel, vec![question(true)]),
        ] {
            let people = minting(&proxy);
            let person = people.person();
            let permit = permit(&proxy, identity);
            let permit = with_credential(permit, address, Some(&person), &proxy.auth()).await;
            let credential = permit.unwrap().credential().unwrap().clone();
            assert_eq!(people.asked(), asked);
            let is_made_for_it = credential.principals() == ["deploy"];
            assert_eq!(is_made_for_it, !asked.is_empty());
        }
    }
}
