//! The certificates of nodes, and when a node gets another one.

use ssh_key::{Certificate, HashAlg, PublicKey};

use super::context::{Context, Unavailable};
use super::host::HostConnection;
use super::names::principals;
use super::settings::EnrolmentSettings;
use crate::audit::{NodeEvent, UnixSeconds};
use crate::cert::{HostExtensions, HostRequest};
use crate::ipc::{NodeInstallation, NodeReport};
use crate::model::{Serial, chain};
use crate::state::{JoinedNode, NodeCertificate};

/// For how long a node that reports another certificate than its last one does not get a new one, in seconds:
/// it may not have installed that one yet.
const INSTALLING: u64 = 10 * 60;

/// The same for a host that joins once more and reports none, because the answer was lost: somebody waits there.
/// Certificates begin a minute before they are signed.
const JOINING: u64 = 60 + 10;

/// Why a node gets a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It has joined.
    Joined,
    /// Half of the life of the one that it has is over.
    HalfLife,
    /// Another key of the host CA signs now.
    Authority,
    /// It has other names.
    Names,
    /// It has another one, or none.
    Lost,
    /// The one that it has is not valid yet: the proxy's clock was ahead when it was issued.
    NotYetValid,
}

impl Renewal {
    /// The stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::HalfLife => "half-life",
            Self::Authority => "authority",
            Self::Names => "names",
            Self::Lost => "lost",
            Self::NotYetValid => "not-yet-valid",
        }
    }
}

/// Whether a node that reports this is due for another certificate. `joins` says whether the host joins once
/// more, because the answer was lost.
pub(super) fn due(
    node: &JoinedNode,
    (report, joins): (&NodeReport, bool),
    signs: &str,
    now: u64,
) -> Option<Renewal> {
    let Some(certificate) = &node.certificate else {
        return Some(Renewal::Joined);
    };
    let (begins, expires) = (certificate.begins, certificate.expires);
    if expires <= begins {
        return Some(Renewal::Names);
    }
    if certificate.authority != signs {
        return Some(Renewal::Authority);
    }
    if now >= begins + (expires - begins) / 2 {
        return Some(Renewal::HalfLife);
    }
    // If the host's clock is past that, it is the proxy's that is wrong now: the certificate is good, and
    // another one would end before it.
    if begins > now.max(report.clock) {
        return Some(Renewal::NotYetValid);
    }
    let is_installed = report.certificate == Some(certificate.serial);
    let installing = match report.certificate {
        None if joins => JOINING,
        _ => INSTALLING,
    };
    let may_be_installing = now < begins.saturating_add(installing);
    (!is_installed && !may_be_installing).then_some(Renewal::Lost)
}

/// The certificate of a node whose names have changed: it is due for another one at once.
pub(super) fn outdated(certificate: NodeCertificate) -> NodeCertificate {
    NodeCertificate {
        expires: certificate.begins,
        ..certificate
    }
}

/// Why there is no certificate, for the host.
pub(super) type NotIssued = String;

/// Issues a certificate to a node, for the key that has proved itself. It is in the ledger, the state and the
/// audit log when this returns.
pub(super) fn issue(
    context: &Context,
    host: &HostConnection,
    (node, key): (&JoinedNode, &PublicKey),
    renewal: Renewal,
) -> Result<Result<String, NotIssued>, Unavailable> {
    let settings = context.settings();
    let issued = request(&settings, node, key).and_then(|request| {
        let issued = context.issuer.issue(request);
        issued.map_err(|error| chain(&error))
    });
    let certificate = match issued {
        Ok(certificate) => certificate,
        Err(why) => {
            tracing::error!(error = %why, "no certificate for the node {}", node.name);
            return Ok(Err(why));
        }
    };
    let stored = stored(&certificate);
    if !context.state.nodes().set_certificate(node.id, &stored)? {
        return Ok(Err("the node was locked or removed meanwhile".to_owned()));
    }
    let (Some(serial), Ok(line)) = (Serial::new(stored.serial), certificate.to_openssh()) else {
        return Ok(Err("the certificate cannot be written".to_owned()));
    };
    context.audit(NodeEvent::NodeCertificate {
        node: node.id,
        name: node.name.clone(),
        reason: renewal.name(),
        serial,
        valid_before: UnixSeconds(stored.expires),
        ca_fingerprint: stored.authority,
        client_addr: host.client,
        connection: host.connection,
    })?;
    Ok(Ok(line))
}

fn request(
    settings: &EnrolmentSettings,
    node: &JoinedNode,
    key: &PublicKey,
) -> Result<HostRequest, NotIssued> {
    let names = principals(&node.names, &settings.cluster)?;
    let Some(node_name) = names.first().cloned() else {
        return Err("the node has no name".to_owned());
    };
    Ok(HostRequest {
        names,
        // Without the comment, which is the host's.
        public_key: PublicKey::from(key.key_data().clone()),
        ttl: settings.node_ttl,
        extensions: Some(HostExtensions {
            node_id: node.id,
            node_name,
            cluster: settings.cluster.clone(),
        }),
    })
}

fn stored(certificate: &Certificate) -> NodeCertificate {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    NodeCertificate {
        serial: certificate.serial(),
        begins: certificate.valid_after(),
        expires: certificate.valid_before(),
        authority: authority.to_string(),
    }
}

/// What a node has to have. New to it are those keys that it has not reported.
pub(super) fn installation(
    context: &Context,
    node: &JoinedNode,
    reported: &NodeReport,
    certificate: Option<String>,
    warnings: Vec<String>,
    has_tunnel: bool,
) -> NodeInstallation {
    let keys = context.issuer.keys();
    let new = |keys: &[PublicKey], reported: &[String]| {
        let is_new = |key: &&PublicKey| {
            let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
            !reported.contains(&fingerprint)
        };
        keys.iter().filter(is_new).map(line).collect::<Vec<_>>()
    };
    let (new_user_cas, new_host_cas) = (
        new(&keys.user, &reported.user_cas),
        new(&keys.host, &reported.host_cas),
    );
    // The host CA's key may be in an agent that does not answer: it is asked only for a reason.
    let proofs = match new_user_cas.is_empty() {
        true => Ok(Vec::new()),
        false => context.issuer.user_ca_proofs(),
    };
    let proofs = proofs.unwrap_or_else(|error| {
        tracing::error!(error = %chain(&error), "hosts cannot be told new keys of the user CA");
        Vec::new()
    });
    NodeInstallation {
        id: node.id,
        name: node.name.clone(),
        tunnel: node.tunnel,
        has_tunnel,
        certificate,
        user_ca_proofs: about(proofs, &new_user_cas),
        successors: about(context.issuer.successors(), &new_host_cas),
        user_cas: lines(&keys.user),
        host_cas: lines(&keys.host),
        warnings,
    }
}

/// Of these certificates those of one of these keys, which stands behind them.
fn about(mut certificates: Vec<String>, keys: &[String]) -> Vec<String> {
    certificates.retain(|certificate| {
        let key = certificate.splitn(3, ' ').nth(2);
        key.is_some_and(|key| keys.iter().any(|one| one == key))
    });
    certificates
}

/// Type and key of each.
fn lines(keys: &[PublicKey]) -> Vec<String> {
    keys.iter().map(line).collect()
}

/// Type and key, without the comment.
pub(super) fn line(key: &PublicKey) -> String {
    // A key that was read can be written.
    PublicKey::from(key.key_data().clone())
        .to_openssh()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::testing::node;
    use crate::state::testing::NOW;

    const MONTH: u64 = 30 * 86_400;

    #[test]
    fn a_certificate_is_renewed_when_there_is_a_reason() {
        let certificate = |serial| NodeCertificate {
            serial,
            begins: NOW - 60,
            expires: NOW - 60 + MONTH,
            authority: "SHA256:now".to_owned(),
        };
        let has = |change: &dyn Fn(&mut NodeCertificate)| {
            let mut certificate = certificate(7);
            change(&mut certificate);
            let mut node = node("db1");
            node.certificate = Some(certificate);
            node
        };
        let whole = has(&|_| {});
        let reports = |certificate, clock| NodeReport {
            certificate,
            clock,
            ..NodeReport::default()
        };
        let due_at = |node: &JoinedNode, reported, seconds: u64| {
            let now = NOW - 60 + seconds;
            due(node, (&reports(reported, now), false), "SHA256:now", now)
        };
        assert_eq!(due_at(&whole, Some(7), 0), None);
        assert_eq!(due_at(&whole, Some(7), MONTH / 2 - 1), None);
        let half = Some(Renewal::HalfLife);
        assert_eq!(due_at(&whole, Some(7), MONTH / 2), half);
        assert_eq!(due_at(&whole, Some(7), 3 * MONTH), half);
        for reported in [None, Some(8), Some(0), Some(u64::MAX)] {
            assert_eq!(due_at(&whole, reported, INSTALLING - 1), None);
            let lost = Some(Renewal::Lost);
            assert_eq!(due_at(&whole, reported, INSTALLING), lost);
        }
        let joins_at = |reported, seconds: u64| {
            let now = NOW - 60 + seconds;
            due(&whole, (&reports(reported, now), true), "SHA256:now", now)
        };
        assert_eq!(joins_at(None, JOINING - 1), None);
        assert_eq!(joins_at(None, JOINING), Some(Renewal::Lost));
        assert_eq!(joins_at(Some(8), INSTALLING - 1), None);
        let of_other = has(&|one| one.authority = "SHA256:before".to_owned());
        assert_eq!(due_at(&of_other, Some(7), 0), Some(Renewal::Authority));
        let renamed = has(&|one| *one = outdated(one.clone()));
        assert_eq!(due_at(&renamed, Some(7), 0), Some(Renewal::Names));
        assert_eq!(due_at(&node("db1"), None, 0), Some(Renewal::Joined));
        // The clock was ahead when it was issued, or is behind now: then the host's tells.
        let not_yet = Some(Renewal::NotYetValid);
        for (now, clock, is_due) in [
            (NOW - MONTH, NOW - MONTH, not_yet),
            (NOW - MONTH, 0, not_yet),
            (NOW - 61, NOW - 61, not_yet),
            (NOW - 61, NOW - 60, None),
            (NOW - MONTH, NOW, None),
            (0, u64::MAX, None),
        ] {
            for reported in [Some(7), None] {
                let report = reports(reported, clock);
                let due = due(&whole, (&report, false), "SHA256:now", now);
                assert_eq!(due, is_due, "{now} {clock}");
            }
        }
    }
}
