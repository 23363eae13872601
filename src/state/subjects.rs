//! Users whom an identity provider vouches for: the provider and its name for them that never changes
//! are the identity, and name and roles follow what the provider says.

use uuid::Uuid;

use super::db::{as_json, values};
use super::ends::announce_access;
use super::error::StateError;
use super::users::{NewUser, ProviderSubject, User, Users};
use crate::model::UserName;

impl Users<'_> {
    /// The user whom a provider knows under this name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_subject(&self, subject: &ProviderSubject) -> Result<Option<User>, StateError> {
        let condition = "users.issuer = $1 AND users.subject = $2";
        self.find(condition, values![&subject.issuer, &subject.subject])
    }

    /// Adds a user whom a provider has vouched for.
    ///
    /// # Errors
    /// [`StateError::NameTaken`] if a user has the name, or one that differs from it in case alone, or the
    /// provider's user was added meanwhile.
    pub fn add_of_subject(
        &self,
        new: NewUser,
        subject: &ProviderSubject,
    ) -> Result<User, StateError> {
        self.insert(new, Some(subject.clone()))
    }

    /// Gives a user of a provider the roles and, if no other user has it, the name that the provider has
    /// for them, and announces other roles for the user's sign-ins; gives the user as it is then, or
    /// `None` if there is no such user.
    ///
    /// # Errors
    /// Those of the database.
    pub fn follow_provider(
        &self,
        id: Uuid,
        name: Option<&UserName>,
        roles: &[String],
        now: u64,
    ) -> Result<Option<User>, StateError> {
        let roles = as_json(&roles)?;
        self.database.write(|tx| {
            let sql = "SELECT COUNT(*) FROM users WHERE id = $1 AND subject IS NOT NULL";
            if tx.number(sql, values![id])? == 0 {
                return Ok(());
            }
            let sql = "UPDATE users SET roles = $1 WHERE id = $2 AND roles <> $1";
            if tx.execute(sql, values![&roles, id])? == 1 {
                announce_access(tx, id, now)?;
            }
            if let Some(name) = name {
                let sql = "UPDATE users SET name = $1, folded = $2
                           WHERE id = $3
                             AND NOT EXISTS (SELECT 1 FROM users WHERE folded = $2 AND id <> $3)";
                tx.execute(sql, values![name.as_str(), name.folded(), id])?;
            }
            Ok(())
        })?;
        self.of_id(id)
    }
}
