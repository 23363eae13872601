//! Tunnels: which node keeps a connection open to which proxy. Of several tunnels of one node, the newest
//! is used; when it has ended, the one before it.

use uuid::Uuid;

use super::db::{Row, values};
use super::error::StateError;
use super::nodes::Nodes;
use crate::model::NodeId;

/// How many tunnels of one node are remembered: those of several proxies, and some that have ended
/// without a word.
const MOST_OF_NODE: u64 = 16;

/// A tunnel that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTunnel {
    /// The node.
    pub node: NodeId,
    /// The proxy that it is connected to.
    pub proxy: Uuid,
    /// When it was opened, in seconds since the epoch.
    pub since: u64,
    /// Tells it from others of the node; that of a later one is greater.
    pub generation: u64,
}

const COLUMNS: &str = "node, proxy, since, generation";

impl Nodes<'_> {
    /// Writes down that a node has opened a tunnel to a proxy, at `at`, in seconds since the epoch; gives its
    /// generation.
    ///
    /// # Errors
    /// [`StateError::NoSuchNode`] if the node was removed or locked, or those of the database.
    pub fn open_tunnel(&self, node: NodeId, proxy: Uuid, at: u64) -> Result<u64, StateError> {
        let node = node.uuid();
        self.database.write(|tx| {
            let sql = "UPDATE counters SET value = value + 1 WHERE name = 'tunnel' RETURNING value";
            let generation = tx.number(sql, &[])?;
            let sql = "INSERT INTO tunnels (generation, node, proxy, since)
                       SELECT $1, nodes.id, $3, $4 FROM nodes
                       WHERE nodes.id = $2 AND nodes.locked IS NULL";
            if tx.execute(sql, values![generation, node, proxy, at])? == 0 {
                return Err(StateError::NoSuchNode);
            }
            let sql = "DELETE FROM tunnels WHERE node = $1 AND generation <=
                       (SELECT generation FROM tunnels WHERE node = $1
                        ORDER BY generation DESC LIMIT 1 OFFSET $2)";
            tx.execute(sql, values![node, MOST_OF_NODE])?;
            Ok(generation)
        })
    }

    /// Writes a tunnel down again, with its generation, that is open and that others have taken for one that
    /// has ended. One that is there stays, and that of a node that was removed or locked meanwhile is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn restore_tunnel(&self, tunnel: &OpenTunnel) -> Result<(), StateError> {
        let sql = "INSERT INTO tunnels (generation, node, proxy, since)
                   SELECT $1, nodes.id, $3, $4 FROM nodes
                   WHERE nodes.id = $2 AND nodes.locked IS NULL
                   ON CONFLICT (generation) DO NOTHING";
        let node = tunnel.node.uuid();
        let row = values![tunnel.generation, node, tunnel.proxy, tunnel.since];
        self.database.write(|tx| tx.execute(sql, row))?;
        Ok(())
    }

    /// Writes down that a tunnel has ended. One that is not there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn close_tunnel(&self, node: NodeId, generation: u64) -> Result<(), StateError> {
        let sql = "DELETE FROM tunnels WHERE generation = $1 AND node = $2";
        let row = values![generation, node.uuid()];
        self.database.write(|tx| tx.execute(sql, row))?;
        Ok(())
    }

    /// Writes down that all tunnels to a proxy have ended.
    ///
    /// # Errors
    /// Those of the database.
    pub fn close_tunnels_of(&self, proxy: Uuid) -> Result<(), StateError> {
        let sql = "DELETE FROM tunnels WHERE proxy = $1";
        self.database.write(|tx| tx.execute(sql, values![proxy]))?;
        Ok(())
    }

    /// The open tunnels, by their nodes; of each node, the newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn tunnels(&self) -> Result<Vec<OpenTunnel>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM tunnels ORDER BY node, generation DESC");
        let rows = self.database.query(&sql, &[])?;
        rows.iter().map(read_tunnel).collect()
    }

    /// How many nodes have an open tunnel.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count_tunnelled(&self) -> Result<u64, StateError> {
        let sql = "SELECT COUNT(DISTINCT node) FROM tunnels";
        self.database.number(sql, &[])
    }

    /// The newest open tunnel of a node.
    ///
    /// # Errors
    /// Those of the database.
    pub fn tunnel_of(&self, node: NodeId) -> Result<Option<OpenTunnel>, StateError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tunnels WHERE node = $1 ORDER BY generation DESC LIMIT 1"
        );
        let row = self.database.first(&sql, values![node.uuid()])?;
        row.as_ref().map(read_tunnel).transpose()
    }
}

fn read_tunnel(row: &Row) -> Result<OpenTunnel, StateError> {
    Ok(OpenTunnel {
        node: NodeId::from(row.parsed::<Uuid>(0)?),
        proxy: row.parsed(1)?,
        since: row.number(2)?,
        generation: row.number(3)?,
    })
}
