//! The messages of the connection protocol (RFC 4254).

mod message;

pub use message::{
    Fields, Head, MAX_NAME, MalformedMessage, Message, Name, OpenFailure, STDERR, number,
};
