//! Payloads of SSH, put together by hand. Their numbers are the program's own where it has them; that those
//! are right, other programs prove.

pub(crate) use rproxy::wire::connection::number::{
    CHANNEL_CLOSE as CLOSE, CHANNEL_DATA as DATA, CHANNEL_EOF as EOF,
    CHANNEL_EXTENDED_DATA as EXTENDED_DATA, CHANNEL_FAILURE as FAILURE, CHANNEL_OPEN as OPEN,
    CHANNEL_OPEN_CONFIRMATION as OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE as OPEN_FAILURE,
    CHANNEL_REQUEST as REQUEST, CHANNEL_SUCCESS as SUCCESS, CHANNEL_WINDOW_ADJUST as WINDOW_ADJUST,
    GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS,
};
pub(crate) use rproxy::wire::message::{
    IGNORE, KEX_INIT, KEX_REPLY, KEXINIT, NEWKEYS, SERVICE_ACCEPT, SERVICE_REQUEST,
    USERAUTH_SUCCESS,
};

use super::hostile;

/// Numbers of user authentication (RFC 4252, 6 and 7).
pub(crate) const USERAUTH_REQUEST: u8 = 50;
pub(crate) const USERAUTH_FAILURE: u8 = 51;
pub(crate) const USERAUTH_BANNER: u8 = 53;
pub(crate) const USERAUTH_PK_OK: u8 = 60;

/// A payload that is being put together.
#[derive(Clone, Debug)]
pub(crate) struct Payload(pub(crate) Vec<u8>);

impl Payload {
    pub(crate) fn new(number: u8) -> Self {
        Self(vec![number])
    }

    pub(crate) fn string(mut self, text: impl AsRef<[u8]>) -> Self {
        self.0.extend(hostile::string(text.as_ref()));
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.0.push(u8::from(flag));
        self
    }

    /// The opening of a channel.
    pub(crate) fn open(kind: &str, sender: u32, window: u32, max_packet: u32) -> Self {
        Self::new(OPEN)
            .string(kind)
            .u32(sender)
            .u32(window)
            .u32(max_packet)
    }

    /// The destination and the origin of a connection (RFC 4254, 7.2).
    pub(crate) fn addresses(self) -> Self {
        self.string("localhost")
            .u32(8080)
            .string("192.0.2.1")
            .u32(1)
    }

    /// Data on a channel.
    pub(crate) fn data(recipient: u32, bytes: &[u8]) -> Self {
        Self::new(DATA).u32(recipient).string(bytes)
    }

    /// A packet in the clear, as before the first key exchange (RFC 4253, 6).
    pub(crate) fn in_the_clear(&self) -> Vec<u8> {
        let padding = 8 + (8 - (5 + self.0.len()) % 8) % 8;
        let length = u32::try_from(1 + self.0.len() + padding).expect("short");
        let mut packet = length.to_be_bytes().to_vec();
        packet.push(u8::try_from(padding).expect("short"));
        packet.extend(&self.0);
        packet.extend(vec![0; padding]);
        packet
    }
}
