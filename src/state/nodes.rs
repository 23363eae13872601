//! Nodes: hosts that have joined, what they last reported, and whether they are locked.

use uuid::Uuid;

use super::db::{Database, Row, SqlValue, Transaction, as_json, values};
use super::error::StateError;
use super::node_rows::{
    Heartbeat, JoinedNode, NODE_COLUMNS, NODE_OFFLINE_AFTER, NodeCertificate, NodeLock, is_recent,
    label_texts, labels_of, next_change, node_values, read_node,
};
use super::tokens::{can_be_spent, spend_token};
use crate::model::{Label, NodeId, TunnelRule};
use crate::sys::clock::Clock;

/// The nodes. Each change that others have to know gets a number in the transaction that makes it.
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'s> {
    pub(super) database: &'s Database,
    pub(super) clock: Clock,
}

/// What has become of a host that wanted to join. Where it did not join, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It is a node now.
    Joined(NodeId),
    /// A node with this host key was there: it keeps its id, its lock and the time at which it joined.
    Returned(NodeId),
    /// There is no such token, its time is over, or it is used up.
    TokenSpent,
    /// Another node has this name.
    NameTaken(String),
}

/// How many nodes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Not locked, and with a heartbeat within [`NODE_OFFLINE_AFTER`].
    pub online: u64,
    /// Not locked, and without one.
    pub offline: u64,
    /// Locked.
    pub locked: u64,
}

/// What a list of hosts has of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSummary {
    /// The identity.
    pub id: NodeId,
    /// The name.
    pub name: String,
    /// All names, the one above first.
    pub names: Vec<String>,
    /// The labels in force, sorted.
    pub labels: Vec<Label>,
    /// Whether it may, or has to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// The IP address by which it is dialled.
    pub address: String,
    /// The port of its sshd.
    pub port: u16,
    /// Whether it is locked.
    pub is_locked: bool,
    /// Whether it has sent a heartbeat lately.
    pub is_online: bool,
}

impl Nodes<'_> {
    /// All nodes at `now`, in seconds since the epoch, without what they have reported: by their names.
    ///
    /// # Errors
    /// Those of the database.
    pub fn summaries(&self, now: u64) -> Result<Vec<NodeSummary>, StateError> {
        let sql = "SELECT id, name, names, labels, tunnel, address, port, locked, heartbeat
                   FROM nodes ORDER BY name";
        let rows = self.database.query(sql, &[])?;
        rows.iter().map(|row| read_summary(row, now)).collect()
    }

    /// A host joins: takes one use of the token, and writes the node down with the token's id. A node that
    /// returns keeps its certificate and its heartbeat if it brings none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn join(
        &self,
        node: &JoinedNode,
        token_hash: &str,
        now: u64,
    ) -> Result<Joining, StateError> {
        self.database.write(|tx| {
            let known = find(tx, "fingerprint = $1", values![&node.fingerprint])?;
            let id = known.as_ref().map_or(node.id, |known| known.id);
            // Nothing is written for a host that does not join. Without a token it learns nothing of names.
            if !can_be_spent(tx, token_hash, now)? {
                return Ok(Joining::TokenSpent);
            }
            if let Some(name) = taken_name(tx, &node.names, id)? {
                return Ok(Joining::NameTaken(name));
            }
            let Some(token) = spend_token(tx, token_hash, now)? else {
                return Ok(Joining::TokenSpent);
            };
            let joined = JoinedNode {
                id,
                token,
                ..node.clone()
            };
            let Some(known) = known else {
                put(tx, &joined)?;
                return Ok(Joining::Joined(id));
            };
            let returned = JoinedNode {
                joined: known.joined,
                certificate: joined.certificate.clone().or(known.certificate),
                lock: known.lock,
                heartbeat: joined.heartbeat.clone().or(known.heartbeat),
                ..joined
            };
            put(tx, &returned)?;
            Ok(Joining::Returned(id))
        })
    }

    /// The node with this host key.
    ///
    /// # Errors
    /// Those of the database.
    pub fn by_fingerprint(&self, fingerprint: &str) -> Result<Option<JoinedNode>, StateError> {
        self.first("fingerprint = $1", values![fingerprint])
    }

    /// The node that has this name, whatever its case.
    ///
    /// # Errors
    /// Those of the database.
    pub fn by_name(&self, name: &str) -> Result<Option<JoinedNode>, StateError> {
        self.first(NAMED, values![folded(name)])
    }

    /// The node of an id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_id(&self, id: NodeId) -> Result<Option<JoinedNode>, StateError> {
        self.first("id = $1", values![id.uuid()])
    }

    /// All nodes, by their names.
    ///
    /// # Errors
    /// Those of the database.
    pub fn list(&self) -> Result<Vec<JoinedNode>, StateError> {
        let sql = format!("SELECT {NODE_COLUMNS} FROM nodes ORDER BY name");
        let rows = self.database.query(&sql, &[])?;
        rows.iter().map(read_node).collect()
    }

    /// How many nodes there are at `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count(&self, now: u64) -> Result<NodeCounts, StateError> {
        let (from, until) = (
            now.saturating_sub(NODE_OFFLINE_AFTER),
            now.saturating_add(NODE_OFFLINE_AFTER),
        );
        self.database.read(|tx| {
            let all = tx.number("SELECT COUNT(*) FROM nodes", &[])?;
            let sql = "SELECT COUNT(*) FROM nodes
                       WHERE locked IS NULL AND heartbeat > $1 AND heartbeat < $2";
            let online = tx.number(sql, values![from, until])?;
            let sql = "SELECT COUNT(*) FROM nodes WHERE locked IS NOT NULL";
            let locked = tx.number(sql, &[])?;
            Ok(NodeCounts {
                online,
                offline: all.saturating_sub(online).saturating_sub(locked),
                locked,
            })
        })
    }

    /// Writes down what a node has reported; `false` if it was removed. It is a change that others have to
    /// know only if it has other labels, or is dialled elsewhere.
    ///
    /// # Errors
    /// Those of the database.
    pub fn heartbeat(
        &self,
        id: NodeId,
        heartbeat: &Heartbeat,
        labels: &[Label],
        address: &str,
        port: u16,
    ) -> Result<bool, StateError> {
        let labels = as_json(&label_texts(labels))?;
        let report = as_json(heartbeat)?;
        let (port, at) = (u64::from(port), heartbeat.at);
        self.database.write(|tx| {
            let sql = "UPDATE nodes SET heartbeat = $1, report = $2
                       WHERE id = $3 AND labels = $4 AND address = $5 AND port = $6";
            let row = values![at, &report, id.uuid(), &labels, address, port];
            if tx.execute(sql, row)? == 1 {
                return Ok(true);
            }
            // A number without a change would have every reader look for it again and again.
            let sql = "SELECT COUNT(*) FROM nodes WHERE id = $1";
            if tx.number(sql, values![id.uuid()])? == 0 {
                return Ok(false);
            }
            let change = next_change(tx)?;
            let sql = "UPDATE nodes SET heartbeat = $1, report = $2, labels = $4, address = $5,
                                        port = $6, change = $7 WHERE id = $3";
            let row = values![at, &report, id.uuid(), &labels, address, port, change];
            Ok(tx.execute(sql, row)? == 1)
        })
    }

    /// Writes down which certificate a node is given; `false` if it was removed or locked, and is to get none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set_certificate(
        &self,
        id: NodeId,
        certificate: &NodeCertificate,
    ) -> Result<bool, StateError> {
        let sql = "UPDATE nodes SET certificate = $1, certificate_begins = $2,
                                    certificate_expires = $3, certificate_ca = $4
                   WHERE id = $5 AND locked IS NULL";
        let serial = certificate.serial.to_string();
        let (begins, expires) = (certificate.begins, certificate.expires);
        let row = values![serial, begins, expires, &certificate.authority, id.uuid()];
        Ok(self.database.write(|tx| tx.execute(sql, row))? == 1)
    }

    /// Locks the node that has this name; `None` if there is none. An earlier lock is replaced.
    ///
    /// # Errors
    /// Those of the database.
    pub fn lock(&self, name: &str, lock: &NodeLock) -> Result<Option<NodeId>, StateError> {
        self.change(name, |tx, node, change| {
            let sql = "UPDATE nodes SET locked = $1, lock_reason = $2, locked_by = $3, change = $4
                       WHERE id = $5";
            let (at, reason, id) = (lock.at, lock.reason.as_ref(), node.id.uuid());
            tx.execute(sql, values![at, reason, &lock.by, change, id])
        })
    }

    /// Lifts the lock of the node that has this name; `None` if there is none. One that was not locked stays
    /// as it is.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unlock(&self, name: &str) -> Result<Option<NodeId>, StateError> {
        let name = folded(name);
        self.database.write(|tx| {
            let Some(node) = find(tx, NAMED, values![&name])? else {
                return Ok(None);
            };
            if node.lock.is_some() {
                let change = next_change(tx)?;
                let sql = "UPDATE nodes SET locked = NULL, lock_reason = NULL, locked_by = NULL,
                                            change = $1 WHERE id = $2";
                tx.execute(sql, values![change, node.id.uuid()])?;
            }
            Ok(Some(node.id))
        })
    }

    /// Removes the node that has this name, with its tunnels; `None` if there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(&self, name: &str) -> Result<Option<NodeId>, StateError> {
        let now = self.clock.unix_seconds();
        self.change(name, |tx, node, change| {
            let id = node.id.uuid();
            tx.execute("DELETE FROM nodes WHERE id = $1", values![id])?;
            let sql = "INSERT INTO node_removals (number, node, at) VALUES ($1, $2, $3)";
            tx.execute(sql, values![change, id, now])
        })
    }

    /// Changes the node that has this name, and gives the change a number.
    fn change(
        &self,
        name: &str,
        work: impl Fn(&mut dyn Transaction, &JoinedNode, u64) -> Result<u64, StateError>,
    ) -> Result<Option<NodeId>, StateError> {
        let name = folded(name);
        self.database.write(|tx| {
            let Some(node) = find(tx, NAMED, values![&name])? else {
                return Ok(None);
            };
            let change = next_change(tx)?;
            work(tx, &node, change)?;
            Ok(Some(node.id))
        })
    }

    fn first(
        &self,
        condition: &str,
        values: &[SqlValue],
    ) -> Result<Option<JoinedNode>, StateError> {
        let sql = format!("SELECT {NODE_COLUMNS} FROM nodes WHERE {condition}");
        let row = self.database.first(&sql, values)?;
        row.as_ref().map(read_node).transpose()
    }
}

fn read_summary(row: &Row, now: u64) -> Result<NodeSummary, StateError> {
    Ok(NodeSummary {
        id: NodeId::from(row.parsed::<Uuid>(0)?),
        name: row.text(1)?.to_owned(),
        names: row.json(2)?,
        labels: labels_of(row, 3)?,
        tunnel: row.parsed(4)?,
        address: row.text(5)?.to_owned(),
        port: u16::try_from(row.number(6)?).map_err(|_no_port| row.wrong(6))?,
        is_locked: row.optional_number(7)?.is_some(),
        is_online: is_recent(row.optional_number(8)?, now),
    })
}

const NAMED: &str = "id = (SELECT node FROM node_names WHERE node_names.name = $1)";

fn find(
    tx: &mut dyn Transaction,
    condition: &str,
    values: &[SqlValue],
) -> Result<Option<JoinedNode>, StateError> {
    let sql = format!("SELECT {NODE_COLUMNS} FROM nodes WHERE {condition}");
    let row = tx.first(&sql, values)?;
    row.as_ref().map(read_node).transpose()
}

/// The first of these names that another node has.
fn taken_name(
    tx: &mut dyn Transaction,
    names: &[String],
    id: NodeId,
) -> Result<Option<String>, StateError> {
    let sql = "SELECT COUNT(*) FROM node_names WHERE name = $1 AND node <> $2";
    for name in names {
        if tx.number(sql, values![folded(name), id.uuid()])? > 0 {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Writes down a node in place of what was known of it.
fn put(tx: &mut dyn Transaction, node: &JoinedNode) -> Result<(), StateError> {
    let change = next_change(tx)?;
    let row = node_values(node, change)?;
    let numbers: Vec<_> = (1..=row.len()).map(|number| format!("${number}")).collect();
    let columns = NODE_COLUMNS.split(", ");
    let new: Vec<_> = columns
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let (numbers, new) = (numbers.join(", "), new.join(", "));
    let sql = format!(
        "INSERT INTO nodes ({NODE_COLUMNS}) VALUES ({numbers}) ON CONFLICT (id) DO UPDATE SET {new}"
    );
    tx.execute(&sql, &row)?;
    let id = node.id.uuid();
    tx.execute("DELETE FROM node_names WHERE node = $1", values![id])?;
    let sql = "INSERT INTO node_names (name, node) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for name in &node.names {
        tx.execute(sql, values![folded(name), id])?;
    }
    Ok(())
}

/// A name, as names are compared.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
