//! `rproxy`: an OpenSSH companion, a recording proxy and certificate tool.
//!
//! The rooms, floor by floor; a room may use only what is below it (`ARCHITECTURE.md`).

// floor 0: nouns and the operating system
pub mod model;
pub mod sys;

// floor 1: rules; pure, deterministic, fuzzable
pub mod access;
pub mod agent;
pub mod cert;
pub mod openssh;
pub mod recording;
pub mod relay;
pub mod web_service;
pub mod wire;

// floor 2: doors to one foreign system each
pub mod audit;
pub mod dns;
pub mod ipc;
pub mod metrics;
pub mod store;

// floor 3: CAs with durable state
pub mod ca;
pub mod net;
pub mod nodes;
pub mod oidc;
pub mod state;

// floor 4: the live session, people, and hosts that join
pub mod enrolment;
pub mod people;
pub mod session;

// floor 5: SSH over sockets
pub mod ssh;

// floor 6: what is not SSH
pub mod control;
pub mod web;

// floor 7: assembly
pub mod auth;
pub mod config;
pub mod monitor;
pub mod worker;

// top: the command line
pub mod cli;
