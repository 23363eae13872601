//! Hosts that join by themselves.

mod commands;
