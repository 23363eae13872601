//! How sign-ins end before their time, and how it is announced that their users may do other things. Each
//! change gets the next number of one sequence, in the transaction that makes it: changes become visible
//! in the order of their numbers, so that a reader that asks for those after the last number it knows
//! misses none.

use uuid::Uuid;

use super::db::{SqlValue, Transaction, values};
use super::error::StateError;
use crate::ipc::SignInEnd;

/// Which sign-ins are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInsOf {
    /// This one.
    Id(Uuid),
    /// This one, if it is this user's.
    OfUser(Uuid, Uuid),
    /// All of a user.
    User(Uuid),
    /// All of a user, without this one.
    UserExcept(Uuid, Uuid),
    /// Those of a user with the key of this fingerprint.
    UserWithKey(Uuid, String),
    /// Those whose time is over at this moment, in seconds since the epoch.
    Before(u64),
}

/// Ends sign-ins; gives those that have ended.
pub(super) fn end_sign_ins(
    tx: &mut dyn Transaction,
    which: &SignInsOf,
    reason: SignInEnd,
    now: u64,
) -> Result<Vec<Uuid>, StateError> {
    let (condition, row): (_, &[SqlValue]) = match which {
        SignInsOf::Id(id) => ("id = $1", values![*id]),
        SignInsOf::OfUser(user, id) => ("user_id = $1 AND id = $2", values![*user, *id]),
        SignInsOf::User(user) => ("user_id = $1", values![*user]),
        SignInsOf::UserExcept(user, id) => ("user_id = $1 AND id <> $2", values![*user, *id]),
        SignInsOf::UserWithKey(user, fingerprint) => (
            "user_id = $1 AND fingerprint = $2",
            values![*user, fingerprint],
        ),
        SignInsOf::Before(moment) => ("expires <= $1", values![*moment]),
    };
    let sql = format!("DELETE FROM sign_ins WHERE {condition} RETURNING id");
    let rows = tx.query(&sql, row)?;
    let mut ended: Vec<Uuid> = rows
        .iter()
        .map(|row| row.parsed(0))
        .collect::<Result<_, _>>()?;
    // The oldest first: the ids sort by time.
    ended.sort_unstable();
    announce(tx, &ended, reason.name(), now)?;
    Ok(ended)
}

/// What stands in place of a reason where a sign-in goes on, and its user has other roles or logins.
pub(super) const ACCESS_CHANGED: &str = "access-changed";

/// Announces that a user has other roles or logins, for each sign-in of the user.
pub(super) fn announce_access(
    tx: &mut dyn Transaction,
    user: Uuid,
    now: u64,
) -> Result<(), StateError> {
    let sql = "SELECT id FROM sign_ins WHERE user_id = $1 ORDER BY id";
    let rows = tx.query(sql, values![user])?;
    let live: Vec<Uuid> = rows
        .iter()
        .map(|row| row.parsed(0))
        .collect::<Result<_, _>>()?;
    announce(tx, &live, ACCESS_CHANGED, now)
}

fn announce(
    tx: &mut dyn Transaction,
    sign_ins: &[Uuid],
    what: &str,
    now: u64,
) -> Result<(), StateError> {
    if sign_ins.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'sign-in-end' RETURNING value";
    let last = tx.number(sql, values![sign_ins.len()])?;
    let first = last.saturating_sub(sign_ins.len() as u64) + 1;
    let sql = "INSERT INTO sign_in_ends (number, sign_in, reason, at) VALUES ($1, $2, $3, $4)";
    for (id, number) in sign_ins.iter().zip(first..) {
        tx.execute(sql, values![number, *id, what, now])?;
    }
    Ok(())
}
