//! Message numbers of the transport layer (RFC 4253 section 12, RFC 8308, OpenSSH's PROTOCOL).

/// Largest packet length field, either way, as in OpenSSH.
pub const MAX_PACKET: usize = 256 * 1024;

/// `SSH_MSG_DISCONNECT`.
pub const DISCONNECT: u8 = 1;
/// `SSH_MSG_IGNORE`.
pub const IGNORE: u8 = 2;
/// `SSH_MSG_UNIMPLEMENTED`.
pub const UNIMPLEMENTED: u8 = 3;
/// `SSH_MSG_DEBUG`.
pub const DEBUG: u8 = 4;
/// `SSH_MSG_SERVICE_REQUEST`; handed up.
pub const SERVICE_REQUEST: u8 = 5;
/// `SSH_MSG_SERVICE_ACCEPT`; handed up.
pub const SERVICE_ACCEPT: u8 = 6;
/// `SSH_MSG_EXT_INFO` (RFC 8308 section 2.3).
pub const EXT_INFO: u8 = 7;
/// `SSH_MSG_KEXINIT`.
pub const KEXINIT: u8 = 20;
/// `SSH_MSG_NEWKEYS`.
pub const NEWKEYS: u8 = 21;
/// `SSH_MSG_KEXDH_INIT`, `SSH_MSG_KEX_ECDH_INIT`, `SSH_MSG_KEX_HYBRID_INIT`: the same number.
pub const KEX_INIT: u8 = 30;
/// `SSH_MSG_KEXDH_REPLY`, `SSH_MSG_KEX_ECDH_REPLY`, `SSH_MSG_KEX_HYBRID_REPLY`.
pub const KEX_REPLY: u8 = 31;
/// First message number of the upper layers (user authentication and connection).
pub const UPPER_FIRST: u8 = 50;
/// `SSH_MSG_USERAUTH_SUCCESS`: watched for, because neither rekeying nor delayed compression may
/// start before it.
pub const USERAUTH_SUCCESS: u8 = 52;
/// Last message number of the upper layers.
pub const UPPER_LAST: u8 = 127;
/// `SSH2_MSG_PING` (PROTOCOL 1.9).
pub const PING: u8 = 192;
/// `SSH2_MSG_PONG` (PROTOCOL 1.9).
pub const PONG: u8 = 193;

/// Whether packets of this number belong to the layers above.
#[must_use]
pub const fn is_upper(number: u8) -> bool {
    matches!(
        number,
        SERVICE_REQUEST | SERVICE_ACCEPT | UPPER_FIRST..=UPPER_LAST
    )
}
