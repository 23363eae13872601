//! Host keys: what a signature proves.

use ssh_key::{HashAlg, PublicKey};

use super::context::{Context, Unavailable};
use super::host::{HostConnection, ProvedHostKey};
use super::refusal::Refused;
use crate::cert::proof::VerifiedRequest;
use crate::cert::{PresentedKey, fit_to_sign};
use crate::ipc::{KnownNode, NodesAnswer, SeenSessions, SessionDigest, SessionOwner, SignedProof};
use crate::model::UserName;
use crate::state::JoinedNode;

/// A host has signed.
pub(super) fn prove(
    context: &Context,
    seen: &SeenSessions,
    host: &mut HostConnection,
    proof: &SignedProof,
) -> Result<NodesAnswer, Unavailable> {
    let refuse = |host: &HostConnection, refused| Ok(context.refuse(host, "prove", refused));
    let Ok(verified) = proof.clone().request(UserName::JOIN).verify() else {
        return refuse(host, Refused::bad_signature());
    };
    let session = SessionDigest::of(&verified.request().session);
    let owner = SessionOwner {
        caller: host.caller,
        connection: host.connection,
    };
    let is_another = host.session.as_ref().is_some_and(|first| *first != session);
    if is_another || !seen.is_of(&session, owner) {
        return refuse(host, Refused::replayed());
    }
    host.session = Some(session);
    let key = match fit(&verified) {
        Ok(key) => key,
        Err(refused) => return refuse(host, refused),
    };
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    let is_other_key = host
        .proved
        .as_ref()
        .is_some_and(|proved| proved.fingerprint != fingerprint);
    if is_other_key && host.tunnel.is_some() {
        // The tunnel is the first key's.
        return refuse(host, Refused::replayed());
    }
    let key = ProvedHostKey { key, fingerprint };
    host.proved = Some(key.clone());
    let node = match admitted(context, &key)? {
        Ok(node) => node,
        Err(refused) => {
            let answer = context.refuse(host, "prove", refused);
            host.proved = None;
            host.is_node = false;
            return Ok(answer);
        }
    };
    host.is_node = node.is_some();
    Ok(NodesAnswer::Proved(node.map(|node| KnownNode {
        id: node.id,
        name: node.name,
        tunnel: node.tunnel,
    })))
}

/// A plain key that a certificate may be signed for.
fn fit(verified: &VerifiedRequest) -> Result<PublicKey, Refused> {
    match verified.key() {
        PresentedKey::Plain(key) => fit_to_sign(key.clone()).map_err(Refused::unfit_key),
        PresentedKey::Certificate(_) => Err(Refused::unfit_key("it is a certificate")),
    }
}

/// The node with this host key, as the state has it at this moment, unless it is locked or revoked; `None` if
/// there is none.
pub(super) fn admitted(
    context: &Context,
    key: &ProvedHostKey,
) -> Result<Result<Option<JoinedNode>, Refused>, Unavailable> {
    let fingerprint = key.fingerprint.to_string();
    let node = context.state.nodes().by_fingerprint(&fingerprint)?;
    let name = node.as_ref().map(|node| node.name.as_str());
    if let Some(name) = name.filter(|_| node.as_ref().is_some_and(|node| node.lock.is_some())) {
        return Ok(Err(Refused::locked(name).of(Some(name))));
    }
    if context
        .issuer
        .is_revoked(name.unwrap_or_default(), &key.fingerprint)?
    {
        return Ok(Err(Refused::revoked().of(name)));
    }
    Ok(Ok(node))
}
