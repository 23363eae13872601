//! What users prove themselves with: passwords, one-time codes, recovery codes. The state keeps what it
//! is given; the rules are not here.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Row, Transaction, values};
use super::ends::{SignInsOf, end_sign_ins};
use super::error::StateError;
use super::invitations::{Invitation, put_invitation, spend_invitation};
use super::keys::{RegisteredKey, register_key};
use super::users::{Users, may_sign_in};
use crate::ipc::SignInEnd;

/// The secret for one-time codes (RFC 6238), and how far it has been used.
#[derive(Clone)]
pub struct TotpSecret {
    /// The secret, in base32.
    pub secret: Zeroizing<String>,
    /// The last time step whose code was accepted; 0 if none was.
    pub last_step: u64,
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// A second factor that a user has set up.
#[derive(Clone, Debug)]
pub struct SecondFactor {
    /// The secret for one-time codes.
    pub totp: TotpSecret,
    /// The hashes of the recovery codes.
    pub recovery: Vec<String>,
}

/// What a user has set up with an invitation.
#[derive(Clone)]
pub struct SignUp {
    /// The hash of the invitation, which is spent.
    pub invitation: String,
    /// The password, as a PHC string.
    pub password: Zeroizing<String>,
    /// The second factor; `None` for none.
    pub second_factor: Option<SecondFactor>,
    /// The key that has proved itself. Its user has to be the one who is invited.
    pub key: RegisteredKey,
}

impl std::fmt::Debug for SignUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignUp({})", self.key.user)
    }
}

impl Users<'_> {
    /// Spends an invitation and writes down what the user has set up, in place of what there was: all of
    /// it, or nothing. `false` if the invitation was spent or its time is over, is another user's, or the
    /// user was removed or locked.
    ///
    /// # Errors
    /// [`StateError::KeyTaken`] if another user has registered the key, or those of the database; the
    /// invitation is not spent then.
    pub fn sign_up(&self, sign_up: &SignUp, now: u64) -> Result<bool, StateError> {
        let id = sign_up.key.user;
        let signed_up = self.database.write(|tx| {
            let invited = spend_invitation(tx, &sign_up.invitation, now)?;
            if invited != Some(id) || !may_sign_in(tx, id)? {
                // What was spent is not, with an error.
                return Err(StateError::NoSuchUser);
            }
            put_password(tx, id, &sign_up.password)?;
            put_second_factor(tx, id, sign_up.second_factor.as_ref())?;
            register_key(tx, &sign_up.key)
        });
        match signed_up {
            Ok(()) => Ok(true),
            Err(StateError::NoSuchUser) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a user a password, as a PHC string, and ends the user's sign-ins without `keep`; gives those
    /// that have ended.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`], or those of the database.
    pub fn set_password(
        &self,
        id: Uuid,
        phc: &str,
        keep: Option<Uuid>,
        now: u64,
    ) -> Result<Vec<Uuid>, StateError> {
        let which = keep.map_or(SignInsOf::User(id), |keep| SignInsOf::UserExcept(id, keep));
        self.database.write(|tx| {
            put_password(tx, id, phc)?;
            end_sign_ins(tx, &which, SignInEnd::PasswordChanged, now)
        })
    }

    /// Writes down another hash of the same password, unless the password was changed meanwhile; whether
    /// it was written.
    ///
    /// # Errors
    /// Those of the database.
    pub fn replace_hash(&self, id: Uuid, old: &str, new: &str) -> Result<bool, StateError> {
        let sql = "UPDATE users SET password = $1 WHERE id = $2 AND password = $3";
        let row = values![new, id, old];
        Ok(self.database.write(|tx| tx.execute(sql, row))? == 1)
    }

    /// The hash of a user's password, as a PHC string.
    ///
    /// # Errors
    /// Those of the database.
    pub fn password_hash(&self, id: Uuid) -> Result<Option<Zeroizing<String>>, StateError> {
        let sql = "SELECT password FROM users WHERE id = $1 AND password IS NOT NULL";
        let row = self.database.first(sql, values![id])?;
        row.map(|row| Ok(Zeroizing::new(row.text(0)?.to_owned())))
            .transpose()
    }

    /// Gives a user a second factor in place of the one that there was; `None` takes it away.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`], or those of the database.
    pub fn set_second_factor(
        &self,
        id: Uuid,
        factor: Option<&SecondFactor>,
    ) -> Result<(), StateError> {
        self.database.write(|tx| put_second_factor(tx, id, factor))
    }

    /// A user's secret for one-time codes.
    ///
    /// # Errors
    /// Those of the database.
    pub fn totp(&self, id: Uuid) -> Result<Option<TotpSecret>, StateError> {
        let sql = "SELECT totp, totp_step FROM users WHERE id = $1 AND totp IS NOT NULL";
        let row = self.database.first(sql, values![id])?;
        let read = |row: Row| {
            Ok(TotpSecret {
                secret: Zeroizing::new(row.text(0)?.to_owned()),
                last_step: row.number(1)?,
            })
        };
        row.map(read).transpose()
    }

    /// Spends the code of a time step: `true` once for each step, and never after a later one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn spend_totp_step(&self, id: Uuid, step: u64) -> Result<bool, StateError> {
        let sql = "UPDATE users SET totp_step = $1
                   WHERE id = $2 AND totp IS NOT NULL AND totp_step < $1";
        let row = values![step, id];
        Ok(self.database.write(|tx| tx.execute(sql, row))? == 1)
    }

    /// Spends a recovery code, by its hash: `true` once.
    ///
    /// # Errors
    /// Those of the database.
    pub fn spend_recovery_code(&self, id: Uuid, hash: &str) -> Result<bool, StateError> {
        let sql = "DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2";
        let row = values![id, hash];
        Ok(self.database.write(|tx| tx.execute(sql, row))? == 1)
    }

    /// How many recovery codes a user has left.
    ///
    /// # Errors
    /// Those of the database.
    pub fn recovery_codes_left(&self, id: Uuid) -> Result<u64, StateError> {
        let sql = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1";
        self.database.number(sql, values![id])
    }

    /// Takes password, second factor, registered keys and earlier invitations from the user of an
    /// invitation, ends the user's sign-ins, and writes the invitation down; gives the sign-ins that have
    /// ended.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`], or those of the database.
    pub fn reset(&self, invitation: &Invitation) -> Result<Vec<Uuid>, StateError> {
        let id = invitation.user;
        self.database.write(|tx| {
            let which = SignInsOf::User(id);
            let ended = end_sign_ins(tx, &which, SignInEnd::Reset, invitation.created)?;
            put_second_factor(tx, id, None)?;
            for sql in [
                "UPDATE users SET password = NULL WHERE id = $1",
                "DELETE FROM registered_keys WHERE user_id = $1",
                "DELETE FROM invitations WHERE user_id = $1",
            ] {
                tx.execute(sql, values![id])?;
            }
            put_invitation(tx, invitation)?;
            Ok(ended)
        })
    }
}

fn put_password(tx: &mut dyn Transaction, id: Uuid, phc: &str) -> Result<(), StateError> {
    let sql = "UPDATE users SET password = $1 WHERE id = $2";
    match tx.execute(sql, values![phc, id])? {
        0 => Err(StateError::NoSuchUser),
        _ => Ok(()),
    }
}

fn put_second_factor(
    tx: &mut dyn Transaction,
    id: Uuid,
    factor: Option<&SecondFactor>,
) -> Result<(), StateError> {
    let secret = factor.map(|factor| factor.totp.secret.as_str());
    let last_step = factor.map_or(0, |factor| factor.totp.last_step);
    let sql = "UPDATE users SET totp = $1, totp_step = $2 WHERE id = $3";
    if tx.execute(sql, values![secret, last_step, id])? == 0 {
        return Err(StateError::NoSuchUser);
    }
    tx.execute("DELETE FROM recovery_codes WHERE user_id = $1", values![id])?;
    let sql = "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for hash in factor.into_iter().flat_map(|factor| &factor.recovery) {
        tx.execute(sql, values![id, hash])?;
    }
    Ok(())
}
