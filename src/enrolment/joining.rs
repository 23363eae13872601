//! A host joins with a token.

use super::certificates::{self, Renewal};
use super::context::{Context, Unavailable};
use super::heartbeat;
use super::host::{HostConnection, ProvedHostKey};
use super::labels;
use super::names;
use super::proving::admitted;
use super::refusal::Refused;
use super::report;
use super::token::token_hash;
use crate::audit::{JoinedEvent, NodeEvent};
use crate::ipc::{NodeReport, NodesAnswer, SecretText};
use crate::model::{Label, NodeId, network};
use crate::state::{AttemptsOf, FailedAttempt, JoinedNode, Joining, Token};

/// Unknown tokens of one address within [`WINDOW`] that are answered as such.
const TRIES: u64 = 10;
/// For how long unknown tokens are counted, in seconds.
const WINDOW: u64 = 60;
/// The account under which unknown tokens are counted. No person is called so: what people mistype is
/// counted under hashes.
const ACCOUNT: &str = "join token";

/// A host with a token.
pub(super) fn join(
    context: &Context,
    host: &mut HostConnection,
    key: &ProvedHostKey,
    (token, report): (&SecretText, &NodeReport),
) -> Result<NodesAnswer, Unavailable> {
    let known = match admitted(context, key)? {
        Ok(known) => known,
        Err(refused) => return Ok(context.refuse(host, "join", refused)),
    };
    let name = known.as_ref().map(|node| node.name.clone());
    let asked = match asked(context, host, known.as_ref(), (token, report))? {
        Ok(asked) => asked,
        Err(refused) => return Ok(context.refuse(host, "join", refused.of(name.as_deref()))),
    };
    let JoinRequest::Joins { token, hash, names } = asked else {
        // The host has joined with this token before: the answer may have been lost. Certificates are issued
        // after the event; without one, the process may have ended before it.
        if let Some(node) = known.filter(|node| node.certificate.is_none()) {
            context.audit(NodeEvent::NodeReturned(joined_event(host, &node)))?;
        }
        return heartbeat::answer(context, host, key, (report, true));
    };
    let merged = labels::merged(&token.labels, &report.labels);
    if let Some(refused) = merged.refused.into_iter().next() {
        return Ok(context.refuse(host, "join", refused.of(name.as_deref())));
    }
    let joins = HostJoins {
        token,
        hash,
        labels: merged.labels,
        known,
    };
    let (is_new, node) = match joins.under_one_of(context, host, key, (&names, report))? {
        Ok(joined) => joined,
        Err(refused) => return Ok(context.refuse(host, "join", refused.of(name.as_deref()))),
    };
    host.is_node = true;
    let event = joined_event(host, &node);
    context.audit(match is_new {
        true => NodeEvent::NodeJoined(event),
        false => NodeEvent::NodeReturned(event),
    })?;
    let issued = certificates::issue(context, host, (&node, &key.key), Renewal::Joined)?;
    let certificate = match issued {
        Ok(certificate) => certificate,
        Err(why) => {
            let refused = Refused::certificate(why).of(Some(&node.name));
            return Ok(context.refuse(host, "join", refused));
        }
    };
    let warnings = report::clock_warning(report, context.now());
    let warnings = warnings.into_iter().collect();
    let has_tunnel = context.state.nodes().tunnel_of(node.id)?.is_some();
    // Whatever is installed there: it has nothing of this proxy yet.
    let nothing = NodeReport::default();
    let certificate = Some(certificate);
    let installation =
        certificates::installation(context, &node, &nothing, certificate, warnings, has_tunnel);
    Ok(NodesAnswer::Installation(installation))
}

/// What a host with a token wants, which the token allows.
enum JoinRequest {
    /// To join, under all of one of these lists of names.
    Joins {
        token: Token,
        hash: String,
        names: Vec<Vec<String>>,
    },
    /// It has joined with this very token, under these names.
    Again,
}

/// Looks at the token and the names.
fn asked(
    context: &Context,
    host: &HostConnection,
    known: Option<&JoinedNode>,
    (secret, report): (&SecretText, &NodeReport),
) -> Result<Result<JoinRequest, Refused>, Unavailable> {
    let (now, settings) = (context.now(), context.settings());
    let hash = token_hash(secret.expose());
    let found = match &hash {
        Some(hash) => context.state.tokens().by_hash_any(hash)?,
        None => None,
    };
    let (Some(token), Some(hash)) = (found, hash) else {
        return Ok(Err(unknown_token(context, host, now)?));
    };
    let wanted = match names::wanted(&report.names, &settings.cluster) {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(Err(refused)),
    };
    let is_again = known
        .is_some_and(|node| node.token == token.id && (wanted.is_empty() || wanted == node.names));
    if is_again {
        return Ok(Ok(JoinRequest::Again));
    }
    if token.expires <= now {
        return Ok(Err(Refused::token_expired()));
    }
    if token.uses == 0 {
        return Ok(Err(Refused::token_spent()));
    }
    if let Err(refused) = names::refuse_others(&wanted, &token.names) {
        return Ok(Err(refused));
    }
    let names = match (wanted.is_empty(), token.names.is_empty()) {
        (false, _) => vec![wanted],
        (true, true) => return Ok(Err(Refused::name_missing())),
        // The first that is free; a node that returns keeps its own.
        (true, false) => {
            let own = known.map(|node| node.names.clone());
            let own = own.filter(|own| own.iter().all(|name| token.names.contains(name)));
            let each = token.names.iter().map(|name| vec![name.clone()]);
            own.into_iter().chain(each).collect()
        }
    };
    let refuse = |name: &String| names::refuse_reserved(name, &settings).err();
    let is_reserved = |names: &Vec<String>| names.iter().find_map(refuse);
    let mut free = names.clone();
    free.retain(|names| is_reserved(names).is_none());
    match names.iter().find_map(is_reserved) {
        Some(refused) if free.is_empty() => Ok(Err(refused)),
        _ => Ok(Ok(JoinRequest::Joins {
            token,
            hash,
            names: free,
        })),
    }
}

/// Counts an unknown token of an address. Right tokens are never delayed: they cannot be guessed, and who
/// sends wrong ones from the same network keeps nobody out.
fn unknown_token(
    context: &Context,
    host: &HostConnection,
    now: u64,
) -> Result<Refused, Unavailable> {
    let attempts = context.state.attempts();
    // Not the source under which people's attempts are counted.
    let source = format!("join {}", network(host.client.ip()));
    let of_source = AttemptsOf::Pair {
        account: ACCOUNT,
        source: &source,
    };
    let so_far = attempts.failures(of_source, now.saturating_sub(WINDOW))?;
    if so_far.count >= TRIES {
        return Ok(Refused::too_many_tries());
    }
    let failed = FailedAttempt {
        account: ACCOUNT,
        source: &source,
        fingerprint: None,
    };
    attempts.record(&failed, now)?;
    Ok(Refused::token_unknown())
}

/// A host that joins with a token that is valid.
struct HostJoins {
    token: Token,
    hash: String,
    labels: Vec<Label>,
    /// The node that it was before.
    known: Option<JoinedNode>,
}

impl HostJoins {
    /// Joins under the first of these lists of names that is free; gives whether the node is new, and the node.
    fn under_one_of(
        self,
        context: &Context,
        host: &HostConnection,
        key: &ProvedHostKey,
        (lists, report): (&[Vec<String>], &NodeReport),
    ) -> Result<Result<(bool, JoinedNode), Refused>, Unavailable> {
        let mut taken = None;
        for names in lists {
            let mut node = self.node(context, host, key, (names, report));
            match context
                .state
                .nodes()
                .join(&node, &self.hash, context.now())?
            {
                Joining::Joined(id) => {
                    node.id = id;
                    return Ok(Ok((true, node)));
                }
                Joining::Returned(id) => {
                    node.id = id;
                    return Ok(Ok((false, node)));
                }
                Joining::TokenSpent => return Ok(Err(Refused::token_spent())),
                Joining::NameTaken(name) => taken = Some(name),
            }
        }
        let name = taken.unwrap_or_default();
        Ok(Err(Refused::name_taken(&name, "another node has it")))
    }

    fn node(
        &self,
        context: &Context,
        host: &HostConnection,
        key: &ProvedHostKey,
        (names, report): (&[String], &NodeReport),
    ) -> JoinedNode {
        let (now, client) = (context.now(), host.client.ip());
        let known = self.known.as_ref();
        let has_other_names = known.is_some_and(|known| known.names != names);
        let certificate = known.and_then(|known| known.certificate.clone());
        JoinedNode {
            id: known.map_or_else(NodeId::new, |known| known.id),
            name: names.first().cloned().unwrap_or_default(),
            names: names.to_vec(),
            key: certificates::line(&key.key),
            fingerprint: key.fingerprint.to_string(),
            token: self.token.id,
            forced_labels: self.token.labels.clone(),
            labels: self.labels.clone(),
            tunnel: self.token.tunnel,
            address: report::address(report, client),
            port: report::port(report),
            joined: known.map_or(now, |known| known.joined),
            // Should the new one fail, the next heartbeat brings it.
            certificate: certificate
                .filter(|_| has_other_names)
                .map(certificates::outdated),
            lock: None,
            heartbeat: Some(report::heartbeat(report, client, now)),
        }
    }
}

fn joined_event(host: &HostConnection, node: &JoinedNode) -> JoinedEvent {
    JoinedEvent {
        node: node.id,
        name: node.name.clone(),
        names: node.names.clone(),
        labels: labels::texts(&node.labels),
        tunnel: node.tunnel.name(),
        token: node.token,
        fingerprint: node.fingerprint.clone(),
        address: node.address.clone(),
        client_addr: host.client,
        connection: host.connection,
    }
}
