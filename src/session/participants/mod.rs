//! People who have joined a live session: what they see, what they type, and who is there.
//!
//! An [`Audience`] belongs to the recorded session, on the connection's task; a [`Participation`]
//! belongs to the participant's program, on another one. What they share is in [`queue`], which is
//! bounded in both directions: a participant who does not read misses output and gets the whole screen
//! again, and one who types faster than the host reads waits. The session waits for nobody.
//!
//! Nothing reaches a participant before the recording has it, and nothing that a participant types
//! reaches the host before the recording has it.

mod attending;
mod audience;
mod queue;
mod request;
#[cfg(test)]
mod tests;

pub use attending::{ClientNotice, Keystrokes};
pub(super) use audience::Audience;
pub use queue::{Participation, ViewPiece};
pub(super) use request::JoinSender;
pub use request::{JoinRefusal, JoinRequest, Joiner, ParticipantRow};
