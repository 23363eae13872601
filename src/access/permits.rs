//! The permits that hold for one connection: the configuration's, and what roles make of them.

use std::collections::BTreeMap;

use super::{Permissions, PermitKey, RuleRef};

/// What a connection may carry, and the rules that have decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    permissions: Permissions,
    decided_by: BTreeMap<PermitKey, Vec<RuleRef>>,
}

impl Permits {
    /// What holds where no role says anything else.
    pub(super) fn new(defaults: &Permissions) -> Self {
        Self {
            permissions: defaults.clone(),
            decided_by: BTreeMap::new(),
        }
    }

    /// A role says something about a key. The first takes the place of the configuration's value;
    /// each further one restricts it.
    pub(super) fn state(&mut self, key: PermitKey, values: &Permissions, by: RuleRef) {
        let cited = self.decided_by.entry(key).or_default();
        let value = match cited.is_empty() {
            true => values.clone(),
            false => restricted(&self.permissions, values),
        };
        cited.push(by);
        take(&mut self.permissions, key, value);
    }

    /// What both allow, where a connection is about two places.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.permissions = restricted(&self.permissions, &other.permissions);
        for (key, cited) in other.decided_by {
            let own = self.decided_by.entry(key).or_default();
            for one in cited {
                if !own.contains(&one) {
                    own.push(one);
                }
            }
        }
        self
    }

    /// What the connection may carry.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The roles that have decided about a key; none where it is the configuration's own.
    #[must_use]
    pub fn decided_by(&self, key: PermitKey) -> &[RuleRef] {
        self.decided_by.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// What both allow.
fn restricted(one: &Permissions, other: &Permissions) -> Permissions {
    Permissions {
        port_forwarding: one.port_forwarding.and(other.port_forwarding),
        permit_open: one.permit_open.and(&other.permit_open),
        permit_listen: one.permit_listen.and(&other.permit_listen),
        x11: one.x11 && other.x11,
        agent: one.agent && other.agent,
        streamlocal: one.streamlocal.and(other.streamlocal),
        nested_ssh: one.nested_ssh && other.nested_ssh,
        accept_env: one.accept_env.and(&other.accept_env),
        max_sessions: one.max_sessions.min(other.max_sessions),
    }
}

/// Puts one key's value in force.
fn take(permissions: &mut Permissions, key: PermitKey, value: Permissions) {
    match key {
        PermitKey::PortForwarding => permissions.port_forwarding = value.port_forwarding,
        PermitKey::PermitOpen => permissions.permit_open = value.permit_open,
        PermitKey::PermitListen => permissions.permit_listen = value.permit_listen,
        PermitKey::X11 => permissions.x11 = value.x11,
        PermitKey::Agent => permissions.agent = value.agent,
        PermitKey::Streamlocal => permissions.streamlocal = value.streamlocal,
        PermitKey::NestedSsh => permissions.nested_ssh = value.nested_ssh,
        PermitKey::AcceptEnv => permissions.accept_env = value.accept_env,
        PermitKey::MaxSessions => permissions.max_sessions = value.max_sessions,
    }
}
