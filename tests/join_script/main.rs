//! `src/cli/nodes/join.sh`, the script by which hosts join: run by each shell that hosts have, below a
//! directory that stands for the root of a host.
//!
//! `ssh`, `ssh-keygen` and `sshd` are real; the proxy is a real `sshd` too, with answers of a test. The
//! programs of systemd and of `OpenRC` only note how they were called. `tests/e2e/nodes` has the real proxy.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests' own files need no particular mode"
)]

#[cfg(test)]
#[path = "../../src/sys/script.rs"]
mod script;
#[cfg(test)]
#[path = "../../src/sys/skipped.rs"]
mod skipped;

#[cfg(test)]
mod double;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod host;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod places;
#[cfg(test)]
mod trust;
