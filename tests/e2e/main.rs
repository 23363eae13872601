//! End to end: plain `ssh`, `rproxy`, stock `sshd`, all real, on loopback.
//!
//! One binary, because linking is slow; one module per behaviour. Each test has a world of its own
//! (`support::World`), so they run in parallel, as root and as an ordinary user alike.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests' own files need no particular mode"
)]

#[cfg(test)]
mod alias;
#[cfg(test)]
mod auditor;
#[cfg(test)]
mod banner;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod bypass;
#[cfg(test)]
mod ca_keys;
#[cfg(test)]
mod client_block;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod confined;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod earlier_version;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod example;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod forwards;
#[cfg(test)]
mod host_audit;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod init;
#[cfg(test)]
mod insecure;
#[cfg(test)]
mod interop_clients;
#[cfg(test)]
mod interop_programs;
#[cfg(test)]
mod interop_russh;
#[cfg(test)]
mod interop_servers;
#[cfg(test)]
mod join;
#[cfg(test)]
mod jump;
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod multiplex;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod nothing_lost;
#[cfg(test)]
mod odd_files;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod people;
#[cfg(test)]
mod permit;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod pty;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sftp;
#[cfg(test)]
mod shells;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod state;
#[cfg(test)]
mod strict_mode;
#[cfg(test)]
mod supervised;
#[cfg(test)]
mod support;
#[cfg(test)]
mod target;
#[cfg(test)]
mod threats;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upgrading;
#[cfg(test)]
mod users;
#[cfg(test)]
mod web;
#[cfg(test)]
mod web_process;
#[cfg(test)]
mod webauthn;
