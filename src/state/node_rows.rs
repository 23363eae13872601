//! Nodes as rows: what a joined node is, and how it is stored.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::db::{Row, SqlValue, Transaction, as_json};
use super::error::StateError;
use crate::model::{Label, NodeId, TunnelRule};

/// A host that has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedNode {
    /// The identity, which stays when the host gets another name.
    pub id: NodeId,
    /// The name.
    pub name: String,
    /// All names, the one above first. Each belongs to one node.
    pub names: Vec<String>,
    /// The host key: type and key, without a comment.
    pub key: String,
    /// Its SHA-256, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The token that it has last joined with.
    pub token: Uuid,
    /// The labels that the token has given.
    pub forced_labels: Vec<Label>,
    /// The labels in force: those of the token and those of the last report, sorted.
    pub labels: Vec<Label>,
    /// Whether it may, or has to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// The IP address by which it is dialled.
    pub address: String,
    /// The port of its sshd.
    pub port: u16,
    /// When it joined, in seconds since the epoch.
    pub joined: u64,
    /// The last host certificate that was issued for it.
    pub certificate: Option<NodeCertificate>,
    /// Why it is used for nothing.
    pub lock: Option<NodeLock>,
    /// The last report.
    pub heartbeat: Option<Heartbeat>,
}

/// After how many seconds without a heartbeat a node is offline: when three are missing.
pub const NODE_OFFLINE_AFTER: u64 = 180;

impl JoinedNode {
    /// Whether its last heartbeat is not too old at `now`, in seconds since the epoch. One from later than now
    /// came when the clock was ahead, and says nothing.
    #[must_use]
    pub fn is_online(&self, now: u64) -> bool {
        is_recent(self.heartbeat.as_ref().map(|heartbeat| heartbeat.at), now)
    }
}

/// Whether a last heartbeat makes a node online.
pub(super) fn is_recent(last: Option<u64>, now: u64) -> bool {
    last.is_some_and(|last| now.abs_diff(last) < NODE_OFFLINE_AFTER)
}

/// A host certificate of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Its serial number.
    pub serial: u64,
    /// When it begins to be valid, in seconds since the epoch.
    pub begins: u64,
    /// The first second in which it is not valid any more.
    pub expires: u64,
    /// The fingerprint of the CA's key.
    pub authority: String,
}

/// Why a node is used for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLock {
    /// Since when, in seconds since the epoch.
    pub at: u64,
    /// The account that has locked it.
    pub by: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
}

/// What a node has said of itself, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// When it came, in seconds since the epoch, by the clock of the proxy.
    pub at: u64,
    /// From which address, without the port.
    pub client: String,
    /// What `sshd -V` says there.
    pub sshd: String,
    /// For how many seconds the host had been up.
    pub uptime: u64,
    /// By how many seconds its clock is ahead of the proxy's; negative if it is behind.
    pub clock_ahead: i64,
    /// The addresses that it has.
    pub addresses: Vec<String>,
    /// Whether it is set up to keep a tunnel.
    pub keeps_tunnel: bool,
    /// The fingerprints of the user CAs that its sshd trusts.
    pub user_cas: Vec<String>,
    /// The fingerprints of the host CAs by which it knows the proxy.
    pub host_cas: Vec<String>,
    /// The serial number of its host certificate.
    pub certificate: Option<u64>,
    /// The number of its revocation list.
    pub revocations: Option<u64>,
    /// What it could not do.
    pub problem: Option<String>,
}

/// The columns of [`JoinedNode`], as [`read_node`] takes them; the change's number follows.
pub(super) const NODE_COLUMNS: &str = "id, name, names, host_key, fingerprint, token, \
     forced_labels, labels, tunnel, address, port, joined, certificate, certificate_begins, \
     certificate_expires, certificate_ca, locked, lock_reason, locked_by, heartbeat, report, change";

/// Which of the columns is the change's number.
pub(super) const CHANGE_COLUMN: usize = 21;

/// Reads the columns [`NODE_COLUMNS`], which stand in front.
pub(super) fn read_node(row: &Row) -> Result<JoinedNode, StateError> {
    let certificate = match row.optional_text(12)? {
        Some(_) => Some(NodeCertificate {
            serial: row.parsed(12)?,
            begins: row.number(13)?,
            expires: row.number(14)?,
            authority: row.text(15)?.to_owned(),
        }),
        None => None,
    };
    let lock = match row.optional_number(16)? {
        Some(at) => Some(NodeLock {
            at,
            reason: row.optional_text(17)?.map(str::to_owned),
            by: row.text(18)?.to_owned(),
        }),
        None => None,
    };
    let heartbeat = match row.optional_text(20)? {
        Some(_) => Some(row.json(20)?),
        None => None,
    };
    Ok(JoinedNode {
        id: NodeId::from(row.parsed::<Uuid>(0)?),
        name: row.text(1)?.to_owned(),
        names: row.json(2)?,
        key: row.text(3)?.to_owned(),
        fingerprint: row.text(4)?.to_owned(),
        token: row.parsed(5)?,
        forced_labels: labels_of(row, 6)?,
        labels: labels_of(row, 7)?,
        tunnel: row.parsed(8)?,
        address: row.text(9)?.to_owned(),
        port: u16::try_from(row.number(10)?).map_err(|_no_port| row.wrong(10))?,
        joined: row.number(11)?,
        certificate,
        lock,
        heartbeat,
    })
}

/// The values of the columns [`NODE_COLUMNS`].
pub(super) fn node_values(node: &JoinedNode, change: u64) -> Result<Vec<SqlValue>, StateError> {
    let certificate = node.certificate.as_ref();
    let (lock, heartbeat) = (node.lock.as_ref(), node.heartbeat.as_ref());
    Ok(vec![
        node.id.uuid().into(),
        (&node.name).into(),
        as_json(&node.names)?.into(),
        (&node.key).into(),
        (&node.fingerprint).into(),
        node.token.into(),
        as_json(&label_texts(&node.forced_labels))?.into(),
        as_json(&label_texts(&node.labels))?.into(),
        node.tunnel.name().into(),
        (&node.address).into(),
        u64::from(node.port).into(),
        node.joined.into(),
        certificate.map(|found| found.serial.to_string()).into(),
        certificate.map(|found| found.begins).into(),
        certificate.map(|found| found.expires).into(),
        certificate.map(|found| &found.authority).into(),
        lock.map(|lock| lock.at).into(),
        lock.and_then(|lock| lock.reason.as_ref()).into(),
        lock.map(|lock| &lock.by).into(),
        heartbeat.map(|heartbeat| heartbeat.at).into(),
        heartbeat.map(as_json).transpose()?.into(),
        change.into(),
    ])
}

/// The number of a change that is made now.
pub(super) fn next_change(tx: &mut dyn Transaction) -> Result<u64, StateError> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'node-change' RETURNING value";
    tx.number(sql, &[])
}

/// Labels as they are stored.
pub(super) fn label_texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(Label::to_string).collect()
}

/// Reads a column with labels.
pub(super) fn labels_of(row: &Row, column: usize) -> Result<Vec<Label>, StateError> {
    let texts: Vec<String> = row.json(column)?;
    let labels = texts.iter().map(|text| text.parse());
    let labels = labels.collect::<Result<_, _>>();
    labels.map_err(|_no_label| row.wrong(column))
}
