//! Why the state could not be read or changed.

use thiserror::Error;

use crate::sys::fs::FsError;

/// Why the state could not be read or changed. `place` names the database, without its password.
#[derive(Debug, Error)]
pub enum StateError {
    /// The address of a database cannot be used.
    #[error("the address of the state cannot be used: {0}")]
    Address(String),
    /// There is no database, and none is to be made.
    #[error("there is no state at {place}: the proxy makes it when it starts")]
    Missing {
        /// The database.
        place: String,
    },
    /// A file of the database cannot be made or is open to others.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The database is another program's, or damaged.
    #[error(
        "the state at {place} is damaged or no state: {reason}; restore a backup with \
         `rproxy state restore`"
    )]
    Damaged {
        /// The database.
        place: String,
        /// What the database says.
        reason: String,
    },
    /// A later version of rproxy has changed the schema.
    #[error(
        "the state at {place} has schema {found}, and this version of rproxy ({}) knows schemas up \
         to {known}: use {reader}",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The database.
        place: String,
        /// The version of its schema.
        found: u64,
        /// The version that this program has.
        known: u64,
        /// Which program can read it.
        reader: String,
    },
    /// The proxy has not brought the schema to the version that this program uses.
    #[error(
        "the state at {place} has schema {found}, and this version of rproxy needs schema {known}: the \
         proxy brings it there when it starts"
    )]
    Older {
        /// The database.
        place: String,
        /// The version of its schema.
        found: u64,
        /// The version that this program has.
        known: u64,
    },
    /// The database may not be written.
    #[error(
        "the state at {place} cannot be written: {reason}; check who owns it, and whether its file \
         system is mounted read-only"
    )]
    ReadOnly {
        /// The database.
        place: String,
        /// What the database says.
        reason: String,
    },
    /// There is no room for the change.
    #[error("there is no room for the state at {place}: {reason}; make room on its disk")]
    Full {
        /// The database.
        place: String,
        /// What the database says.
        reason: String,
    },
    /// The disk has failed, or a limit of the process or its account was reached.
    #[error(
        "the state at {place} cannot be read or written: {reason}; look at its disk, and at the \
         limits of files (quota, RLIMIT_FSIZE)"
    )]
    Disk {
        /// The database.
        place: String,
        /// What the database says.
        reason: String,
    },
    /// Other processes or threads use the database for longer than a change may wait.
    #[error("the state at {place} is busy: {reason}; try again")]
    Busy {
        /// The database.
        place: String,
        /// What was waited for.
        reason: String,
    },
    /// There is no connection to the database.
    #[error("the state at {place} cannot be reached: {reason}")]
    Unreachable {
        /// The database.
        place: String,
        /// What the operating system or the database says.
        reason: String,
    },
    /// The connection was lost while a change was confirmed: it may have been made or not.
    #[error(
        "the connection to the state at {place} was lost while a change was confirmed: {reason}; \
         look whether it was made before you try again"
    )]
    Unconfirmed {
        /// The database.
        place: String,
        /// What the operating system or the database says.
        reason: String,
    },
    /// The database would lose what it has confirmed.
    #[error(
        "the state at {place} has {setting}: it could lose what it has confirmed; change the setting \
         for rproxy's role with ALTER ROLE"
    )]
    Unsafe {
        /// The database.
        place: String,
        /// The setting and its value.
        setting: String,
    },
    /// The database refuses a statement for another reason.
    #[error("the state at {place} refuses: {reason}")]
    Refused {
        /// The database.
        place: String,
        /// What the database says.
        reason: String,
    },
    /// A row does not have what it should.
    #[error("a row of the state cannot be read: column {column} of {columns}")]
    Unreadable {
        /// How many columns were asked for.
        columns: usize,
        /// Which of them it is, from one.
        column: usize,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written to the state: {0}")]
    Json(serde_json::Error),
    /// Another user has the name, or one that differs from it in case alone.
    #[error("there is a user {0} already")]
    NameTaken(String),
    /// The user was removed.
    #[error("there is no such user any more")]
    NoSuchUser,
    /// The node was removed.
    #[error("there is no such node any more")]
    NoSuchNode,
    /// Another user has registered the key.
    #[error("the key {0} is registered for another user")]
    KeyTaken(String),
    /// What is to be filled has something already.
    #[error("the state at {place} is not empty: table {table} has rows")]
    NotEmpty {
        /// The database.
        place: String,
        /// The first table with rows.
        table: &'static str,
    },
}

impl StateError {
    /// Whether the database could not be used. Otherwise it has answered, and the answer is a refusal, as
    /// of a name that is taken.
    #[must_use]
    pub fn is_of_database(&self) -> bool {
        !matches!(
            self,
            Self::NameTaken(_)
                | Self::NoSuchUser
                | Self::NoSuchNode
                | Self::KeyTaken(_)
                | Self::NotEmpty { .. }
                | Self::Older { .. }
                | Self::Newer { .. }
                | Self::Missing { .. }
        )
    }

    /// Whether the same may work later, without a change by the operator: the database was busy or could
    /// not be reached.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. })
    }
}
