//! The state and the audit log, as the commands about nodes and tokens use them.

use crate::audit::{AuditSink, NodeEvent};
use crate::cli::inventory::HostList;
use crate::cli::{Context, Failure, auditing, stored};
use crate::enrolment::{NodeAdmin, TokenAdmin};
use crate::state::{State, StateError};
use crate::sys::account::Actor;

/// The state and the audit log.
#[derive(Debug)]
pub(in crate::cli) struct NodeAccess {
    state: State,
    audit: Box<dyn AuditSink>,
}

impl NodeAccess {
    /// To add a token. Both are open before anything is changed, and are made where there are none.
    pub(in crate::cli) fn to_add(context: &Context) -> Result<Self, Failure> {
        let state = stored::made(context)?;
        let audit = Box::new(auditing::log(context)?);
        Ok(Self { state, audit })
    }

    /// To change what is there; `None` if there is no state yet. Both are open before anything is changed.
    pub(in crate::cli) fn to_change(context: &Context) -> Result<Option<Self>, Failure> {
        let Some(state) = stored::existing(context)? else {
            return Ok(None);
        };
        let audit = Box::new(auditing::log(context)?);
        Ok(Some(Self { state, audit }))
    }

    /// To read, which is audited before; `None` if there is no state yet. `how` is the command, and `name`
    /// the host that is asked for.
    pub(in crate::cli) fn to_read(
        context: &Context,
        how: &'static str,
        name: Option<&str>,
    ) -> Result<Option<Self>, Failure> {
        let Some(state) = stored::existing(context)? else {
            return Ok(None);
        };
        let event = NodeEvent::NodesRead {
            how,
            name: name.map(str::to_owned),
            actor: Actor::of_this_process(),
        };
        auditing::before(
            context,
            "nothing is read about nodes: the audit log cannot say who reads it",
            &event.into(),
        )?;
        let audit = Box::new(auditing::log(context)?);
        Ok(Some(Self { state, audit }))
    }

    /// The hosts of the inventory.
    pub(super) fn hosts(&self, context: &Context) -> Result<HostList, StateError> {
        HostList::of(&context.config, &self.state)
    }

    /// Now, in seconds since the epoch.
    pub(in crate::cli) fn now(&self) -> u64 {
        self.state.now()
    }

    /// What an administrator does about tokens, for the account that runs this process.
    pub(in crate::cli) fn tokens(&self) -> TokenAdmin<'_> {
        TokenAdmin::new(&self.state, &*self.audit, Actor::of_this_process())
    }

    /// What an administrator does about nodes, for the account that runs this process.
    pub(super) fn nodes(&self) -> NodeAdmin<'_> {
        NodeAdmin::new(&self.state, &*self.audit, Actor::of_this_process())
    }
}
