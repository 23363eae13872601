//! The state and the audit log, as the commands about people use them.

use super::{Context, Failure, auditing, failure, stored};
use crate::audit::{AuditSink, DeferredLog};
use crate::people::Admin;
use crate::state::State;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// The state and the audit log.
#[derive(Debug)]
pub(super) struct UserAccess {
    state: State,
    audit: Box<dyn AuditSink>,
}

impl UserAccess {
    /// To add a person. Both are open before anything is changed, and are made where there are none.
    pub(super) fn to_add(context: &Context) -> Result<Self, Failure> {
        let state = stored::made(context)?;
        let audit = Box::new(auditing::log(context)?);
        Ok(Self { state, audit })
    }

    /// To change a person who is there. Both are open before anything is changed.
    pub(super) fn to_change(context: &Context, name: &str) -> Result<Self, Failure> {
        let state = stored::existing(context)?.ok_or_else(|| failure::no_such(name))?;
        let audit = Box::new(auditing::log(context)?);
        Ok(Self { state, audit })
    }

    /// To read; `None` if there is no state yet. The audit log is not touched.
    pub(super) fn to_read(context: &Context) -> Result<Option<Self>, Failure> {
        let config = &context.config;
        let log = DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System);
        let state = stored::existing(context)?;
        Ok(state.map(|state| Self {
            state,
            audit: Box::new(log),
        }))
    }

    /// The functions of an administrator, for the account that runs this process.
    pub(super) fn admin(&self) -> Admin<'_> {
        Admin::new(&self.state, &*self.audit, Actor::of_this_process())
    }
}
