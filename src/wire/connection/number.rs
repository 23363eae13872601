//! Message numbers of the connection protocol (RFC 4250, 4.1.2).

/// `SSH_MSG_GLOBAL_REQUEST`
pub const GLOBAL_REQUEST: u8 = 80;
/// `SSH_MSG_REQUEST_SUCCESS`
pub const REQUEST_SUCCESS: u8 = 81;
/// `SSH_MSG_REQUEST_FAILURE`
pub const REQUEST_FAILURE: u8 = 82;
/// `SSH_MSG_CHANNEL_OPEN`
pub const CHANNEL_OPEN: u8 = 90;
/// `SSH_MSG_CHANNEL_OPEN_CONFIRMATION`
pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
/// `SSH_MSG_CHANNEL_OPEN_FAILURE`
pub const CHANNEL_OPEN_FAILURE: u8 = 92;
/// `SSH_MSG_CHANNEL_WINDOW_ADJUST`
pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
/// `SSH_MSG_CHANNEL_DATA`
pub const CHANNEL_DATA: u8 = 94;
/// `SSH_MSG_CHANNEL_EXTENDED_DATA`
pub const CHANNEL_EXTENDED_DATA: u8 = 95;
/// `SSH_MSG_CHANNEL_EOF`
pub const CHANNEL_EOF: u8 = 96;
/// `SSH_MSG_CHANNEL_CLOSE`
pub const CHANNEL_CLOSE: u8 = 97;
/// `SSH_MSG_CHANNEL_REQUEST`
pub const CHANNEL_REQUEST: u8 = 98;
/// `SSH_MSG_CHANNEL_SUCCESS`
pub const CHANNEL_SUCCESS: u8 = 99;
/// `SSH_MSG_CHANNEL_FAILURE`
pub const CHANNEL_FAILURE: u8 = 100;
/// Whether a packet is a message of user authentication (numbers 50 to 79). After success the
/// server ignores them (RFC 4252, 5.1): a client may have sent further requests before it has read
/// that the first one was enough.
#[must_use]
pub fn is_authentication(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(50..=79))
}
