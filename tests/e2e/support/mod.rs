//! The harness: real programs in a directory of their own, on loopback, which end with the test.

pub(crate) mod agent;
pub(crate) mod agent_messages;
#[expect(dead_code, reason = "the tests beside the code need more of it")]
#[path = "../../../src/cert/browser.rs"]
pub(crate) mod browser;
pub(crate) mod children;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod crowd;
pub(crate) mod double;
pub(crate) mod hostile;
pub(crate) mod keys;
pub(crate) mod namespace;
pub(crate) mod one_time;
pub(crate) mod others;
pub(crate) mod payload;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod recordings;
pub(crate) mod russh_host;
pub(crate) mod security_keys;
pub(crate) mod service;
#[path = "../../../src/sys/skipped.rs"]
pub(crate) mod skipped;
pub(crate) mod sshd;
pub(crate) mod taken_worker;
pub(crate) mod terminal;
pub(crate) mod world;

pub(crate) use client::ClientOutcome;
pub(crate) use keys::{Certificate, Issuer};
pub(crate) use sshd::HostKey;
pub(crate) use world::{Holds, HostReport, JoiningHost, PersonAnswers, SignUp, World};
