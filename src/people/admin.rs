//! What administrators do about people, on the command line.

use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::invitation::{invitation_hash, new_invitation};
use crate::audit::{AuditError, AuditSink, PersonEvent, UnixSeconds};
use crate::ipc::SignInEnd;
use crate::model::{Login, UserName};
use crate::state::{Invitation, Lock, NewUser, RegisteredKey, SignIn, State, StateError, User};
use crate::sys::account::Actor;

/// Why nothing was done, or not all of it.
#[derive(Debug, Error)]
pub enum AdminError {
    /// There is no such person.
    #[error("there is no user {0}")]
    NoSuchUser(String),
    /// There is one of this name, or one that differs in case alone.
    #[error("there is a user {0} already")]
    NameTaken(UserName),
    /// The person is not locked.
    #[error("the user {0} is not locked")]
    NotLocked(UserName),
    /// The identity provider says which roles the person has.
    #[error("the roles of {0} come from the identity provider, and are set again at each sign-in")]
    RolesOfProvider(UserName),
    /// The person has no password here.
    #[error("the user {0} signs in at the identity provider, and has no password to reset")]
    OfProvider(UserName),
    /// The state could not be read or changed.
    #[error(transparent)]
    State(StateError),
    /// It was done, and could not be written to the audit log.
    #[error("it is done, and the audit log could not be written")]
    Audit(#[from] AuditError),
}

impl From<StateError> for AdminError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl AdminError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchUser(_) => Some("list the users: rproxy users ls"),
            Self::NameTaken(_) => {
                Some("for a new invitation: rproxy users reset NAME; or choose another name")
            }
            Self::RolesOfProvider(_) => Some(
                "change the groups of this person at the provider, or claims_to_roles in the \
                 configuration",
            ),
            Self::OfProvider(_) => Some(
                "`rproxy users lock NAME` keeps the person out; `rproxy users rm NAME` takes the keys, and the \
                 person is a new user at the next sign-in",
            ),
            Self::NotLocked(_) | Self::State(_) | Self::Audit(_) => None,
        }
    }
}

/// A person who is to be added.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// The name.
    pub name: UserName,
    /// The roles, by their names in the configuration. Whether they exist is for the caller.
    pub roles: Vec<String>,
    /// The logins; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
}

/// What of a person's access is to change.
#[derive(Clone, Debug, Default)]
pub struct AccessChange {
    /// The roles, by their names in the configuration. Whether they exist is for the caller.
    pub roles: Option<Vec<String>>,
    /// The logins; within, `None` for all that the roles allow.
    pub logins: Option<Option<Vec<Login>>>,
}

/// An invitation, to be given to the person. It is shown once: the state has only its hash.
pub struct NewInvitation {
    /// The person.
    pub user: User,
    /// What the person types.
    pub invitation: Zeroizing<String>,
    /// The first second in which it is of no use any more, since the epoch.
    pub expires: u64,
}

impl std::fmt::Debug for NewInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewInvitation")
            .field("user", &self.user)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Everything about a person that is no secret.
#[derive(Clone, Debug)]
pub struct PersonDetails {
    /// The person.
    pub user: User,
    /// The registered keys.
    pub keys: Vec<RegisteredKey>,
    /// The sign-ins that are in force.
    pub sign_ins: Vec<SignIn>,
    /// When the invitations expire that can still be used, in seconds since the epoch.
    pub invitations: Vec<u64>,
    /// How many recovery codes are left.
    pub recovery_codes: u64,
}

/// The administrator's functions. Each change is audited when it returns.
#[derive(Clone, Debug)]
pub struct Admin<'a> {
    state: &'a State,
    audit: &'a dyn AuditSink,
    actor: Actor,
}

impl<'a> Admin<'a> {
    /// Works on this state in the name of `actor`.
    #[must_use]
    pub fn new(state: &'a State, audit: &'a dyn AuditSink, actor: Actor) -> Self {
        Self {
            state,
            audit,
            actor,
        }
    }

    /// Adds a person, who can sign up with the invitation for `ttl`.
    ///
    /// # Errors
    /// [`AdminError::NameTaken`], or when the state or the audit log cannot be written.
    pub fn add(&self, new: NewPerson, ttl: Duration) -> Result<NewInvitation, AdminError> {
        let name = new.name.clone();
        let new = NewUser {
            name: new.name,
            roles: new.roles,
            logins: new.logins,
            created: self.state.now(),
        };
        let user = self.state.users().add(new).map_err(|error| match error {
            StateError::NameTaken(_) => AdminError::NameTaken(name),
            other => AdminError::State(other),
        })?;
        self.emit(PersonEvent::UserAdded {
            user: user.name.to_string(),
            roles: user.roles.clone(),
            logins: names(user.logins.as_deref()),
            actor: self.actor.clone(),
        })?;
        let (text, invitation) = self.new_invitation(&user, ttl);
        let put = self.state.invitations().put(&invitation);
        put.map_err(|error| gone(error, &user))?;
        self.invited(user, text, &invitation)
    }

    /// Gives a person other roles, other logins, or both; what is not given stays. Live connections are
    /// judged again.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], [`AdminError::RolesOfProvider`], or when the state or the audit log cannot be written.
    pub fn set_access(&self, name: &str, change: AccessChange) -> Result<User, AdminError> {
        let mut user = self.find(name)?;
        if change.roles.is_some() && user.provider.is_some() {
            return Err(AdminError::RolesOfProvider(user.name));
        }
        user.roles = change.roles.unwrap_or(user.roles);
        user.logins = change.logins.unwrap_or(user.logins);
        let (users, now) = (self.state.users(), self.state.now());
        if !users.set_access(user.id, &user.roles, user.logins.as_deref(), now)? {
            return Err(AdminError::NoSuchUser(user.name.to_string()));
        }
        self.emit(PersonEvent::UserChanged {
            user: user.name.to_string(),
            roles: user.roles.clone(),
            logins: names(user.logins.as_deref()),
            actor: self.actor.clone(),
        })?;
        Ok(user)
    }

    /// All people, by their names.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn list(&self) -> Result<Vec<User>, AdminError> {
        Ok(self.state.users().list()?)
    }

    /// The people whose names come after this one, at most `limit`, and whether there are more. They are
    /// not counted: that would take longer the more people there are.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn page(&self, after: &str, limit: usize) -> Result<(Vec<User>, bool), AdminError> {
        let mut users = self.state.users().page(after, limit.saturating_add(1))?;
        let has_more = users.len() > limit;
        users.truncate(limit);
        Ok((users, has_more))
    }

    /// Everything about a person.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], or when the state cannot be read.
    pub fn show(&self, name: &str) -> Result<PersonDetails, AdminError> {
        let user = self.find(name)?;
        let now = self.state.now();
        let invitations = self.state.invitations().of_user(user.id)?.into_iter();
        Ok(PersonDetails {
            keys: self.state.keys().of_user(user.id)?,
            sign_ins: self.state.sign_ins().of_user(user.id, now)?,
            invitations: invitations
                .map(|invitation| invitation.expires)
                .filter(|expires| *expires > now)
                .collect(),
            recovery_codes: self.state.users().recovery_codes_left(user.id)?,
            user,
        })
    }

    /// Locks a person out; gives how many sign-ins have ended. A locked person gets the new reason.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], or when the state or the audit log cannot be written.
    pub fn lock(&self, name: &str, reason: Option<&str>) -> Result<usize, AdminError> {
        let user = self.find(name)?;
        let lock = Lock {
            since: self.state.now(),
            reason: reason.unwrap_or_default().to_owned(),
            by: self.actor.person().to_owned(),
        };
        let ended = self.state.users().set_locked(user.id, &lock);
        let ended = ended.map_err(|error| gone(error, &user))?;
        self.emit(PersonEvent::UserLocked {
            user: user.name.to_string(),
            message: reason.map(str::to_owned),
            actor: self.actor.clone(),
        })?;
        self.audit_ends(&user, &ended, SignInEnd::Locked)
    }

    /// Lets a person in again.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], [`AdminError::NotLocked`], or when the state or the audit log cannot
    /// be written.
    pub fn unlock(&self, name: &str) -> Result<(), AdminError> {
        let user = self.find(name)?;
        if !self.state.users().unlock(user.id)? {
            return Err(AdminError::NotLocked(user.name));
        }
        self.emit(PersonEvent::UserUnlocked {
            user: user.name.to_string(),
            actor: self.actor.clone(),
        })
    }

    /// Takes password, second factor and keys from a person, ends the person's sign-ins, and gives a new
    /// invitation. Earlier invitations are of no use any more.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], [`AdminError::OfProvider`], or when the state or the audit log cannot be
    /// written.
    pub fn reset(&self, name: &str, ttl: Duration) -> Result<NewInvitation, AdminError> {
        let user = self.find(name)?;
        if user.provider.is_some() {
            return Err(AdminError::OfProvider(user.name));
        }
        let (text, invitation) = self.new_invitation(&user, ttl);
        let ended = self.state.users().reset(&invitation);
        let ended = ended.map_err(|error| gone(error, &user))?;
        self.emit(PersonEvent::UserReset {
            user: user.name.to_string(),
            actor: self.actor.clone(),
        })?;
        self.audit_ends(&user, &ended, SignInEnd::Reset)?;
        self.invited(user, text, &invitation)
    }

    /// Removes a person; gives how many sign-ins have ended.
    ///
    /// # Errors
    /// [`AdminError::NoSuchUser`], or when the state or the audit log cannot be written.
    pub fn remove(&self, name: &str) -> Result<usize, AdminError> {
        let user = self.find(name)?;
        let ended = self.state.users().remove(user.id, self.state.now());
        let ended = ended.map_err(|error| gone(error, &user))?;
        self.emit(PersonEvent::UserRemoved {
            user: user.name.to_string(),
            actor: self.actor.clone(),
        })?;
        self.audit_ends(&user, &ended, SignInEnd::Removed)
    }

    fn find(&self, name: &str) -> Result<User, AdminError> {
        let found = self.state.users().get(name)?;
        found.ok_or_else(|| AdminError::NoSuchUser(name.to_owned()))
    }

    /// A new invitation: its text for the person, and what the state keeps of it.
    fn new_invitation(&self, user: &User, ttl: Duration) -> (Zeroizing<String>, Invitation) {
        let text = new_invitation();
        let now = self.state.now();
        let invitation = Invitation {
            user: user.id,
            // A code that was made here always has a hash.
            hash: invitation_hash(&text).unwrap_or_default(),
            created: now,
            expires: now.saturating_add(ttl.as_secs()),
        };
        (text, invitation)
    }

    /// Writes down that an invitation was made.
    fn invited(
        &self,
        user: User,
        text: Zeroizing<String>,
        invitation: &Invitation,
    ) -> Result<NewInvitation, AdminError> {
        let expires = invitation.expires;
        self.emit(PersonEvent::InvitationCreated {
            user: user.name.to_string(),
            expires: UnixSeconds(expires),
            actor: self.actor.clone(),
        })?;
        Ok(NewInvitation {
            user,
            invitation: text,
            expires,
        })
    }

    fn audit_ends(
        &self,
        user: &User,
        ended: &[Uuid],
        reason: SignInEnd,
    ) -> Result<usize, AdminError> {
        for sign_in in ended {
            self.emit(PersonEvent::SignInEnded {
                user: user.name.to_string(),
                sign_in: *sign_in,
                reason: reason.name(),
                client_addr: None,
                connection: None,
                actor: Some(self.actor.clone()),
            })?;
        }
        Ok(ended.len())
    }

    fn emit(&self, event: PersonEvent) -> Result<(), AdminError> {
        Ok(self.audit.emit(&event.into())?)
    }
}

fn names(logins: Option<&[Login]>) -> Option<Vec<String>> {
    logins.map(|logins| logins.iter().map(ToString::to_string).collect())
}

/// The person was removed meanwhile.
fn gone(error: StateError, user: &User) -> AdminError {
    match error {
        StateError::NoSuchUser => AdminError::NoSuchUser(user.name.to_string()),
        other => AdminError::State(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::Audited;
    use crate::ipc::{SignInNews, UserAccess};
    use crate::state::NewSignIn;
    use crate::state::testing::{NOW, own_state};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn new(name: &str) -> NewPerson {
        NewPerson {
            name: name.parse().unwrap(),
            roles: vec!["dba".to_owned()],
            logins: Some(vec!["postgres".parse().unwrap()]),
        }
    }

    fn root() -> Actor {
        Actor::new("root".to_owned(), 0, Some("carol"))
    }

    /// Registers a key for the person and signs in with it.
    fn sign_in(state: &State, user: &User) {
        let fingerprint = format!("SHA256:{}", user.name);
        state
            .keys()
            .register(&RegisteredKey {
                user: user.id,
                fingerprint: fingerprint.clone(),
                line: "ssh-ed25519 AAAA".to_owned(),
                comment: String::new(),
                registered: NOW,
                used: None,
            })
            .unwrap();
        let new = NewSignIn {
            user: user.id,
            fingerprint,
            client: "203.0.113.7".to_owned(),
            started: NOW,
            until: NOW + 60,
        };
        state.sign_ins().begin(&new).unwrap().unwrap();
    }

    #[test]
    fn a_person_is_added_with_an_invitation_that_the_state_has_as_a_hash() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = Admin::new(&state, &audit, root());
        let added = admin.add(new("alice"), HOUR).unwrap();
        assert_eq!(added.expires, NOW + 3_600);
        let shown = admin.show("ALICE").unwrap();
        assert_eq!(shown.user, added.user);
        assert_eq!(shown.invitations, [NOW + 3_600]);
        assert!(shown.keys.is_empty() && shown.sign_ins.is_empty());
        let hash = invitation_hash(&added.invitation).unwrap();
        let found = state.invitations().find(&hash, NOW + 3_599).unwrap();
        assert_eq!(found.unwrap().user, added.user.id);
        assert!(
            state
                .invitations()
                .find(&hash, NOW + 3_600)
                .unwrap()
                .is_none()
        );
        assert_eq!(audit.names(), ["user.added", "invitation.created"]);
        let told = format!("{:?}{added:?}", audit.0.lock().unwrap());
        assert!(!told.contains(&*added.invitation) && !told.contains(&hash));
        let taken = admin.add(new("Alice"), HOUR).unwrap_err();
        assert!(matches!(taken, AdminError::NameTaken(_)), "{taken:?}");
        assert_eq!(admin.list().unwrap().len(), 1);
    }

    #[test]
    fn a_lock_ends_the_sign_ins_and_can_be_lifted() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = Admin::new(&state, &audit, root());
        let user = admin.add(new("alice"), HOUR).unwrap().user;
        sign_in(&state, &user);
        assert_eq!(admin.lock("alice", Some("on leave")).unwrap(), 1);
        let lock = admin.show("alice").unwrap().user.locked.unwrap();
        assert_eq!(
            (lock.reason.as_str(), lock.by.as_str()),
            ("on leave", "carol")
        );
        assert_eq!(admin.lock("alice", None).unwrap(), 0);
        admin.unlock("alice").unwrap();
        let again = admin.unlock("alice").unwrap_err();
        assert!(matches!(again, AdminError::NotLocked(_)), "{again:?}");
        let names = audit.names();
        let expected = [
            "user.locked",
            "sign_in.ended",
            "user.locked",
            "user.unlocked",
        ];
        assert_eq!(names[2..], expected);
    }

    #[test]
    fn roles_and_logins_change_apart_and_sign_ins_go_on() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = Admin::new(&state, &audit, root());
        let user = admin.add(new("alice"), HOUR).unwrap().user;
        sign_in(&state, &user);
        let roles = AccessChange {
            roles: Some(vec!["web".to_owned()]),
            logins: None,
        };
        let changed = admin.set_access("ALICE", roles).unwrap();
        assert_eq!(
            (&*changed.roles, &changed.logins),
            (&["web".to_owned()][..], &user.logins)
        );
        let all = AccessChange {
            roles: None,
            logins: Some(None),
        };
        admin.set_access("alice", all).unwrap();
        let shown = admin.show("alice").unwrap();
        assert_eq!(
            (shown.user.roles, shown.user.logins),
            (vec!["web".to_owned()], None)
        );
        assert_eq!(shown.sign_ins.len(), 1);
        assert_eq!(audit.names()[2..], ["user.changed", "user.changed"]);
        let announced = state.sign_ins().since(0, 10).unwrap();
        let access = UserAccess {
            roles: vec!["web".to_owned()],
            logins: None,
        };
        let news: Vec<_> = announced.into_iter().map(|change| change.what).collect();
        // Each tells how it is now.
        assert_eq!(
            news,
            [
                SignInNews::Access(access.clone()),
                SignInNews::Access(access)
            ]
        );
        admin.lock("alice", None).unwrap();
        let announced = state.sign_ins().since(0, 10).unwrap();
        assert_eq!(
            announced.len(),
            1,
            "what may be done without a sign-in is of no interest"
        );
        let nobody = admin
            .set_access("bob", AccessChange::default())
            .unwrap_err();
        assert!(matches!(nobody, AdminError::NoSuchUser(_)), "{nobody:?}");
    }

    #[test]
    fn a_reset_takes_everything_and_gives_another_invitation() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = Admin::new(&state, &audit, root());
        let first = admin.add(new("alice"), HOUR).unwrap();
        sign_in(&state, &first.user);
        let second = admin.reset("alice", HOUR).unwrap();
        let find = |invitation: &str| {
            let hash = invitation_hash(invitation).unwrap();
            state.invitations().find(&hash, NOW).unwrap()
        };
        assert!(find(&first.invitation).is_none());
        assert!(find(&second.invitation).is_some());
        let shown = admin.show("alice").unwrap();
        assert!(shown.keys.is_empty() && shown.sign_ins.is_empty());
        assert_eq!(
            audit.names()[2..],
            ["user.reset", "sign_in.ended", "invitation.created"]
        );
    }

    #[test]
    fn who_is_removed_is_gone() {
        let (state, audit) = (own_state(), Audited::default());
        let admin = Admin::new(&state, &audit, root());
        let user = admin.add(new("alice"), HOUR).unwrap().user;
        sign_in(&state, &user);
        assert_eq!(admin.remove("alice").unwrap(), 1);
        assert_eq!(audit.names()[2..], ["user.removed", "sign_in.ended"]);
        for result in [
            admin.show("alice").map(drop),
            admin.lock("alice", None).map(drop),
            admin.unlock("alice"),
            admin.reset("alice", HOUR).map(drop),
            admin.remove("alice").map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, AdminError::NoSuchUser(_)), "{error:?}");
        }
    }
}
