//! Which user it is whom the identity provider has vouched for. The provider and its subject are the
//! identity; name and roles follow what it says.

use super::context::{Context, Unavailable};
use super::conversation::{Conversation, Named};
use super::refusal::Refused;
use crate::audit::PersonEvent;
use crate::model::UserName;
use crate::state::{NewUser, StateError, User, VouchedSubject};

/// Whose sign-in it would be.
#[derive(Debug)]
pub(super) enum Candidate {
    /// A user of the provider who was here before, and the name that the provider has for them now, if
    /// it can be a user's.
    Known(Box<User>, Option<UserName>),
    /// One who was not.
    New(UserName),
}

/// Whether the person may sign in, as far as that can be told without knowing their key. Nothing is
/// changed.
pub(super) fn candidate(
    context: &Context,
    vouched: &VouchedSubject,
) -> Result<Result<Candidate, Refused>, Unavailable> {
    let users = context.state.users();
    if let Some(user) = users.of_subject(&vouched.subject)? {
        if user.locked.is_some() {
            return Ok(Err(Refused::locked()));
        }
        if vouched.roles.is_empty() {
            return Ok(Err(Refused::no_role(&user.name)));
        }
        if has_configured_roles(context, &user.name) {
            return Ok(Err(Refused::name_taken(&user.name)));
        }
        let name = vouched.name.parse().ok();
        let name = name.filter(|name| !has_configured_roles(context, name));
        return Ok(Ok(Candidate::Known(Box::new(user), name)));
    }
    let name: UserName = match vouched.name.parse() {
        Ok(name) => name,
        Err(why) => return Ok(Err(Refused::unfit_name(why))),
    };
    if vouched.roles.is_empty() {
        return Ok(Err(Refused::no_role(&name)));
    }
    let is_taken = users.get(name.as_str())?.is_some() || has_configured_roles(context, &name);
    Ok(match is_taken {
        true => Err(Refused::name_taken(&name)),
        false => Ok(Candidate::New(name)),
    })
}

/// Whether the configuration gives roles to a name: they are another's, because a name that the provider
/// has for a person proves nothing here.
fn has_configured_roles(context: &Context, name: &UserName) -> bool {
    context.settings().policy.has_roles_for(name.as_str())
}

/// The user whom the provider has vouched for, who is added if they are new, and has the name and the
/// roles that the provider gives. A key that has proved itself has to be theirs, or new.
pub(super) fn settle(
    context: &Context,
    conversation: &Conversation,
    vouched: &VouchedSubject,
) -> Result<Result<Named, Refused>, Unavailable> {
    let candidate = match candidate(context, vouched)? {
        Ok(candidate) => candidate,
        Err(refused) => return Ok(Err(refused)),
    };
    let id = match &candidate {
        Candidate::Known(user, _) => Some(user.id),
        Candidate::New(_) => None,
    };
    if let Some((_, holder)) = conversation.registered()
        && Some(holder.id) != id
    {
        return Ok(Err(Refused::other_account(&holder.name)));
    }
    let user = match candidate {
        Candidate::Known(user, name) => follow(context, conversation, &user, name, vouched)?,
        Candidate::New(name) => add(context, conversation, name, vouched)?,
    };
    Ok(user.map(|user| Named {
        id: user.id,
        name: user.name,
    }))
}

/// Gives a user the roles and the name that the provider has for them.
fn follow(
    context: &Context,
    conversation: &Conversation,
    user: &User,
    name: Option<UserName>,
    vouched: &VouchedSubject,
) -> Result<Result<User, Refused>, Unavailable> {
    let name = name.filter(|name| *name != user.name);
    if name.is_none() && user.roles == vouched.roles {
        return Ok(Ok(user.clone()));
    }
    let users = context.state.users();
    let followed = users.follow_provider(user.id, name.as_ref(), &vouched.roles, context.now())?;
    let Some(followed) = followed else {
        return Ok(Err(Refused::locked()));
    };
    if followed != *user {
        audit(context, conversation, &followed, Some(&user.name), vouched)?;
    }
    Ok(Ok(followed))
}

/// Adds a user.
fn add(
    context: &Context,
    conversation: &Conversation,
    name: UserName,
    vouched: &VouchedSubject,
) -> Result<Result<User, Refused>, Unavailable> {
    let users = context.state.users();
    let new = NewUser {
        name: name.clone(),
        roles: vouched.roles.clone(),
        logins: None,
        created: context.now(),
    };
    match users.add_of_subject(new, &vouched.subject) {
        Ok(user) => {
            audit(context, conversation, &user, None, vouched)?;
            Ok(Ok(user))
        }
        // On another connection, at the same time.
        Err(StateError::NameTaken(_)) => {
            let found = users.of_subject(&vouched.subject)?;
            Ok(found.ok_or_else(|| Refused::name_taken(&name)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes down what the provider has made of a user.
fn audit(
    context: &Context,
    conversation: &Conversation,
    user: &User,
    previous: Option<&UserName>,
    vouched: &VouchedSubject,
) -> Result<(), Unavailable> {
    context.audit(PersonEvent::UserProvided {
        user: user.name.to_string(),
        previous_user: previous.map(ToString::to_string),
        roles: user.roles.clone(),
        issuer: vouched.subject.issuer.clone(),
        subject: vouched.subject.subject.clone(),
        client_addr: conversation.client,
        connection: conversation.connection,
    })
}
