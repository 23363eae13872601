//! Changes of nodes that others have to know. Each gets the next number of one sequence, in the transaction
//! that makes it: changes become visible in the order of their numbers, so that a reader that asks for those
//! after the last number it knows misses none. Of several changes of one node, the last one is told.

use uuid::Uuid;

use super::db::{Row, values};
use super::error::StateError;
use super::node_rows::{CHANGE_COLUMN, JoinedNode, NODE_COLUMNS, read_node};
use super::nodes::Nodes;
use crate::model::NodeId;

/// A change of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// Its number; later changes have greater numbers.
    pub number: u64,
    /// The node.
    pub id: NodeId,
    /// How the node is now; `None` if it was removed.
    pub now: Option<JoinedNode>,
}

impl Nodes<'_> {
    /// The number of the last change; 0 if there was none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_change(&self) -> Result<u64, StateError> {
        let sql = "SELECT value FROM counters WHERE name = 'node-change'";
        self.database.number(sql, &[])
    }

    /// The changes after the one with this number, at most `limit`, in the order of their numbers. After 0,
    /// these are all nodes.
    ///
    /// # Errors
    /// Those of the database.
    pub fn changes_since(&self, number: u64, limit: usize) -> Result<Vec<NodeChange>, StateError> {
        // Mostly there are none: one question then.
        if self.last_change()? <= number {
            return Ok(Vec::new());
        }
        let (nodes, removals) = self.database.read(|tx| {
            let sql = format!(
                "SELECT {NODE_COLUMNS} FROM nodes WHERE change > $1 ORDER BY change LIMIT $2"
            );
            let nodes = tx.query(&sql, values![number, limit])?;
            let sql = "SELECT number, node FROM node_removals WHERE number > $1
                       ORDER BY number LIMIT $2";
            Ok((nodes, tx.query(sql, values![number, limit])?))
        })?;
        let nodes = nodes.iter().map(read_change);
        let removals = removals.iter().map(read_removal);
        let mut changes = nodes.chain(removals).collect::<Result<Vec<_>, _>>()?;
        changes.sort_unstable_by_key(|change| change.number);
        changes.truncate(limit);
        Ok(changes)
    }

    /// Forgets nodes that were removed before `moment`, in seconds since the epoch. A reader that has not
    /// asked since then misses their removal.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_removals_before(&self, moment: u64) -> Result<(), StateError> {
        let sql = "DELETE FROM node_removals WHERE at < $1";
        self.database.write(|tx| tx.execute(sql, values![moment]))?;
        Ok(())
    }
}

fn read_change(row: &Row) -> Result<NodeChange, StateError> {
    let node = read_node(row)?;
    Ok(NodeChange {
        number: row.number(CHANGE_COLUMN)?,
        id: node.id,
        now: Some(node),
    })
}

fn read_removal(row: &Row) -> Result<NodeChange, StateError> {
    Ok(NodeChange {
        number: row.number(0)?,
        id: NodeId::from(row.parsed::<Uuid>(1)?),
        now: None,
    })
}
