//! The proxies that share the state: where others reach each of them, and by which key they know it.

use uuid::Uuid;

use super::db::{Database, Row, values};
use super::error::StateError;

/// A proxy, as it has last announced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRow {
    /// Its id.
    pub id: Uuid,
    /// Where other proxies reach it: `host:port`; empty if they do not.
    pub address: String,
    /// Its key: type and key.
    pub key: String,
    /// When it announced itself, in seconds since the epoch.
    pub seen: u64,
}

/// The proxies.
#[derive(Clone, Copy, Debug)]
pub struct Proxies<'s> {
    pub(super) database: &'s Database,
}

impl Proxies<'_> {
    /// Writes down a proxy in place of what it has announced before.
    ///
    /// # Errors
    /// Those of the database.
    pub fn announce(&self, proxy: &ProxyRow) -> Result<(), StateError> {
        let sql = "INSERT INTO proxies (id, address, proxy_key, seen) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (id) DO UPDATE SET address = excluded.address,
                       proxy_key = excluded.proxy_key, seen = excluded.seen";
        let row = values![proxy.id, &proxy.address, &proxy.key, proxy.seen];
        self.database.write(|tx| tx.execute(sql, row))?;
        Ok(())
    }

    /// The proxies, the one that has announced itself last first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn list(&self) -> Result<Vec<ProxyRow>, StateError> {
        let sql = "SELECT id, address, proxy_key, seen FROM proxies ORDER BY seen DESC, id";
        let rows = self.database.query(sql, &[])?;
        rows.iter().map(read_proxy).collect()
    }

    /// Removes a proxy with the tunnels to it. One that is not there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(&self, id: Uuid) -> Result<(), StateError> {
        self.database.write(|tx| {
            tx.execute("DELETE FROM tunnels WHERE proxy = $1", values![id])?;
            tx.execute("DELETE FROM proxies WHERE id = $1", values![id])?;
            Ok(())
        })
    }

    /// Removes the proxies that have not announced themselves since `moment`, in seconds since the epoch, and
    /// the tunnels that were opened before it to proxies that are not known.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_before(&self, moment: u64) -> Result<(), StateError> {
        self.database.write(|tx| {
            tx.execute("DELETE FROM proxies WHERE seen < $1", values![moment])?;
            let sql = "DELETE FROM tunnels WHERE since < $1
                       AND NOT EXISTS (SELECT 1 FROM proxies WHERE proxies.id = tunnels.proxy)";
            tx.execute(sql, values![moment])?;
            Ok(())
        })
    }
}

fn read_proxy(row: &Row) -> Result<ProxyRow, StateError> {
    Ok(ProxyRow {
        id: row.parsed(0)?,
        address: row.text(1)?.to_owned(),
        key: row.text(2)?.to_owned(),
        seen: row.number(3)?,
    })
}
