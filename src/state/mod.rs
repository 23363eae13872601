//! The state: users and their credentials, sign-ins, nodes, the ledger and the revocations, in SQLite or
//! PostgreSQL.
//!
//! Invariants:
//! - what a call has confirmed is on the disk, and stays there also after a loss of power, as far as the
//!   database keeps its word;
//! - what may be used once or so many times (an invitation, a code, a browser's way back, a token) is
//!   spent by one statement that compares and sets, so that it is not used more often by several processes
//!   and machines;
//! - the end of a sign-in is written in the transaction that causes it, and gets the next number of one
//!   sequence; so does each change of a node that others have to know;
//! - secrets are given out only where they are asked for by their name, and no `Debug` shows them.
//!
//! SQL is in this room alone, and each statement is one text for both databases. The schema is in
//! `migrations/`, whose files never change once they have landed.

mod attempts;
mod authorizations;
mod copying;
mod credentials;
mod db;
mod ends;
mod error;
mod handle;
mod invitations;
mod issued;
mod keys;
mod meta;
mod node_changes;
mod node_rows;
mod nodes;
mod place;
mod proxies;
mod records;
#[cfg(test)]
mod records_tests;
mod revocations;
mod schema;
mod sign_ins;
mod subjects;
mod taking_over;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod tunnels;
mod users;

pub use attempts::{AttemptsOf, FailedAttempt, FailedAttempts, Failures};
pub use authorizations::{
    AuthorizationLimits, AuthorizationProgress, Authorizations, NewAuthorization,
    PendingAuthorization, VouchedSubject,
};
pub use credentials::{SecondFactor, SignUp, TotpSecret};
pub use ends::SignInsOf;
pub use error::StateError;
pub use handle::{State, StateServer, StateStatus};
pub use invitations::{Invitation, Invitations};
pub use issued::{LedgerFilter, LedgerRows, PageEnd};
pub use keys::{RegisteredKey, RegisteredKeys};
pub use meta::Meta;
pub use node_changes::NodeChange;
pub use node_rows::{Heartbeat, JoinedNode, NODE_OFFLINE_AFTER, NodeCertificate, NodeLock};
pub use nodes::{Joining, NodeCounts, NodeSummary, Nodes};
pub use place::{StatePlace, check_address};
pub use proxies::{Proxies, ProxyRow};
pub use records::{records, records_in};
pub use revocations::{RevocationRow, RevocationRows};
pub use sign_ins::{MAX_BROWSER_SESSIONS, NewBrowserSession, NewSignIn, SignIn, SignIns};
pub use tokens::{Token, Tokens};
pub use tunnels::OpenTunnel;
pub use users::{Lock, NewUser, ProviderSubject, User, Users};
