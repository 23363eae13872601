//! A node says how it is, and gets what is new.

use ssh_key::HashAlg;

use super::certificates;
use super::context::{Context, Unavailable};
use super::host::{HostConnection, ProvedHostKey};
use super::labels;
use super::proving::admitted;
use super::refusal::Refused;
use super::report;
use crate::ipc::{NodeReport, NodesAnswer};
use crate::state::JoinedNode;

/// Most warnings in one answer.
const MAX_WARNINGS: usize = 8;

/// Stores a report, and answers with what the node has to have. `joins` says whether the host joins once more,
/// with the token that it has joined with.
pub(super) fn answer(
    context: &Context,
    host: &mut HostConnection,
    key: &ProvedHostKey,
    (report, joins): (&NodeReport, bool),
) -> Result<NodesAnswer, Unavailable> {
    let node = match admitted(context, key)? {
        Ok(Some(node)) => node,
        Ok(None) => {
            host.is_node = false;
            return Ok(context.refuse(host, "heartbeat", Refused::not_joined()));
        }
        Err(refused) => return Ok(context.refuse(host, "heartbeat", refused)),
    };
    host.is_node = true;
    let (now, client) = (context.now(), host.client.ip());
    let merged = labels::merged(&node.forced_labels, &report.labels);
    let mut warnings: Vec<String> = report::clock_warning(report, now).into_iter().collect();
    warnings.extend(merged.refused.iter().map(labels::warning));
    let is_stored = context.state.nodes().heartbeat(
        node.id,
        &report::heartbeat(report, client, now),
        &merged.labels,
        &report::address(report, client),
        report::port(report),
    )?;
    if !is_stored {
        host.is_node = false;
        return Ok(context.refuse(host, "heartbeat", Refused::not_joined()));
    }
    let certificate = renewed(context, host, (&node, key), (report, joins), &mut warnings)?;
    warnings.truncate(MAX_WARNINGS);
    let has_tunnel = context.state.nodes().tunnel_of(node.id)?.is_some();
    let installation =
        certificates::installation(context, &node, report, certificate, warnings, has_tunnel);
    Ok(NodesAnswer::Installation(installation))
}

/// Another certificate, if one is due. If none can be signed, the node has one for a while yet, and is told.
fn renewed(
    context: &Context,
    host: &HostConnection,
    (node, key): (&JoinedNode, &ProvedHostKey),
    reported: (&NodeReport, bool),
    warnings: &mut Vec<String>,
) -> Result<Option<String>, Unavailable> {
    let signs = context.issuer.keys().signs;
    let signs = signs.fingerprint(HashAlg::Sha256).to_string();
    let now = context.now();
    let Some(renewal) = certificates::due(node, reported, &signs, now) else {
        return Ok(None);
    };
    match certificates::issue(context, host, (node, &key.key), renewal)? {
        Ok(certificate) => Ok(Some(certificate)),
        Err(why) => {
            let text = format!("no new certificate could be signed: {why}; tell an administrator");
            warnings.insert(0, text);
            Ok(None)
        }
    }
}
