//! What administrators do about tokens and nodes, on the command line.

use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::labels;
use super::names;
use super::token::{new_token, token_hash};
use crate::audit::{AuditError, AuditEvent, AuditSink, NodeEvent, UnixSeconds};
use crate::model::{ClusterName, Label, NodeId, TunnelRule, format_duration};
use crate::state::{JoinedNode, NodeLock, State, StateError, Token};
use crate::sys::account::Actor;

/// Most hosts that can join with one token.
pub const MAX_TOKEN_USES: u64 = 10_000;
/// Most names of one token.
const MAX_NAMES: usize = 1_000;
/// Most labels of one token: a host has some of its own beside them.
const MAX_LABELS: usize = 32;
/// Longest life of a token: 30 days.
pub const MAX_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why nothing was done, or not all of it.
#[derive(Debug, Error)]
pub enum EnrolmentError {
    /// There is no such token.
    #[error("there is no token {0}")]
    NoSuchToken(Uuid),
    /// There is no such node.
    #[error("no host has joined under the name {0}")]
    NoSuchNode(String),
    /// The node is not locked.
    #[error("the node {0} is not locked")]
    NotLocked(String),
    /// No token can be as it is asked for.
    #[error("{0}")]
    Token(String),
    /// The state could not be read or changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// It was done, and could not be written to the audit log.
    #[error("it is done, and the audit log could not be written")]
    Audit(#[from] AuditError),
}

impl EnrolmentError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchToken(_) => Some("list the tokens: rproxy tokens ls"),
            Self::NoSuchNode(_) => Some("list the nodes: rproxy nodes ls"),
            Self::NotLocked(_) | Self::Token(_) | Self::State(_) | Self::Audit(_) => None,
        }
    }
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The names that hosts may take; none for any.
    pub names: Vec<String>,
    /// The labels that hosts get, and cannot change.
    pub labels: Vec<Label>,
    /// Whether hosts may, or have to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// How many hosts can join with it: 1 to [`MAX_TOKEN_USES`].
    pub uses: u64,
    /// How long it can be used: a second at least, [`MAX_TOKEN_TTL`] at most.
    pub ttl: Duration,
}

/// A token, to be typed at a host. It is shown once: the state has only its hash.
pub struct IssuedToken {
    /// Its id, by which it can be removed.
    pub id: Uuid,
    /// What is typed at the host.
    pub token: Zeroizing<String>,
    /// The first second in which it is of no use any more, since the epoch.
    pub expires: u64,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The administrator's functions about tokens. Each change is audited when it returns.
#[derive(Clone, Debug)]
pub struct TokenAdmin<'a> {
    state: &'a State,
    audit: &'a dyn AuditSink,
    actor: Actor,
}

impl<'a> TokenAdmin<'a> {
    /// Works on this state in the name of `actor`.
    #[must_use]
    pub fn new(state: &'a State, audit: &'a dyn AuditSink, actor: Actor) -> Self {
        Self {
            state,
            audit,
            actor,
        }
    }

    /// Makes a token. Names are written as in the configuration; the name of `cluster` behind one does not
    /// count. Whether they are free is decided when a host joins.
    ///
    /// # Errors
    /// [`EnrolmentError::Token`] if no token can be so, or when the state or the audit log cannot be written.
    pub fn add(&self, new: NewToken, cluster: &ClusterName) -> Result<IssuedToken, EnrolmentError> {
        let names = checked(&new, cluster).map_err(EnrolmentError::Token)?;
        let (token, now) = (new_token(), self.state.now());
        let row = Token {
            id: Uuid::now_v7(),
            // A token that was made here always has a hash.
            hash: token_hash(&token).unwrap_or_default(),
            names,
            labels: new.labels,
            tunnel: new.tunnel,
            uses: new.uses,
            created: now,
            expires: now.saturating_add(new.ttl.as_secs()),
            created_by: self.actor.person().to_owned(),
        };
        self.state.tokens().put(&row)?;
        emit(
            self.audit,
            NodeEvent::TokenAdded {
                token: row.id,
                names: row.names,
                labels: labels::texts(&row.labels),
                tunnel: row.tunnel.name(),
                uses: row.uses,
                expires: UnixSeconds(row.expires),
                actor: self.actor.clone(),
            },
        )?;
        Ok(IssuedToken {
            id: row.id,
            token,
            expires: row.expires,
        })
    }

    /// All tokens that are remembered, the oldest first: also those that are used up or have expired.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn list(&self) -> Result<Vec<Token>, EnrolmentError> {
        Ok(self.state.tokens().list()?)
    }

    /// Removes a token. Hosts that have joined with it stay nodes.
    ///
    /// # Errors
    /// [`EnrolmentError::NoSuchToken`], or when the state or the audit log cannot be written.
    pub fn remove(&self, id: Uuid) -> Result<(), EnrolmentError> {
        if !self.state.tokens().remove(id)? {
            return Err(EnrolmentError::NoSuchToken(id));
        }
        emit(
            self.audit,
            NodeEvent::TokenRemoved {
                token: id,
                actor: self.actor.clone(),
            },
        )
    }
}

/// The names of a token as the state has them.
fn checked(new: &NewToken, cluster: &ClusterName) -> Result<Vec<String>, String> {
    if !(1..=MAX_TOKEN_USES).contains(&new.uses) {
        return Err(format!(
            "a token can be used from 1 to {MAX_TOKEN_USES} times, not {}",
            new.uses
        ));
    }
    if new.ttl.as_secs() == 0 || new.ttl > MAX_TOKEN_TTL {
        return Err(format!(
            "a token can be used for 1s to {}, not for {}",
            format_duration(MAX_TOKEN_TTL),
            format_duration(new.ttl)
        ));
    }
    if new.names.len() > MAX_NAMES || new.labels.len() > MAX_LABELS {
        return Err(format!(
            "a token has at most {MAX_NAMES} names and {MAX_LABELS} labels"
        ));
    }
    let mut names: Vec<String> = Vec::new();
    for text in &new.names {
        let name = names::node_name(text, cluster);
        let name =
            name.map_err(|why| format!("a node cannot be called {}: {why}", names::shown(text)))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let keys = new.labels.iter().map(|label| label.key.to_lowercase());
    let keys: std::collections::BTreeSet<String> = keys.collect();
    if keys.len() < new.labels.len() {
        return Err("a label is given twice".to_owned());
    }
    new.labels.iter().try_for_each(labels::for_token)?;
    Ok(names)
}

/// The administrator's functions about nodes. Each change is audited when it returns. A node is named by any
/// of its names, whatever the case.
#[derive(Clone, Debug)]
pub struct NodeAdmin<'a> {
    state: &'a State,
    audit: &'a dyn AuditSink,
    actor: Actor,
}

impl<'a> NodeAdmin<'a> {
    /// Works on this state in the name of `actor`.
    #[must_use]
    pub fn new(state: &'a State, audit: &'a dyn AuditSink, actor: Actor) -> Self {
        Self {
            state,
            audit,
            actor,
        }
    }

    /// Locks a node: the proxies close its tunnel and the sessions at it within a second, and it gets nothing
    /// any more. A locked node gets the new reason.
    ///
    /// # Errors
    /// [`EnrolmentError::NoSuchNode`], or when the state or the audit log cannot be written.
    pub fn lock(&self, name: &str, reason: Option<&str>) -> Result<NodeId, EnrolmentError> {
        let node = self.find(name)?;
        let lock = NodeLock {
            at: self.state.now(),
            by: self.actor.person().to_owned(),
            reason: reason.map(str::to_owned),
        };
        let locked = self.state.nodes().lock(&node.name, &lock)?;
        let id = locked.ok_or_else(|| EnrolmentError::NoSuchNode(node.name.clone()))?;
        let event = NodeEvent::NodeLocked {
            node: id,
            name: node.name,
            message: lock.reason,
            actor: self.actor.clone(),
        };
        emit(self.audit, event)?;
        Ok(id)
    }

    /// Lets a node in again.
    ///
    /// # Errors
    /// [`EnrolmentError::NoSuchNode`], [`EnrolmentError::NotLocked`], or when the state or the audit log cannot
    /// be written.
    pub fn unlock(&self, name: &str) -> Result<NodeId, EnrolmentError> {
        let node = self.find(name)?;
        if node.lock.is_none() {
            return Err(EnrolmentError::NotLocked(node.name));
        }
        let unlocked = self.state.nodes().unlock(&node.name)?;
        let id = unlocked.ok_or_else(|| EnrolmentError::NoSuchNode(node.name.clone()))?;
        let event = NodeEvent::NodeUnlocked {
            node: id,
            name: node.name,
            actor: self.actor.clone(),
        };
        emit(self.audit, event)?;
        Ok(id)
    }

    /// Removes a node. Its host certificate stays valid until it expires or is revoked, and no user is led to
    /// it any more.
    ///
    /// # Errors
    /// [`EnrolmentError::NoSuchNode`], or when the state or the audit log cannot be written.
    pub fn remove(&self, name: &str) -> Result<NodeId, EnrolmentError> {
        let node = self.find(name)?;
        let removed = self.state.nodes().remove(&node.name)?;
        let id = removed.ok_or_else(|| EnrolmentError::NoSuchNode(node.name.clone()))?;
        let event = NodeEvent::NodeRemoved {
            node: id,
            name: node.name,
            actor: self.actor.clone(),
        };
        emit(self.audit, event)?;
        Ok(id)
    }

    fn find(&self, name: &str) -> Result<JoinedNode, EnrolmentError> {
        let found = self.state.nodes().by_name(name)?;
        found.ok_or_else(|| EnrolmentError::NoSuchNode(name.to_owned()))
    }
}

fn emit(audit: &dyn AuditSink, event: NodeEvent) -> Result<(), EnrolmentError> {
    Ok(audit.emit(&AuditEvent::from(event))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::Audited;
    use crate::enrolment::testing::{node, root};
    use crate::state::testing::{NOW, own_state};

    fn new() -> NewToken {
        NewToken {
            names: vec!["db1".to_owned(), "DB1.example.com".to_owned()],
            labels: vec!["env=prod".parse().unwrap()],
            tunnel: TunnelRule::Allowed,
            uses: 2,
            ttl: Duration::from_secs(1_800),
        }
    }

    fn cluster() -> ClusterName {
        "example.com".parse().unwrap()
    }

    #[test]
    fn a_token_is_shown_once_and_its_making_audited() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = TokenAdmin::new(&state, &audit, root());
        let issued = admin.add(new(), &cluster()).unwrap();
        assert_eq!(issued.expires, NOW + 1_800);
        let [row] = admin.list().unwrap().try_into().unwrap();
        assert_eq!((row.id, row.uses), (issued.id, 2));
        assert_eq!(row.names, ["db1"]);
        assert_eq!(Some(&row.hash), token_hash(&issued.token).as_ref());
        let logged = format!("{:?} {row:?} {issued:?}", audit.0.lock().unwrap());
        assert!(!logged.contains(&issued.token[4..]), "{logged}");
        admin.remove(issued.id).unwrap();
        assert_eq!(audit.names(), ["token.added", "token.removed"]);
        let again = admin.remove(issued.id).unwrap_err();
        assert!(matches!(again, EnrolmentError::NoSuchToken(_)), "{again:?}");
        assert!(again.hint().is_some());
    }

    #[test]
    fn a_token_that_nobody_could_use_is_not_made() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = TokenAdmin::new(&state, &audit, root());
        let changes: [&dyn Fn(&mut NewToken); 10] = [
            &|new| new.uses = 0,
            &|new| new.uses = MAX_TOKEN_USES + 1,
            &|new| new.ttl = Duration::ZERO,
            &|new| new.ttl = MAX_TOKEN_TTL + Duration::from_secs(1),
            &|new| new.names.push("10.0.0.5".to_owned()),
            &|new| new.names.push("a b".to_owned()),
            &|new| new.names = vec!["a".to_owned(); MAX_NAMES + 1],
            &|new| new.labels.push("ENV=test".parse().unwrap()),
            &|new| new.labels.push("a b=c".parse().unwrap()),
            &|new| new.labels.push("a=\u{1b}".parse().unwrap()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut new = new();
            change(&mut new);
            let error = admin.add(new, &cluster()).unwrap_err();
            assert!(matches!(error, EnrolmentError::Token(_)), "{number}");
        }
        assert!(audit.names().is_empty());
    }

    #[test]
    fn nodes_are_locked_unlocked_and_removed_by_any_name() {
        let (state, audit) = (own_state(), Audited::default());
        let tokens = TokenAdmin::new(&state, &audit, root());
        let token = tokens.add(new(), &cluster()).unwrap();
        let hash = token_hash(&token.token).unwrap();
        let mut node = node("db1");
        node.names.push("db".to_owned());
        state.nodes().join(&node, &hash, NOW).unwrap();
        let admin = NodeAdmin::new(&state, &audit, root());
        let not_locked = admin.unlock("db1").unwrap_err();
        assert!(matches!(not_locked, EnrolmentError::NotLocked(_)));
        assert_eq!(admin.lock("DB", Some("stolen")).unwrap(), node.id);
        let lock = state.nodes().by_name("db1").unwrap().unwrap().lock.unwrap();
        assert_eq!((lock.by.as_str(), lock.at), ("root", NOW));
        assert_eq!(lock.reason.as_deref(), Some("stolen"));
        admin.unlock("db1").unwrap();
        admin.remove("db").unwrap();
        for result in [
            admin.lock("db1", None),
            admin.unlock("db1"),
            admin.remove("db1"),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, EnrolmentError::NoSuchNode(_)), "{error:?}");
            assert!(error.hint().is_some());
        }
        let names = audit.names();
        assert_eq!(names[1..], ["node.locked", "node.unlocked", "node.removed"]);
    }
}
