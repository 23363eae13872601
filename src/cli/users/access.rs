//! The state and the audit log, as the commands about people use them.

use super::{Context, Failure, auditing, failure, stored};
use crate::audit::{AuditSink, PersonEvent};
use crate::people::Admin;
use crate::state::State;
use crate::sys::account::Actor;

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

    /// To read, which is audited before; `None` if there is no state yet. `how` is the command, and `user`
    /// who is asked for.
    pub(super) fn to_read(
        context: &Context,
        how: &'static str,
        user: Option<&str>,
    ) -> Result<Option<Self>, Failure> {
        let Some(state) = stored::existing(context)? else {
            return Ok(None);
        };
        let event = PersonEvent::UsersRead {
            how,
            user: user.map(str::to_owned),
            actor: Actor::of_this_process(),
        };
        auditing::before(
            context,
            "nothing is read about users: the audit log cannot say who reads it",
            &event.into(),
        )?;
        let audit = Box::new(auditing::log(context)?);
        Ok(Some(Self { state, audit }))
    }

    /// The functions of an administrator, for the account that runs this process.
    pub(super) fn admin(&self) -> Admin<'_> {
        Admin::new(&self.state, &*self.audit, Actor::of_this_process())
    }
}
